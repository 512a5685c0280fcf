//! The facts of a certificate.

use super::WORLD;
use crate::pki::{
    CertificateBuilder, DAY, Key, NOW, authority_key_identifier, basic_constraints, dns_names,
    extension, key_usage, ocsp_access, octets, sequence, subject_key_identifier, tls_feature,
};
use crate::x509::certificate::display_name;
use crate::x509::signature::{self, Acceptance, AlgorithmIdentifier};
use crate::x509::{Certificate, Error, der};

fn with(extensions: &[Vec<u8>]) -> Certificate {
    let mut builder = CertificateBuilder::new("Issuer", "leaf", &[7]);
    builder.extensions = extensions.to_vec();
    builder.sign(&WORLD.leaf_key, &WORLD.issuer_key)
}

#[test]
fn the_basic_facts_are_the_received_bytes() {
    let leaf = &WORLD.leaf;
    assert_eq!(leaf.serial(), [0x03, 0xa2, 0xef]);
    assert_eq!(leaf.issuer_name(), WORLD.issuer.subject_name());
    assert_eq!(leaf.subject_name(), crate::pki::name("leaf.example.org"));
    assert_eq!(leaf.subject_display(), "CN=leaf.example.org");
    assert_eq!(leaf.public_key_info(), WORLD.leaf_key.public_key_info);
    assert!(leaf.public_key_info().ends_with(leaf.public_key_bits()));
    assert_eq!(leaf.public_key_bits().len(), 65);
    assert_eq!(leaf.not_before(), NOW.saturating_sub(10 * DAY));
    assert_eq!(leaf.not_after(), NOW.saturating_add(80 * DAY));
    assert_eq!(
        leaf.sha1_fingerprint().to_vec(),
        crate::pki::sha1(leaf.der())
    );
    let sha256 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, leaf.der());
    assert_eq!(leaf.sha256_fingerprint(), sha256.as_ref());
    assert_eq!(format!("{leaf:?}"), "Certificate(CN=leaf.example.org)");
    assert_eq!(*leaf, Certificate::from_der(leaf.der()).unwrap());
    assert_ne!(*leaf, WORLD.issuer);
}

#[test]
fn without_extensions_there_is_nothing() {
    let leaf = with(&[]);
    assert!(leaf.names().is_empty());
    assert!(leaf.ocsp_urls().is_empty());
    assert!(!leaf.must_staple());
    assert!(!leaf.is_certificate_authority());
    assert!(!leaf.has_ocsp_signing());
    assert!(!leaf.has_ocsp_nocheck());
    assert_eq!(leaf.allows_digital_signature(), None);
    assert_eq!(leaf.authority_key_identifier(), None);
    assert_eq!(leaf.subject_key_identifier(), None);
    assert_eq!(leaf.unknown_critical_extension(), None);
}

#[test]
fn responders_are_kept_in_order_if_they_can_be_asked() {
    let leaf = with(&[ocsp_access(&[
        "http://b.example.org/",
        "ldap://c.example.org/",
        "http://user@d.example.org/",
        "https://a.example.org/ocsp",
    ])]);
    assert_eq!(
        leaf.ocsp_urls(),
        ["http://b.example.org/", "https://a.example.org/ocsp"]
    );
    let many: Vec<String> = (0..20)
        .map(|n| format!("http://{n}.example.org/"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(with(&[ocsp_access(&many)]).ocsp_urls(), &many[..8]);
}

#[test]
fn other_kinds_of_access_are_no_responders() {
    const CA_ISSUERS: &str = "1.3.6.1.5.5.7.48.2";
    const OCSP: &str = "1.3.6.1.5.5.7.48.1";
    const URI: u8 = der::context_primitive(6);
    const DNS_NAME: u8 = der::context_primitive(2);
    let describe = |method, tag| {
        sequence(&[
            &crate::pki::oid(method),
            &der::encode(tag, &[b"http://a.example.org/"]),
        ])
    };
    let access = |description: Vec<u8>| {
        with(&[extension(
            "1.3.6.1.5.5.7.1.1",
            false,
            &sequence(&[&description]),
        )])
    };
    assert_eq!(access(describe(OCSP, URI)).ocsp_urls().len(), 1);
    assert!(access(describe(CA_ISSUERS, URI)).ocsp_urls().is_empty());
    assert!(access(describe(OCSP, DNS_NAME)).ocsp_urls().is_empty());
}

#[test]
fn must_staple_is_the_feature_status_request() {
    assert!(with(&[tls_feature(&[5])]).must_staple());
    assert!(with(&[tls_feature(&[17, 5])]).must_staple());
    assert!(!with(&[tls_feature(&[17])]).must_staple());
    assert!(!with(&[tls_feature(&[])]).must_staple());
}

#[test]
fn names_are_those_that_can_be_shown() {
    const DNS_NAME: u8 = der::context_primitive(2);
    const ADDRESS: u8 = der::context_primitive(7);
    let names = sequence(&[
        &der::encode(DNS_NAME, &[b"www.example.org"]),
        &der::encode(ADDRESS, &[&[192, 0, 2, 1]]),
        &der::encode(DNS_NAME, &[b"evil\x1b[31m.example.org"]),
        &der::encode(DNS_NAME, &[b"*.example.org"]),
    ]);
    let leaf = with(&[extension("2.5.29.17", false, &names)]);
    assert_eq!(leaf.names(), ["www.example.org", "*.example.org"]);
}

#[test]
fn a_subject_cannot_paint_the_terminal() {
    let leaf = CertificateBuilder::new("Issuer", "red\x1b[31m\nnext", &[7])
        .sign(&WORLD.leaf_key, &WORLD.issuer_key);
    assert!(!leaf.subject_display().contains(char::is_control));
    assert_eq!(display_name(b"no Name"), "?");
    let long = CertificateBuilder::new("Issuer", &"x".repeat(5000), &[7])
        .sign(&WORLD.leaf_key, &WORLD.issuer_key);
    assert_eq!(long.subject_display().chars().count(), 256);
}

#[test]
fn key_identifiers_are_kept_and_ill_formed_ones_are_none() {
    let leaf = with(&[
        authority_key_identifier(&[1, 2, 3]),
        subject_key_identifier(&[4, 5, 6]),
    ]);
    assert_eq!(leaf.authority_key_identifier(), Some(&[1, 2, 3][..]));
    assert_eq!(leaf.subject_key_identifier(), Some(&[4, 5, 6][..]));
    let ill_formed = with(&[
        extension("2.5.29.35", false, b"?"),
        extension("2.5.29.14", false, b"?"),
        extension("2.5.29.17", false, b"?"),
    ]);
    assert_eq!(ill_formed.authority_key_identifier(), None);
    assert_eq!(ill_formed.subject_key_identifier(), None);
    assert!(ill_formed.names().is_empty());
}

#[test]
fn extensions_that_decide_something_must_be_readable_and_single() {
    let refused = |extensions: &[Vec<u8>]| {
        let mut builder = CertificateBuilder::new("Issuer", "leaf", &[7]);
        builder.extensions = extensions.to_vec();
        Certificate::from_der(&builder.der(&WORLD.leaf_key, &WORLD.issuer_key)).unwrap_err()
    };
    let refusal = |extensions: &[Vec<u8>]| refused(extensions).to_string();
    for (identifier, name) in [
        ("2.5.29.19", "basicConstraints"),
        ("2.5.29.15", "keyUsage"),
        ("2.5.29.37", "extKeyUsage"),
        ("1.3.6.1.5.5.7.1.1", "authorityInfoAccess"),
        ("1.3.6.1.5.5.7.1.24", "tlsFeature"),
    ] {
        let text = refusal(&[extension(identifier, false, b"?")]);
        assert!(text.contains(name), "{text}");
    }
    let error = refused(&[extension("2.5.29.19", false, b"?")]);
    assert_eq!(error.kind(), "extension");
    let twice = refusal(&[key_usage(0x80), key_usage(0x80)]);
    assert!(twice.contains("twice"), "{twice}");
    let surplus = refusal(&[extension(
        "2.5.29.19",
        true,
        &[sequence(&[]), sequence(&[])].concat(),
    )]);
    assert!(surplus.contains("basicConstraints"), "{surplus}");
}

#[test]
fn critical_extensions_are_known_or_named() {
    for known in ["2.5.29.32", "2.5.29.31"] {
        let leaf = with(&[extension(known, true, &octets(&[]))]);
        assert_eq!(leaf.unknown_critical_extension(), None, "{known}");
    }
    let leaf = with(&[
        extension("1.2.3.3", false, &[]),
        extension("1.2.3.4", true, &[]),
        extension("1.2.3.5", true, &[]),
    ]);
    assert_eq!(leaf.unknown_critical_extension(), Some("1.2.3.4"));
}

#[test]
fn self_signed_means_by_its_own_key() {
    assert!(WORLD.root.is_self_signed());
    assert!(!WORLD.leaf.is_self_signed());
    // The same name on both sides, but signed by another key: a re-keyed CA.
    let self_issued =
        CertificateBuilder::new("Root", "Root", &[9]).sign(&Key::p256(), &WORLD.root_key);
    assert!(!self_issued.is_self_signed());
    assert!(with(&[basic_constraints(true)]).is_certificate_authority());
    assert!(!with(&[basic_constraints(false)]).is_certificate_authority());
}

#[test]
fn a_certificate_fills_its_bytes_exactly() {
    let mut der = WORLD.leaf.der().to_vec();
    der.push(0);
    assert_eq!(Certificate::from_der(&der).unwrap_err().kind(), "der");
    for length in 0..WORLD.leaf.der().len() {
        assert!(Certificate::from_der(&WORLD.leaf.der()[..length]).is_err());
    }
}

#[test]
fn keys_that_cannot_be_read_sign_nothing() {
    let verify = |public_key_info: &[u8]| {
        let algorithm = AlgorithmIdentifier {
            algorithm: b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b",
            parameters: &[],
        };
        signature::verify(public_key_info, algorithm, b"", b"", Acceptance::Legacy)
            .unwrap_err()
            .to_string()
    };
    assert!(verify(b"?").contains("unreadable"));
    let rsa = |key: &[u8]| {
        sequence(&[
            &crate::pki::algorithm("1.2.840.113549.1.1.1", crate::pki::NULL),
            &crate::pki::bits(key),
        ])
    };
    let modulus = |bytes: &[u8]| sequence(&[&crate::pki::integer(bytes), &[2, 3, 1, 0, 1]]);
    // 1024 bits with a leading zero octet count; 1023 bits do not, nor does nonsense.
    let enough = modulus(&[&[0x00, 0x80], &[0xff; 127][..]].concat());
    assert_eq!(verify(&rsa(&enough)), "the signature does not verify");
    let short = modulus(&[&[0x7f], &[0xff; 127][..]].concat());
    assert!(verify(&rsa(&short)).contains("1.2.840.113549.1.1.1"));
    let odd_parameters = sequence(&[
        &crate::pki::algorithm("1.2.840.113549.1.1.1", &[2, 1, 0]),
        &crate::pki::bits(&enough),
    ]);
    assert!(verify(&odd_parameters).contains("1.2.840.113549.1.1.1"));
    assert!(verify(&rsa(b"?")).contains("1.2.840.113549.1.1.1"));
    assert!(verify(&rsa(&modulus(&[0]))).contains("1.2.840.113549.1.1.1"));
}

#[test]
fn a_serial_number_longer_than_20_octets_is_refused() {
    let with_serial = |serial: &[u8]| {
        let builder = CertificateBuilder::new("Issuer", "leaf", serial);
        Certificate::from_der(&builder.der(&WORLD.leaf_key, &WORLD.issuer_key))
    };
    let command = b"\ndisable frontend f\n";
    assert_eq!(command.len(), 20);
    assert!(with_serial(command).is_ok());
    assert!(with_serial(&[&[0][..], &[0xff; 20]].concat()).is_ok());
    assert!(with_serial(&[&[0][..], &[0xff; 21]].concat()).is_err());
    let longer = with_serial(b"\ndisable frontend fe\n");
    assert_eq!(longer, Err(Error::LongSerial { octets: 21 }));
    assert!(with_serial(&[0x7f; 16_000]).is_err());
}

#[test]
fn the_size_of_a_certificate_and_the_names_kept_of_it_are_bounded() {
    let named = |count: usize| {
        let names: Vec<String> = (0..count).map(|number| format!("{number}.test")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let builder = CertificateBuilder::new("Issuer", "leaf", &[7]).with(dns_names(&names));
        Certificate::from_der(&builder.der(&WORLD.leaf_key, &WORLD.issuer_key))
    };
    assert_eq!(named(999).unwrap().names().len(), 999);
    let certificate = named(5_000).unwrap();
    assert_eq!(certificate.names().len(), 1_000);
    assert_eq!(certificate.names()[999], "999.test");
    assert_eq!(named(50_000), Err(Error::LargeCertificate));
}
