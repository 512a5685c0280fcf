//! The extensions of a certificate that stapling decides by.
//!
//! An extension that decides something and cannot be read makes the certificate unreadable; one
//! that only helps to choose or to show is then taken as absent. Critical extensions that are not
//! named here are noted, for `ocsp` to refuse a delegate by. Governed by RFC 5280 §4.2, RFC 7633
//! (TLS feature) and RFC 6960 §4.2.2.2.1 (nocheck).

use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{
    AuthorityInfoAccess, AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, GeneralName,
    KeyIdentifier, KeyUsage, SubjectAlternativeName, X509Extension,
};
use x509_parser::prelude::FromDer;

use super::der::{self, Reader};
use super::{Error, url};

const SUBJECT_KEY_IDENTIFIER: &[u8] = b"\x55\x1d\x0e";
const KEY_USAGE: &[u8] = b"\x55\x1d\x0f";
const SUBJECT_ALTERNATIVE_NAME: &[u8] = b"\x55\x1d\x11";
const BASIC_CONSTRAINTS: &[u8] = b"\x55\x1d\x13";
const CRL_DISTRIBUTION_POINTS: &[u8] = b"\x55\x1d\x1f";
const CERTIFICATE_POLICIES: &[u8] = b"\x55\x1d\x20";
const AUTHORITY_KEY_IDENTIFIER: &[u8] = b"\x55\x1d\x23";
const EXTENDED_KEY_USAGE: &[u8] = b"\x55\x1d\x25";
const AUTHORITY_INFORMATION_ACCESS: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x01\x01";
const TLS_FEATURE: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x01\x18";
const OCSP_NOCHECK: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x30\x01\x05";

/// id-ad-ocsp, the access method of a responder (RFC 5280 §4.2.2.1).
const ACCESS_OCSP: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x30\x01";

/// status_request as a TLS feature (RFC 7633, RFC 6066): the certificate asks to be stapled.
const STATUS_REQUEST: u8 = 5;

/// At most this many responder URLs of a certificate are kept; real ones have one or two.
const MAX_OCSP_URLS: usize = 8;

/// At most this many names of a kind are kept: more than any CA puts into one certificate.
const MAX_NAMES: usize = 1000;

/// What a certificate's extensions say; without an extension its default.
#[derive(Default)]
pub(super) struct Extensions {
    pub(super) dns_names: Vec<String>,
    pub(super) ip_addresses: Vec<IpAddr>,
    pub(super) ocsp_urls: Vec<String>,
    pub(super) must_staple: bool,
    pub(super) certificate_authority: bool,
    pub(super) authority_key_identifier: Option<Vec<u8>>,
    pub(super) authority_name: Option<Vec<u8>>,
    pub(super) authority_serial: Option<Vec<u8>>,
    pub(super) subject_key_identifier: Option<Vec<u8>>,
    pub(super) certificate_signing: Option<bool>,
    pub(super) digital_signature: Option<bool>,
    pub(super) ocsp_signing: bool,
    pub(super) ocsp_nocheck: bool,
    pub(super) unknown_critical: Option<String>,
}

impl Extensions {
    /// About how many bytes of memory it takes.
    pub(super) fn memory(&self) -> usize {
        let texts = self.dns_names.iter().chain(&self.ocsp_urls);
        let texts = texts.map(|text| size_of::<String>().saturating_add(text.len()));
        let addresses = self.ip_addresses.iter().map(size_of_val);
        texts.chain(addresses).sum()
    }

    /// Reads all extensions of a certificate.
    pub(super) fn read(certificate: &X509Certificate<'_>) -> Result<Self, Error> {
        certificate
            .extensions_map()
            .map_err(|_| Error::Der(der::Error::DuplicateExtension))?;
        let mut extensions = Extensions::default();
        for extension in certificate.extensions() {
            extensions.read_one(extension)?;
        }
        Ok(extensions)
    }

    fn read_one(&mut self, extension: &X509Extension<'_>) -> Result<(), Error> {
        match extension.oid.as_bytes() {
            BASIC_CONSTRAINTS => {
                let constraints: BasicConstraints = decode("basicConstraints", extension)?;
                self.certificate_authority = constraints.ca;
            }
            KEY_USAGE => {
                let usage: KeyUsage = decode("keyUsage", extension)?;
                self.digital_signature = Some(usage.digital_signature());
                self.certificate_signing = Some(usage.key_cert_sign());
            }
            EXTENDED_KEY_USAGE => {
                let usage: ExtendedKeyUsage<'_> = decode("extKeyUsage", extension)?;
                self.ocsp_signing = usage.ocsp_signing;
            }
            AUTHORITY_INFORMATION_ACCESS => {
                let access: AuthorityInfoAccess<'_> = decode("authorityInfoAccess", extension)?;
                self.ocsp_urls = ocsp_urls(&access);
            }
            TLS_FEATURE => {
                self.must_staple = has_status_request(extension.value)
                    .map_err(|_| Error::Extension("tlsFeature"))?;
            }
            OCSP_NOCHECK => self.ocsp_nocheck = true,
            AUTHORITY_KEY_IDENTIFIER => self.read_authority_key_identifier(extension),
            SUBJECT_KEY_IDENTIFIER => {
                let identifier = decode("subjectKeyIdentifier", extension);
                self.subject_key_identifier = identifier
                    .ok()
                    .map(|identifier: KeyIdentifier<'_>| identifier.0.to_vec());
            }
            SUBJECT_ALTERNATIVE_NAME => {
                let names: Result<SubjectAlternativeName<'_>, _> =
                    decode("subjectAltName", extension);
                if let Ok(names) = names {
                    self.ip_addresses = ip_addresses(&names);
                    self.dns_names = dns_names(&names);
                }
            }
            // Understood in so far as neither policies nor CRLs are asked for.
            CERTIFICATE_POLICIES | CRL_DISTRIBUTION_POINTS => {}
            unknown => {
                if extension.critical && self.unknown_critical.is_none() {
                    self.unknown_critical = Some(der::dotted(unknown));
                }
            }
        }
        Ok(())
    }

    fn read_authority_key_identifier(&mut self, extension: &X509Extension<'_>) {
        let identifier: Result<AuthorityKeyIdentifier<'_>, _> =
            decode("authorityKeyIdentifier", extension);
        let Ok(identifier) = identifier else {
            return;
        };
        let names = identifier.authority_cert_issuer.unwrap_or_default();
        self.authority_name = names.iter().find_map(|name| match name {
            GeneralName::DirectoryName(name) => Some(name.as_raw().to_vec()),
            _ => None,
        });
        self.authority_serial = identifier.authority_cert_serial.map(<[u8]>::to_vec);
        self.authority_key_identifier = identifier
            .key_identifier
            .map(|identifier| identifier.0.to_vec());
    }
}

fn decode<'a, T>(name: &'static str, extension: &X509Extension<'a>) -> Result<T, Error>
where
    T: FromDer<'a, x509_parser::error::X509Error>,
{
    match T::from_der(extension.value) {
        Ok(([], value)) => Ok(value),
        _ => Err(Error::Extension(name)),
    }
}

fn ocsp_urls(access: &AuthorityInfoAccess<'_>) -> Vec<String> {
    access
        .iter()
        .filter(|description| description.access_method.as_bytes() == ACCESS_OCSP)
        .filter_map(|description| match description.access_location {
            GeneralName::URI(url) if url::is_usable(url) => Some(url.to_owned()),
            _ => None,
        })
        .take(MAX_OCSP_URLS)
        .collect()
}

/// An iPAddress is the address's octets (RFC 5280 §4.2.1.6).
fn ip_addresses(names: &SubjectAlternativeName<'_>) -> Vec<IpAddr> {
    names
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::IPAddress(octets) => <[u8; 4]>::try_from(*octets)
                .map(IpAddr::from)
                .or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from))
                .ok(),
            _ => None,
        })
        .take(MAX_NAMES)
        .collect()
}

fn dns_names(names: &SubjectAlternativeName<'_>) -> Vec<String> {
    names
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) if name.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Some((*name).to_owned())
            }
            _ => None,
        })
        .take(MAX_NAMES)
        .collect()
}

/// `Features ::= SEQUENCE OF INTEGER` (RFC 7633 §4).
fn has_status_request(value: &[u8]) -> Result<bool, der::Error> {
    let mut reader = Reader::new(der::only(value, der::SEQUENCE)?);
    let mut found = false;
    while !reader.is_empty() {
        found |= der::integer(reader.content(der::INTEGER)?)? == [STATUS_REQUEST];
    }
    Ok(found)
}
