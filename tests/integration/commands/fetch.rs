//! `staplerd fetch`: one response from a real responder, judged, shown and saved.

use std::fs;
use std::path::Path;
use std::process::Output;

use super::{last_line, staplerd, stderr, stdout};
use crate::daemon::authority::{OpensslAuthority, Signer};

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Fetches the response for the bundle of `name`, with loopback responders allowed.
fn fetch(authority: &OpensslAuthority, name: &str, more: &[&str]) -> Output {
    let bundle = authority.path(&format!("{name}.bundle"));
    fs::write(&bundle, authority.bundle(name)).unwrap();
    let bundle = text(&bundle);
    let mut arguments = vec!["fetch", &bundle, "--allow-addresses", "loopback"];
    arguments.extend(more);
    staplerd(&arguments)
}

#[test]
fn a_good_response_is_shown_and_saved_so_that_openssl_accepts_it() {
    let Some(mut authority) = OpensslAuthority::new("fetch") else {
        return;
    };
    authority.issue_independent("site", "prime256v1");
    authority.start_independent_responder(Signer::Delegate);
    let shown = fetch(&authority, "site", &[]);
    assert_eq!(shown.status.code(), Some(0), "{}", stderr(&shown));
    assert_eq!(last_line(&shown), "good");
    let said = stdout(&shown);
    for words in [
        "answer of http://127.0.0.1",
        "signed by 'CN=delegate'\n",
        "usable until ",
    ] {
        assert!(said.contains(words), "no '{words}' in {said}");
    }
    let saved = text(&authority.path("site.ocsp"));
    assert!(!Path::new(&saved).exists(), "saved without being asked to");
    let output = fetch(&authority, "site", &["-o", &saved]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains(&format!("saved as {saved}\n")));
    assert!(authority.accepts("site", &fs::read(&saved).unwrap()));
}

#[test]
fn what_is_not_good_exits_1_and_is_not_saved() {
    let Some(mut authority) = OpensslAuthority::new("fetch revoked") else {
        return;
    };
    authority.issue_with_status("stolen", "prime256v1", 'R');
    authority.start_responder(Signer::Issuer);
    let place = authority.path("stolen.ocsp");
    fs::write(&place, "what lay there").unwrap();
    let output = fetch(&authority, "stolen", &["-o", &text(&place)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(last_line(&output).starts_with("revoked at 2026-01-01T00:00:00Z, keyCompromise"));
    assert!(stderr(&output).contains("stolen.ocsp: not saved: "));
    assert_eq!(fs::read_to_string(&place).unwrap(), "what lay there");
}

#[test]
fn the_rules_of_the_configuration_count() {
    let Some(mut authority) = OpensslAuthority::new("fetch rules") else {
        return;
    };
    authority.issue("site", "prime256v1");
    authority.start_responder(Signer::Issuer);
    let bundle = authority.path("site.bundle");
    fs::write(&bundle, authority.bundle("site")).unwrap();
    let refused = staplerd(&["fetch", &text(&bundle)]);
    assert_eq!(refused.status.code(), Some(1));
    let line = last_line(&refused);
    assert!(line.starts_with("unreachable:address_refused "), "{line}");
    assert!(line.contains("--allow-addresses loopback"), "{line}");

    let file = authority.path("staplerd.yaml");
    let rules = |rules: &str| {
        fs::write(&file, rules).unwrap();
        staplerd(&["fetch", &text(&bundle), "-c", &text(&file)])
    };
    let nowhere = "allow_addresses: [loopback]\nresponders:\n  CN=issuer: http://127.0.0.1:1/\n";
    let line = last_line(&rules(nowhere));
    assert!(
        line.starts_with("unreachable:connect_refused http://127.0.0.1:1/: "),
        "{line}"
    );
    assert_eq!(last_line(&rules("allow_addresses: [loopback]\n")), "good");
    let silent = rules("responders:\n  CN=issuer: null\n");
    assert!(last_line(&silent).starts_with("unreachable:no_url "));
    let wrong = rules("responder: {}\nno such key: 1\n");
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        stderr(&wrong).contains("staplerd.yaml:"),
        "{}",
        stderr(&wrong)
    );
}

#[test]
fn the_issuer_comes_from_the_chain_the_file_beside_or_the_option() {
    let Some(mut authority) = OpensslAuthority::new("fetch issuer") else {
        return;
    };
    authority.issue("site", "prime256v1");
    authority.start_responder(Signer::Issuer);
    let bare = text(&authority.path("site.pem"));
    let issuer = text(&authority.path("issuer.pem"));
    let ask = |more: &[&str]| {
        let arguments = [&["fetch", &bare, "--allow-addresses", "loopback"], more].concat();
        staplerd(&arguments)
    };
    let missing = ask(&[]);
    assert_eq!(missing.status.code(), Some(1));
    let line = stderr(&missing);
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(
        line.contains("site.pem.issuer") && line.contains("--issuer"),
        "{line}"
    );
    assert_eq!(last_line(&ask(&["--issuer", &issuer])), "good");
    fs::copy(&issuer, format!("{bare}.issuer")).unwrap();
    assert_eq!(last_line(&ask(&[])), "good");
}

#[test]
fn every_failure_has_one_clear_line() {
    let Some(mut authority) = OpensslAuthority::new("fetch failures") else {
        return;
    };
    authority.issue("site", "prime256v1");
    let down = fetch(&authority, "site", &[]);
    assert_eq!(down.status.code(), Some(1));
    assert_eq!(stdout(&down).lines().count(), 1);
    assert!(last_line(&down).starts_with("unreachable:connect_refused http://127.0.0.1:"));
    assert_eq!(stderr(&down), "");
    let nothing = staplerd(&["fetch", "/nowhere/site.pem"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(stderr(&nothing).starts_with("/nowhere/site.pem: "));
    assert_eq!(stderr(&nothing).lines().count(), 1);
    authority.start_responder(Signer::Issuer);
    let unwritable = fetch(&authority, "site", &["-o", "/nowhere/site.ocsp"]);
    assert_eq!(unwritable.status.code(), Some(1));
    assert_eq!(stderr(&unwritable).lines().count(), 1);
    assert!(stderr(&unwritable).starts_with("/nowhere/site.ocsp: "));
}

#[test]
fn our_own_responder_is_asked_as_well() {
    let Some(mut authority) = OpensslAuthority::new("fetch from staplerd responder") else {
        return;
    };
    authority.issue("site", "rsa");
    authority.start_responder(Signer::Issuer);
    let saved = text(&authority.path("site.ocsp"));
    let output = fetch(&authority, "site", &["-o", &saved]);
    assert_eq!(last_line(&output), "good");
    assert!(stdout(&output).contains("signed by the issuer\n"));
    assert!(authority.accepts("site", &fs::read(&saved).unwrap()));
}
