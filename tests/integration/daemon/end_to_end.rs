//! From certificates without staples to handshakes with them, all real: HAProxy, the program,
//! its own responder and `openssl ocsp`, TLS.

use std::fs;

use super::authority::{OpensslAuthority, Signer};
use super::{Daemon, names};
use crate::support::haproxy::{Haproxy, Setup, installations, wait_for, wait_for_a_newer_second};

/// Starts a daemon for a HAProxy's directory and socket.
fn daemon_for(haproxy: &Haproxy) -> Daemon {
    Daemon::start(&[
        "-d",
        &haproxy.path("certs"),
        "-s",
        &haproxy.path("admin.sock"),
        "--allow-addresses",
        "loopback",
        "--refresh-interval",
        "1",
        "-v",
    ])
}

/// Waits until clients get a staple for `name` that openssl accepts, and it lies on disk as well.
fn wait_until_stapled(haproxy: &Haproxy, authority: &OpensslAuthority, name: &str) {
    let mut staple = Vec::new();
    wait_for(&format!("a staple for {name}"), || {
        staple = haproxy.staple(name);
        !staple.is_empty()
    });
    assert!(
        authority.accepts(name, &staple),
        "openssl refuses the staple of {name}"
    );
    let path = haproxy.certificate(&format!("{name}.pem.ocsp"));
    wait_for(&path, || fs::read(&path).is_ok_and(|bytes| bytes == staple));
}

/// One certificate for each kind of key.
const NAMES: [&str; 4] = ["rsa", "p256", "p384", "ed25519"];

#[test]
fn first_staples_are_attached_written_and_there_after_a_reload() {
    for installation in installations("end to end") {
        let Some(mut authority) = OpensslAuthority::new("end to end") else {
            return;
        };
        authority.issue("rsa", "rsa");
        authority.issue("p256", "prime256v1");
        authority.issue_independent("p384", "secp384r1");
        // HAProxy shows no fingerprint of this one.
        authority.issue_independent("ed25519", "ed25519");
        authority.start_responder(Signer::Delegate);
        authority.start_independent_responder(Signer::Issuer);
        let files = NAMES.map(|name| (format!("{name}.pem"), authority.bundle(name)));
        let files = files
            .each_ref()
            .map(|(name, pem)| (name.as_str(), pem.as_bytes()));
        let setup = Setup {
            master: true,
            ..Setup::default()
        };
        let haproxy = Haproxy::start(&installation, setup, &files);
        assert!(
            haproxy.staple("rsa").is_empty(),
            "a staple before the daemon was started"
        );

        let mut daemon = daemon_for(&haproxy);
        for name in NAMES {
            wait_until_stapled(&haproxy, &authority, name);
        }
        haproxy.reload();
        for name in NAMES {
            wait_until_stapled(&haproxy, &authority, name);
        }
        daemon.signal("TERM");
        assert!(daemon.ended().success());
        let left: Vec<String> = names(&haproxy.dir.path().join("certs"));
        let expected = [
            "ed25519.pem",
            "ed25519.pem.ocsp",
            "p256.pem",
            "p256.pem.ocsp",
            "p384.pem",
            "p384.pem.ocsp",
            "rsa.pem",
            "rsa.pem.ocsp",
        ];
        assert_eq!(
            left, expected,
            "something else was left beside the certificates"
        );
    }
}

#[test]
fn the_same_certificate_deployed_once_more_gets_its_staple_back() {
    for installation in installations("the same certificate once more") {
        let Some(mut authority) = OpensslAuthority::new("the same certificate once more") else {
            return;
        };
        authority.issue("site", "prime256v1");
        authority.start_responder(Signer::Delegate);
        let pem = authority.bundle("site");
        let files = [("site.pem", pem.as_bytes())];
        let haproxy = Haproxy::start(&installation, Setup::default(), &files);
        let daemon = daemon_for(&haproxy);
        wait_until_stapled(&haproxy, &authority, "site");
        let store = haproxy.certificate("site.pem");
        for _ in 0..2 {
            wait_for("the deployment", || {
                let set = haproxy.cli(&format!("set ssl cert {store} <<\n{pem}"));
                set.starts_with("Transaction created")
                    && haproxy
                        .cli(&format!("commit ssl cert {store}"))
                        .contains("Success!")
            });
            assert!(haproxy.staple("site").is_empty(), "{installation:?}");
            wait_until_stapled(&haproxy, &authority, "site");
        }
        assert_eq!(
            daemon.count_lines(&["live: attached"]),
            3,
            "{installation:?}"
        );
    }
}

#[test]
fn what_was_replaced_on_disk_is_renewed_in_haproxy_until_the_reload() {
    for installation in installations("replaced without a reload") {
        let Some(mut authority) = OpensslAuthority::new("replaced without a reload") else {
            return;
        };
        // One that signs anew whenever it is asked.
        authority.issue_independent("old", "prime256v1");
        authority.issue_independent("new", "prime256v1");
        authority.start_independent_responder(Signer::Delegate);
        let (old, new) = (authority.bundle("old"), authority.bundle("new"));
        let setup = Setup {
            master: true,
            ..Setup::default()
        };
        let haproxy = Haproxy::start(&installation, setup, &[("site.pem", old.as_bytes())]);
        let daemon = daemon_for(&haproxy);
        let is_stapled = |name: &str| authority.accepts(name, &haproxy.staple(name));
        wait_for("the first staple", || is_stapled("old"));
        let first = haproxy.staple("old");
        haproxy.write("site.pem", new.as_bytes());
        daemon.wait_for_line(&["site.pem", "HAProxy still serves"]);
        wait_for_a_newer_second();
        daemon.signal("USR1");
        wait_for("the old certificate's next staple", || {
            haproxy.staple("old") != first && is_stapled("old")
        });
        haproxy.reload();
        wait_for("the new certificate's staple", || is_stapled("new"));
    }
}

#[test]
fn a_staple_on_disk_is_used_without_asking_the_responder() {
    let Some(installation) = installations("staples on disk").pop() else {
        return;
    };
    let Some(mut authority) = OpensslAuthority::new("staples on disk") else {
        return;
    };
    // The independent one, for its log has every request.
    authority.issue_independent("site", "prime256v1");
    authority.start_independent_responder(Signer::Issuer);
    let pem = authority.bundle("site");
    let haproxy = Haproxy::start(
        &installation,
        Setup::default(),
        &[("site.pem", pem.as_bytes())],
    );
    let mut first = daemon_for(&haproxy);
    wait_until_stapled(&haproxy, &authority, "site");
    first.signal("INT");
    assert!(first.ended().success());
    let asked = authority.read("independent.log");
    assert!(asked.contains("Received request"), "{asked}");

    let second = daemon_for(&haproxy);
    second.wait_for_line(&["found, with a staple good until"]);
    second.wait_for_line(&["live: already held"]);
    assert_eq!(
        authority.read("independent.log"),
        asked,
        "the responder was asked again"
    );
}

#[test]
fn certificates_that_come_change_and_go_are_noticed() {
    let Some(installation) = installations("changing certificates").pop() else {
        return;
    };
    let Some(mut authority) = OpensslAuthority::new("changing certificates") else {
        return;
    };
    authority.issue("first", "prime256v1");
    authority.issue("second", "prime256v1");
    authority.issue("third", "prime256v1");
    authority.start_responder(Signer::Issuer);
    let (first, second, third) = (
        authority.bundle("first"),
        authority.bundle("second"),
        authority.bundle("third"),
    );
    let haproxy = Haproxy::start(
        &installation,
        Setup {
            master: true,
            ..Setup::default()
        },
        &[("first.pem", first.as_bytes())],
    );
    let daemon = daemon_for(&haproxy);
    wait_until_stapled(&haproxy, &authority, "first");

    // New: on disk at once, live with the reload that brings it in.
    haproxy.write("second.pem", second.as_bytes());
    let staple = haproxy.certificate("second.pem.ocsp");
    wait_for("the new certificate's staple", || {
        fs::exists(&staple).unwrap()
    });
    haproxy.reload();
    wait_until_stapled(&haproxy, &authority, "second");

    // Replaced: the old staple is not the new certificate's.
    let path = haproxy.certificate("first.pem.ocsp");
    haproxy.write("first.pem", third.as_bytes());
    wait_for("the replaced certificate's staple", || {
        fs::read(&path).is_ok_and(|bytes| authority.accepts("third", &bytes))
    });

    // Gone: forgotten, and its staple does not wait for another one's certificate.
    fs::remove_file(haproxy.certificate("second.pem")).unwrap();
    daemon.wait_for_line(&["second.pem", "gone"]);
    wait_for("the staple to go as well", || !fs::exists(&staple).unwrap());
}

#[test]
fn neither_revoked_nor_unknown_nor_silent_certificates_get_a_staple() {
    let Some(installation) = installations("revoked and unknown").pop() else {
        return;
    };
    let Some(mut authority) = OpensslAuthority::new("revoked and unknown") else {
        return;
    };
    authority.issue("good", "prime256v1");
    authority.issue_with_status("revoked", "prime256v1", 'R');
    authority.issue_silent("silent");
    authority.issue("unknown", "prime256v1");
    let index = authority.read("index.txt");
    let without_last: String = index
        .lines()
        .take(2)
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(authority.path("index.txt"), without_last).unwrap();
    authority.start_responder(Signer::Delegate);

    let files = ["good", "revoked", "silent", "unknown"]
        .map(|name| (format!("{name}.pem"), authority.bundle(name)));
    let files = files
        .each_ref()
        .map(|(name, pem)| (name.as_str(), pem.as_bytes()));
    let haproxy = Haproxy::start(&installation, Setup::default(), &files);
    let daemon = daemon_for(&haproxy);
    wait_until_stapled(&haproxy, &authority, "good");
    daemon.wait_for_line(&[
        "ERROR",
        "revoked.pem",
        "revoked this certificate",
        "keyCompromise",
    ]);
    // A new certificate may not be known yet: that is information, not a warning.
    daemon.wait_for_line(&["INFO", "unknown.pem", "reason=\"unknown\""]);
    daemon.wait_for_line(&["DEBUG", "silent.pem", "reason=\"no_responder\""]);
    for name in ["revoked", "silent", "unknown"] {
        assert!(haproxy.staple(name).is_empty(), "{name} has a staple");
        assert!(!fs::exists(haproxy.certificate(&format!("{name}.pem.ocsp"))).unwrap());
    }
}

#[test]
fn no_staple_is_written_that_would_keep_haproxy_from_starting() {
    let Some(installation) = installations("missing issuers").pop() else {
        return;
    };
    let Some(mut authority) = OpensslAuthority::new("missing issuers") else {
        return;
    };
    for name in ["bare", "beside", "wrong"] {
        authority.issue(name, "prime256v1");
    }
    authority.start_responder(Signer::Delegate);
    let bare = |name: &str| {
        authority.read(&format!("{name}.pem")) + &authority.read(&format!("{name}.key"))
    };
    let (bare_pem, beside_pem, wrong_pem) =
        (bare("bare"), bare("beside"), authority.bundle("wrong"));
    let (issuer, root) = (authority.read("issuer.pem"), authority.read("root.pem"));
    let mut haproxy = Haproxy::start(
        &installation,
        Setup::default(),
        &[
            ("bare.pem", bare_pem.as_bytes()),
            ("beside.pem", beside_pem.as_bytes()),
            ("beside.pem.issuer", issuer.as_bytes()),
            ("wrong.pem", wrong_pem.as_bytes()),
            ("wrong.pem.issuer", root.as_bytes()),
        ],
    );
    let daemon = daemon_for(&haproxy);
    wait_until_stapled(&haproxy, &authority, "beside");
    daemon.wait_for_line(&["bare.pem", "reason=\"no_issuer\"", "bare.pem.issuer"]);
    daemon.wait_for_line(&["wrong.pem", "reason=\"no_issuer\"", "is not the issuer"]);
    for name in ["bare", "wrong"] {
        assert!(!fs::exists(haproxy.certificate(&format!("{name}.pem.ocsp"))).unwrap());
    }
    // With what was written HAProxy starts again, and staples from disk alone.
    haproxy.stop();
    drop(daemon);
    haproxy.start_again();
    assert!(authority.accepts("beside", &haproxy.staple("beside")));
}
