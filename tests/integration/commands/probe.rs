//! `staplerd probe` against real HAProxy processes and `openssl s_server`: what clients get.

use std::fs;
use std::process::{Child, Command, Output, Stdio};

use super::{last_line, staplerd, stderr, stdout};
use crate::daemon::authority::{OpensslAuthority, Signer};
use crate::skip::skipped;
use crate::support::haproxy::{Haproxy, Setup, free_addresses, installations, wait_for};
use crate::support::pki::{Authority, Issued, Response};

/// The response for a certificate, by `staplerd fetch`; the responder has to run.
fn staple(authority: &OpensslAuthority, name: &str) -> Vec<u8> {
    let bundle = authority.path(&format!("{name}.bundle"));
    fs::write(&bundle, authority.bundle(name)).unwrap();
    let place = authority.path(&format!("{name}.ocsp"));
    let output = staplerd(&[
        "fetch",
        bundle.to_str().unwrap(),
        "-o",
        place.to_str().unwrap(),
        "--allow-addresses",
        "loopback",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    fs::read(place).unwrap()
}

fn probe(haproxy: &Haproxy, more: &[&str]) -> Output {
    let address = haproxy.tls.to_string();
    let mut arguments = vec!["probe", &address];
    arguments.extend(more);
    staplerd(&arguments)
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_str(&stdout(output)).unwrap()
}

#[test]
fn each_kind_of_key_shows_its_own_certificate_and_staple_over_tls_1_2_and_1_3() {
    let Some(mut authority) = OpensslAuthority::new("probe") else {
        return;
    };
    authority.issue_for("site-rsa", "site.example", "rsa");
    authority.issue_for("site-ecdsa", "site.example", "prime256v1");
    authority.start_responder(Signer::Delegate);
    let staples = [
        staple(&authority, "site-rsa"),
        staple(&authority, "site-ecdsa"),
    ];
    let [rsa, ecdsa] = ["site-rsa", "site-ecdsa"].map(|name| authority.bundle(name));
    let files: [(&str, &[u8]); 4] = [
        ("rsa.pem", rsa.as_bytes()),
        ("rsa.pem.ocsp", &staples[0]),
        ("ecdsa.pem", ecdsa.as_bytes()),
        ("ecdsa.pem.ocsp", &staples[1]),
    ];
    for installation in installations("probe") {
        for (limit, protocol) in [("ssl-max-ver TLSv1.2", "TLS 1.2"), ("", "TLS 1.3")] {
            let setup = Setup {
                bind: Some(format!("crt {{dir}}/certs {limit}")),
                ..Setup::default()
            };
            let haproxy = Haproxy::start(&installation, setup, &files);
            for kind in ["rsa", "ecdsa"] {
                let output = probe(
                    &haproxy,
                    &["--name", "site.example", "--key", kind, "--json"],
                );
                let report = json(&output);
                assert_eq!(output.status.code(), Some(0), "{report:#}");
                assert_eq!(report["schema"], 1);
                assert_eq!(report["verdict"], "good");
                assert_eq!(report["protocol"], protocol);
                assert_eq!(report["issuer"], "CN=issuer");
                assert_eq!(report["staple"]["signer"], "'CN=delegate'");
                let serial = authority.read("index.txt");
                let row = if kind == "rsa" { 0 } else { 1 };
                let serial = serial.lines().nth(row).unwrap().split('\t').nth(3).unwrap();
                assert_eq!(report["certificate"]["serial"], serial.to_lowercase());
            }
            let output = probe(&haproxy, &["--name", "site.example"]);
            let text = stdout(&output);
            assert_eq!(last_line(&output), "good");
            for words in [
                protocol,
                "asked for site.example",
                "certificate 'CN=site.example'",
                "chain 'CN=issuer'",
                "issuer 'CN=issuer'",
                "signed by 'CN=delegate'",
                "\nlife left ",
            ] {
                assert!(text.contains(words), "no '{words}' in {text}");
            }
        }
    }
}

#[test]
fn a_server_without_staple_is_told_from_one_whose_certificate_demands_it() {
    let Some(mut authority) = OpensslAuthority::new("probe without staple") else {
        return;
    };
    let Some(installation) = installations("probe without staple").pop() else {
        return;
    };
    authority.issue("plain", "prime256v1");
    authority.issue_demanding("demanding", "prime256v1");
    authority.issue_silent("silent");
    let files = ["plain", "demanding", "silent"]
        .map(|name| (format!("{name}.pem"), authority.bundle(name)));
    let files = files
        .each_ref()
        .map(|(name, pem)| (name.as_str(), pem.as_bytes()));
    let haproxy = Haproxy::start(&installation, Setup::default(), &files);
    for (name, expected) in [
        ("plain", "no_staple the server sends no staple"),
        (
            "demanding",
            "no_staple no staple, and the certificate demands one",
        ),
        (
            "silent",
            "no_responder no staple, and the certificate names no OCSP responder",
        ),
    ] {
        let output = probe(&haproxy, &["--name", name]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(last_line(&output).starts_with(expected), "{name}");
    }
    let demanding = probe(&haproxy, &["-n", "demanding"]);
    assert!(stdout(&demanding).contains("\nmust-staple: "));
    let report = json(&probe(&haproxy, &["-n", "nobody.example", "-j"]));
    assert_eq!(report["name_matches"], false);
    assert_eq!(report["staple"], serde_json::Value::Null);
}

#[test]
fn a_staple_that_says_revoked_is_told_although_haproxy_takes_it() {
    let Some(mut authority) = OpensslAuthority::new("probe revoked") else {
        return;
    };
    let Some(installation) = installations("probe revoked").pop() else {
        return;
    };
    authority.issue_with_status("stolen", "prime256v1", 'R');
    authority.start_responder(Signer::Delegate);
    let asked = Command::new("openssl")
        .current_dir(authority.path(""))
        .args([
            "ocsp",
            "-issuer",
            "issuer.pem",
            "-cert",
            "stolen.pem",
            "-no_nonce",
            "-noverify",
        ])
        .args(["-url", &authority.url(), "-respout", "stolen.ocsp"])
        .output()
        .unwrap();
    assert!(asked.status.success(), "{}", stderr(&asked));
    let response = fs::read(authority.path("stolen.ocsp")).unwrap();
    let pem = authority.bundle("stolen");
    let files: [(&str, &[u8]); 2] = [
        ("stolen.pem", pem.as_bytes()),
        ("stolen.pem.ocsp", &response),
    ];
    let haproxy = Haproxy::start(&installation, Setup::default(), &files);
    let output = probe(&haproxy, &["--name", "stolen"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        last_line(&output),
        "revoked at 2026-01-01T00:00:00Z, keyCompromise"
    );
    let report = json(&probe(&haproxy, &["--name", "stolen", "--json"]));
    assert_eq!(report["staple"]["status"], "revoked");
    assert_eq!(report["good"], false);
}

#[test]
fn all_certificates_of_a_directory_are_probed_the_worst_first() {
    let Some(mut authority) = OpensslAuthority::new("probe --all") else {
        return;
    };
    let Some(installation) = installations("probe --all").pop() else {
        return;
    };
    authority.issue_for("good-rsa", "good.example", "rsa");
    authority.issue_for("good-ecdsa", "good.example", "prime256v1");
    authority.issue_for("wildcard", "*.wild.example", "prime256v1");
    authority.issue("bare", "prime256v1");
    authority.issue("later", "prime256v1");
    authority.issue_silent("silent");
    authority.start_responder(Signer::Issuer);
    let good = ["good-rsa", "good-ecdsa", "wildcard"];
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for name in good {
        files.push((format!("{name}.pem"), authority.bundle(name).into()));
        files.push((format!("{name}.pem.ocsp"), staple(&authority, name)));
    }
    let start = |files: &[(String, Vec<u8>)]| {
        let files: Vec<(&str, &[u8])> = files
            .iter()
            .map(|(name, content)| (name.as_str(), content.as_slice()))
            .collect();
        Haproxy::start(&installation, Setup::default(), &files)
    };
    files.push(("silent.pem".into(), authority.bundle("silent").into()));
    let healthy = start(&files);
    let certificates = healthy.path("certs");
    let output = probe(&healthy, &["--all", "-d", &certificates]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert_eq!(last_line(&output), "3 of 3 good");
    assert!(stdout(&output).contains("staplerd-probe.wild.example"));

    files.push(("bare.pem".into(), authority.bundle("bare").into()));
    let troubled = start(&files);
    // HAProxy does not know this one, and shows another.
    troubled.write("later.pem", authority.bundle("later").as_bytes());
    troubled.write("half.pem", &authority.bundle("later").as_bytes()[..300]);
    let certificates = troubled.path("certs");
    let output = probe(&troubled, &["--all", "--json", "-d", &certificates]);
    assert_eq!(output.status.code(), Some(1));
    let report = json(&output);
    assert_eq!(report["good"], false);
    let verdicts: Vec<(&str, &str)> = report["certificates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let file = row["file"].as_str().unwrap();
            (
                file.rsplit('/').next().unwrap(),
                row["verdict"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        verdicts[..3],
        [
            ("bare.pem", "no_staple"),
            ("half.pem", "not_probed:unreadable"),
            ("later.pem", "other_certificate"),
        ]
    );
    assert!(verdicts[3..].iter().all(|(_, verdict)| *verdict == "good"));
    assert_eq!(verdicts.len(), 6);
    let table = stdout(&probe(&troubled, &["--all", "-d", &certificates]));
    assert!(table.starts_with("verdict"), "{table}");
    assert!(table.ends_with("3 of 6 good\n"), "{table}");
    let yaml = troubled.path("staplerd.yaml");
    fs::write(&yaml, format!("directories:\n- path: {certificates}\n")).unwrap();
    let by_file = json(&probe(&troubled, &["--all", "-j", "-c", &yaml]));
    let files = |report: &serde_json::Value| -> Vec<serde_json::Value> {
        let rows = report["certificates"].as_array().unwrap();
        rows.iter().map(|row| row["file"].clone()).collect()
    };
    assert_eq!(files(&by_file), files(&report));
    // HAProxy itself would not load one of these any more; its configuration names them all.
    let configuration = troubled.path("haproxy.cfg");
    let by_haproxy = json(&probe(
        &troubled,
        &["--all", "-j", "--haproxy-config", &configuration],
    ));
    assert_eq!(files(&by_haproxy), files(&report));
    let nothing = troubled.path("nothing.yaml");
    fs::write(&nothing, "# nothing\n").unwrap();
    let nowhere = probe(&troubled, &["--all", "-c", &nothing]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(stderr(&nowhere).contains("names no certificates"));
}

/// `openssl s_server`, which sends whatever it is given as a staple; ends when dropped.
struct Server {
    child: Child,
    directory: tempfile::TempDir,
    port: u16,
}

impl Server {
    fn start(issued: &Issued, staple: &[u8], more: &[&str]) -> Option<Server> {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("site.pem"), issued.pem()).unwrap();
        fs::write(directory.path().join("staple"), staple).unwrap();
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let port = free_addresses()[0].port();
        let child = Command::new("openssl")
            .current_dir(directory.path())
            .args(["s_server", "-accept", &format!("127.0.0.1:{port}")])
            .args([
                "-cert",
                "site.pem",
                "-key",
                "site.pem",
                "-cert_chain",
                "site.pem",
            ])
            .args(["-status_file", "staple", "-www"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        let Ok(child) = child else {
            skipped("probe: there is no openssl on this machine");
            return None;
        };
        let server = Server {
            child,
            directory,
            port,
        };
        wait_for("openssl s_server", || {
            let log = fs::read_to_string(server.directory.path().join("log")).unwrap();
            log.contains("ACCEPT")
        });
        Some(server)
    }

    fn probe(&self, more: &[&str]) -> Output {
        let target = format!("localhost:{}", self.port);
        staplerd(&[&["probe", &target, "--name", "site.example"], more].concat())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_staple_that_has_expired_or_is_nonsense_is_called_by_its_name() {
    let authority = Authority::new();
    let issued = authority.issue("site.example", Some("http://127.0.0.1:1/"));
    let expired = authority.respond(
        &issued,
        Response {
            this_update: -7200,
            next_update: -3600,
            ..Response::default()
        },
    );
    let Some(server) = Server::start(&issued, &expired, &["-no_tls1_3"]) else {
        return;
    };
    let output = server.probe(&[]);
    assert_eq!(output.status.code(), Some(1));
    let line = last_line(&output);
    assert!(
        line.starts_with("reject:expired the response expired"),
        "{line}"
    );
    let report = json(&server.probe(&["--json"]));
    assert_eq!(report["staple"]["status"], serde_json::Value::Null);
    assert_eq!(report["protocol"], "TLS 1.2");
    assert_eq!(report["name_matches"], true);
}

#[test]
fn a_server_that_wants_a_certificate_from_the_client_is_seen_all_the_same() {
    let authority = Authority::new();
    let issued = authority.issue("site.example", Some("http://127.0.0.1:1/"));
    let good = authority.respond(&issued, Response::default());
    let Some(server) = Server::start(&issued, &good, &["-Verify", "1", "-no_tls1_3"]) else {
        return;
    };
    let output = server.probe(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).contains("broke off"));
    assert_eq!(last_line(&output), "good");
}

#[test]
fn the_issuer_can_be_given_where_the_server_does_not_send_it() {
    let authority = Authority::new();
    let issued = authority.issue("site.example", Some("http://127.0.0.1:1/"));
    let good = authority.respond(&issued, Response::default());
    let Some(server) = Server::start(&issued, &good, &["-no_tls1_3"]) else {
        return;
    };
    // The server sends what is in -cert_chain: only itself here.
    let issuer = server.directory.path().join("issuer.pem");
    fs::write(&issuer, issued.issuer.pem()).unwrap();
    let output = server.probe(&["--ca-file", issuer.to_str().unwrap()]);
    assert_eq!(last_line(&output), "good");
}

#[test]
fn a_server_that_never_answers_is_given_up_and_one_that_speaks_no_tls_is_named() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let output = staplerd(&["probe", &address, "--timeout", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(last_line(&output).starts_with("unreachable:timeout 127.0.0.1:"));

    let plain = std::net::TcpListener::bind("[::1]:0").unwrap();
    let address = plain.local_addr().unwrap().to_string();
    let answering = std::thread::spawn(move || {
        use std::io::Write;
        let (mut stream, _) = plain.accept().unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
    });
    let report = json(&staplerd(&["probe", &address, "--json"]));
    answering.join().unwrap();
    assert_eq!(report["verdict"], "unreachable:tls");
    assert_eq!(report["good"], false);
    assert_eq!(report["name"], serde_json::Value::Null);

    let wrong = staplerd(&["probe", "https://www.example.com/"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("no HOST:PORT such as"));
}
