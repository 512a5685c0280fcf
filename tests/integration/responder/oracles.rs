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
use crate::support::judged;

#[test]
fn openssl_verifies_answers_signed_with_every_kind_of_key() {
    if !have_openssl() {
        return;
    }
    for (name, key) in KEYS {
        let files = Files::new(key);
        let responder = Process::start(&files, &["--nonce"]);
        let text = files.ask(responder.address, &["-respout", "answer"]);
        assert!(text.contains("Response verify OK"), "{name}: {text}");
        keep(&files, "answer");
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

/// Keeps an answer to be judged by others.
fn keep(files: &Files, name: &str) {
    let read = |name: &str| fs::read(files.path().join(name)).unwrap();
    judged::keep(&read(name), &read("ca.pem"), None);
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

fn have_cryptography() -> bool {
    let found = Command::new("python3")
        .args(["-c", "import cryptography.x509.ocsp"])
        .output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        skipped("python3 has no cryptography on this machine");
    }
    found
}

/// What a program for Python prints about these answers.
fn printed(files: &Files, program: &str, names: &[&str]) -> String {
    let output = Command::new("python3")
        .current_dir(files.path())
        .args(["-c", program])
        .args(names)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Asks with a request of openssl's, and keeps the answer in a file.
fn keep_answer(files: &Files, responder: &Process, name: &str, options: &[&str]) {
    let making = ["ocsp", "-issuer", "ca.pem", "-reqout", "request"];
    files.openssl(&[&making[..], options].concat());
    let request = fs::read(files.path().join("request")).unwrap();
    let answer = post(responder.address, "/", &request).body;
    fs::write(files.path().join(name), answer).unwrap();
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
    nonces = [len(extension.value.nonce) for extension in response.extensions]
    print(name, [one.certificate_status.name for one in singles],
          [one.revocation_reason and one.revocation_reason.name for one in singles],
          response.signature_hash_algorithm.name, len(response.certificates), nonces)
";
    if !have_openssl() || !have_cryptography() {
        return;
    }
    let files = Files::new(KEYS[0].1);
    let mut more = vec!["--nonce", "--archive-cutoff", "365d"];
    for fault in [
        "malformed-request,serial=01",
        "internal-error,serial=02",
        "try-later,serial=03",
        "sig-required,serial=04",
        "unauthorized,serial=06",
    ] {
        more.extend(["--fault", fault]);
    }
    let responder = Process::start(&files, &more);
    let kinds: [(&str, &[&str], &str); 10] = [
        ("good", &[SERIALS[0]], "['GOOD'] [None] sha256 1 []"),
        (
            "revoked",
            &[SERIALS[1]],
            "['REVOKED'] ['key_compromise'] sha256 1 []",
        ),
        ("unknown", &[SERIALS[4]], "['UNKNOWN'] [None] sha256 1 []"),
        (
            "several",
            &[SERIALS[0], SERIALS[2]],
            "['GOOD', 'REVOKED'] [None, None] sha256 1 []",
        ),
        ("malformed", &["1"], "MALFORMED_REQUEST"),
        ("internal", &["2"], "INTERNAL_ERROR"),
        ("later", &["3"], "TRY_LATER"),
        ("signature", &["4"], "SIG_REQUIRED"),
        ("unauthorized", &["6"], "UNAUTHORIZED"),
        ("nonce", &[SERIALS[0]], "['GOOD'] [None] sha256 1 [16]"),
    ];
    let mut expected = String::new();
    for (name, serials, said) in kinds {
        let mut options: Vec<&str> = serials.iter().flat_map(|one| ["-serial", one]).collect();
        if name != "nonce" {
            options.push("-no_nonce");
        }
        keep_answer(&files, &responder, name, &options);
        expected += &format!("{name} {said}\n");
    }
    assert_eq!(
        printed(&files, READER, &kinds.map(|(name, ..)| name)),
        expected
    );
}

#[test]
fn pythons_cryptography_verifies_every_kind_of_signature() {
    const VERIFIER: &str = "\
import sys
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509 import ocsp
response = ocsp.load_der_ocsp_response(open(sys.argv[1], 'rb').read())
key = x509.load_pem_x509_certificate(open('ocsp.pem', 'rb').read()).public_key()
message = response.signature, response.tbs_response_bytes
if isinstance(key, rsa.RSAPublicKey):
    key.verify(*message, padding.PKCS1v15(), response.signature_hash_algorithm)
elif isinstance(key, ec.EllipticCurvePublicKey):
    key.verify(*message, ec.ECDSA(response.signature_hash_algorithm))
else:
    key.verify(*message)
print(response.signature_algorithm_oid._name)
";
    if !have_openssl() || !have_cryptography() {
        return;
    }
    for (name, algorithm) in [
        ("P-256 PKCS#8", "ecdsa-with-SHA256"),
        ("P-384 PKCS#8", "ecdsa-with-SHA384"),
        ("RSA PKCS#8", "sha256WithRSAEncryption"),
        ("Ed25519 PKCS#8", "ed25519"),
    ] {
        let (_, key) = KEYS.into_iter().find(|(known, _)| *known == name).unwrap();
        let files = Files::new(key);
        let responder = Process::start(&files, &[]);
        keep_answer(&files, &responder, "good", &["-serial", SERIALS[0]]);
        keep(&files, "good");
        assert_eq!(printed(&files, VERIFIER, &["good"]).trim(), algorithm);
    }
}
