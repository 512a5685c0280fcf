//! The second verdict: whether HAProxy can present what was accepted.

use std::time::Duration;

use super::{WORLD, judge, subject};
use crate::ocsp::verify::MAX_STAPLE_BYTES;
use crate::ocsp::{CertId, CertificateStatus, NotStapleable, Policy, Staple, Subject, verify};
use crate::pki::{
    self, CertificateBuilder, DAY, HOUR, NOW, ResponseBuilder, SHA1, SHA256, cert_id, extension,
    revoked, time, unknown,
};

const SECOND: Duration = Duration::from_secs(1);

fn changed(change: impl FnOnce(&mut ResponseBuilder)) -> Vec<u8> {
    let mut builder = WORLD.direct();
    change(&mut builder);
    builder.sign(&WORLD.issuer_key)
}

/// Why the response, which must be accepted, is no staple.
fn obstacle(response: &[u8]) -> NotStapleable {
    judge(response).unwrap().stapling.unwrap_err()
}

#[test]
fn a_staple_carries_the_response_and_what_it_says() {
    let response = changed(|_| {});
    let staple = judge(&response).unwrap().stapling.unwrap();
    assert_eq!(staple.der(), response);
    assert_eq!(*staple.cert_id(), CertId::new(&WORLD.leaf, &WORLD.issuer));
    assert_eq!(
        staple.certificate_fingerprint(),
        WORLD.leaf.sha1_fingerprint()
    );
    assert_eq!(staple.status(), CertificateStatus::Good);
    assert_eq!(staple.this_update(), NOW.saturating_sub(HOUR));
    assert_eq!(staple.produced_at(), NOW.saturating_sub(HOUR));
    assert_eq!(staple.next_update(), NOW.saturating_add(4 * DAY));
    assert_eq!(staple.expires(), staple.next_update());
    assert!(staple.matches_by_cert_id());
}

#[test]
fn haproxy_finds_staples_by_sha1_only() {
    let sha256 = |bytes: &[u8]| {
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes)
            .as_ref()
            .to_vec()
    };
    let response = changed(|builder| {
        let algorithm = pki::algorithm(SHA256, pki::NULL);
        builder.singles[0].cert_id = cert_id(&algorithm, sha256, &WORLD.leaf, &WORLD.issuer);
    });
    let obstacle = obstacle(&response);
    assert_eq!(obstacle.kind(), "certid_form");
    assert!(obstacle.to_string().contains("SHA-256"), "{obstacle}");
}

#[test]
fn a_sha1_cert_id_without_null_is_found_by_file_name_only() {
    let response = changed(|builder| {
        let algorithm = pki::algorithm(SHA1, &[]);
        builder.singles[0].cert_id = cert_id(&algorithm, pki::sha1, &WORLD.leaf, &WORLD.issuer);
    });
    let staple = judge(&response).unwrap().stapling.unwrap();
    assert!(!staple.matches_by_cert_id());
    assert_eq!(*staple.cert_id(), CertId::new(&WORLD.leaf, &WORLD.issuer));
}

#[test]
fn two_single_responses_are_one_too_many() {
    let response = changed(|builder| {
        let again = builder.singles[0].clone();
        builder.singles.push(again);
    });
    assert_eq!(
        obstacle(&response).to_string(),
        "2 SingleResponses, HAProxy takes only one"
    );
}

#[test]
fn a_staple_needs_next_update() {
    let response = changed(|builder| builder.singles[0].next_update = None);
    assert_eq!(obstacle(&response), NotStapleable::NoNextUpdate);
}

#[test]
fn a_staple_lives_for_ten_minutes_at_least() {
    let with = |life: u64| {
        let response = changed(|builder| {
            let end = NOW.saturating_add(Duration::from_secs(life));
            builder.singles[0].next_update = Some(time(end));
        });
        judge(&response).unwrap().stapling
    };
    assert!(with(600).is_ok());
    assert_eq!(with(599).unwrap_err().kind(), "life_too_short");
}

#[test]
fn the_certificates_end_is_the_staples_end() {
    let with = |end| {
        let mut builder = CertificateBuilder::new("Issuer", "leaf", WORLD.leaf.serial());
        builder.not_after = time(end);
        let certificate = builder.sign(&WORLD.leaf_key, &WORLD.issuer_key);
        let subject = Subject {
            certificate: &certificate,
            issuer: &WORLD.issuer,
        };
        let response = changed(|_| {});
        verify(&response, subject, None, NOW, Policy::default()).unwrap()
    };
    let assessment = with(NOW.saturating_add(DAY));
    assert_eq!(assessment.expires, NOW.saturating_add(DAY));
    assert!(assessment.stapling.is_ok());
    // An expired certificate can have a good status; there is nothing to staple it for.
    let assessment = with(NOW.saturating_sub(SECOND));
    assert_eq!(assessment.status, CertificateStatus::Good);
    assert_eq!(assessment.stapling.unwrap_err().kind(), "life_too_short");
}

#[test]
fn a_staple_fits_every_haproxys_command_line() {
    let with = |padding: usize| {
        let response = changed(|builder| {
            builder.extensions = vec![extension("1.2.3.4", false, &vec![0; padding])];
        });
        (response.len(), judge(&response).unwrap().stapling)
    };
    let fits = |(length, stapling): &(usize, Result<Staple, NotStapleable>)| {
        assert_eq!(stapling.is_ok(), *length <= MAX_STAPLE_BYTES);
        stapling.is_ok()
    };
    // ECDSA signatures differ in length by a few bytes: this goes over the bound, not from it.
    assert!(fits(&with(MAX_STAPLE_BYTES - 400)));
    let (length, stapling) = with(MAX_STAPLE_BYTES - 200);
    assert_eq!(
        stapling.unwrap_err(),
        NotStapleable::TooLarge {
            bytes: length,
            maximum: 11_264
        }
    );
    // Until the length is exactly the bound.
    let exact = (0..2000)
        .map(|step| with(MAX_STAPLE_BYTES - 300 + step % 40))
        .find(|judged| fits(judged) && judged.0 == MAX_STAPLE_BYTES);
    assert!(exact.is_some());
}

#[test]
fn revoked_is_stapled_only_where_the_operator_wants_it() {
    let response = changed(|builder| builder.singles[0].status = revoked(NOW, Some(1)));
    assert_eq!(obstacle(&response), NotStapleable::Revoked);
    let policy = Policy {
        allow_sha1: false,
        staple_revoked: true,
    };
    let assessment = verify(&response, subject(), None, NOW, policy).unwrap();
    let staple = assessment.stapling.unwrap();
    assert!(matches!(staple.status(), CertificateStatus::Revoked { .. }));
}

#[test]
fn unknown_is_never_stapled() {
    let response = changed(|builder| builder.singles[0].status = unknown());
    assert_eq!(obstacle(&response), NotStapleable::Unknown);
}

#[test]
fn every_obstacle_has_its_own_kind() {
    let kinds: Vec<&str> = [
        NotStapleable::CertidForm {
            found: String::new(),
        },
        NotStapleable::SeveralSingleResponses { count: 2 },
        NotStapleable::NoNextUpdate,
        NotStapleable::LifeTooShort {
            expires: NOW,
            minimum: 600,
        },
        NotStapleable::TooLarge {
            bytes: 2,
            maximum: 1,
        },
        NotStapleable::Revoked,
        NotStapleable::Unknown,
    ]
    .iter()
    .map(NotStapleable::kind)
    .collect();
    assert_eq!(
        kinds,
        [
            "certid_form",
            "several_single_responses",
            "no_next_update",
            "life_too_short",
            "too_large",
            "revoked",
            "unknown"
        ]
    );
}
