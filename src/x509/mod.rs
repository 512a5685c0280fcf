//! Certificates: from a PEM file's bytes to the facts that stapling needs.
//!
//! Reads bundles as HAProxy does, keeps raw what will be hashed or verified, chooses the issuer,
//! and owns the strict DER reader and the table of accepted signatures, which `ocsp` uses too.
//! Builds no certification paths, holds no trust store, never decodes a private key.
//! Governed by RFC 5280 and RFC 7468.

// What strangers have written is read here.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

pub mod bundle;
pub mod certificate;
pub mod der;
mod extensions;
pub mod issuer;
mod name;
mod reference;
pub mod signature;
mod url;

#[cfg(test)]
mod tests;

pub use bundle::Bundle;
pub use certificate::Certificate;
pub use issuer::{find_issuer, unsupported_issuer};
pub use name::NamePattern;
pub use reference::CertificateReference;
pub use signature::KeyFamily;

/// Why bytes yielded no certificate.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// There is no certificate block at all.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// There is a private key, but no certificate.
    #[error("there is a private key in it, but no certificate")]
    OnlyPrivateKey,
    /// A block has no END line: the file is half-written, and may be whole in a moment.
    #[error("a PEM block has no END line: the file is cut off or still being written")]
    CutOff,
    /// A certificate block's text is not base64.
    #[error("a certificate block is not valid base64")]
    Base64,
    /// A certificate is not well-formed DER.
    #[error("a certificate is not valid DER: {0}")]
    Der(#[from] der::Error),
    /// DER, but not an X.509 certificate (RFC 5280 §4.1).
    #[error("a certificate block holds no X.509 certificate (RFC 5280 section 4.1)")]
    Certificate,
    /// An extension that decides something cannot be read; it is named as RFC 5280 does.
    #[error("a certificate's {0} extension cannot be read (RFC 5280 section 4.2)")]
    Extension(&'static str),
    /// A certificate of more than 64 KiB, see [`certificate::MAX_CERTIFICATE_BYTES`].
    #[error("a certificate is larger than 64 KiB")]
    LargeCertificate,
    /// A serial number of more than 20 octets (RFC 5280 §4.1.2.2).
    #[error(
        "a certificate's serial number has {octets} octets, 20 are allowed \
         (RFC 5280 section 4.1.2.2)"
    )]
    LongSerial {
        /// How many octets it has.
        octets: usize,
    },
    /// More than 1 MiB, see [`bundle::MAX_PEM_BYTES`].
    #[error("it is larger than 1 MiB")]
    TooLarge,
}

impl Error {
    /// The variant's name in snake_case.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::NoCertificate => "no_certificate",
            Error::OnlyPrivateKey => "only_private_key",
            Error::CutOff => "cut_off",
            Error::Base64 => "base64",
            Error::Der(_) => "der",
            Error::Certificate => "certificate",
            Error::Extension(_) => "extension",
            Error::LargeCertificate => "large_certificate",
            Error::LongSerial { .. } => "long_serial",
            Error::TooLarge => "too_large",
        }
    }
}
