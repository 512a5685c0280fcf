//! A daemon that is told nothing but where HAProxy's configuration is.

use std::fs;

use super::Daemon;
use super::authority::{OpensslAuthority, Signer};
use crate::support::haproxy::{Haproxy, Setup, installations, wait_for};

const VERSION_WITH_STORES: (u16, u16) = (3, 0);

/// A daemon that may ask responders on this machine.
fn beside(haproxy: &Haproxy) -> Daemon {
    let configuration = haproxy.path("haproxy.cfg");
    Daemon::start(&[
        "--haproxy-config",
        &configuration,
        "--allow-addresses",
        "loopback",
    ])
}

#[test]
fn certificates_and_sockets_are_those_of_haproxys_configuration_also_after_it_changes() {
    let Some(mut authority) = OpensslAuthority::new("haproxy.cfg") else {
        return;
    };
    for name in ["a", "b", "c"] {
        authority.issue(name, "prime256v1");
    }
    authority.start_responder(Signer::Delegate);
    let bundles: Vec<(String, String)> = ["a", "b", "c"]
        .map(|name| (format!("{name}.pem"), authority.bundle(name)))
        .into();
    let files: Vec<(&str, &[u8])> = bundles
        .iter()
        .map(|(name, bundle)| (name.as_str(), bundle.as_bytes()))
        .collect();
    for installation in installations("haproxy.cfg") {
        let setup = Setup {
            global: "crt-base {dir}/certs".to_owned(),
            bind: Some("crt a.pem crt b.pem".to_owned()),
            master: true,
            ..Setup::default()
        };
        let haproxy = Haproxy::start(&installation, setup, &files);
        let configuration = haproxy.path("haproxy.cfg");
        let daemon = Daemon::start(&[
            "--haproxy-config",
            &configuration,
            "--allow-addresses",
            "loopback",
        ]);
        let is_live = |name: &str| authority.accepts(name, &haproxy.staple(name));
        for name in ["a", "b"] {
            wait_for("a live staple", || is_live(name));
        }
        assert!(!fs::exists(haproxy.certificate("c.pem.ocsp")).unwrap());
        let text = fs::read_to_string(&configuration).unwrap();
        fs::write(
            &configuration,
            text.replace("crt b.pem", "crt b.pem crt c.pem"),
        )
        .unwrap();
        haproxy.reload();
        wait_for("the staple of the certificate that was added", || {
            is_live("c")
        });
        wait_for("the staples of the others", || is_live("a") && is_live("b"));
        // What cannot be read any more is what it was.
        fs::remove_file(&configuration).unwrap();
        daemon.wait_for_line(&["haproxy.cfg", "cannot be read", "goes on"]);
        daemon.signal("TERM");
    }
}

#[test]
fn a_staple_is_written_where_a_crt_store_has_haproxy_look_for_it() {
    let Some(mut authority) = OpensslAuthority::new("crt-store") else {
        return;
    };
    authority.issue("a", "prime256v1");
    authority.start_responder(Signer::Issuer);
    let certificate = authority.read("a.pem") + &authority.read("a.key");
    let issuer = authority.read("issuer.pem");
    let newer = installations("crt-store").into_iter();
    for installation in newer.filter(|it| it.version >= VERSION_WITH_STORES) {
        let setup = Setup {
            global: "\ncrt-store web\n  crt-base {dir}/certs\n  \
                load crt a.pem ocsp {dir}/certs/a.der issuer {dir}/certs/a.ca alias site\n"
                .to_owned(),
            bind: Some("crt @web/site".to_owned()),
            master: true,
            ..Setup::default()
        };
        // HAProxy insists on a file where it is told to look for the staple.
        let files = [
            ("a.pem", certificate.as_bytes()),
            ("a.ca", issuer.as_bytes()),
            ("a.der", b""),
        ];
        let haproxy = Haproxy::start(&installation, setup, &files);
        let daemon = beside(&haproxy);
        let staple = haproxy.certificate("a.der");
        wait_for("the staple on disk", || {
            authority.accepts("a", &fs::read(&staple).unwrap())
        });
        wait_for("the live staple", || {
            authority.accepts("a", &haproxy.staple("a"))
        });
        daemon.signal("TERM");
    }
}

#[test]
fn what_a_crt_store_has_loaded_counts_as_loaded_before_its_first_staple() {
    let Some(mut authority) = OpensslAuthority::new("crt-store without a staple") else {
        return;
    };
    authority.issue("a", "prime256v1");
    let bundle = authority.bundle("a");
    let newer = installations("crt-store without a staple").into_iter();
    for installation in newer.filter(|it| it.version >= VERSION_WITH_STORES) {
        let setup = Setup {
            global: "\ncrt-store web\n  crt-base {dir}/certs\n  load crt a.pem alias site\n"
                .to_owned(),
            bind: Some("crt @web/site".to_owned()),
            ..Setup::default()
        };
        let haproxy = Haproxy::start(&installation, setup, &[("a.pem", bundle.as_bytes())]);
        // Its responder is on this machine, where it is not asked.
        let daemon = Daemon::start(&["--haproxy-config", &haproxy.path("haproxy.cfg")]);
        let socket = || daemon.status()["sockets"][0].clone();
        wait_for("what is loaded", || socket()["stores"] == 1);
        wait_for("the certificate", || {
            daemon.status()["certificates"][0]["live"][0].is_object()
        });
        let socket = socket();
        assert_eq!(socket["not_loaded"], serde_json::json!([]), "{socket}");
        assert_eq!(
            socket["not_looked_after"],
            serde_json::json!([]),
            "{socket}"
        );
        daemon.signal("TERM");
    }
}

#[test]
fn what_only_haproxy_knows_is_asked_of_it() {
    let Some(mut authority) = OpensslAuthority::new("what only HAProxy knows") else {
        return;
    };
    let names = ["a", "b", "c"];
    for name in names {
        authority.issue(name, "prime256v1");
    }
    authority.start_responder(Signer::Issuer);
    let bundles = names.map(|name| (format!("{name}.pem"), authority.bundle(name)));
    let files = bundles.each_ref();
    let files = files.map(|(name, bundle)| (name.as_str(), bundle.as_bytes()));
    for installation in installations("what only HAProxy knows") {
        let (major, minor) = installation.version;
        // Before 2.4 there are neither conditions nor defaults.
        let (base, default) = match installation.version < (2, 4) {
            true => ("\n  crt-base {dir}/certs\n".to_owned(), ""),
            false => {
                let condition = format!(".if version_atleast({major}.{minor})");
                let chosen = "  crt-base {dir}/certs\n.else\n  crt-base /nowhere\n.endif\n";
                (format!("\n{condition}\n{chosen}"), "-/nowhere")
            }
        };
        let setup = Setup {
            global: base,
            bind: Some(format!(
                "crt \"$THEIR_CERTS/a.pem\" crt \"${{THEIR_OTHER{default}}}/b.pem\" crt c.pem"
            )),
            environment: vec![
                ("THEIR_CERTS", "{dir}/certs"),
                ("THEIR_OTHER", "{dir}/certs"),
            ],
            ..Setup::default()
        };
        let haproxy = Haproxy::start(&installation, setup, &files);
        let daemon = beside(&haproxy);
        for name in names {
            wait_for("a live staple", || {
                authority.accepts(name, &haproxy.staple(name))
            });
            let staple = haproxy.certificate(&format!("{name}.pem.ocsp"));
            wait_for("the staple on disk", || fs::exists(&staple).unwrap());
        }
        daemon.signal("TERM");
    }
}

#[test]
fn what_haproxy_has_loaded_and_no_line_names_is_said_with_the_nearest_reason() {
    let Some(mut authority) = OpensslAuthority::new("certificates that no line names") else {
        return;
    };
    for name in ["a", "b"] {
        authority.issue(name, "prime256v1");
    }
    let bundles = ["a", "b"].map(|name| (format!("{name}.pem"), authority.bundle(name)));
    let files = bundles.each_ref();
    let files = files.map(|(name, bundle)| (name.as_str(), bundle.as_bytes()));
    // It takes ten seconds, and is the same on all.
    let mut installations = installations("certificates that no line names");
    installations.truncate(1);
    for installation in installations {
        let setup = Setup {
            bind: Some("crt {dir}/certs/a.pem crt {dir}/certs/b.pem".to_owned()),
            ..Setup::default()
        };
        let haproxy = Haproxy::start(&installation, setup, &files);
        let configuration = haproxy.path("haproxy.cfg");
        let text = fs::read_to_string(&configuration).unwrap();
        let (before, after) = text.split_once(" crt ").unwrap();
        let (named, unnamed) = after.split_once(" crt ").unwrap();
        let unnamed_crt = unnamed.lines().next().unwrap();
        let rest = &unnamed[unnamed_crt.len()..];
        // What HAProxy was started with is not what is read now, although it looks no newer.
        let other = format!("{before} crt {named} crt \"${{NOWHERE[1]}}\"{rest}");
        let other = other + "frontend other\n  bind :1 ssl crt " + named + "\n";
        let modified = fs::metadata(&configuration).unwrap().modified().unwrap();
        fs::write(&configuration, other).unwrap();
        fs::File::open(&configuration)
            .unwrap()
            .set_modified(modified)
            .unwrap();
        let daemon = Daemon::start(&["--haproxy-config", &configuration]);
        let certificate = haproxy.certificate("b.pem");
        let words = ["not_named", &certificate, "haproxy.cfg:10"];
        daemon.wait_for_line(&words);
        assert_eq!(daemon.count_lines(&words), 1);
        assert_eq!(daemon.count_lines(&["named_not_loaded"]), 0);
        daemon.signal("TERM");
    }
}
