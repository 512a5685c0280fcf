//! The choice of the issuer.

use std::slice;

use super::WORLD;
use crate::pki::{
    CertificateBuilder, DAY, Key, NOW, algorithm, authority_key_identifier, extension, key_usage,
    sequence, subject_key_identifier, tagged, time,
};
use crate::x509::der::{self, encode};
use crate::x509::{find_issuer, unsupported_issuer};

#[test]
fn position_does_not_matter() {
    let mut chain = vec![
        WORLD.root.clone(),
        WORLD.delegate.clone(),
        WORLD.issuer.clone(),
        WORLD.issuer.clone(),
        WORLD.leaf.clone(),
    ];
    for _ in 0..chain.len() {
        assert_eq!(find_issuer(&WORLD.leaf, &chain), Some(&WORLD.issuer));
        chain.rotate_left(1);
    }
}

#[test]
fn no_issuer_is_an_outcome() {
    assert_eq!(find_issuer(&WORLD.leaf, &[]), None);
    assert_eq!(find_issuer(&WORLD.leaf, slice::from_ref(&WORLD.root)), None);
}

#[test]
fn the_name_alone_makes_no_issuer() {
    let namesake =
        CertificateBuilder::new("Root", "Issuer", &[2]).sign(&Key::p256(), &WORLD.root_key);
    assert_eq!(find_issuer(&WORLD.leaf, slice::from_ref(&namesake)), None);
    let candidates = [namesake, WORLD.issuer.clone()];
    assert_eq!(find_issuer(&WORLD.leaf, &candidates), Some(&WORLD.issuer));
}

#[test]
fn the_key_alone_makes_no_issuer() {
    let renamed =
        CertificateBuilder::new("Root", "Other", &[2]).sign(&WORLD.issuer_key, &WORLD.root_key);
    assert_eq!(find_issuer(&WORLD.leaf, &[renamed]), None);
}

#[test]
fn key_identifiers_that_contradict_make_no_issuer() {
    let leaf = CertificateBuilder::new("Issuer", "leaf", &[7])
        .with(authority_key_identifier(&[1]))
        .sign(&WORLD.leaf_key, &WORLD.issuer_key);
    let issuer = |identifier: &[u8]| {
        CertificateBuilder::new("Root", "Issuer", &[2])
            .with(subject_key_identifier(identifier))
            .sign(&WORLD.issuer_key, &WORLD.root_key)
    };
    assert!(find_issuer(&leaf, &[issuer(&[1])]).is_some());
    assert!(find_issuer(&leaf, &[issuer(&[2])]).is_none());
    // One side alone contradicts nothing.
    assert!(find_issuer(&leaf, slice::from_ref(&WORLD.issuer)).is_some());
    assert!(find_issuer(&WORLD.leaf, &[issuer(&[2])]).is_some());
}

#[test]
fn of_cross_certificates_the_one_that_lasts_longest_is_taken() {
    let cross = |days: u32| {
        let mut builder = CertificateBuilder::new("Other Root", "Issuer", &[2]);
        builder.not_after = time(NOW.saturating_add(days * DAY));
        builder.sign(&WORLD.issuer_key, &WORLD.root_key)
    };
    let candidates = [cross(5), cross(500), cross(50)];
    assert_eq!(find_issuer(&WORLD.leaf, &candidates), Some(&candidates[1]));
}

#[test]
fn an_authority_key_identifier_may_name_the_issuers_certificate_itself() {
    let access = |name: &[u8], serial: &[u8]| {
        let name = tagged(4, name);
        let names = encode(der::context_constructed(1), &[&name]);
        let serial = encode(der::context_primitive(2), &[serial]);
        extension("2.5.29.35", false, &sequence(&[&names, &serial]))
    };
    let leaf = |name: &[u8], serial: &[u8]| {
        CertificateBuilder::new("Issuer", "leaf", &[7])
            .with(access(name, serial))
            .sign(&WORLD.leaf_key, &WORLD.issuer_key)
    };
    let (root, serial) = (WORLD.root.subject_name(), WORLD.issuer.serial());
    let candidates = slice::from_ref(&WORLD.issuer);
    assert!(find_issuer(&leaf(root, serial), candidates).is_some());
    assert!(find_issuer(&leaf(root, &[0x55]), candidates).is_none());
    let other = WORLD.issuer.subject_name();
    assert!(find_issuer(&leaf(other, serial), candidates).is_none());
}

#[test]
fn a_key_that_may_not_sign_certificates_makes_no_issuer() {
    // HAProxy would not find an issuer in it, and not start once there is a .ocsp.
    for (usage, issuer) in [(0x80, false), (0x04, true)] {
        let candidate = CertificateBuilder::new("Root", "Issuer", &[2])
            .with(key_usage(usage))
            .sign(&WORLD.issuer_key, &WORLD.root_key);
        assert_eq!(find_issuer(&WORLD.leaf, &[candidate]).is_some(), issuer);
    }
}

#[test]
fn an_issuer_whose_signature_cannot_be_checked_is_not_taken_for_absent() {
    // RSASSA-PSS without parameters stands for SHA-1.
    let unsupported = |builder: &CertificateBuilder| {
        let mut signer = Key::p256();
        signer.algorithm = algorithm("1.2.840.113549.1.1.10", &[]);
        builder.sign(&WORLD.leaf_key, &signer)
    };
    let leaf = unsupported(&CertificateBuilder::new("Issuer", "leaf", &[7]));
    let there = [WORLD.root.clone(), WORLD.issuer.clone()];
    assert_eq!(find_issuer(&leaf, &there), None);
    let error = unsupported_issuer(&leaf, &there).unwrap();
    assert!(error.to_string().starts_with("RSASSA-PSS"), "{error}");
    assert_eq!(unsupported_issuer(&leaf, [&WORLD.root]), None);
    let forged = CertificateBuilder::new("Issuer", "leaf", &[7]);
    let forged = forged.sign(&WORLD.leaf_key, &WORLD.root_key);
    assert_eq!(unsupported_issuer(&forged, &there), None);
}
