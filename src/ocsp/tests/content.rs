//! What the response is about, when, and with which extensions (RFC 6960 §3.2, §4.2.2, §4.4).

use std::time::Duration;

use super::{WORLD, judge, judge_at, subject, verdict};
use crate::ocsp::{CertId, Note, Policy, verify};
use crate::pki::{
    self, CertificateBuilder, DAY, HOUR, NONCE, NOW, ResponseBuilder, SHA1, SHA256, Single,
    TIMESTAMP_LIST, cert_id, extension, octets, revoked, time, unknown,
};
use crate::time::Timestamp;

const SECOND: Duration = Duration::from_secs(1);

fn changed(change: impl FnOnce(&mut ResponseBuilder)) -> Vec<u8> {
    let mut builder = WORLD.direct();
    change(&mut builder);
    builder.sign(&WORLD.issuer_key)
}

#[test]
fn another_serial_number_is_another_certificate() {
    let other = CertificateBuilder::new("Issuer", "other", &[0x03, 0xa2, 0xf0])
        .sign(&WORLD.leaf_key, &WORLD.issuer_key);
    let response = ResponseBuilder::good(&CertId::new(&other, &WORLD.issuer), &WORLD.issuer)
        .sign(&WORLD.issuer_key);
    let rejection = judge(&response).unwrap_err();
    assert_eq!(
        rejection.to_string(),
        "the response is about another certificate (RFC 6960 section 3.2): it has another serial \
         number; serial number 03a2f0 instead of 03a2ef"
    );
    assert_eq!(rejection.kind(), "certid_mismatch");
}

#[test]
fn the_same_serial_number_of_another_issuer_is_another_certificate() {
    let namesake = CertificateBuilder::new("Other", "leaf", WORLD.leaf.serial())
        .sign(&WORLD.leaf_key, &WORLD.issuer_key);
    for (certificate, issuer, part) in [
        (&namesake, &WORLD.issuer, "issuer name"),
        (&WORLD.leaf, &WORLD.root, "issuer key"),
    ] {
        let response = changed(|builder| {
            builder.singles[0].cert_id = CertId::new(certificate, issuer).der().to_vec();
        });
        let rejection = judge(&response).unwrap_err();
        assert_eq!(rejection.kind(), "certid_mismatch");
        assert!(rejection.to_string().contains(part), "{rejection}");
    }
}

#[test]
fn of_several_foreign_entries_the_closest_is_told() {
    let entry = |serial: &[u8], issuer| {
        let other = CertificateBuilder::new("Issuer", "other", serial)
            .sign(&WORLD.leaf_key, &WORLD.issuer_key);
        Single::good(CertId::new(&other, issuer).der())
    };
    let other_serial = entry(&[0x05], &WORLD.issuer);
    let other_key = entry(WORLD.leaf.serial(), &WORLD.root);
    for entries in [
        [other_serial.clone(), other_key.clone()],
        [other_key, other_serial],
    ] {
        let response = changed(|builder| builder.singles = entries.to_vec());
        let text = judge(&response).unwrap_err().to_string();
        assert!(text.contains("another issuer key"), "{text}");
    }
}

#[test]
fn the_hashes_are_those_of_the_algorithm_that_is_named() {
    let with = |algorithm: Vec<u8>, hash: fn(&[u8]) -> Vec<u8>| {
        changed(|builder| {
            builder.singles[0].cert_id = cert_id(&algorithm, hash, &WORLD.leaf, &WORLD.issuer);
        })
    };
    let sha256: fn(&[u8]) -> Vec<u8> = |bytes| {
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes)
            .as_ref()
            .to_vec()
    };
    let null = pki::NULL;
    assert_eq!(
        verdict(&with(pki::algorithm(SHA1, null), pki::sha1)),
        "good"
    );
    assert_eq!(verdict(&with(pki::algorithm(SHA1, &[]), pki::sha1)), "good");
    assert_eq!(verdict(&with(pki::algorithm(SHA256, null), sha256)), "good");
    for wrong in [
        with(pki::algorithm(SHA256, null), pki::sha1),
        with(pki::algorithm(SHA1, null), sha256),
        with(pki::algorithm(SHA1, &pki::integer(&[1])), pki::sha1),
        with(pki::algorithm("1.2.840.113549.2.5", null), pki::sha1),
    ] {
        assert_eq!(verdict(&wrong), "certid_mismatch");
    }
}

#[test]
fn a_hash_that_is_not_known_is_told() {
    let response = changed(|builder| {
        let md5 = pki::algorithm("1.2.840.113549.2.5", pki::NULL);
        builder.singles[0].cert_id = cert_id(&md5, pki::sha1, &WORLD.leaf, &WORLD.issuer);
    });
    let text = judge(&response).unwrap_err().to_string();
    assert!(text.contains("an unknown hash algorithm"), "{text}");
}

#[test]
fn a_hash_that_is_a_prefix_does_not_match() {
    let response = changed(|builder| {
        builder.singles[0].cert_id = cert_id(
            &pki::algorithm(SHA1, pki::NULL),
            |bytes| pki::sha1(bytes)[..19].to_vec(),
            &WORLD.leaf,
            &WORLD.issuer,
        );
    });
    assert_eq!(verdict(&response), "certid_mismatch");
}

#[test]
fn a_response_about_nothing_is_refused() {
    let response = changed(|builder| builder.singles.clear());
    assert_eq!(verdict(&response), "no_single_response");
}

#[test]
fn of_several_entries_about_the_certificate_the_worst_counts() {
    let with = |statuses: &[Vec<u8>]| {
        let response = changed(|builder| {
            let single = builder.singles[0].clone();
            builder.singles = statuses
                .iter()
                .map(|status| Single {
                    status: status.clone(),
                    ..single.clone()
                })
                .collect();
        });
        verdict(&response)
    };
    let (good, unknown, revoked) = (pki::good(), unknown(), revoked(NOW, None));
    assert_eq!(with(&[good.clone(), good.clone()]), "good");
    assert_eq!(with(&[good.clone(), unknown.clone()]), "unknown");
    assert_eq!(with(&[unknown.clone(), good.clone()]), "unknown");
    assert_eq!(with(&[good.clone(), revoked.clone()]), "revoked");
    assert_eq!(with(&[revoked.clone(), good]), "revoked");
    assert_eq!(with(&[revoked.clone(), unknown.clone()]), "revoked");
    assert_eq!(with(&[unknown, revoked]), "revoked");
}

#[test]
fn entries_about_others_do_not_matter() {
    let other = CertificateBuilder::new("Issuer", "other", &[0x05])
        .sign(&WORLD.leaf_key, &WORLD.issuer_key);
    let other = CertId::new(&other, &WORLD.issuer);
    let response = changed(|builder| {
        let mut single = Single::good(other.der());
        single.status = revoked(NOW, None);
        single.next_update = Some(time(NOW.saturating_sub(DAY)));
        builder.singles.insert(0, single);
    });
    assert_eq!(verdict(&response), "good");
}

#[test]
fn every_entry_about_the_certificate_must_be_current() {
    let response = changed(|builder| {
        let mut single = builder.singles[0].clone();
        single.next_update = Some(time(NOW.saturating_sub(SECOND)));
        builder.singles.push(single);
    });
    assert_eq!(verdict(&response), "expired");
}

#[test]
fn a_response_counts_until_the_second_before_next_update() {
    let next_update = NOW.saturating_add(4 * DAY);
    let response = changed(|_| {});
    assert!(judge_at(&response, next_update.saturating_sub(SECOND)).is_ok());
    let rejection = judge_at(&response, next_update).unwrap_err();
    assert_eq!(rejection.kind(), "expired");
    assert!(
        rejection.to_string().contains("2026-01-19T12:00:00Z"),
        "{rejection}"
    );
}

#[test]
fn this_update_may_be_ahead_by_the_clock_skew_only() {
    let with = |ahead: u64| {
        let at = NOW.saturating_add(Duration::from_secs(ahead));
        verdict(&changed(|builder| {
            builder.singles[0].this_update = time(at)
        }))
    };
    assert_eq!(with(300), "good");
    assert_eq!(with(301), "not_yet_valid");
}

#[test]
fn produced_at_may_be_ahead_by_the_clock_skew_only() {
    let with = |ahead: u64| {
        let at = NOW.saturating_add(Duration::from_secs(ahead));
        verdict(&changed(|builder| builder.produced_at = time(at)))
    };
    assert_eq!(with(300), "good");
    assert_eq!(with(301), "produced_in_future");
}

#[test]
fn next_update_comes_after_this_update() {
    let this_update = NOW.saturating_add(200 * SECOND);
    let with = |next_update: Timestamp| {
        verdict(&changed(|builder| {
            builder.singles[0].this_update = time(this_update);
            builder.singles[0].next_update = Some(time(next_update));
        }))
    };
    let refused = "next_update_not_after_this_update";
    assert_eq!(with(this_update.saturating_sub(SECOND)), refused);
    assert_eq!(with(this_update), refused);
    assert_eq!(with(this_update.saturating_add(SECOND)), "good");
}

#[test]
fn without_next_update_a_response_counts_for_seven_days() {
    let response = changed(|builder| {
        builder.singles[0].this_update = time(NOW);
        builder.singles[0].next_update = None;
    });
    let last = NOW.saturating_add(7 * DAY);
    let assessment = judge_at(&response, last).unwrap();
    assert_eq!(assessment.next_update, None);
    assert_eq!(assessment.expires, last);
    let rejection = judge_at(&response, last.saturating_add(SECOND)).unwrap_err();
    assert_eq!(rejection.kind(), "too_old");
}

#[test]
fn unknown_critical_extensions_are_refused_wherever_they_are() {
    let of_response = |identifier, critical| {
        verdict(&changed(|builder| {
            builder.extensions = vec![extension(identifier, critical, &[])];
        }))
    };
    let of_single = |identifier, critical| {
        verdict(&changed(|builder| {
            builder.singles[0].extensions = vec![extension(identifier, critical, &[])];
        }))
    };
    assert_eq!(of_response("1.2.3.4", false), "good");
    assert_eq!(of_single("1.2.3.4", false), "good");
    let refused = "unknown_critical_extension";
    assert_eq!(of_response("1.2.3.4", true), refused);
    assert_eq!(of_single("1.2.3.4", true), refused);
    // Known ones, where they belong.
    const EXTENDED_REVOKE: &str = "1.3.6.1.5.5.7.48.1.9";
    assert_eq!(of_single(TIMESTAMP_LIST, true), "good");
    assert_eq!(of_response(TIMESTAMP_LIST, true), refused);
    assert_eq!(of_response(NONCE, true), "good");
    assert_eq!(of_single(NONCE, true), refused);
    assert_eq!(of_response(EXTENDED_REVOKE, true), "good");
    assert_eq!(of_single(EXTENDED_REVOKE, true), refused);
}

#[test]
fn an_unknown_critical_extension_of_another_entry_counts_too() {
    let response = changed(|builder| {
        let mut single = builder.singles[0].clone();
        single.cert_id = cert_id(
            &pki::algorithm(SHA1, pki::NULL),
            |_| vec![0; 20],
            &WORLD.leaf,
            &WORLD.issuer,
        );
        single.extensions = vec![extension("1.2.3.4", true, &[])];
        builder.singles.push(single);
    });
    let rejection = judge(&response).unwrap_err();
    assert_eq!(rejection.kind(), "unknown_critical_extension");
    assert!(rejection.to_string().contains("1.2.3.4"), "{rejection}");
}

#[test]
fn a_nonce_that_was_sent_comes_back_or_none_does() {
    let sent = [7; 32];
    let judged = |value: Option<Vec<u8>>, sent: Option<&[u8; 32]>| {
        let response = changed(|builder| {
            builder.extensions = value
                .iter()
                .map(|value| extension(NONCE, false, value))
                .collect();
        });
        match verify(&response, subject(), sent, NOW, Policy::default()) {
            Ok(_) => "good",
            Err(rejection) => rejection.kind(),
        }
    };
    assert_eq!(judged(None, Some(&sent)), "good");
    assert_eq!(judged(Some(octets(&sent)), Some(&sent)), "good");
    assert_eq!(judged(Some(octets(&[8; 32])), None), "good");
    let refused = "nonce_mismatch";
    assert_eq!(judged(Some(octets(&[8; 32])), Some(&sent)), refused);
    assert_eq!(judged(Some(octets(&sent[..31])), Some(&sent)), refused);
    assert_eq!(judged(Some(sent.to_vec()), Some(&sent)), refused);
    assert_eq!(judged(Some(Vec::new()), Some(&sent)), refused);
}

#[test]
fn what_deserves_a_note_is_noted_and_refuses_nothing() {
    let notes = |response: &[u8]| {
        let assessment = judge(response).unwrap();
        assert!(assessment.stapling.is_ok());
        assessment.notes
    };
    let period = |from: Duration, to: Duration| {
        notes(&changed(|builder| {
            builder.singles[0].this_update = time(NOW.saturating_sub(from));
            builder.singles[0].next_update = Some(time(NOW.saturating_add(to)));
        }))
    };
    assert_eq!(period(4 * HOUR, 4 * HOUR), []);
    assert_eq!(period(4 * HOUR, 4 * HOUR - SECOND), [Note::UnusualPeriod]);
    assert_eq!(period(5 * DAY, 5 * DAY), []);
    let refused_from = NOW.saturating_add(5 * DAY);
    assert_eq!(
        period(5 * DAY, 5 * DAY + SECOND),
        [Note::UnusualPeriod, Note::OutlivesClients { refused_from }]
    );
    let before = |at| notes(&changed(|builder| builder.produced_at = time(at)));
    let start = WORLD.leaf.not_before();
    assert_eq!(before(start), []);
    assert_eq!(
        before(start.saturating_sub(SECOND)),
        [Note::ProducedBeforeCertificate]
    );
}
