//! The private key that signs responses.
//!
//! Reads the PEM forms that openssl writes: PKCS#8 (RFC 5958), SEC1 (RFC 5915), PKCS#1 (RFC 8017).
//! RSA from 2048 bits, P-256, P-384, Ed25519. Encrypted keys are refused: a responder starts
//! unattended, and a passphrase in its configuration protects nothing. Keys are never written.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// AlgorithmIdentifier of sha256WithRSAEncryption (RFC 4055 §5).
const SHA256_WITH_RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00";
/// AlgorithmIdentifier of ecdsa-with-SHA256 (RFC 5758 §3.2).
const ECDSA_WITH_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
/// AlgorithmIdentifier of ecdsa-with-SHA384 (RFC 5758 §3.2).
const ECDSA_WITH_SHA384: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03";
/// AlgorithmIdentifier of Ed25519 (RFC 8410 §3).
const ED25519: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x70";

/// Why there is no key to sign with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyError {
    /// No private key among the PEM blocks.
    #[error("there is no private key in it")]
    NoKey,
    /// It asks for a passphrase.
    #[error(
        "the private key is encrypted; a responder starts unattended, so give it a key without a passphrase (openssl pkey -in ENCRYPTED -out PLAIN), readable by its user only"
    )]
    Encrypted,
    /// No END line, or text that is not base64.
    #[error("the private key's PEM block is damaged")]
    Damaged,
    /// A key of a kind that is not signed with here, or a damaged one.
    #[error("the private key is none of RSA (2048 bits or more), P-256, P-384, Ed25519")]
    Unsupported,
}

/// The library could not sign; it says no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("signing failed")]
pub struct SigningFailed;

enum Pair {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A private key with the one algorithm it signs with.
pub struct SigningKey {
    pair: Pair,
    algorithm: &'static [u8],
}

impl fmt::Debug for SigningKey {
    /// The kind of key, nothing of its content.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.pair {
            Pair::Rsa(_) => "RSA",
            Pair::Ecdsa(_) => "ECDSA",
            Pair::Ed25519(_) => "Ed25519",
        };
        write!(formatter, "SigningKey({kind})")
    }
}

impl SigningKey {
    /// Reads the first private key of a PEM file.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        const BEGIN: &str = "-----BEGIN ";
        const ENCRYPTED_HEADER: &str = "Proc-Type:";
        let mut lines = pem.lines().map(str::trim_end);
        let label = lines
            .by_ref()
            .filter_map(|line| line.strip_prefix(BEGIN)?.strip_suffix("-----"))
            .find(|label| label.ends_with("PRIVATE KEY"))
            .ok_or(KeyError::NoKey)?;
        let end = format!("-----END {label}-----");
        let mut text = Zeroizing::new(String::with_capacity(pem.len()));
        let mut ended = false;
        for line in lines {
            if line == end {
                ended = true;
                break;
            }
            if line.starts_with(ENCRYPTED_HEADER) {
                return Err(KeyError::Encrypted);
            }
            text.push_str(line);
        }
        if !ended {
            return Err(KeyError::Damaged);
        }
        let decoded = STANDARD.decode(text.as_bytes());
        let der = Zeroizing::new(decoded.map_err(|_| KeyError::Damaged)?);
        let pair = match label {
            "PRIVATE KEY" => ecdsa(&der).or_else(|| ed25519(&der)).or_else(|| rsa(&der)),
            "EC PRIVATE KEY" => ecdsa(&der),
            "RSA PRIVATE KEY" => rsa(&der),
            "ENCRYPTED PRIVATE KEY" => return Err(KeyError::Encrypted),
            _ => None,
        };
        pair.ok_or(KeyError::Unsupported)
    }

    /// A new P-256 key, for tests and for signatures that are meant to be wrong.
    ///
    /// # Errors
    /// [`SigningFailed`] where the library cannot make one.
    pub fn generate() -> Result<Self, SigningFailed> {
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_ASN1_SIGNING);
        Ok(SigningKey {
            pair: Pair::Ecdsa(pair.map_err(|_| SigningFailed)?),
            algorithm: ECDSA_WITH_SHA256,
        })
    }

    /// The public key's bits, as a certificate's SubjectPublicKeyInfo holds them.
    pub fn public_key_bits(&self) -> &[u8] {
        match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_ref(),
            Pair::Ecdsa(pair) => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
        }
    }

    /// The AlgorithmIdentifier of its signatures, DER.
    pub fn algorithm(&self) -> &'static [u8] {
        self.algorithm
    }

    /// Signs `message`.
    ///
    /// # Errors
    /// [`SigningFailed`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut made = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut made)
                    .map_err(|_| SigningFailed)?;
                Ok(made)
            }
            Pair::Ecdsa(pair) => pair
                .sign(&random, message)
                .map(|made| made.as_ref().to_vec())
                .map_err(|_| SigningFailed),
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

/// SEC1 or PKCS#8.
fn ecdsa(der: &[u8]) -> Option<SigningKey> {
    const CURVES: [(&EcdsaSigningAlgorithm, &[u8]); 2] = [
        (
            &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
            ECDSA_WITH_SHA256,
        ),
        (
            &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
            ECDSA_WITH_SHA384,
        ),
    ];
    CURVES.into_iter().find_map(|(curve, algorithm)| {
        let pair = Pair::Ecdsa(EcdsaKeyPair::from_private_key_der(curve, der).ok()?);
        Some(SigningKey { pair, algorithm })
    })
}

/// PKCS#8, of which openssl writes the version without the public key.
fn ed25519(der: &[u8]) -> Option<SigningKey> {
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
    Some(SigningKey {
        pair: Pair::Ed25519(pair),
        algorithm: ED25519,
    })
}

/// PKCS#1 or PKCS#8.
fn rsa(der: &[u8]) -> Option<SigningKey> {
    let pair = RsaKeyPair::from_der(der).or_else(|_| RsaKeyPair::from_pkcs8(der));
    Some(SigningKey {
        pair: Pair::Rsa(pair.ok()?),
        algorithm: SHA256_WITH_RSA,
    })
}
