//! ocspbot's `domains`, `scan_keys` and backups, looked after by the daemon.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::authority::{OpensslAuthority, Signer};
use super::{Daemon, names};
use crate::support::haproxy::{wait_for, wait_for_a_newer_second};

/// A zone far from any that a test machine is likely to be in; HST is UTC+14 here.
const ZONE: &str = "HST-14";

/// The time in that zone, as it stands in the names of backups.
fn local_time() -> String {
    let output = Command::new("date")
        .arg("+%Y%m%d-%H%M%S")
        .env("TZ", ZONE)
        .output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    text.trim().to_owned()
}

fn start(directory: &Path, configuration: &str) -> Daemon {
    let path = directory.join("staplerd.yaml");
    let text = format!("allow_addresses: [loopback]\ncontrol_socket: null\n{configuration}");
    let text = text.replace("{dir}", directory.to_str().unwrap());
    fs::write(&path, text).unwrap();
    Daemon::start_with(&["-c", path.to_str().unwrap(), "-v"], &[("TZ", ZONE)])
}

fn wait_until_written(authority: &OpensslAuthority, path: &Path, name: &str) {
    wait_for(&format!("the staple {path:?}"), || {
        fs::read(path).is_ok_and(|bytes| authority.accepts(name, &bytes))
    });
}

#[test]
fn each_new_staple_of_a_domain_is_copied_with_the_local_time_and_the_newest_copies_are_kept() {
    let Some(mut authority) = OpensslAuthority::new("backups") else {
        return;
    };
    authority.issue_independent("site", "prime256v1");
    authority.start_independent_responder(Signer::Delegate);
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("ocsp")).unwrap();
    fs::write(path("site.pem"), authority.read("site.pem")).unwrap();
    fs::write(path("chain.pem"), authority.read("issuer.pem")).unwrap();
    let foreign = "site.ocsp-resp-20170415-060000.keep";
    fs::write(path("ocsp").join(foreign), "").unwrap();
    let before = local_time();
    let daemon = start(
        directory.path(),
        "ocsp_folder: '{dir}/ocsp'\nmake_backups: true\nkeep_backups: 2\n\
         domains:\n  site:\n    cert: '{dir}/site.pem'\n    chain: '{dir}/chain.pem'\n    \
         ocsp: site.ocsp-resp\n",
    );
    let staple = path("ocsp/site.ocsp-resp");
    wait_until_written(&authority, &staple, "site");
    let copies = || {
        let mut names = names(&path("ocsp"));
        names.retain(|name| name.starts_with("site.ocsp-resp-") && name != foreign);
        names
    };
    wait_for("the first copy", || copies().len() == 1);
    let first = copies().remove(0);
    let stamp = first.trim_start_matches("site.ocsp-resp-").to_owned();
    assert!(before <= stamp, "{stamp} before {before}");
    // A minute for copies that had to go to a later second.
    assert!(
        stamp[..11] <= local_time()[..11],
        "{stamp} after the present hour"
    );
    for round in 2..=3 {
        let old = fs::read(&staple).unwrap();
        wait_for_a_newer_second();
        daemon.signal("USR1");
        wait_for("the next staple", || fs::read(&staple).unwrap() != old);
        let new = fs::read(&staple).unwrap();
        wait_for("its copy", || {
            copies()
                .iter()
                .any(|name| fs::read(path("ocsp").join(name)).is_ok_and(|copy| copy == new))
        });
        wait_for("no more copies than two", || copies().len() == 2);
        assert_eq!(copies().contains(&first), round == 2);
    }
    assert_eq!(daemon.count_lines(&["backup"]), 0);
    assert!(path("ocsp").join(foreign).exists());
}

#[test]
fn staples_of_scanned_folders_keep_them_below_the_folder_of_the_staples() {
    let Some(mut authority) = OpensslAuthority::new("scan keys") else {
        return;
    };
    authority.issue("site", "prime256v1");
    authority.start_responder(Signer::Delegate);
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir_all(path("certs/sites/deep")).unwrap();
    for (name, content) in [
        ("site", "site.pem"),
        ("site-chain", "issuer.pem"),
        ("site-rootchain", "issuer.pem"),
    ] {
        let file = path("certs/sites/deep").join(name).with_extension("pem");
        fs::write(file, authority.read(content)).unwrap();
    }
    let daemon = start(
        directory.path(),
        "ocsp_folder: '{dir}/ocsp'\nscan_keys: [{folder: '{dir}/certs'}]\n",
    );
    // The folder itself is the operator's to make.
    let line = daemon.wait_for_line(&["staple not written", "No such file"]);
    assert!(line.contains(path("ocsp").to_str().unwrap()), "{line}");
    assert!(!path("ocsp").exists());
    fs::create_dir(path("ocsp")).unwrap();
    daemon.signal("HUP");
    wait_until_written(&authority, &path("ocsp/sites/deep/site.ocsp-resp"), "site");
    assert_eq!(names(&path("ocsp/sites/deep")), ["site.ocsp-resp"]);
}
