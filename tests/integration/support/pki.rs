//! A throwaway certification authority and its OCSP responses, in memory.
//!
//! Certificates come from rcgen; responses are written and signed here, byte by byte, so that a
//! test can have any of them: short-lived, large, with a CertID of another form.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256, SerialNumber, SigningKey,
};
use staplerd::haproxy::Offer;
use staplerd::ocsp::{CertId, Policy, Staple, Subject, verify};
use staplerd::time::Timestamp;
use staplerd::x509::Certificate;

/// An authority that issues certificates and answers for them.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    certificate: Certificate,
    leaf_key: KeyPair,
}

/// A certificate with its issuer and everything a server needs.
#[derive(Clone)]
pub struct Issued {
    pub certificate: Certificate,
    pub issuer: Certificate,
    pub name: String,
    leaf_pem: String,
    issuer_pem: String,
    key_pem: String,
}

/// A response to be made; the default is good, from one minute ago until in three days.
#[derive(Clone, Copy)]
pub struct Response {
    /// Seconds from now to thisUpdate and producedAt.
    pub this_update: i64,
    /// Seconds from now to nextUpdate.
    pub next_update: i64,
    /// Whether it says that the certificate is revoked (keyCompromise).
    pub is_revoked: bool,
    /// Whether the CertID's hash algorithm carries NULL parameters, as HAProxy's own does.
    pub null_parameters: bool,
    /// Bytes of an extension nobody knows, to make the response large.
    pub padding: usize,
}

impl Default for Response {
    fn default() -> Self {
        Response {
            this_update: -60,
            next_update: 3 * 24 * 3600,
            is_revoked: false,
            null_parameters: true,
            padding: 0,
        }
    }
}

impl Response {
    /// The default, but from `seconds` ago: another response than that from another time.
    pub fn from_seconds_ago(seconds: i64) -> Self {
        Response {
            this_update: -seconds,
            ..Response::default()
        }
    }
}

impl Authority {
    /// A new authority. The leaf certificates of one authority share a key, for speed.
    pub fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "Throwaway CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Authority {
            pem: certificate.pem(),
            certificate: Certificate::from_der(certificate.der()).unwrap(),
            issuer: Issuer::new(params, key),
            leaf_key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
        }
    }

    /// A certificate for `name`, whose OCSP responder is `ocsp_url` if one is given.
    pub fn issue(&self, name: &str, ocsp_url: Option<&str>) -> Issued {
        self.issue_changed(name, |params| {
            if let Some(url) = ocsp_url {
                let access = sequence(&[&sequence(&[
                    &tlv(0x06, &[b"\x2b\x06\x01\x05\x05\x07\x30\x01"]),
                    &tlv(0x86, &[url.as_bytes()]),
                ])]);
                params
                    .custom_extensions
                    .push(CustomExtension::from_oid_content(
                        &[1, 3, 6, 1, 5, 5, 7, 1, 1],
                        access,
                    ));
            }
        })
    }

    /// A certificate for `name` that is otherwise as `change` makes it.
    pub fn issue_changed(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let mut serial = [0; 16];
        serial.fill_with(|| fastrand::u8(..));
        serial[0] &= 0x7f;
        serial[0] |= 0x40;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let now = SystemTime::now();
        params.not_before = (now - Duration::from_secs(24 * 3600)).into();
        params.not_after = (now + Duration::from_secs(30 * 24 * 3600)).into();
        // HAProxy finds the issuer in its issuers-chain-path by this.
        params.use_authority_key_identifier_extension = true;
        change(&mut params);
        let leaf = params.signed_by(&self.leaf_key, &self.issuer).unwrap();
        Issued {
            certificate: Certificate::from_der(leaf.der()).unwrap(),
            issuer: self.certificate.clone(),
            name: name.to_owned(),
            leaf_pem: leaf.pem(),
            issuer_pem: self.pem.clone(),
            key_pem: self.leaf_key.serialize_pem(),
        }
    }

    /// Its own certificate, as it follows those that it issued.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A signed OCSP response for `issued`.
    pub fn respond(&self, issued: &Issued, response: Response) -> Vec<u8> {
        let mut cert_id = CertId::new(&issued.certificate, &issued.issuer)
            .der()
            .to_vec();
        if !response.null_parameters {
            cert_id = without_null(&cert_id);
        }
        let this_update = generalized_time(response.this_update);
        let key_compromise = tlv(0xa0, &[&tlv(0x0a, &[&[1]])]);
        let status = match response.is_revoked {
            false => tlv(0x80, &[]),
            true => tlv(0xa1, &[&generalized_time(-7200), &key_compromise]),
        };
        let single = sequence(&[
            &cert_id,
            &status,
            &this_update,
            &tlv(0xa0, &[&generalized_time(response.next_update)]),
        ]);
        let mut parts = vec![
            tlv(0xa1, &[self.issuer_name()]),
            this_update,
            sequence(&[&single]),
        ];
        if response.padding > 0 {
            let extension = sequence(&[
                &tlv(0x06, &[b"\x2b\x06\x01\x04\x01\x82\xdf\x13\x2a"]),
                &tlv(0x04, &[&vec![0x2a; response.padding]]),
            ]);
            parts.push(tlv(0xa1, &[&sequence(&[&extension])]));
        }
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let signed = sequence(&parts);
        let signature = self.issuer.key().sign(&signed).unwrap();
        let basic = sequence(&[
            &signed,
            &sequence(&[&tlv(0x06, &[b"\x2a\x86\x48\xce\x3d\x04\x03\x02"])]),
            &tlv(0x03, &[&[0], &signature]),
        ]);
        let response_bytes = sequence(&[
            &tlv(0x06, &[b"\x2b\x06\x01\x05\x05\x07\x30\x01\x01"]),
            &tlv(0x04, &[&basic]),
        ]);
        sequence(&[&tlv(0x0a, &[&[0]]), &tlv(0xa0, &[&response_bytes])])
    }

    /// A verified staple for `issued`, ready to be delivered.
    pub fn staple(&self, issued: &Issued, response: Response) -> StapleOffer {
        let der = self.respond(issued, response);
        let subject = Subject {
            certificate: &issued.certificate,
            issuer: &issued.issuer,
        };
        // Judged as at its own birth, so that a test can have one that is about to end.
        let at = now().unix() + response.this_update;
        let assessment = verify(
            &der,
            subject,
            None,
            Timestamp::from_unix(at),
            Policy::default(),
        );
        StapleOffer(Offer {
            staple: Arc::new(assessment.unwrap().stapling.unwrap()),
            certificate: issued.certificate.clone(),
            issuer: issued.issuer.clone(),
            policy: Policy::default(),
        })
    }

    fn issuer_name(&self) -> &[u8] {
        self.certificate.subject_name()
    }
}

/// A delivery that can be looked at as the staple it is about.
#[derive(Clone)]
pub struct StapleOffer(pub Offer);

impl Deref for StapleOffer {
    type Target = Staple;

    fn deref(&self) -> &Staple {
        &self.0.staple
    }
}

impl Issued {
    /// Certificate, chain and key, as HAProxy loads them from one file.
    pub fn pem(&self) -> String {
        format!("{}{}{}", self.leaf_pem, self.issuer_pem, self.key_pem)
    }
}

/// The present second.
pub fn now() -> Timestamp {
    SystemTime::now().into()
}

fn generalized_time(seconds_from_now: i64) -> Vec<u8> {
    let time = Timestamp::from_unix(now().unix() + seconds_from_now).to_string();
    let digits: String = time.chars().filter(char::is_ascii_digit).collect();
    tlv(0x18, &[format!("{digits}Z").as_bytes()])
}

fn without_null(cert_id: &[u8]) -> Vec<u8> {
    const WITH_NULL: &[u8] = b"\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00";
    const WITHOUT: &[u8] = b"\x30\x07\x06\x05\x2b\x0e\x03\x02\x1a";
    let content = &cert_id[2..];
    assert!(content.starts_with(WITH_NULL));
    sequence(&[WITHOUT, &content[WITH_NULL.len()..]])
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, parts)
}

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut der = vec![tag];
    match content.len() {
        short @ 0..0x80 => der.push(short as u8),
        long @ 0x80..0x100 => der.extend([0x81, long as u8]),
        long => der.extend([0x82, (long >> 8) as u8, long as u8]),
    }
    der.extend(content);
    der
}
