//! The honest CA: it issues, answers, and knows each response that it ever signed, so that a staple
//! is judged without any of the program's own code.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use staplerd::time::Timestamp;

use crate::pki::{
    CertificateBuilder, HOUR, Key, NULL, ResponseBuilder, SHA1, Single, algorithm,
    basic_constraints, good, integer, name, octets, pem, sequence, sha1, tagged, time,
};

/// How long its responses are valid.
const VALIDITY: Duration = Duration::from_secs(4 * 24 * 3600);
/// Bytes of an uncompressed point of P-256, at the end of its SubjectPublicKeyInfo.
const POINT: usize = 65;

/// A certificate to be: what a row of the table decides of it.
pub struct Wish<'a> {
    pub subject: &'a [u8],
    pub serial: &'a [u8],
    /// Whole extensions.
    pub extensions: Vec<Vec<u8>>,
}

/// A CA that answers for its certificates itself.
pub struct Authority {
    key: Key,
    leaf_key: Key,
    name: Vec<u8>,
    pem: String,
    /// Whose responses were signed: serial number and bytes.
    signed: Mutex<Vec<(Vec<u8>, Vec<u8>)>>,
}

impl Authority {
    pub fn new(common_name: &[u8]) -> Self {
        let key = Key::p256();
        let mut builder = CertificateBuilder::new("", "", &[1])
            .with(basic_constraints(true))
            .around(now());
        builder.subject = name(common_name);
        builder.issuer = name(common_name);
        let pem = pem("CERTIFICATE", &builder.der(&key, &key));
        Authority {
            key,
            leaf_key: Key::p256(),
            name: name(common_name),
            pem,
            signed: Mutex::default(),
        }
    }

    /// Certificate, chain and key as HAProxy loads them, and the certificate's DER.
    pub fn issue(&self, wish: Wish<'_>) -> (String, Vec<u8>) {
        let mut builder = CertificateBuilder::new("", "", wish.serial).around(now());
        builder.issuer.clone_from(&self.name);
        builder.subject = name(wish.subject);
        builder.extensions = wish.extensions;
        let der = builder.der(&self.leaf_key, &self.key);
        let bundle = pem("CERTIFICATE", &der) + &self.pem + &self.leaf_key.pem();
        (bundle, der)
    }

    /// A good response, newer by a second than the one before.
    fn good(&self, serial: &[u8]) -> Vec<u8> {
        let mut signed = self.signed.lock().unwrap();
        let age = 3 * HOUR - Duration::from_secs(signed.len() as u64);
        let der = self.response(serial, age).sign(&self.key);
        signed.push((serial.to_vec(), der.clone()));
        der
    }

    /// A good response of this age, to be made wrong.
    fn response(&self, serial: &[u8], age: Duration) -> ResponseBuilder {
        let this_update = now().saturating_sub(age);
        let point = &self.key.public_key_info[self.key.public_key_info.len() - POINT..];
        let cert_id = sequence(&[
            &algorithm(SHA1, NULL),
            &octets(&sha1(&self.name)),
            &octets(&sha1(point)),
            &integer(serial),
        ]);
        ResponseBuilder {
            status: 0,
            response_type: "1.3.6.1.5.5.7.48.1.1".to_owned(),
            version: Vec::new(),
            responder_id: tagged(2, &octets(&sha1(point))),
            produced_at: time(this_update),
            singles: vec![Single {
                cert_id,
                status: good(),
                this_update: time(this_update),
                next_update: Some(time(this_update.saturating_add(VALIDITY))),
                extensions: Vec::new(),
            }],
            extensions: Vec::new(),
            certificates: Vec::new(),
            algorithm: None,
            signature: None,
        }
    }

    /// Which of its responses this is, if it is one for this serial number: later ones are newer.
    pub fn number_of(&self, serial: &[u8], staple: &[u8]) -> Option<usize> {
        let signed = self.signed.lock().unwrap();
        signed
            .iter()
            .position(|(whose, der)| whose == serial && der == staple)
    }

    /// How many responses it has signed.
    pub fn signed(&self) -> usize {
        self.signed.lock().unwrap().len()
    }
}

/// Signs for one certificate.
pub struct Signer {
    authority: Arc<Authority>,
    serial: Vec<u8>,
}

impl Signer {
    pub fn new(authority: Arc<Authority>, serial: Vec<u8>) -> Self {
        Signer { authority, serial }
    }

    /// A good response, newer than all before.
    pub fn good(&self) -> Vec<u8> {
        self.authority.good(&self.serial)
    }

    /// A response that is good but for what `change` does to it, signed all the same.
    pub fn changed(&self, change: impl FnOnce(&mut ResponseBuilder)) -> Vec<u8> {
        let mut builder = self.authority.response(&self.serial, HOUR);
        change(&mut builder);
        builder.sign(&self.authority.key)
    }

    /// A good response for another certificate of the same CA.
    pub fn for_another(&self, serial: &[u8]) -> Vec<u8> {
        self.authority
            .response(serial, HOUR)
            .sign(&self.authority.key)
    }
}

pub fn now() -> Timestamp {
    SystemTime::now().into()
}
