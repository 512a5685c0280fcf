//! What one PEM file holds.
//!
//! Decodes certificate blocks and nothing else: the text of a private key is stepped over, never
//! decoded or copied. The leaf is the first certificate, wherever the key stands, as HAProxy reads
//! a `crt` file (configuration manual, `crt`). PEM's form is RFC 7468, read as OpenSSL does: text
//! between blocks is ignored.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::der::Reader;
use super::{Certificate, Error};

/// Largest file that is read, in bytes.
pub const MAX_PEM_BYTES: usize = 1024 * 1024;

/// The certificates of one file, the leaf first.
#[derive(Clone, Debug)]
pub struct Bundle {
    certificates: Vec<Certificate>,
}

impl Bundle {
    /// Reads a file that may hold a private key, and wipes the buffer.
    ///
    /// # Errors
    /// As [`Bundle::from_pem`].
    pub fn from_pem_buffer(pem: Zeroizing<Vec<u8>>) -> Result<Bundle, Error> {
        Bundle::from_pem(&pem)
    }

    /// Reads a file's certificates; wiping `pem` is left to the caller.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::NoCertificate`], [`Error::OnlyPrivateKey`],
    /// [`Error::CutOff`] for a block without its END line, [`Error::Base64`], and what
    /// [`Certificate::from_der`] has against a certificate.
    pub fn from_pem(pem: &[u8]) -> Result<Bundle, Error> {
        if pem.len() > MAX_PEM_BYTES {
            return Err(Error::TooLarge);
        }
        let mut certificates = Vec::new();
        let mut found_private_key = false;
        let mut lines = pem.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end);
        while let Some(line) = lines.next() {
            let Some(label) = between(line, b"-----BEGIN ") else {
                continue;
            };
            match label {
                b"CERTIFICATE" | b"X509 CERTIFICATE" => {
                    certificates.push(Certificate::from_der(&body(&mut lines, label)?)?);
                }
                b"TRUSTED CERTIFICATE" => {
                    // OpenSSL's own form: the certificate, then its trust settings.
                    let body = body(&mut lines, label)?;
                    certificates.push(Certificate::from_der(Reader::new(&body).any()?.raw)?);
                }
                _ => {
                    found_private_key |= label.ends_with(b"PRIVATE KEY");
                    step_over(&mut lines, label)?;
                }
            }
        }
        match (certificates.is_empty(), found_private_key) {
            (false, _) => Ok(Bundle { certificates }),
            (true, true) => Err(Error::OnlyPrivateKey),
            (true, false) => Err(Error::NoCertificate),
        }
    }

    /// All certificates in the file's order; at least one.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// The first certificate: the one HAProxy serves.
    #[expect(
        clippy::indexing_slicing,
        reason = "no bundle is made without a certificate"
    )]
    pub fn leaf(&self) -> &Certificate {
        &self.certificates[0]
    }

    /// The certificates after the leaf, in the file's order.
    pub fn chain(&self) -> &[Certificate] {
        self.certificates.get(1..).unwrap_or_default()
    }
}

impl From<Certificate> for Bundle {
    /// A leaf without chain.
    fn from(leaf: Certificate) -> Self {
        Bundle {
            certificates: vec![leaf],
        }
    }
}

/// `LABEL` where the line is `<start>LABEL-----`.
fn between<'a>(line: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    line.strip_prefix(start)?.strip_suffix(b"-----")
}

/// The decoded content of the certificate block that has just begun.
fn body<'a>(lines: &mut impl Iterator<Item = &'a [u8]>, label: &[u8]) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    for line in lines {
        if between(line, b"-----END ") == Some(label) {
            return STANDARD.decode(text).map_err(|_| Error::Base64);
        }
        if line.starts_with(b"-----") {
            return Err(Error::CutOff);
        }
        text.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
    }
    Err(Error::CutOff)
}

/// Goes to the end of a block that is not looked into.
fn step_over<'a>(lines: &mut impl Iterator<Item = &'a [u8]>, label: &[u8]) -> Result<(), Error> {
    for line in lines {
        if between(line, b"-----END ") == Some(label) {
            return Ok(());
        }
        if line.starts_with(b"-----BEGIN ") {
            return Err(Error::CutOff);
        }
    }
    Err(Error::CutOff)
}
