//! Who may sign (RFC 6960 §4.2.2.2), and with what.

use aws_lc_rs::signature;

use super::{WORLD, judge, judge_at, subject, verdict};
use crate::ocsp::{Assessment, Note, Policy, Rejection, Signer, Subject, verify};
use crate::pki::{
    self, ANY_EXTENDED_KEY_USAGE, CertificateBuilder, DAY, HOUR, Key, NOW, OCSP_SIGNING,
    ResponseBuilder, SERVER_AUTHENTICATION, World, basic_constraints, by_key, by_name,
    extended_key_usage, extension, key_usage, nocheck, octets, sequence, time,
};
use crate::x509::Certificate;

/// A response signed by a delegate with this certificate, whose key is the world's delegate key.
fn by_delegate(delegate: &CertificateBuilder) -> Vec<u8> {
    let certificate = delegate.sign(&WORLD.delegate_key, &WORLD.issuer_key);
    WORLD.delegated(&certificate).sign(&WORLD.delegate_key)
}

#[test]
fn the_issuer_signs_itself_named_by_name_or_by_key() {
    for responder_id in [by_name(&WORLD.issuer), by_key(&WORLD.issuer)] {
        let mut builder = WORLD.direct();
        builder.responder_id = responder_id;
        let assessment = judge(&builder.sign(&WORLD.issuer_key)).unwrap();
        assert_eq!(assessment.signer, Signer::Issuer);
        assert_eq!(assessment.notes, []);
    }
}

#[test]
fn a_delegate_signs_named_by_name_or_by_key() {
    for responder_id in [by_name(&WORLD.delegate), by_key(&WORLD.delegate)] {
        let mut builder = WORLD.delegated(&WORLD.delegate);
        builder.responder_id = responder_id;
        let assessment = judge(&builder.sign(&WORLD.delegate_key)).unwrap();
        assert_eq!(assessment.signer, Signer::Delegate(WORLD.delegate.clone()));
        assert_eq!(assessment.notes, []);
    }
}

#[test]
fn a_signature_by_another_key_is_refused() {
    let response = WORLD.direct().sign(&WORLD.leaf_key);
    assert_eq!(verdict(&response), "bad_signature");
    let response = WORLD.delegated(&WORLD.delegate).sign(&WORLD.leaf_key);
    assert_eq!(verdict(&response), "bad_signature");
}

#[test]
fn every_byte_that_is_signed_counts() {
    let mut builder = WORLD.direct();
    builder.signature = Some(WORLD.issuer_key.sign(b"something else"));
    assert_eq!(verdict(&builder.sign(&WORLD.issuer_key)), "bad_signature");
    builder.signature = Some(Vec::new());
    assert_eq!(verdict(&builder.sign(&WORLD.issuer_key)), "bad_signature");
}

#[test]
fn the_signer_must_be_the_responder_that_is_named() {
    let mut builder = WORLD.direct();
    builder.responder_id = by_name(&WORLD.delegate);
    let response = builder.sign(&WORLD.issuer_key);
    assert_eq!(
        verdict(&response),
        "responder_id_mismatch",
        "not sent along"
    );
    let text = judge(&response).unwrap_err().to_string();
    assert!(text.contains("no responder 'CN=Responder'"), "{text}");
    builder.responder_id = by_key(&WORLD.delegate);
    let response = builder.sign(&WORLD.issuer_key);
    assert_eq!(verdict(&response), "responder_id_mismatch");
    builder.certificates = vec![WORLD.delegate.der().to_vec()];
    let response = builder.sign(&WORLD.issuer_key);
    assert_eq!(verdict(&response), "bad_signature", "signed by the issuer");

    let mut builder = WORLD.delegated(&WORLD.delegate);
    builder.responder_id = by_name(&WORLD.issuer);
    let response = builder.sign(&WORLD.delegate_key);
    assert_eq!(
        verdict(&response),
        "bad_signature",
        "signed by the delegate"
    );
}

#[test]
fn junk_among_the_certificates_is_ignored() {
    let junk = [
        sequence(&[]),
        sequence(&[&octets(b"no certificate")]),
        WORLD.root.der().to_vec(),
        WORLD.leaf.der().to_vec(),
    ];
    let mut builder = WORLD.direct();
    builder.certificates = junk.to_vec();
    assert_eq!(verdict(&builder.sign(&WORLD.issuer_key)), "good");
    let mut builder = WORLD.delegated(&WORLD.delegate);
    builder.certificates.splice(0..0, junk);
    assert_eq!(verdict(&builder.sign(&WORLD.delegate_key)), "good");
}

#[test]
fn an_impostor_sent_before_the_delegate_does_no_harm() {
    let impostor = World::delegate_builder().sign(&WORLD.leaf_key, &WORLD.leaf_key);
    let mut builder = WORLD.delegated(&WORLD.delegate);
    builder.certificates.insert(0, impostor.der().to_vec());
    assert_eq!(verdict(&builder.sign(&WORLD.delegate_key)), "good");
}

#[test]
fn a_delegate_with_the_issuers_name_is_found_by_its_signature() {
    // Re-keyed CAs sign with a certificate that has the CA's own name.
    let mut delegate = World::delegate_builder();
    delegate.subject = pki::name("Issuer");
    assert_eq!(verdict(&by_delegate(&delegate)), "good");
}

#[test]
fn a_delegate_that_is_a_ca_is_refused_as_browsers_refuse_it() {
    let delegate = World::delegate_builder().with(basic_constraints(true));
    let rejection = judge(&by_delegate(&delegate)).unwrap_err();
    assert_eq!(rejection.kind(), "delegate_is_authority");
    assert!(rejection.to_string().contains("'CN=Responder' is a CA's"));
    let end_entity = World::delegate_builder().with(basic_constraints(false));
    assert_eq!(verdict(&by_delegate(&end_entity)), "good");
}

#[test]
fn a_delegate_without_a_subject_is_called_by_its_serial_number() {
    let mut delegate = World::delegate_builder().with(basic_constraints(true));
    delegate.subject = sequence(&[]);
    delegate.serial = vec![0x0a, 0xff];
    let text = judge(&by_delegate(&delegate)).unwrap_err().to_string();
    assert!(text.contains("'serial number 0aff'"), "{text}");
}

#[test]
fn a_delegate_needs_ocsp_signing_by_name() {
    let without = |extensions: &[Vec<u8>]| {
        let mut builder = CertificateBuilder::new("Issuer", "Responder", &[4]);
        builder.extensions = extensions.to_vec();
        verdict(&by_delegate(&builder))
    };
    let refused = "delegate_no_ocsp_signing";
    assert_eq!(without(&[]), refused);
    assert_eq!(
        without(&[extended_key_usage(&[ANY_EXTENDED_KEY_USAGE])]),
        refused
    );
    assert_eq!(
        without(&[extended_key_usage(&[SERVER_AUTHENTICATION])]),
        refused
    );
    assert_eq!(without(&[basic_constraints(true)]), refused);
    assert_eq!(
        without(&[extended_key_usage(&[SERVER_AUTHENTICATION, OCSP_SIGNING])]),
        "good"
    );
}

#[test]
fn a_cut_off_extended_key_usage_is_no_permission() {
    let mut truncated = pki::oid(OCSP_SIGNING);
    truncated.pop();
    truncated[1] -= 1;
    let delegate = |identifier: &[u8]| {
        CertificateBuilder::new("Issuer", "Responder", &[4]).with(extension(
            "2.5.29.37",
            false,
            &sequence(&[identifier]),
        ))
    };
    assert_eq!(
        verdict(&by_delegate(&delegate(&truncated))),
        "delegate_no_ocsp_signing"
    );
    // Not even an OID: the certificate is junk.
    truncated[1] += 1;
    let certificate = delegate(&truncated).der(&WORLD.delegate_key, &WORLD.issuer_key);
    let mut builder = WORLD.delegated(&WORLD.delegate);
    builder.certificates = vec![certificate];
    let response = builder.sign(&WORLD.delegate_key);
    assert_eq!(verdict(&response), "responder_id_mismatch");
}

#[test]
fn a_delegate_with_key_usage_needs_digital_signature() {
    let with = |usage| {
        by_delegate(
            &CertificateBuilder::new("Issuer", "Responder", &[4])
                .with(extended_key_usage(&[OCSP_SIGNING]))
                .with(key_usage(usage)),
        )
    };
    assert_eq!(verdict(&with(0x80)), "good");
    assert_eq!(verdict(&with(0xc0)), "good");
    assert_eq!(verdict(&with(0x40)), "delegate_no_digital_signature");
    assert_eq!(verdict(&with(0x04)), "delegate_no_digital_signature");
}

#[test]
fn a_delegate_is_issued_directly_by_the_issuer() {
    // By the root, above the issuer: an ancestor's delegate.
    let mut builder = World::delegate_builder();
    builder.issuer = pki::name("Root");
    let by_root = builder.sign(&WORLD.delegate_key, &WORLD.root_key);
    let response = WORLD.delegated(&by_root).sign(&WORLD.delegate_key);
    assert_eq!(verdict(&response), "delegate_wrong_issuer");
    let text = judge(&response).unwrap_err().to_string();
    assert!(text.contains("by 'CN=Root', not by 'CN=Issuer'"), "{text}");

    // By another CA of the same name.
    let other = World::delegate_builder().sign(&WORLD.delegate_key, &WORLD.root_key);
    let response = WORLD.delegated(&other).sign(&WORLD.delegate_key);
    assert_eq!(verdict(&response), "delegate_bad_signature");

    // By a CA below the issuer, sent along.
    let sub_key = Key::p256();
    let sub = CertificateBuilder::new("Issuer", "Sub", &[9])
        .with(basic_constraints(true))
        .sign(&sub_key, &WORLD.issuer_key);
    let mut builder = World::delegate_builder();
    builder.issuer = pki::name("Sub");
    let by_sub = builder.sign(&WORLD.delegate_key, &sub_key);
    let mut response = WORLD.delegated(&by_sub);
    response.certificates.push(sub.der().to_vec());
    assert_eq!(
        verdict(&response.sign(&WORLD.delegate_key)),
        "delegate_wrong_issuer"
    );

    // By itself.
    let mut builder = World::delegate_builder();
    builder.issuer = pki::name("Responder");
    let itself = builder.sign(&WORLD.delegate_key, &WORLD.delegate_key);
    let response = WORLD.delegated(&itself).sign(&WORLD.delegate_key);
    assert_eq!(verdict(&response), "delegate_wrong_issuer");
}

#[test]
fn the_certificates_own_parent_may_not_sign_for_its_child() {
    // The root, named as responder, for a leaf of the intermediate.
    let mut builder = WORLD.direct();
    builder.responder_id = by_name(&WORLD.root);
    builder.certificates = vec![WORLD.root.der().to_vec()];
    let response = builder.sign(&WORLD.root_key);
    assert_eq!(verdict(&response), "delegate_wrong_issuer");
}

#[test]
fn a_delegate_counts_within_its_validity_both_ends_included() {
    let mut delegate = World::delegate_builder();
    delegate.not_before = time(NOW);
    delegate.not_after = time(NOW);
    let response = by_delegate(&delegate);
    let second = std::time::Duration::from_secs(1);
    assert!(judge_at(&response, NOW).is_ok());
    let early = judge_at(&response, NOW.saturating_sub(second)).unwrap_err();
    assert_eq!(early.kind(), "delegate_not_yet_valid");
    let late = judge_at(&response, NOW.saturating_add(second)).unwrap_err();
    assert_eq!(late.kind(), "delegate_expired");
    assert!(late.to_string().contains("'CN=Responder'"), "{late}");
}

#[test]
fn a_delegate_with_an_unknown_critical_extension_is_refused() {
    let with = |identifier, critical| {
        by_delegate(&World::delegate_builder().with(extension(identifier, critical, &[])))
    };
    assert_eq!(verdict(&with("1.2.3.4", false)), "good");
    assert_eq!(
        verdict(&with("1.2.3.4", true)),
        "delegate_unknown_critical_extension"
    );
}

#[test]
fn a_delegate_without_nocheck_is_accepted_and_noted() {
    let mut delegate = World::delegate_builder();
    delegate
        .extensions
        .retain(|extension| *extension != nocheck());
    let assessment = judge(&by_delegate(&delegate)).unwrap();
    assert_eq!(assessment.notes, [Note::DelegateWithoutNocheck]);
    assert!(assessment.stapling.is_ok());
}

#[test]
fn a_delegates_end_ends_the_response() {
    let mut delegate = World::delegate_builder();
    delegate.not_after = time(NOW.saturating_add(2 * HOUR));
    let assessment = judge(&by_delegate(&delegate)).unwrap();
    assert_eq!(assessment.expires, NOW.saturating_add(2 * HOUR));
    assert_eq!(assessment.next_update, Some(NOW.saturating_add(4 * DAY)));
    assert_eq!(
        assessment.stapling.unwrap().expires(),
        NOW.saturating_add(2 * HOUR)
    );
    assert_eq!(assessment.notes, [Note::OutlivesCertificates]);
}

#[test]
fn the_issuer_given_must_have_the_name_the_certificate_says() {
    let response = WORLD.direct().sign(&WORLD.issuer_key);
    let renamed =
        CertificateBuilder::new("Root", "Other", &[2]).sign(&WORLD.issuer_key, &WORLD.root_key);
    let subject = Subject {
        certificate: &WORLD.leaf,
        issuer: &renamed,
    };
    let rejection = verify(&response, subject, None, NOW, Policy::default()).unwrap_err();
    assert_eq!(rejection.kind(), "issuer_mismatch");
    assert_eq!(
        rejection.to_string(),
        "the certificate was issued by 'CN=Issuer', not by 'CN=Other' (RFC 5280 section 4.1.2.4)"
    );
}

/// A leaf, its issuer with `key`, and a good response signed by the issuer.
fn signed_with(key: &Key, algorithm: Option<Vec<u8>>) -> (Certificate, Certificate, Vec<u8>) {
    let issuer = CertificateBuilder::new("CA", "CA", &[1]).sign(key, key);
    let leaf = CertificateBuilder::new("CA", "leaf", &[2]).sign(&WORLD.leaf_key, key);
    let mut builder = ResponseBuilder::good(&crate::ocsp::CertId::new(&leaf, &issuer), &issuer);
    builder.algorithm = algorithm;
    let response = builder.sign(key);
    (issuer, leaf, response)
}

fn judge_with(key: &Key, algorithm: Option<Vec<u8>>) -> Result<Assessment, Rejection> {
    let (issuer, certificate, response) = signed_with(key, algorithm);
    let subject = Subject {
        certificate: &certificate,
        issuer: &issuer,
    };
    verify(&response, subject, None, NOW, Policy::default())
}

fn verdict_with(key: &Key, algorithm: Option<Vec<u8>>) -> &'static str {
    match judge_with(key, algorithm) {
        Ok(_) => "good",
        Err(rejection) => rejection.kind(),
    }
}

fn rejection_with(key: &Key, algorithm: Option<Vec<u8>>) -> Rejection {
    judge_with(key, algorithm).unwrap_err()
}

#[test]
fn rsa_is_accepted_with_pkcs1_and_pss_padding() {
    let pkcs1 = |identifier| pki::algorithm(identifier, pki::NULL);
    for (encoding, identifier) in [
        (&signature::RSA_PKCS1_SHA256, "1.2.840.113549.1.1.11"),
        (&signature::RSA_PKCS1_SHA384, "1.2.840.113549.1.1.12"),
        (&signature::RSA_PKCS1_SHA512, "1.2.840.113549.1.1.13"),
    ] {
        let key = Key::rsa(encoding, pkcs1(identifier));
        assert_eq!(verdict_with(&key, None), "good", "{identifier}");
        let absent = pki::algorithm(identifier, &[]);
        assert_eq!(
            verdict_with(&key, Some(absent)),
            "good",
            "{identifier} without parameters (RFC 4055 section 5)"
        );
    }
    for (encoding, hash, salt) in [
        (&signature::RSA_PSS_SHA256, pki::SHA256, 32),
        (&signature::RSA_PSS_SHA384, "2.16.840.1.101.3.4.2.2", 48),
        (&signature::RSA_PSS_SHA512, "2.16.840.1.101.3.4.2.3", 64),
    ] {
        let null = pki::algorithm(hash, pki::NULL);
        let absent = pki::algorithm(hash, &[]);
        let pss = |hash: &[u8], mask: &[u8], salt, more: &[u8]| {
            let parameters = sequence(&[
                &pki::tagged(0, hash),
                &pki::tagged(1, &pki::algorithm("1.2.840.113549.1.1.8", mask)),
                &pki::tagged(2, &pki::integer(&[salt])),
                more,
            ]);
            pki::algorithm("1.2.840.113549.1.1.10", &parameters)
        };
        let mut key = Key::rsa(encoding, pss(&null, &null, salt, &[]));
        assert_eq!(verdict_with(&key, None), "good");
        let as_good = pss(&absent, &absent, salt, &[]);
        assert_eq!(verdict_with(&key, Some(as_good)), "good", "absent for NULL");
        let sha1 = pki::algorithm(pki::SHA1, pki::NULL);
        let wrong = [
            pss(&null, &null, 20, &[]),
            pss(&null, &sha1, salt, &[]),
            pss(&sha1, &null, salt, &[]),
            pss(&null, &null, salt, &pki::tagged(3, &pki::integer(&[1]))),
            pki::algorithm("1.2.840.113549.1.1.10", &[]),
        ];
        for wrong in wrong {
            assert_eq!(verdict_with(&key, Some(wrong)), "unsupported_signature");
        }
        let other_salt = rejection_with(&key, Some(pss(&null, &null, 20, &[])));
        let expected = format!("salt of 20 octets; {salt} are accepted");
        assert!(other_salt.to_string().contains(&expected), "{other_salt}");
        // The same key, certified for RSASSA-PSS only: with no parameters, its own, and others'.
        let bits = pki::bits(
            crate::x509::signature::read_public_key(&key.public_key_info)
                .unwrap()
                .1,
        );
        for (key_parameters, expected) in [
            (pki::algorithm("1.2.840.113549.1.1.10", &[]), "good"),
            (key.algorithm.clone(), "good"),
            (pss(&sha1, &sha1, 20, &[]), "unsupported_signature"),
        ] {
            key.public_key_info = sequence(&[&key_parameters, &bits]);
            assert_eq!(verdict_with(&key, None), expected);
        }
        let pkcs1 = pki::algorithm("1.2.840.113549.1.1.11", pki::NULL);
        key.public_key_info = sequence(&[&pki::algorithm("1.2.840.113549.1.1.10", &[]), &bits]);
        assert_eq!(verdict_with(&key, Some(pkcs1)), "unsupported_signature");
    }
}

#[test]
fn ecdsa_is_accepted_on_three_curves_and_ed25519() {
    const SHA256: &str = "1.2.840.10045.4.3.2";
    const SHA384: &str = "1.2.840.10045.4.3.3";
    const SHA512: &str = "1.2.840.10045.4.3.4";
    for (signing, identifier) in [
        (&signature::ECDSA_P256_SHA256_ASN1_SIGNING, SHA256),
        (&signature::ECDSA_P384_SHA384_ASN1_SIGNING, SHA384),
        (&signature::ECDSA_P521_SHA256_ASN1_SIGNING, SHA256),
        (&signature::ECDSA_P521_SHA384_ASN1_SIGNING, SHA384),
        (&signature::ECDSA_P521_SHA512_ASN1_SIGNING, SHA512),
    ] {
        let key = Key::ecdsa(signing, identifier);
        assert_eq!(verdict_with(&key, None), "good", "{identifier}");
        let null = pki::algorithm(identifier, pki::NULL);
        assert_eq!(
            verdict_with(&key, Some(null)),
            "unsupported_signature",
            "ECDSA has no parameters (RFC 5758 section 3.2)"
        );
    }
    assert_eq!(verdict_with(&Key::ed25519(), None), "good");
    let koblitz = Key::ecdsa(&signature::ECDSA_P256K1_SHA256_ASN1_SIGNING, SHA256);
    assert_eq!(verdict_with(&koblitz, None), "unsupported_signature");
}

#[test]
fn an_algorithm_that_does_not_fit_the_key_is_refused() {
    let ed25519 = pki::algorithm("1.3.101.112", &[]);
    let (issuer, certificate, response) = signed_with(&WORLD.issuer_key, Some(ed25519));
    let subject = Subject {
        certificate: &certificate,
        issuer: &issuer,
    };
    let rejection = verify(&response, subject, None, NOW, Policy::default()).unwrap_err();
    assert_eq!(
        rejection.to_string(),
        "the response's signature cannot be accepted: Ed25519 with a key of kind P256 is not accepted"
    );
}

#[test]
fn md5_is_refused_and_sha1_needs_the_policy() {
    let key = Key::rsa(
        &signature::RSA_PKCS1_SHA256,
        pki::algorithm("1.2.840.113549.1.1.11", pki::NULL),
    );
    let judged = |identifier, allow_sha1| {
        let algorithm = pki::algorithm(identifier, pki::NULL);
        let (issuer, certificate, response) = signed_with(&key, Some(algorithm));
        let subject = Subject {
            certificate: &certificate,
            issuer: &issuer,
        };
        let policy = Policy {
            allow_sha1,
            staple_revoked: false,
        };
        verify(&response, subject, None, NOW, policy)
            .unwrap_err()
            .kind()
    };
    for md2_or_md5 in ["1.2.840.113549.1.1.2", "1.2.840.113549.1.1.4"] {
        assert_eq!(judged(md2_or_md5, false), "unsupported_signature");
        assert_eq!(judged(md2_or_md5, true), "unsupported_signature");
    }
    assert_eq!(judged("1.2.840.113549.1.1.5", false), "weak_signature");
    // The row counts now, and finds that this signature was not made with SHA-1.
    assert_eq!(judged("1.2.840.113549.1.1.5", true), "bad_signature");
}

#[test]
fn the_delegates_certificate_is_held_to_the_same_algorithms() {
    let weak = pki::algorithm("1.2.840.10045.4.1", &[]);
    let mut builder = World::delegate_builder();
    builder.inner_algorithm = Some(weak.clone());
    // The builder writes the key's own algorithm outside: replace it there too.
    let der = builder.der(&WORLD.delegate_key, &WORLD.issuer_key);
    let outer = &WORLD.issuer_key.algorithm;
    let at = der
        .windows(outer.len())
        .rposition(|window| window == outer)
        .unwrap();
    let content = [&der[4..at], &weak[..], &der[at + outer.len()..]].concat();
    let certificate = Certificate::from_der(&sequence(&[&content])).unwrap();
    let response = WORLD.delegated(&certificate).sign(&WORLD.delegate_key);
    assert_eq!(verdict(&response), "weak_signature");
}

#[test]
fn a_certificate_that_states_two_algorithms_is_none() {
    let mut builder = World::delegate_builder();
    builder.inner_algorithm = Some(pki::algorithm("1.2.840.10045.4.3.3", &[]));
    let der = builder.der(&WORLD.delegate_key, &WORLD.issuer_key);
    let mut response = WORLD.delegated(&WORLD.delegate);
    response.certificates = vec![der];
    let response = response.sign(&WORLD.delegate_key);
    assert_eq!(verdict(&response), "responder_id_mismatch");
}

#[test]
fn the_trust_anchors_own_dates_and_flags_do_not_matter() {
    let mut old = CertificateBuilder::new("Root", "Issuer", &[2]);
    old.not_after = time(NOW.saturating_sub(DAY));
    let old = old.sign(&WORLD.issuer_key, &WORLD.root_key);
    let response = WORLD.direct().sign(&WORLD.issuer_key);
    let subject = Subject {
        issuer: &old,
        ..subject()
    };
    assert!(verify(&response, subject, None, NOW, Policy::default()).is_ok());
}
