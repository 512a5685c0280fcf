//! A small maker of keys, certificates and OCSP responses, right ones and wrong ones.
//!
//! Every field is raw DER, so that a test can put into it what no honest CA would write, and have
//! it signed properly. Used by the unit tests of `src` and by the integration tests alike. What it
//! makes is read by staplerd's own reader only where a test asks for a `Certificate`.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    reason = "test support: each test binary uses its part"
)]

use std::time::Duration;

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use staplerd::ocsp::CertId;
use staplerd::time::Timestamp;
use staplerd::x509::Certificate;
use staplerd::x509::der::{self, encode};

/// The time at which the tests judge: 2026-01-15T12:00:00Z.
pub const NOW: Timestamp = Timestamp::from_unix(1_768_478_400);

pub const HOUR: Duration = Duration::from_secs(3600);
pub const DAY: Duration = Duration::from_secs(24 * 3600);

pub const SHA1: &str = "1.3.14.3.2.26";
pub const SHA256: &str = "2.16.840.1.101.3.4.2.1";
pub const OCSP_SIGNING: &str = "1.3.6.1.5.5.7.3.9";
pub const SERVER_AUTHENTICATION: &str = "1.3.6.1.5.5.7.3.1";
pub const ANY_EXTENDED_KEY_USAGE: &str = "2.5.29.37.0";
pub const NONCE: &str = "1.3.6.1.5.5.7.48.1.2";
pub const TIMESTAMP_LIST: &str = "1.3.6.1.4.1.11129.2.4.5";

const RSA_ENCRYPTION: &str = "1.2.840.113549.1.1.1";

/// An OBJECT IDENTIFIER from dotted numbers.
pub fn oid(dotted: &str) -> Vec<u8> {
    let numbers: Vec<u64> = dotted.split('.').map(|n| n.parse().unwrap()).collect();
    let mut content = Vec::new();
    let first = numbers[0] * 40 + numbers[1];
    for number in std::iter::once(first).chain(numbers[2..].iter().copied()) {
        let mut groups = vec![(number & 0x7f) as u8];
        let mut rest = number >> 7;
        while rest > 0 {
            groups.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        content.extend(groups.iter().rev());
    }
    encode(der::OBJECT_IDENTIFIER, &[&content])
}

pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    encode(der::SEQUENCE, parts)
}

pub fn octets(content: &[u8]) -> Vec<u8> {
    encode(der::OCTET_STRING, &[content])
}

pub fn integer(content: &[u8]) -> Vec<u8> {
    encode(der::INTEGER, &[content])
}

pub fn bits(content: &[u8]) -> Vec<u8> {
    encode(der::BIT_STRING, &[&[0], content])
}

pub fn tagged(number: u8, content: &[u8]) -> Vec<u8> {
    encode(der::context_constructed(number), &[content])
}

/// GeneralizedTime from text such as `20260115120000Z`, however wrong.
pub fn time_text(text: &str) -> Vec<u8> {
    encode(der::GENERALIZED_TIME, &[text.as_bytes()])
}

pub fn time(at: Timestamp) -> Vec<u8> {
    let digits: String = at
        .to_string()
        .chars()
        .filter(|character| character.is_ascii_digit())
        .collect();
    time_text(&format!("{digits}Z"))
}

/// A Name with one commonName.
pub fn name(common_name: impl AsRef<[u8]>) -> Vec<u8> {
    const UTF8_STRING: u8 = 0x0c;
    const SET: u8 = 0x31;
    let attribute = sequence(&[
        &oid("2.5.4.3"),
        &encode(UTF8_STRING, &[common_name.as_ref()]),
    ]);
    sequence(&[&encode(SET, &[&attribute])])
}

pub fn algorithm(identifier: &str, parameters: &[u8]) -> Vec<u8> {
    sequence(&[&oid(identifier), parameters])
}

/// Any DER as PEM with this label.
pub fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len())
        .step_by(64)
        .map(|start| &text[start..text.len().min(start + 64)])
        .collect();
    let lines = lines.join("\n");
    format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n")
}

pub const NULL: &[u8] = &[0x05, 0x00];

pub fn sha1(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes)
        .as_ref()
        .to_vec()
}

pub fn extension(identifier: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[0x01, 0x01, 0xff] } else { &[] };
    sequence(&[&oid(identifier), critical, &octets(value)])
}

enum Secret {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
}

/// A key pair with the one algorithm it signs with.
pub struct Key {
    secret: Secret,
    /// SubjectPublicKeyInfo.
    pub public_key_info: Vec<u8>,
    /// AlgorithmIdentifier of its signatures.
    pub algorithm: Vec<u8>,
}

impl Key {
    pub fn p256() -> Self {
        Key::ecdsa(
            &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
            "1.2.840.10045.4.3.2",
        )
    }

    pub fn ecdsa(signing: &'static EcdsaSigningAlgorithm, identifier: &str) -> Self {
        let pair = EcdsaKeyPair::generate(signing).unwrap();
        let public_key_info = pair.public_key().as_der().unwrap().as_ref().to_vec();
        Key {
            secret: Secret::Ecdsa(pair),
            public_key_info,
            algorithm: algorithm(identifier, &[]),
        }
    }

    pub fn ed25519() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let public_key_info = pair.public_key().as_der().unwrap().as_ref().to_vec();
        Key {
            secret: Secret::Ed25519(pair),
            public_key_info,
            algorithm: algorithm("1.3.101.112", &[]),
        }
    }

    /// RSA with 2048 bits; `algorithm` is the AlgorithmIdentifier that `encoding` stands for.
    pub fn rsa(encoding: &'static dyn RsaEncoding, algorithm: Vec<u8>) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        // The key's own form: SubjectPublicKeyInfo around the RSAPublicKey.
        let public_key_info = sequence(&[
            &self::algorithm(RSA_ENCRYPTION, NULL),
            &bits(pair.public_key().as_ref()),
        ]);
        Key {
            secret: Secret::Rsa(pair, encoding),
            public_key_info,
            algorithm,
        }
    }

    /// The private key as HAProxy loads it (PKCS #8).
    pub fn pem(&self) -> String {
        let document = match &self.secret {
            Secret::Ecdsa(pair) => pair.to_pkcs8v1().unwrap().as_ref().to_vec(),
            Secret::Ed25519(pair) => pair.to_pkcs8v1().unwrap().as_ref().to_vec(),
            Secret::Rsa(pair, _) => {
                let document: Pkcs8V1Der<'_> = pair.as_der().unwrap();
                document.as_ref().to_vec()
            }
        };
        pem("PRIVATE KEY", &document)
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.secret {
            Secret::Ecdsa(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Secret::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Secret::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, message, &mut signature)
                    .unwrap();
                signature
            }
        }
    }
}

/// A certificate to be: every field raw, ready to be made wrong.
#[derive(Clone)]
pub struct CertificateBuilder {
    pub serial: Vec<u8>,
    pub issuer: Vec<u8>,
    pub subject: Vec<u8>,
    pub not_before: Vec<u8>,
    pub not_after: Vec<u8>,
    /// Whole Extension elements.
    pub extensions: Vec<Vec<u8>>,
    /// In place of the signing key's own AlgorithmIdentifier, inside the signed part only.
    pub inner_algorithm: Option<Vec<u8>>,
}

impl CertificateBuilder {
    /// Valid from ten days before [`NOW`] until eighty days after, without extensions.
    pub fn new(issuer: &str, subject: &str, serial: &[u8]) -> Self {
        CertificateBuilder {
            serial: serial.to_vec(),
            issuer: name(issuer),
            subject: name(subject),
            not_before: time(NOW.saturating_sub(10 * DAY)),
            not_after: time(NOW.saturating_add(80 * DAY)),
            extensions: Vec::new(),
            inner_algorithm: None,
        }
    }

    #[must_use]
    pub fn with(mut self, extension: Vec<u8>) -> Self {
        self.extensions.push(extension);
        self
    }

    pub fn der(&self, key: &Key, signer: &Key) -> Vec<u8> {
        let extensions = if self.extensions.is_empty() {
            Vec::new()
        } else {
            tagged(3, &sequence(&[&self.extensions.concat()]))
        };
        let signed = sequence(&[
            &tagged(0, &integer(&[2])),
            &integer(&self.serial),
            self.inner_algorithm.as_ref().unwrap_or(&signer.algorithm),
            &self.issuer,
            &sequence(&[&self.not_before, &self.not_after]),
            &self.subject,
            &key.public_key_info,
            &extensions,
        ]);
        sequence(&[&signed, &signer.algorithm, &bits(&signer.sign(&signed))])
    }

    /// Valid from ten days before `now` until eighty days after.
    #[must_use]
    pub fn around(mut self, now: Timestamp) -> Self {
        self.not_before = time(now.saturating_sub(10 * DAY));
        self.not_after = time(now.saturating_add(80 * DAY));
        self
    }

    pub fn sign(&self, key: &Key, signer: &Key) -> Certificate {
        Certificate::from_der(&self.der(key, signer)).unwrap()
    }
}

pub fn basic_constraints(authority: bool) -> Vec<u8> {
    let content: &[u8] = if authority { &[0x01, 0x01, 0xff] } else { &[] };
    extension("2.5.29.19", true, &sequence(&[content]))
}

/// keyUsage with the given first octet: 0x80 is digitalSignature, 0x40 nonRepudiation, 0x04
/// keyCertSign.
pub fn key_usage(usage: u8) -> Vec<u8> {
    let unused = usage.trailing_zeros() as u8;
    extension(
        "2.5.29.15",
        true,
        &encode(der::BIT_STRING, &[&[unused, usage]]),
    )
}

pub fn extended_key_usage(purposes: &[&str]) -> Vec<u8> {
    let purposes: Vec<u8> = purposes.iter().flat_map(|purpose| oid(purpose)).collect();
    extension("2.5.29.37", false, &sequence(&[&purposes]))
}

pub fn nocheck() -> Vec<u8> {
    extension("1.3.6.1.5.5.7.48.1.5", false, NULL)
}

/// Authority information access with these OCSP URLs.
pub fn ocsp_access(urls: &[impl AsRef<[u8]>]) -> Vec<u8> {
    const URI: u8 = der::context_primitive(6);
    let descriptions: Vec<u8> = urls
        .iter()
        .flat_map(|url| sequence(&[&oid("1.3.6.1.5.5.7.48.1"), &encode(URI, &[url.as_ref()])]))
        .collect();
    extension("1.3.6.1.5.5.7.1.1", false, &sequence(&[&descriptions]))
}

/// The TLS feature extension with these features; 5 is status_request.
pub fn tls_feature(features: &[u8]) -> Vec<u8> {
    let features: Vec<u8> = features
        .iter()
        .flat_map(|feature| integer(&[*feature]))
        .collect();
    extension("1.3.6.1.5.5.7.1.24", false, &sequence(&[&features]))
}

/// A subject alternative name extension with these DNS names.
pub fn dns_names(names: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let names: Vec<u8> = names
        .iter()
        .flat_map(|name| encode(der::context_primitive(2), &[name.as_ref()]))
        .collect();
    extension("2.5.29.17", false, &sequence(&[&names]))
}

pub fn subject_key_identifier(identifier: &[u8]) -> Vec<u8> {
    extension("2.5.29.14", false, &octets(identifier))
}

pub fn authority_key_identifier(identifier: &[u8]) -> Vec<u8> {
    let identifier = encode(der::context_primitive(0), &[identifier]);
    extension("2.5.29.35", false, &sequence(&[&identifier]))
}

/// A status, raw.
pub fn good() -> Vec<u8> {
    vec![0x80, 0x00]
}

pub fn unknown() -> Vec<u8> {
    vec![0x82, 0x00]
}

pub fn revoked(at: Timestamp, reason: Option<u8>) -> Vec<u8> {
    let reason = reason.map_or_else(Vec::new, |reason| {
        tagged(0, &encode(der::ENUMERATED, &[&[reason]]))
    });
    encode(der::context_constructed(1), &[&time(at), &reason])
}

/// One SingleResponse to be.
#[derive(Clone)]
pub struct Single {
    pub cert_id: Vec<u8>,
    pub status: Vec<u8>,
    pub this_update: Vec<u8>,
    /// Without its `[0]`.
    pub next_update: Option<Vec<u8>>,
    /// Whole Extension elements.
    pub extensions: Vec<Vec<u8>>,
}

impl Single {
    /// Good, from an hour before [`NOW`] until four days after.
    pub fn good(cert_id: &[u8]) -> Self {
        Single {
            cert_id: cert_id.to_vec(),
            status: good(),
            this_update: time(NOW.saturating_sub(HOUR)),
            next_update: Some(time(NOW.saturating_add(4 * DAY))),
            extensions: Vec::new(),
        }
    }

    fn der(&self) -> Vec<u8> {
        let next_update = self
            .next_update
            .as_ref()
            .map_or_else(Vec::new, |time| tagged(0, time));
        sequence(&[
            &self.cert_id,
            &self.status,
            &self.this_update,
            &next_update,
            &extensions(&self.extensions),
        ])
    }
}

fn extensions(list: &[Vec<u8>]) -> Vec<u8> {
    if list.is_empty() {
        Vec::new()
    } else {
        tagged(1, &sequence(&[&list.concat()]))
    }
}

/// A CertID made with any hash.
pub fn cert_id(
    hash_algorithm: &[u8],
    hash: impl Fn(&[u8]) -> Vec<u8>,
    certificate: &Certificate,
    issuer: &Certificate,
) -> Vec<u8> {
    sequence(&[
        hash_algorithm,
        &octets(&hash(certificate.issuer_name())),
        &octets(&hash(issuer.public_key_bits())),
        &integer(certificate.serial()),
    ])
}

/// A response to be: every field raw, ready to be made wrong.
#[derive(Clone)]
pub struct ResponseBuilder {
    pub status: u8,
    pub response_type: String,
    /// What follows the tag `[0]` of the version, or nothing.
    pub version: Vec<u8>,
    pub responder_id: Vec<u8>,
    pub produced_at: Vec<u8>,
    pub singles: Vec<Single>,
    /// responseExtensions, whole Extension elements.
    pub extensions: Vec<Vec<u8>>,
    /// The certificates sent along, whole.
    pub certificates: Vec<Vec<u8>>,
    /// In place of the key's own AlgorithmIdentifier.
    pub algorithm: Option<Vec<u8>>,
    /// In place of the signature.
    pub signature: Option<Vec<u8>>,
}

impl ResponseBuilder {
    /// Good, for one certificate, by the issuer itself.
    pub fn good(cert_id: &CertId, responder: &Certificate) -> Self {
        ResponseBuilder {
            status: 0,
            response_type: "1.3.6.1.5.5.7.48.1.1".to_owned(),
            version: Vec::new(),
            responder_id: by_name(responder),
            produced_at: time(NOW.saturating_sub(HOUR)),
            singles: vec![Single::good(cert_id.der())],
            extensions: Vec::new(),
            certificates: Vec::new(),
            algorithm: None,
            signature: None,
        }
    }

    /// Current from an hour before `now` until four days after.
    #[must_use]
    pub fn around(mut self, now: Timestamp) -> Self {
        self.produced_at = time(now.saturating_sub(HOUR));
        for single in &mut self.singles {
            single.this_update = time(now.saturating_sub(HOUR));
            single.next_update = Some(time(now.saturating_add(4 * DAY)));
        }
        self
    }

    pub fn sign(&self, key: &Key) -> Vec<u8> {
        let singles: Vec<u8> = self.singles.iter().flat_map(Single::der).collect();
        let data = sequence(&[
            &self.version,
            &self.responder_id,
            &self.produced_at,
            &sequence(&[&singles]),
            &extensions(&self.extensions),
        ]);
        let signature = self.signature.clone().unwrap_or_else(|| key.sign(&data));
        let certificates = if self.certificates.is_empty() {
            Vec::new()
        } else {
            tagged(0, &sequence(&[&self.certificates.concat()]))
        };
        self.wrap(&sequence(&[
            &data,
            self.algorithm.as_ref().unwrap_or(&key.algorithm),
            &bits(&signature),
            &certificates,
        ]))
    }

    /// The OCSPResponse around any BasicOCSPResponse.
    pub fn wrap(&self, basic: &[u8]) -> Vec<u8> {
        sequence(&[
            &encode(der::ENUMERATED, &[&[self.status]]),
            &tagged(0, &sequence(&[&oid(&self.response_type), &octets(basic)])),
        ])
    }
}

/// A response that consists of a status only.
pub fn responder_error(status: u8) -> Vec<u8> {
    sequence(&[&encode(der::ENUMERATED, &[&[status]])])
}

pub fn by_name(responder: &Certificate) -> Vec<u8> {
    tagged(1, responder.subject_name())
}

pub fn by_key(responder: &Certificate) -> Vec<u8> {
    tagged(2, &octets(&sha1(responder.public_key_bits())))
}

/// A root, an intermediate that issues, a leaf, and a delegated responder of the intermediate.
pub struct World {
    /// When its responses are current.
    pub now: Timestamp,
    pub root_key: Key,
    pub root: Certificate,
    pub issuer_key: Key,
    pub issuer: Certificate,
    pub leaf_key: Key,
    pub leaf: Certificate,
    pub delegate_key: Key,
    pub delegate: Certificate,
}

impl World {
    /// At [`NOW`].
    pub fn new() -> Self {
        World::at(NOW)
    }

    /// With certificates that are valid, and responses that are current, at `now`.
    pub fn at(now: Timestamp) -> Self {
        let (root_key, issuer_key) = (Key::p256(), Key::p256());
        let (leaf_key, delegate_key) = (Key::p256(), Key::p256());
        let root = CertificateBuilder::new("Root", "Root", &[1])
            .with(basic_constraints(true))
            .around(now)
            .sign(&root_key, &root_key);
        let issuer = CertificateBuilder::new("Root", "Issuer", &[2])
            .with(basic_constraints(true))
            .around(now)
            .sign(&issuer_key, &root_key);
        let leaf = CertificateBuilder::new("Issuer", "leaf.example.org", &[0x03, 0xa2, 0xef])
            .around(now)
            .sign(&leaf_key, &issuer_key);
        let delegate = Self::delegate_builder()
            .around(now)
            .sign(&delegate_key, &issuer_key);
        World {
            now,
            root_key,
            root,
            issuer_key,
            issuer,
            leaf_key,
            leaf,
            delegate_key,
            delegate,
        }
    }

    /// A proper delegate of "Issuer".
    pub fn delegate_builder() -> CertificateBuilder {
        CertificateBuilder::new("Issuer", "Responder", &[4])
            .with(key_usage(0x80))
            .with(extended_key_usage(&[OCSP_SIGNING]))
            .with(nocheck())
    }

    pub fn cert_id(&self) -> CertId {
        CertId::new(&self.leaf, &self.issuer)
    }

    /// Good for the leaf, to be signed by the issuer.
    pub fn direct(&self) -> ResponseBuilder {
        ResponseBuilder::good(&self.cert_id(), &self.issuer).around(self.now)
    }

    /// Good for the leaf, to be signed by a delegate with this certificate.
    pub fn delegated(&self, delegate: &Certificate) -> ResponseBuilder {
        let mut builder = ResponseBuilder::good(&self.cert_id(), delegate).around(self.now);
        builder.certificates = vec![delegate.der().to_vec()];
        builder
    }
}
