//! Foreign clients and responders as oracles.
//!
//! Promises: `openssl ocsp` verifies what `staplerd responder` answers, with every kind of key; its
//! answers are those of OpenSSL's own responder on the same index; Python's cryptography reads all
//! of them.

use std::fs;
use std::process::Command;

use super::post;
use super::process::{Files, KEYS, Process, SERIALS, have_openssl, openssl_responder};
use crate::skip::skipped;

#[test]
fn openssl_verifies_answers_signed_with_every_kind_of_key() {
    if !have_openssl() {
        return;
    }
    for (name, key) in KEYS {
        let files = Files::new(key);
        let responder = Process::start(&files, &["--nonce"]);
        let text = files.ask(responder.address, &[]);
        assert!(text.contains("Response verify OK"), "{name}: {text}");
        assert!(!text.contains("WARNING"), "{name}: {text}");
        for words in [
            "0x03A2EF: good",
            "0x05: revoked",
            "Reason: keyCompromise",
            "Revocation Time: Jan 15 12:00:00 2026 GMT",
            "0x77: unknown",
        ] {
            assert!(text.contains(words), "{name}: no '{words}' in {text}");
        }
    }
}

/// The lines that state statuses: without those that depend on the moment.
fn statements(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.contains("Update:")).collect()
}

#[test]
fn answers_are_those_of_openssls_own_responder() {
    if !have_openssl() {
        return;
    }
    let files = Files::new(KEYS[0].1);
    let ours = Process::start(&files, &["--nonce"]);
    let theirs = openssl_responder(&files);
    for options in [&[] as &[&str], &["-no_nonce"], &["-sha256"], &["-sha512"]] {
        let (ours, theirs) = (
            files.ask(ours.address, options),
            files.ask(theirs.address, options),
        );
        assert_eq!(statements(&ours), statements(&theirs), "{options:?}");
        assert!(ours.contains("Reason: cACompromise"), "{ours}");
    }
}

#[test]
fn pythons_cryptography_reads_every_kind_of_answer() {
    const READER: &str = "\
import sys
from cryptography.x509 import ocsp
for name in sys.argv[1:]:
    response = ocsp.load_der_ocsp_response(open(name, 'rb').read())
    if response.response_status != ocsp.OCSPResponseStatus.SUCCESSFUL:
        print(name, response.response_status.name)
        continue
    singles = list(response.responses)
    nonce = [extension.value.nonce.hex() for extension in response.extensions]
    print(name, [one.certificate_status.name for one in singles],
          [one.revocation_reason and one.revocation_reason.name for one in singles],
          response.signature_hash_algorithm.name, len(response.certificates), nonce)
";
    let found = Command::new("python3")
        .args(["-c", "import cryptography.x509.ocsp"])
        .output();
    if !found.is_ok_and(|output| output.status.success()) {
        skipped("python3 has no cryptography on this machine");
        return;
    }
    if !have_openssl() {
        return;
    }
    let files = Files::new(KEYS[0].1);
    let responder = Process::start(&files, &["--nonce", "--archive-cutoff", "365d"]);
    let ask = |name: &str, options: &[&str]| {
        let arguments = [
            &["ocsp", "-issuer", "ca.pem", "-reqout", "request"],
            options,
        ]
        .concat();
        files.openssl(&arguments);
        let request = fs::read(files.path().join("request")).unwrap();
        let answer = post(responder.address, "/", &request).body;
        fs::write(files.path().join(name), answer).unwrap();
    };
    ask("good", &["-no_nonce", "-serial", SERIALS[0]]);
    ask("revoked", &["-no_nonce", "-serial", SERIALS[1]]);
    ask("unknown", &["-no_nonce", "-serial", SERIALS[4]]);
    ask(
        "several",
        &["-no_nonce", "-serial", SERIALS[0], "-serial", SERIALS[2]],
    );
    ask("nonce", &["-serial", SERIALS[0]]);
    let malformed = post(responder.address, "/", b"garbage").body;
    fs::write(files.path().join("malformed"), malformed).unwrap();
    let output = Command::new("python3")
        .current_dir(files.path())
        .args([
            "-c",
            READER,
            "good",
            "revoked",
            "unknown",
            "several",
            "malformed",
            "nonce",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[..5],
        [
            "good ['GOOD'] [None] sha256 1 []",
            "revoked ['REVOKED'] ['key_compromise'] sha256 1 []",
            "unknown ['UNKNOWN'] [None] sha256 1 []",
            "several ['GOOD', 'REVOKED'] [None, None] sha256 1 []",
            "malformed MALFORMED_REQUEST",
        ],
        "{text}{errors}"
    );
    assert!(
        lines[5].starts_with("nonce ['GOOD'] [None] sha256 1 ['"),
        "{text}{errors}"
    );
}
