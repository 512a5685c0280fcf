//! The facts of one X.509 certificate that stapling needs, read once.
//!
//! Keeps the received bytes of everything that is hashed, compared or verified: names, key, serial
//! number, the signed part. It judges nothing: whether a certificate may sign a response is for
//! `ocsp`, whose issuer it is for `issuer`; what the extensions say is read in `extensions`.
//! Governed by RFC 5280 §4.1.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_parser::certificate::X509CertificateParser;
use x509_parser::nom::Parser as _;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use super::Error;
use super::der::{self, Reader};
use super::extensions::Extensions;
use super::signature::{self, Acceptance, AlgorithmIdentifier, KeyFamily, Strength};
use crate::text::{Printable, hexadecimal};
use crate::time::Timestamp;

/// Largest certificate that is read, in bytes; one of 1,000 names has some 30,000.
pub const MAX_CERTIFICATE_BYTES: usize = 64 * 1024;

/// The length of a full line of a PEM block (RFC 7468 §2).
const PEM_LINE: usize = 64;

/// At most this many characters of a subject are shown to people.
const MAX_DISPLAY_CHARACTERS: usize = 256;

/// One certificate. Cloning shares the facts.
#[derive(Clone)]
pub struct Certificate {
    facts: Arc<Facts>,
}

/// The received bytes once, and where the parts lie in them.
struct Facts {
    der: Box<[u8]>,
    signed_part: Range<usize>,
    signature_algorithm: Range<usize>,
    signature: Range<usize>,
    serial: Range<usize>,
    issuer_name: Range<usize>,
    subject_name: Range<usize>,
    subject_display: Box<str>,
    public_key_info: Range<usize>,
    public_key_bits: Range<usize>,
    not_before: Timestamp,
    not_after: Timestamp,
    extensions: Extensions,
}

impl Certificate {
    /// Reads one certificate that fills `der` exactly.
    ///
    /// # Errors
    /// [`Error::Der`] or [`Error::Certificate`] where it is no X.509 certificate,
    /// [`Error::Extension`] where an extension that decides something cannot be read,
    /// [`Error::LargeCertificate`] and [`Error::LongSerial`] beyond the bounds.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(Error::LargeCertificate);
        }
        let signed = SignedCertificate::read(der)?;
        let (_, parsed) = X509CertificateParser::new()
            .with_deep_parse_extensions(false)
            .parse(der)
            .map_err(|_| Error::Certificate)?;
        // RFC 5280 §4.1.1.2: the algorithm outside is the one that is signed inside.
        if parsed.signature_algorithm != parsed.tbs_certificate.signature {
            return Err(Error::Certificate);
        }
        let octets = der::octets_of_serial(parsed.raw_serial());
        if octets > der::MAX_SERIAL_OCTETS {
            return Err(Error::LongSerial { octets });
        }
        let public_key_info = parsed.public_key().raw;
        let (_, public_key_bits) = signature::read_public_key(public_key_info)?;
        let validity = parsed.validity();
        Ok(Certificate {
            facts: Arc::new(Facts {
                der: der.into(),
                signed_part: place_in(der, signed.part)?,
                signature_algorithm: place_in(der, signed.algorithm)?,
                signature: place_in(der, signed.signature)?,
                serial: place_in(der, parsed.raw_serial())?,
                issuer_name: place_in(der, parsed.issuer().as_raw())?,
                subject_name: place_in(der, parsed.subject().as_raw())?,
                subject_display: display_name(parsed.subject().as_raw()).into(),
                public_key_info: place_in(der, public_key_info)?,
                public_key_bits: place_in(der, public_key_bits)?,
                not_before: Timestamp::from_unix(validity.not_before.timestamp()),
                not_after: Timestamp::from_unix(validity.not_after.timestamp()),
                extensions: Extensions::read(&parsed)?,
            }),
        })
    }

    fn part(&self, place: &Range<usize>) -> &[u8] {
        self.facts.der.get(place.clone()).unwrap_or_default()
    }

    /// The whole certificate as received.
    pub fn der(&self) -> &[u8] {
        &self.facts.der
    }

    /// About how many bytes of memory it takes.
    pub fn memory(&self) -> usize {
        /// What is kept of it beside its bytes and what its extensions say.
        const FACTS: usize = 1024;
        [self.facts.der.len(), self.facts.extensions.memory(), FACTS]
            .iter()
            .sum()
    }

    /// The certificate as a PEM block (RFC 7468 §5).
    pub fn pem(&self) -> String {
        let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
        for line in STANDARD.encode(self.der()).as_bytes().chunks(PEM_LINE) {
            text.extend(line.iter().copied().map(char::from));
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
        text
    }

    /// Content octets of the serial number's INTEGER, as received.
    pub fn serial(&self) -> &[u8] {
        self.part(&self.facts.serial)
    }

    /// The issuer's Name, raw DER.
    pub fn issuer_name(&self) -> &[u8] {
        self.part(&self.facts.issuer_name)
    }

    /// The subject's Name, raw DER.
    pub fn subject_name(&self) -> &[u8] {
        self.part(&self.facts.subject_name)
    }

    /// The subject for people, such as `CN=www.example.org`; control characters replaced, bounded.
    pub fn subject_display(&self) -> &str {
        &self.facts.subject_display
    }

    /// What it is called in a sentence: its subject, or where that is empty its serial number.
    pub fn label(&self) -> String {
        match self.subject_display() {
            "" => {
                format!("serial number {}", hexadecimal(self.serial()))
            }
            subject => subject.to_owned(),
        }
    }

    /// The DNS names among the subject alternative names, 1,000 at most.
    pub fn names(&self) -> &[String] {
        &self.facts.extensions.dns_names
    }

    /// The IP addresses among the subject alternative names, 1,000 at most.
    pub fn ip_addresses(&self) -> &[IpAddr] {
        &self.facts.extensions.ip_addresses
    }

    /// The subject's first common name, where there is one.
    pub fn common_name(&self) -> Option<&str> {
        let (_, name) = X509Name::from_der(self.subject_name()).ok()?;
        let attribute = name.iter_common_name().next()?;
        attribute.as_str().ok()
    }

    /// The family of the public key, where it is a usual one.
    pub fn key_family(&self) -> Option<KeyFamily> {
        signature::key_family(self.public_key_info())
    }

    /// The raw SubjectPublicKeyInfo.
    pub fn public_key_info(&self) -> &[u8] {
        self.part(&self.facts.public_key_info)
    }

    /// The public key's BIT STRING without tag, length and unused-bits octet: what a CertID's
    /// issuerKeyHash and a ResponderID's KeyHash are taken over (RFC 6960 §4.1.1, §4.2.2.3).
    pub fn public_key_bits(&self) -> &[u8] {
        self.part(&self.facts.public_key_bits)
    }

    /// First second of validity.
    pub fn not_before(&self) -> Timestamp {
        self.facts.not_before
    }

    /// Last second of validity.
    pub fn not_after(&self) -> Timestamp {
        self.facts.not_after
    }

    /// The responders named in the certificate (AIA id-ad-ocsp), in its order: http and https
    /// only, without user information, at most 2048 bytes each, eight at most.
    pub fn ocsp_urls(&self) -> &[String] {
        &self.facts.extensions.ocsp_urls
    }

    /// Whether clients may insist on a staple: TLS feature status_request (RFC 7633).
    pub fn must_staple(&self) -> bool {
        self.facts.extensions.must_staple
    }

    /// Whether basicConstraints says CA.
    pub fn is_certificate_authority(&self) -> bool {
        self.facts.extensions.certificate_authority
    }

    /// Whether it is signed by its own key.
    pub fn is_self_signed(&self) -> bool {
        self.issuer_name() == self.subject_name()
            && self.verify_signature(self, Acceptance::Legacy).is_ok()
    }

    /// The authority key identifier's keyIdentifier, where there is one.
    pub fn authority_key_identifier(&self) -> Option<&[u8]> {
        self.facts.extensions.authority_key_identifier.as_deref()
    }

    /// The issuer name of the issuer's certificate by the authority key identifier's
    /// authorityCertIssuer: a raw DER Name, where there is one.
    pub fn authority_name(&self) -> Option<&[u8]> {
        self.facts.extensions.authority_name.as_deref()
    }

    /// The serial number of the issuer's certificate by the authority key identifier's
    /// authorityCertSerialNumber, where there is one.
    pub fn authority_serial(&self) -> Option<&[u8]> {
        self.facts.extensions.authority_serial.as_deref()
    }

    /// The subject key identifier, where there is one.
    pub fn subject_key_identifier(&self) -> Option<&[u8]> {
        self.facts.extensions.subject_key_identifier.as_deref()
    }

    /// Whether keyUsage has keyCertSign; `None` without the extension.
    pub fn allows_certificate_signing(&self) -> Option<bool> {
        self.facts.extensions.certificate_signing
    }

    /// Whether keyUsage has digitalSignature; `None` without the extension.
    pub fn allows_digital_signature(&self) -> Option<bool> {
        self.facts.extensions.digital_signature
    }

    /// Whether extendedKeyUsage names id-kp-OCSPSigning itself; anyExtendedKeyUsage does not count
    /// (RFC 6960 §4.2.2.2).
    pub fn has_ocsp_signing(&self) -> bool {
        self.facts.extensions.ocsp_signing
    }

    /// Whether id-pkix-ocsp-nocheck is there (RFC 6960 §4.2.2.2.1).
    pub fn has_ocsp_nocheck(&self) -> bool {
        self.facts.extensions.ocsp_nocheck
    }

    /// The first critical extension that is not understood here, in dotted numbers.
    pub fn unknown_critical_extension(&self) -> Option<&str> {
        self.facts.extensions.unknown_critical.as_deref()
    }

    /// SHA-1 of the whole certificate, as HAProxy prints it in `show ssl cert`.
    pub fn sha1_fingerprint(&self) -> [u8; 20] {
        hash(&digest::SHA1_FOR_LEGACY_USE_ONLY, self.der())
    }

    /// SHA-256 of the whole certificate.
    pub fn sha256_fingerprint(&self) -> [u8; 32] {
        hash(&digest::SHA256, self.der())
    }

    /// Checks that `signer`'s key made this certificate's signature.
    ///
    /// # Errors
    /// [`signature::Error`].
    pub fn verify_signature(
        &self,
        signer: &Certificate,
        acceptance: Acceptance,
    ) -> Result<Strength, signature::Error> {
        let algorithm =
            AlgorithmIdentifier::from_content(self.part(&self.facts.signature_algorithm))
                .map_err(|_| signature::Error::Invalid)?;
        signature::verify(
            signer.public_key_info(),
            algorithm,
            self.part(&self.facts.signed_part),
            self.part(&self.facts.signature),
            acceptance,
        )
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Certificate({})", self.subject_display())
    }
}

impl PartialEq for Certificate {
    /// The same certificate, byte for byte.
    fn eq(&self, other: &Self) -> bool {
        self.der() == other.der()
    }
}

impl Eq for Certificate {}

/// `Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signature }`.
struct SignedCertificate<'a> {
    /// The raw tbsCertificate.
    part: &'a [u8],
    /// The content of signatureAlgorithm.
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> SignedCertificate<'a> {
    fn read(der: &'a [u8]) -> Result<Self, der::Error> {
        let mut reader = Reader::new(der::only(der, der::SEQUENCE)?);
        let signed = SignedCertificate {
            part: reader.element(der::SEQUENCE)?.raw,
            algorithm: reader.content(der::SEQUENCE)?,
            signature: der::bit_string(reader.content(der::BIT_STRING)?)?,
        };
        reader.end()?;
        Ok(signed)
    }
}

/// Where `part`, which was read from `whole`, lies in it.
fn place_in(whole: &[u8], part: &[u8]) -> Result<Range<usize>, Error> {
    let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
    let place = start..start.saturating_add(part.len());
    match whole.get(place.clone()) {
        Some(found) if found == part => Ok(place),
        _ => Err(Error::Certificate),
    }
}

/// A raw Name for people, such as `CN=www.example.org`: printable, bounded;
/// `?` where it is none.
pub fn display_name(name: &[u8]) -> String {
    let Ok((_, name)) = X509Name::from_der(name) else {
        return "?".to_owned();
    };
    let shown = name.to_string().printable().to_string();
    shown.chars().take(MAX_DISPLAY_CHARACTERS).collect()
}

fn hash<const N: usize>(algorithm: &'static digest::Algorithm, bytes: &[u8]) -> [u8; N] {
    let mut output = [0; N];
    for (octet, value) in output
        .iter_mut()
        .zip(digest::digest(algorithm, bytes).as_ref())
    {
        *octet = *value;
    }
    output
}
