//! TLS clients and OCSP clients of others as judges: GnuTLS, and NSS, which Firefox verifies with.
//!
//! Promises: they take the staple that HAProxy got from this program, and what `staplerd responder`
//! says; and they are judges, for without a staple, and of a revoked certificate, they say so.
//! What only reads responses, and all of them, is `tests/judges/run`.

use std::fs;
use std::process::{Command, Stdio};

use crate::daemon::Daemon;
use crate::daemon::authority::{OpensslAuthority, Signer};
use crate::skip::skipped;
use crate::support::haproxy::{Haproxy, Setup, installations, wait_for};

/// Whether a program is on this machine; a visible line where it is not.
fn have(program: &str, package: &str) -> bool {
    let found = Command::new(program)
        .arg("--help")
        .stdin(Stdio::null())
        .output()
        .is_ok();
    if !found {
        skipped(format!(
            "{program} judges nothing: there is no {package} on this machine"
        ));
    }
    found
}

/// What a program prints, and its exit code.
fn said(command: &mut Command) -> (String, Option<i32>) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    (text, output.status.code())
}

/// A folder with NSS' database, in which the root is trusted.
fn nss_database(authority: &OpensslAuthority) -> String {
    let folder = authority.path("nss");
    fs::create_dir_all(&folder).unwrap();
    let database = format!("sql:{}", folder.display());
    let certutil = |arguments: &[&str]| {
        let (text, code) = said(
            Command::new("certutil")
                .args(["-d", &database])
                .args(arguments),
        );
        assert_eq!(code, Some(0), "{text}");
    };
    certutil(&["-N", "--empty-password"]);
    for (name, trust) in [
        ("root", "C,,"),
        ("issuer", ",,"),
        ("site", ",,"),
        ("stolen", ",,"),
    ] {
        let file = authority.path(&format!("{name}.pem"));
        if file.exists() {
            let file = file.to_str().unwrap().to_owned();
            certutil(&["-A", "-n", name, "-t", trust, "-i", &file]);
        }
    }
    database
}

#[test]
fn tls_clients_of_others_take_the_staple_and_miss_it_where_there_is_none() {
    let (gnutls, nss) = (
        have("gnutls-cli", "gnutls-bin"),
        have("tstclnt", "libnss3-tools"),
    );
    for installation in installations("foreign TLS clients") {
        let Some(mut authority) = OpensslAuthority::new("foreign TLS clients") else {
            return;
        };
        authority.issue("site", "prime256v1");
        authority.start_responder(Signer::Delegate);
        let pem = authority.bundle("site");
        let haproxy = Haproxy::start(
            &installation,
            Setup::default(),
            &[("site.pem", pem.as_bytes())],
        );
        let port = haproxy.tls.port().to_string();
        let root = authority.path("root.pem");
        let by_gnutls = || {
            said(
                Command::new("gnutls-cli")
                    .args(["--ocsp", "--x509cafile"])
                    .arg(&root)
                    .args(["--sni-hostname", "site", "--verify-hostname", "site"])
                    .args(["-p", &port, "127.0.0.1"]),
            )
        };
        let database = nss.then(|| nss_database(&authority));
        // Exit code 0: a fresh, valid staple that says good; 2: none.
        let by_nss = |database: &str| {
            said(
                Command::new("tstclnt")
                    .args(["-h", "127.0.0.1", "-p", &port, "-a", "site", "-d", database])
                    .args(["-T", "-O", "-F", "-M", "1", "-Q"]),
            )
        };
        if let Some(database) = &database {
            let (text, code) = by_nss(database);
            assert_eq!(code, Some(2), "{installation:?}: {text}");
        }
        let _daemon = Daemon::start(&[
            "-d",
            &haproxy.path("certs"),
            "-s",
            &haproxy.path("admin.sock"),
            "--allow-addresses",
            "loopback",
        ]);
        wait_for("a staple", || !haproxy.staple("site").is_empty());
        if let Some(database) = &database {
            let (text, code) = by_nss(database);
            assert_eq!(code, Some(0), "{installation:?}: {text}");
        }
        if gnutls {
            let (text, _) = by_gnutls();
            let is_taken =
                text.contains("OCSP status request") && text.contains("The certificate is trusted");
            assert!(is_taken, "{installation:?}: {text}");
        }
    }
}

#[test]
fn nss_asks_the_responder_itself_and_believes_it() {
    if !have("ocspclnt", "libnss3-tools") {
        return;
    }
    for signer in [Signer::Delegate, Signer::Issuer] {
        let Some(mut authority) = OpensslAuthority::new("NSS as client") else {
            return;
        };
        authority.issue("site", "prime256v1");
        authority.issue_with_status("stolen", "prime256v1", 'R');
        authority.start_responder(signer);
        let database = nss_database(&authority);
        let check =
            |name: &str| said(Command::new("ocspclnt").args(["-S", name, "-d", &database])).0;
        assert!(check("site").contains("succeeded"), "{}", check("site"));
        let stolen = check("stolen");
        assert!(stolen.contains("has been revoked"), "{stolen}");
    }
}
