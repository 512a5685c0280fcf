//! CertID: which certificate a request or a response is about (RFC 6960 §4.1.1).
//!
//! [`CertId`] is the one form staplerd asks with and HAProxy looks staples up by: SHA-1 with NULL
//! parameters, compared as bytes. [`ReceivedCertId`] is the one that a response or request carries.
//! A SHA-1 here names a certificate; it is no signature and no weakness.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;

use crate::text::shown_hexadecimal;
use crate::x509::Certificate;
use crate::x509::der::{self, Reader};
use crate::x509::signature::AlgorithmIdentifier;

/// Object identifier of SHA-1 (RFC 3279 §2.1).
const SHA1: &[u8] = b"\x2b\x0e\x03\x02\x1a";

/// AlgorithmIdentifier of SHA-1 with NULL parameters.
const SHA1_WITH_NULL: &[u8] = b"\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00";

/// A hash algorithm that a CertID may be made with.
struct Hash {
    name: &'static str,
    identifier: &'static [u8],
    algorithm: &'static digest::Algorithm,
}

static HASHES: &[Hash] = &[
    Hash {
        name: "SHA-1",
        identifier: SHA1,
        algorithm: &digest::SHA1_FOR_LEGACY_USE_ONLY,
    },
    Hash {
        name: "SHA-256",
        identifier: b"\x60\x86\x48\x01\x65\x03\x04\x02\x01",
        algorithm: &digest::SHA256,
    },
    Hash {
        name: "SHA-384",
        identifier: b"\x60\x86\x48\x01\x65\x03\x04\x02\x02",
        algorithm: &digest::SHA384,
    },
    Hash {
        name: "SHA-512",
        identifier: b"\x60\x86\x48\x01\x65\x03\x04\x02\x03",
        algorithm: &digest::SHA512,
    },
];

/// The CertID of a certificate as HAProxy computes it: SHA-1, NULL parameters, DER.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertId {
    der: Arc<[u8]>,
}

impl CertId {
    /// The CertID of `certificate`, which `issuer` issued: the hash of the issuer's name as it
    /// stands in the certificate, the hash of the issuer's key, the serial number.
    pub fn new(certificate: &Certificate, issuer: &Certificate) -> Self {
        let sha1 = |bytes| digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
        let name_hash = sha1(certificate.issuer_name());
        let key_hash = sha1(issuer.public_key_bits());
        CertId {
            der: der::encode(
                der::SEQUENCE,
                &[
                    SHA1_WITH_NULL,
                    &der::encode(der::OCTET_STRING, &[name_hash.as_ref()]),
                    &der::encode(der::OCTET_STRING, &[key_hash.as_ref()]),
                    &der::encode(der::INTEGER, &[certificate.serial()]),
                ],
            )
            .into(),
        }
    }

    /// The DER that HAProxy uses as key, and that a request carries.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

impl fmt::Debug for CertId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CertId({})", shown_hexadecimal(&self.der))
    }
}

/// A CertID as a response or a request carries it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReceivedCertId<'a> {
    /// The whole element.
    pub raw: &'a [u8],
    /// Which hash the two hashes were made with.
    pub hash_algorithm: AlgorithmIdentifier<'a>,
    /// Hash of the issuer's name.
    pub issuer_name_hash: &'a [u8],
    /// Hash of the issuer's key.
    pub issuer_key_hash: &'a [u8],
    /// Content octets of the serial number.
    pub serial: &'a [u8],
}

/// The part of a CertID that belongs to another certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mismatch {
    /// The serial number.
    Serial,
    /// The hash of the issuer's name.
    IssuerName,
    /// The hash of the issuer's key.
    IssuerKey,
    /// The hash algorithm is not one that can be computed here.
    HashAlgorithm,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Mismatch::Serial => "another serial number",
            Mismatch::IssuerName => "the hash of another issuer name",
            Mismatch::IssuerKey => "the hash of another issuer key",
            Mismatch::HashAlgorithm => "an unknown hash algorithm",
        })
    }
}

impl<'a> ReceivedCertId<'a> {
    /// Reads the next CertID.
    ///
    /// # Errors
    /// What X.690 has against it.
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, der::Error> {
        let element = reader.element(der::SEQUENCE)?;
        let mut reader = Reader::new(element.content);
        let cert_id = ReceivedCertId {
            raw: element.raw,
            hash_algorithm: AlgorithmIdentifier::from_content(reader.content(der::SEQUENCE)?)?,
            issuer_name_hash: reader.content(der::OCTET_STRING)?,
            issuer_key_hash: reader.content(der::OCTET_STRING)?,
            serial: der::serial_number(reader.content(der::INTEGER)?)?,
        };
        reader.end()?;
        Ok(cert_id)
    }

    /// Checks that this CertID is that of `certificate` issued by `issuer`: serial number, both
    /// hashes, by the hash algorithm it names (RFC 6960 §3.2 item 1).
    ///
    /// # Errors
    /// The first part that differs.
    pub fn check(&self, certificate: &Certificate, issuer: &Certificate) -> Result<(), Mismatch> {
        if self.serial != certificate.serial() {
            return Err(Mismatch::Serial);
        }
        let algorithm = self
            .hash()
            .filter(|_| self.hash_algorithm.has_no_parameters())
            .ok_or(Mismatch::HashAlgorithm)?
            .algorithm;
        if digest::digest(algorithm, certificate.issuer_name()).as_ref() != self.issuer_name_hash {
            return Err(Mismatch::IssuerName);
        }
        if digest::digest(algorithm, issuer.public_key_bits()).as_ref() != self.issuer_key_hash {
            return Err(Mismatch::IssuerKey);
        }
        Ok(())
    }

    /// Whether it is made with SHA-1, the only hash HAProxy looks staples up by.
    pub fn is_sha1(&self) -> bool {
        self.hash_algorithm.algorithm == SHA1
    }

    /// The hash algorithm's name, or its object identifier where it is not known here.
    pub fn hash_name(&self) -> String {
        self.hash().map_or_else(
            || der::dotted(self.hash_algorithm.algorithm),
            |hash| hash.name.to_owned(),
        )
    }

    fn hash(&self) -> Option<&'static Hash> {
        HASHES
            .iter()
            .find(|hash| hash.identifier == self.hash_algorithm.algorithm)
    }
}
