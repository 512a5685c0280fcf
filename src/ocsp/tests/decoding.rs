//! Strict DER, and the one form of response that is read (RFC 6960 §4.2.1).

use super::{WORLD, judge, verdict};
use crate::ocsp::response::MAX_RESPONSE_BYTES;
use crate::pki::{
    self, bits, cert_id, good, integer, octets, responder_error, revoked, sequence, tagged, time,
    time_text,
};
use crate::x509::der;

#[test]
fn a_proper_response_is_good() {
    assert_eq!(verdict(&WORLD.direct().sign(&WORLD.issuer_key)), "good");
}

#[test]
fn the_responders_errors_have_their_own_kinds() {
    for (status, kind) in [
        (1, "malformed_request"),
        (2, "internal_error"),
        (3, "try_later"),
        (5, "sig_required"),
        (6, "unauthorized"),
    ] {
        let response = responder_error(status);
        assert_eq!(verdict(&response), kind);
        let text = judge(&response).unwrap_err().to_string();
        assert!(text.contains(&format!("({status})")), "{text}");
    }
}

#[test]
fn undefined_statuses_are_malformed() {
    for status in [4, 7, 17, 0x80, 0xff] {
        assert_eq!(verdict(&responder_error(status)), "malformed", "{status}");
    }
}

#[test]
fn bytes_come_with_success_and_only_with_success() {
    assert_eq!(verdict(&responder_error(0)), "malformed");
    let mut builder = WORLD.direct();
    builder.status = 3;
    assert_eq!(verdict(&builder.sign(&WORLD.issuer_key)), "malformed");
}

#[test]
fn only_basic_responses_are_read() {
    let mut builder = WORLD.direct();
    builder.response_type = "1.3.6.1.5.5.7.48.1.4".to_owned();
    assert_eq!(verdict(&builder.sign(&WORLD.issuer_key)), "response_type");
}

#[test]
fn only_version_1_is_read_also_when_it_is_written_out() {
    let mut builder = WORLD.direct();
    builder.version = tagged(0, &integer(&[0]));
    assert_eq!(verdict(&builder.sign(&WORLD.issuer_key)), "good");
    builder.version = tagged(0, &integer(&[1]));
    assert_eq!(verdict(&builder.sign(&WORLD.issuer_key)), "version");
    let text = judge(&builder.sign(&WORLD.issuer_key))
        .unwrap_err()
        .to_string();
    assert!(text.contains("has version 2, not 1"), "{text}");
    builder.version = tagged(0, &integer(&[0x00, 0x00]));
    assert_eq!(verdict(&builder.sign(&WORLD.issuer_key)), "malformed");
    builder.version = tagged(0, &[&integer(&[0])[..], &integer(&[0])].concat());
    assert_eq!(verdict(&builder.sign(&WORLD.issuer_key)), "malformed");
}

#[test]
fn nothing_may_follow_the_response() {
    let response = WORLD.direct().sign(&WORLD.issuer_key);
    assert_eq!(verdict(&[&response[..], &[0x00]].concat()), "malformed");
    assert_eq!(verdict(&response.repeat(2)), "malformed");
}

#[test]
fn no_prefix_of_a_response_is_one() {
    let response = WORLD.direct().sign(&WORLD.issuer_key);
    for length in 0..response.len() {
        assert_eq!(verdict(&response[..length]), "malformed", "{length} bytes");
    }
}

#[test]
fn what_is_no_der_at_all_is_malformed() {
    for text in [
        &b""[..],
        b"<html>503</html>",
        b"-----BEGIN OCSP RESPONSE-----\n",
        b"\x00",
        b"\x30\x80\x00\x00",
        b"\x1f\x81\x01\x00",
        b"\xff\xff\xff\xff\xff",
    ] {
        assert_eq!(verdict(text), "malformed", "{text:?}");
    }
}

#[test]
fn ber_lengths_are_refused() {
    // With the delegate's certificate in it, so that it is longer than 255 bytes every time.
    let response = WORLD.delegated(&WORLD.delegate).sign(&WORLD.delegate_key);
    // 30 82 xx xx … is how it begins; the same with three length octets, and indefinite.
    assert_eq!(response[..2], [0x30, 0x82]);
    let long = [&[0x30, 0x83, 0x00], &response[2..]].concat();
    assert_eq!(verdict(&long), "malformed");
    let five = [&[0x30, 0x85, 0x00, 0x00, 0x00], &response[2..]].concat();
    assert_eq!(verdict(&five), "malformed");
    let indefinite = [&[0x30, 0x80], &response[4..], &[0x00, 0x00]].concat();
    assert_eq!(verdict(&indefinite), "malformed");
}

#[test]
fn a_response_above_the_bound_is_not_read() {
    assert_eq!(verdict(&vec![0x30; MAX_RESPONSE_BYTES]), "malformed");
    assert_eq!(verdict(&vec![0x30; MAX_RESPONSE_BYTES + 1]), "too_large");
}

#[test]
fn every_level_refuses_surplus_elements() {
    let key = &WORLD.issuer_key;
    let surplus = integer(&[1]);

    let mut builder = WORLD.direct();
    builder.singles[0].cert_id = {
        let mut parts = der::only(WORLD.cert_id().der(), der::SEQUENCE)
            .unwrap()
            .to_vec();
        parts.extend(&surplus);
        sequence(&[&parts])
    };
    assert_eq!(verdict(&builder.sign(key)), "malformed", "CertID");

    let mut builder = WORLD.direct();
    builder.singles[0].extensions = vec![surplus.clone()];
    assert_eq!(verdict(&builder.sign(key)), "malformed", "extension");

    let mut builder = WORLD.direct();
    builder.responder_id.extend(&surplus);
    assert_eq!(verdict(&builder.sign(key)), "malformed", "ResponseData");

    let builder = WORLD.direct();
    assert_eq!(
        verdict(&builder.wrap(&surplus)),
        "malformed",
        "BasicOCSPResponse of another type"
    );
    let basic = sequence(&[&sequence(&[]), &key.algorithm, &bits(&[1]), &surplus]);
    assert_eq!(verdict(&builder.wrap(&basic)), "malformed", "after basic");

    let response = sequence(&[&responder_error(3)[2..], &surplus]);
    assert_eq!(verdict(&response), "malformed", "OCSPResponse");
    let bytes = sequence(&[
        &pki::oid("1.3.6.1.5.5.7.48.1.1"),
        &octets(&sequence(&[])),
        &surplus,
    ]);
    let response = sequence(&[&[0x0a, 0x01, 0x00], &tagged(0, &bytes)]);
    assert_eq!(verdict(&response), "malformed", "ResponseBytes");
}

#[test]
fn statuses_are_written_in_one_way_only() {
    let after_an_hour = super::NOW.saturating_add(pki::HOUR);
    for (status, verdict_expected) in [
        (good(), "good"),
        (pki::unknown(), "unknown"),
        (revoked(super::NOW, None), "revoked"),
        (revoked(super::NOW, Some(1)), "revoked"),
        (revoked(after_an_hour, Some(6)), "revoked"),
        // Constructed, with content, of an undefined kind, with a reason that is none.
        (vec![0xa0, 0x00], "malformed"),
        (vec![0xa0, 0x03, 0x01, 0x01, 0xff], "malformed"),
        (vec![0x80, 0x01, 0x00], "malformed"),
        (vec![0x82, 0x01, 0x00], "malformed"),
        (vec![0x81, 0x00], "malformed"),
        (vec![0xa1, 0x00], "malformed"),
        (vec![0x83, 0x00], "malformed"),
        (revoked(super::NOW, Some(7)), "malformed"),
        (revoked(super::NOW, Some(11)), "malformed"),
        (revoked(super::NOW, Some(0xff)), "malformed"),
        (
            tagged(1, &[time(super::NOW), integer(&[1])].concat()),
            "malformed",
        ),
    ] {
        let mut builder = WORLD.direct();
        builder.singles[0].status.clone_from(&status);
        let response = builder.sign(&WORLD.issuer_key);
        assert_eq!(verdict(&response), verdict_expected, "{status:02x?}");
    }
}

#[test]
fn every_revocation_reason_is_named_as_rfc_5280_does() {
    let names: Vec<&str> = (0..=10)
        .filter(|number| *number != 7)
        .map(|number| {
            let mut builder = WORLD.direct();
            builder.singles[0].status = revoked(super::NOW, Some(number));
            match judge(&builder.sign(&WORLD.issuer_key)).unwrap().status {
                crate::ocsp::CertificateStatus::Revoked {
                    at,
                    reason: Some(reason),
                } => {
                    assert_eq!(at, super::NOW);
                    reason.name()
                }
                other => panic!("{other:?}"),
            }
        })
        .collect();
    assert_eq!(
        names,
        [
            "unspecified",
            "keyCompromise",
            "cACompromise",
            "affiliationChanged",
            "superseded",
            "cessationOfOperation",
            "certificateHold",
            "removeFromCRL",
            "privilegeWithdrawn",
            "aACompromise"
        ]
    );
}

#[test]
fn times_are_generalized_time_in_utc_with_seconds() {
    for (text, expected) in [
        ("20260115110000Z", "good"),
        ("20260115110000.5Z", "malformed"),
        ("20260115110000.364362Z", "malformed"),
        ("20260115110000.0Z", "malformed"),
        ("20260115110000.50Z", "malformed"),
        ("20260115110000.Z", "malformed"),
        ("20260115110000.x5Z", "malformed"),
        ("20260115110000", "malformed"),
        ("202601151100Z", "malformed"),
        ("20260115110000+0000", "malformed"),
        ("20260115120000+0100", "malformed"),
        ("20260115110060Z", "malformed"),
        ("20260115240000Z", "malformed"),
        ("20260230110000Z", "malformed"),
        ("2026011511000 Z", "malformed"),
        ("+260115110000.Z", "malformed"),
        ("", "malformed"),
    ] {
        let mut builder = WORLD.direct();
        builder.singles[0].this_update = time_text(text);
        let response = builder.sign(&WORLD.issuer_key);
        assert_eq!(verdict(&response), expected, "{text}");
    }
    let mut builder = WORLD.direct();
    const UTC_TIME: u8 = 0x17;
    builder.produced_at = der::encode(UTC_TIME, &[b"260115110000Z"]);
    assert_eq!(verdict(&builder.sign(&WORLD.issuer_key)), "malformed");
}

#[test]
fn responder_ids_are_a_name_or_a_sha1() {
    let key_hash = pki::sha1(WORLD.issuer.public_key_bits());
    let name = WORLD.issuer.subject_name();
    for (responder_id, expected) in [
        (tagged(1, name), "good"),
        (tagged(2, &octets(&key_hash)), "good"),
        (tagged(2, &octets(&key_hash[1..])), "malformed"),
        (
            tagged(2, &octets(&[&key_hash[..], &[0]].concat())),
            "malformed",
        ),
        (tagged(2, &integer(&[1])), "malformed"),
        (tagged(1, &octets(&key_hash)), "malformed"),
        (tagged(1, &[name, &[0x05, 0x00]].concat()), "malformed"),
        (tagged(3, name), "malformed"),
        (Vec::new(), "malformed"),
    ] {
        let mut builder = WORLD.direct();
        builder.responder_id.clone_from(&responder_id);
        let response = builder.sign(&WORLD.issuer_key);
        assert_eq!(verdict(&response), expected, "{responder_id:02x?}");
    }
}

#[test]
fn a_key_hash_that_is_too_long_is_told_by_how_much() {
    let mut builder = WORLD.direct();
    builder.responder_id = tagged(2, &octets(&[0; 23]));
    let text = judge(&builder.sign(&WORLD.issuer_key))
        .unwrap_err()
        .to_string();
    assert!(text.contains("3 bytes follow"), "{text}");
}

#[test]
fn serial_numbers_are_minimal_integers() {
    for serial in [&[][..], &[0x00, 0x03, 0xa2], &[0xff, 0xff]] {
        let mut builder = WORLD.direct();
        builder.singles[0].cert_id = sequence(&[
            &pki::algorithm(pki::SHA1, pki::NULL),
            &octets(&[0; 20]),
            &octets(&[0; 20]),
            &integer(serial),
        ]);
        let response = builder.sign(&WORLD.issuer_key);
        assert_eq!(verdict(&response), "malformed", "{serial:02x?}");
    }
}

#[test]
fn object_identifiers_are_minimal_and_whole() {
    for identifier in [
        &[0x06, 0x00][..],
        &[0x06, 0x02, 0x2b, 0x80],
        &[0x06, 0x03, 0x2b, 0x80, 0x01],
    ] {
        let mut builder = WORLD.direct();
        builder.singles[0].cert_id = cert_id(
            &sequence(&[identifier]),
            pki::sha1,
            &WORLD.leaf,
            &WORLD.issuer,
        );
        let response = builder.sign(&WORLD.issuer_key);
        assert_eq!(verdict(&response), "malformed", "{identifier:02x?}");
    }
}

#[test]
fn signatures_are_whole_octets() {
    let key = &WORLD.issuer_key;
    let builder = WORLD.direct();
    for signature in [&[0x03, 0x00][..], &[0x03, 0x02, 0x01, 0xfe]] {
        let basic = sequence(&[&sequence(&[]), &key.algorithm, signature]);
        assert_eq!(verdict(&builder.wrap(&basic)), "malformed");
    }
}

#[test]
fn extensions_are_read_strictly_but_an_empty_list_is_endured() {
    let key = &WORLD.issuer_key;
    let identifier = pki::oid("1.2.3.4");
    for (extension, expected) in [
        (sequence(&[&identifier, &octets(&[])]), "good"),
        (
            sequence(&[&identifier, &[0x01, 0x01, 0x00], &octets(&[])]),
            "good",
        ),
        (
            sequence(&[&identifier, &[0x01, 0x01, 0x01], &octets(&[])]),
            "malformed",
        ),
        (sequence(&[&identifier]), "malformed"),
        (
            sequence(&[&identifier, &octets(&[]), &octets(&[])]),
            "malformed",
        ),
        (
            [
                sequence(&[&identifier, &octets(&[])]),
                sequence(&[&identifier, &octets(&[])]),
            ]
            .concat(),
            "malformed",
        ),
    ] {
        let mut builder = WORLD.direct();
        builder.extensions = vec![extension.clone()];
        assert_eq!(verdict(&builder.sign(key)), expected, "{extension:02x?}");
    }
    let mut builder = WORLD.direct();
    builder.extensions = vec![Vec::new()];
    assert_eq!(verdict(&builder.sign(key)), "good", "an empty list");
    builder.extensions = (0..40)
        .map(|number| pki::extension(&format!("1.2.3.{number}"), false, &[]))
        .collect();
    assert_eq!(verdict(&builder.sign(key)), "malformed", "too many");
}

#[test]
fn the_certificates_sent_along_are_bounded() {
    let mut builder = WORLD.direct();
    builder.certificates = vec![sequence(&[]); 16];
    assert_eq!(verdict(&builder.sign(&WORLD.issuer_key)), "good");
    builder.certificates.push(sequence(&[]));
    assert_eq!(verdict(&builder.sign(&WORLD.issuer_key)), "malformed");
    builder.certificates = vec![integer(&[1])];
    assert_eq!(verdict(&builder.sign(&WORLD.issuer_key)), "malformed");
}

#[test]
fn a_refusal_of_malformed_bytes_says_where_and_what() {
    let response = WORLD.direct().sign(&WORLD.issuer_key);
    let text = judge(&[&response[..], b"xy"].concat())
        .unwrap_err()
        .to_string();
    assert_eq!(
        text,
        "the response is not valid DER (RFC 6960 section 4.2.1): \
         2 bytes follow after the end in OCSPResponse"
    );
}

#[test]
fn fractional_seconds_are_refused_wherever_they_stand_and_called_so() {
    let fraction = || time_text("20260115110000.5Z");
    let mut produced = WORLD.direct();
    produced.produced_at = fraction();
    let mut next = WORLD.direct();
    next.singles[0].next_update = Some(time_text("20260119120000.364362Z"));
    let mut revocation = WORLD.direct();
    const REVOKED: u8 = der::context_constructed(1);
    revocation.singles[0].status = der::encode(REVOKED, &[&fraction()]);
    for builder in [produced, next, revocation] {
        let rejection = judge(&builder.sign(&WORLD.issuer_key)).unwrap_err();
        assert_eq!(rejection.kind(), "malformed");
        assert!(
            rejection.to_string().contains("fractional seconds"),
            "{rejection}"
        );
    }
}

#[test]
fn a_serial_number_beyond_20_octets_is_no_serial_number() {
    let mut builder = WORLD.direct();
    let entry = |serial: &[u8]| {
        sequence(&[
            &pki::algorithm(pki::SHA1, pki::NULL),
            &octets(&[0; 20]),
            &octets(&[0; 20]),
            &integer(serial),
        ])
    };
    builder.singles[0].cert_id = entry(&[1; 20]);
    assert_eq!(verdict(&builder.sign(&WORLD.issuer_key)), "certid_mismatch");
    builder.singles[0].cert_id = entry(&[1; 21]);
    assert_eq!(verdict(&builder.sign(&WORLD.issuer_key)), "malformed");
}
