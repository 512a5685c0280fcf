//! `staplerd responder` as an operator meets it.
//!
//! Promises: keys, options and files that make no sense end with 78 and a clear word for each; the
//! configuration file says the same as the options; signers that clients refuse and faults are
//! loudly logged; a signal ends it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use staplerd::ocsp::response::decode;

use super::post;
use super::process::{Files, GROUP, INDEX, KEYS, Process, command, have_openssl};
use crate::pki::DAY;
use crate::skip::skipped;

/// Ends at once with a configuration error; returns what it says.
fn refused(directory: &Path, arguments: &[&str]) -> String {
    let output = command(directory, arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{text}");
    text
}

#[test]
fn keys_that_cannot_sign_are_refused_with_a_clear_word() {
    if !have_openssl() {
        return;
    }
    let files = Files::new(KEYS[0].1);
    files.openssl(&[
        "pkey",
        "-in",
        "ocsp.key",
        "-aes128",
        "-passout",
        "pass:x",
        "-out",
        "pkcs8.key",
    ]);
    files.openssl(&["genrsa", "-out", "plain.key", "2048"]);
    files.openssl(&[
        "rsa",
        "-in",
        "plain.key",
        "-traditional",
        "-aes128",
        "-passout",
        "pass:x",
        "-out",
        "legacy.key",
    ]);
    files.openssl(&[
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:P-521",
        "-out",
        "p521.key",
    ]);
    let with_key = |key: &str| {
        let arguments = GROUP.map(|word| if word == "ocsp.key" { key } else { word });
        refused(files.path(), &arguments)
    };
    for key in ["pkcs8.key", "legacy.key"] {
        let text = with_key(key);
        assert!(text.contains("the private key is encrypted"), "{text}");
        assert!(text.contains("openssl pkey"), "{text}");
    }
    assert!(with_key("p521.key").contains("none of RSA"));
    assert!(with_key("ca.pem").contains("no private key"));
    assert!(with_key("ca.key").contains("does not belong to"));
    assert!(with_key("nowhere.key").contains("nowhere.key"));
}

#[test]
fn several_authorities_are_answered_for_by_one_process() {
    if !have_openssl() {
        return;
    }
    let (one, two) = (Files::new(KEYS[0].1), Files::new(KEYS[6].1));
    let path = |name: &str| two.path().join(name).to_str().unwrap().to_owned();
    let (ca, key, index) = (path("ca.pem"), path("ca.key"), path("index.txt"));
    // The second CA signs for itself.
    let second = ["--issuer", &ca, "--key", &key, "--index", &index];
    let responder = Process::start(&one, &second);
    for files in [&one, &two] {
        let text = files.ask(responder.address, &["-no_nonce"]);
        assert!(text.contains("Response verify OK"), "{text}");
        assert!(text.contains("0x05: revoked"), "{text}");
    }
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    if !have_openssl() {
        return;
    }
    let files = Files::new(KEYS[0].1);
    files.write("damaged.txt", &format!("{INDEX}Z\n"));
    let arguments = [
        &["--issuer", "ca.pem", "--index", "index.txt"][..],
        &["--issuer", "extensions", "--key", "ca.key"],
        &["--issuer", "ca.pem", "--signer", "nowhere.pem"],
        &["--key", "ca.csr", "--index", "damaged.txt"],
        &[
            "--issuer",
            "ca.pem",
            "--key",
            "ocsp.key",
            "--index",
            "index.txt",
        ],
    ]
    .concat();
    let log = refused(files.path(), &arguments);
    let lines: Vec<&str> = log.lines().collect();
    let expected = [
        "--issuer ca.pem: its --key is missing",
        "--issuer extensions: give one of --index, --status-command, and --crl with --certificates",
        "nowhere.pem: ",
        "ca.csr: ",
        "damaged.txt: line 5: ",
        "ca.pem: the key does not belong to the certificate 'CN=CA'",
    ];
    assert_eq!(lines.len(), expected.len(), "{log}");
    for (line, words) in lines.iter().zip(expected) {
        assert!(line.contains(words), "no '{words}' in {line}");
    }
}

#[test]
fn the_configuration_file_says_the_same_as_the_options() {
    if !have_openssl() {
        return;
    }
    let files = Files::new(KEYS[0].1);
    let ca = |name: &str| files.path().join(name).display().to_string();
    let section = format!(
        "responder:\n  listen: 127.0.0.1:0\n  validity: 1d\n  nonce: true\n  authorities:\n  \
         - issuer: {}\n    signer: {}\n    key: {}\n    index: {}\n",
        ca("ca.pem"),
        ca("ocsp.pem"),
        ca("ocsp.key"),
        ca("index.txt")
    );
    files.write("named.yaml", &section);
    files.write(".staplerd.yaml", &section);
    let named = command(files.path(), &["-c", "named.yaml"]);
    let mut in_its_place = command(files.path(), &[]);
    in_its_place.env("HOME", files.path());
    let more = ["-c", "named.yaml", "--validity", "2d"];
    let overridden = command(files.path(), &[&GROUP[..], &more].concat());
    let mut commands = vec![(named, DAY), (overridden, 2 * DAY)];
    if Path::new("/etc/staplerd/staplerd.yaml").exists() {
        skipped("the file in the home directory: this machine has one in /etc/staplerd");
    } else {
        commands.push((in_its_place, DAY));
    }
    for (command, life) in commands {
        let (responder, _) = Process::spawn(command);
        let text = files.ask(responder.address, &[]);
        assert!(text.contains("Response verify OK"), "{text}");
        assert!(!text.contains("WARNING"), "the nonce is not echoed: {text}");
        files.openssl(&[
            "ocsp",
            "-issuer",
            "ca.pem",
            "-serial",
            "5",
            "-no_nonce",
            "-reqout",
            "request",
        ]);
        let request = fs::read(files.path().join("request")).unwrap();
        let answer = post(responder.address, "/", &request).body;
        let single = decode(&answer).unwrap().single_responses[0].clone();
        assert_eq!(
            single.next_update,
            Some(single.this_update.saturating_add(life))
        );
    }
}

#[test]
fn a_configuration_file_without_the_section_and_one_with_mistakes_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let refused_with = |text: &str| {
        fs::write(directory.path().join("staplerd.yaml"), text).unwrap();
        refused(directory.path(), &["-c", "staplerd.yaml"])
    };
    let absent = refused_with("refresh_interval: 60s\n");
    assert!(absent.contains("no authority to answer for"), "{absent}");
    let wrong =
        refused_with("responder:\n  listen: here\n  authorities:\n  - issuer: a\n    key: b\n");
    for words in [
        "staplerd.yaml:2:",
        "address and a port",
        "staplerd.yaml:4:",
        "'index'",
    ] {
        assert!(wrong.contains(words), "no '{words}' in {wrong}");
    }
    let unread = refused(directory.path(), &["-c", "nowhere.yaml"]);
    assert!(unread.contains("nowhere.yaml"), "{unread}");
}

#[test]
fn a_signer_that_clients_refuse_is_warned_about_and_faults_are_loud() {
    if !have_openssl() {
        return;
    }
    let files = Files::new(KEYS[0].1);
    files.openssl(&[
        "x509", "-req", "-in", "ocsp.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-out", "ocsp.pem",
    ]);
    let arguments = [
        &GROUP,
        &["--fault", "expired", "--listen", "127.0.0.1:0"][..],
    ]
    .concat();
    let (_responder, log) = Process::spawn(command(files.path(), &arguments));
    assert!(
        log.contains("lacks the extended key usage OCSPSigning"),
        "{log}"
    );
    assert!(log.contains("lacks id-pkix-ocsp-nocheck"), "{log}");
    assert!(log.contains("FAULTS ARE ON"), "{log}");
}

#[test]
fn a_signal_ends_it_with_0() {
    if !have_openssl() {
        return;
    }
    let files = Files::new(KEYS[0].1);
    let mut responder = Process::start(&files, &[]);
    let pid = responder.child.id().to_string();
    Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert_eq!(responder.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_private_key_that_everybody_may_read_is_warned_about() {
    if !have_openssl() {
        return;
    }
    let files = Files::new(KEYS[0].1);
    let arguments = [&GROUP, &["--listen", "127.0.0.1:0"][..]].concat();
    for (mode, is_warned_about) in [(0o600, false), (0o640, false), (0o644, true), (0o602, true)] {
        let key = files.path().join("ocsp.key");
        fs::set_permissions(key, fs::Permissions::from_mode(mode)).unwrap();
        let (_responder, log) = Process::spawn(command(files.path(), &arguments));
        let warned = log.contains("ocsp.key: everybody on this machine");
        assert_eq!(warned, is_warned_about, "{mode:o}: {log}");
    }
}
