//! Real responses of other projects, with the verdicts those projects hold them to.
//!
//! Promises: every core case is judged right once SHA-1 is allowed; without that only what its own
//! policy flags explain is refused; nothing is accepted that must not be; our requests are the
//! bytes other encoders produce; malformed seeds never count, and never panic.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::skip::skipped;
use staplerd::ocsp::request::Request;
use staplerd::ocsp::{
    Assessment, CertId, CertificateStatus, Policy, Rejection, Subject, encode_request, verify,
};
use staplerd::time::Timestamp;
use staplerd::x509::{Bundle, Certificate};

/// The corpus' directory, or `None` with a visible line.
pub fn directory() -> Option<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpus"));
    if path.is_dir() {
        return Some(path);
    }
    skipped(format!("the corpus is not at {}", path.display()));
    None
}

type Row = HashMap<String, String>;

fn table(path: &Path) -> Vec<Row> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(|line| line.split('\t'));
    let header: Vec<&str> = lines.next().unwrap().collect();
    lines
        .map(|fields| {
            let pairs = header.iter().copied().zip(fields);
            pairs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect()
        })
        .collect()
}

fn certificate(path: &Path) -> Certificate {
    let pem = fs::read(path).unwrap();
    Bundle::from_pem(&pem).unwrap().leaf().clone()
}

fn judge(directory: &Path, case: &Row, allow_sha1: bool) -> Result<Assessment, Rejection> {
    let response = fs::read(directory.join(&case["response"])).unwrap();
    let certificate = certificate(&directory.join(&case["cert"]));
    let issuer = certificate_of_issuer(directory, case);
    let subject = Subject {
        certificate: &certificate,
        issuer: &issuer,
    };
    let policy = Policy {
        allow_sha1,
        staple_revoked: false,
    };
    let at = Timestamp::parse_rfc3339(&case["at"]).unwrap();
    verify(&response, subject, None, at, policy)
}

fn certificate_of_issuer(directory: &Path, case: &Row) -> Certificate {
    certificate(&directory.join(&case["issuer"]))
}

fn word(verdict: &Result<Assessment, Rejection>) -> &'static str {
    match verdict {
        Ok(assessment) => match assessment.status {
            CertificateStatus::Good => "good",
            CertificateStatus::Revoked { .. } => "revoked",
            CertificateStatus::Unknown => "unknown",
        },
        Err(_) => "reject",
    }
}

/// What is to be said about a case. Times with fractional seconds are refused, although the
/// validator that the case comes from takes them: browsers do not (RFC 5280 §4.1.2.5.2).
fn wanted(case: &Row) -> &str {
    match case["expected"].as_str() {
        _ if case["policy_flags"].contains("fractional_seconds") => "reject",
        "accept" => &case["status"],
        _ => "reject",
    }
}

#[test]
fn every_core_case_is_judged_right() {
    let Some(directory) = directory() else { return };
    let cases = table(&directory.join("cases.tsv"));
    let wrong: Vec<String> = cases
        .iter()
        .filter(|case| case["level"] == "core")
        .filter_map(|case| {
            let verdict = judge(&directory, case, true);
            (word(&verdict) != wanted(case))
                .then(|| format!("{}: want {}, got {verdict:?}", case["id"], wanted(case)))
        })
        .collect();
    assert!(cases.len() >= 86, "{} cases", cases.len());
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn without_sha1_only_weak_signatures_are_refused_in_addition() {
    let Some(directory) = directory() else { return };
    for case in table(&directory.join("cases.tsv")) {
        let verdict = judge(&directory, &case, false);
        if word(&verdict) == word(&judge(&directory, &case, true)) {
            continue;
        }
        let flags = &case["policy_flags"];
        assert_eq!(verdict.unwrap_err().kind(), "weak_signature", "{case:?}");
        assert!(
            ["sha1_sig", "sha1_delegate_cert", "rsa_lt_2048"]
                .iter()
                .any(|flag| flags.contains(flag)),
            "{case:?}"
        );
    }
}

#[test]
fn the_two_policy_cases_that_are_decided_otherwise_are_these() {
    let Some(directory) = directory() else { return };
    let otherwise: Vec<String> = table(&directory.join("cases.tsv"))
        .into_iter()
        .filter(|case| case["level"] == "policy")
        .filter(|case| word(&judge(&directory, case, true)) != wanted(case))
        .map(|case| case["id"].clone())
        .collect();
    assert_eq!(
        otherwise,
        [
            // A padded INTEGER is no DER, whatever it counts.
            "bssl-good-response-invalid-serial",
            // producedAt before the certificate's notBefore is noted, not refused.
            "bssl-produced-early-response",
        ]
    );
}

#[test]
fn what_the_corpus_calls_stapleable_is_and_what_it_excludes_is_not() {
    let Some(directory) = directory() else { return };
    for case in table(&directory.join("cases.tsv")) {
        let stapled =
            judge(&directory, &case, true).is_ok_and(|assessment| assessment.stapling.is_ok());
        match case["stapleable"].as_str() {
            "yes" => assert!(stapled, "{}", case["id"]),
            "no" => assert!(!stapled, "{}", case["id"]),
            _ => {}
        }
    }
}

#[test]
fn requests_are_the_bytes_other_encoders_produce() {
    let Some(directory) = directory() else { return };
    let mut compared = 0;
    for case in table(&directory.join("cases.tsv")) {
        let path = directory
            .join("cases")
            .join(&case["id"])
            .join("request.der");
        let Ok(expected) = fs::read(&path) else {
            continue;
        };
        let certificate = certificate(&directory.join(&case["cert"]));
        let cert_id = CertId::new(&certificate, &certificate_of_issuer(&directory, &case));
        assert_eq!(encode_request(&cert_id, None), expected, "{}", case["id"]);
        // One certificate's serial number is a padded INTEGER: asked for as it is, but no DER.
        if case["id"] != "bssl-good-response-invalid-serial" {
            let read = Request::decode(&expected).unwrap();
            assert_eq!(read.cert_ids[0].raw, cert_id.der(), "{}", case["id"]);
        }
        compared += 1;
    }
    assert!(compared >= 37, "{compared} requests");
}

#[test]
fn other_peoples_requests_are_read() {
    let Some(directory) = directory() else { return };
    for row in table(&directory.join("requests.tsv")) {
        let bytes = fs::read(directory.join(&row["file"])).unwrap();
        let request = Request::decode(&bytes).unwrap();
        assert_eq!(
            request.cert_ids.len().to_string(),
            row["n_certs"],
            "{row:?}"
        );
        let serials: Vec<String> = request
            .cert_ids
            .iter()
            .map(|cert_id| {
                let hex: String = cert_id.serial.iter().map(|b| format!("{b:02x}")).collect();
                hex.trim_start_matches('0').to_owned()
            })
            .collect();
        assert_eq!(serials.join(","), row["serials"], "{row:?}");
        let nonce_extension = request.nonce.map(|nonce| (nonce.len() + 2).to_string());
        let expected = &row["nonce_ext_value_len"];
        assert_eq!(nonce_extension.as_deref().unwrap_or("-"), expected);
    }
}

#[test]
fn malformed_seeds_are_never_accepted() {
    let Some(directory) = directory() else { return };
    let case = directory.join("cases/bssl-good-response");
    let (certificate, issuer) = (
        certificate(&case.join("cert.pem")),
        certificate(&case.join("issuer.pem")),
    );
    let subject = Subject {
        certificate: &certificate,
        issuer: &issuer,
    };
    let policy = Policy {
        allow_sha1: true,
        staple_revoked: true,
    };
    let at = Timestamp::parse_rfc3339("2017-03-05T00:00:00Z").unwrap();
    let mut seeds = 0;
    for group in fs::read_dir(directory.join("fuzz_seeds")).unwrap() {
        for seed in fs::read_dir(group.unwrap().path()).unwrap() {
            let path = seed.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            let judged = verify(&bytes, subject, None, at, policy);
            assert!(judged.is_err(), "{}: {judged:?}", path.display());
            seeds += 1;
        }
    }
    assert!(seeds >= 101, "{seeds} seeds");
}
