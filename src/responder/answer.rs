//! Responses, written byte-exact.
//!
//! Pure: [`ResponseContent`] says what is to be signed, and becomes the DER of an OCSPResponse with
//! a key. The responder is named by its key (RFC 9919 §3.2.1 allows both), CertIDs are those of the
//! request, byte for byte. Governed by RFC 6960 §4.2, the nonce by RFC 9654.

use super::key::{SigningFailed, SigningKey};
use crate::ocsp::extension::{BASIC_RESPONSE, NONCE};
use crate::ocsp::{CertificateStatus, ResponderError, RevocationReason};
use crate::time::Timestamp;
use crate::x509::der::{self, encode};

/// id-pkix-ocsp-archive-cutoff (RFC 6960 §4.4.4).
const ARCHIVE_CUTOFF: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x30\x01\x06";
/// An extension without a meaning, below the arc of examples (2.999): for responses that are too
/// large.
const PADDING: &[u8] = b"\x88\x37\x01";

/// RFC 5280 §5.3.1 counts without 7.
const REASONS: [(u8, RevocationReason); 10] = [
    (0, RevocationReason::Unspecified),
    (1, RevocationReason::KeyCompromise),
    (2, RevocationReason::CaCompromise),
    (3, RevocationReason::AffiliationChanged),
    (4, RevocationReason::Superseded),
    (5, RevocationReason::CessationOfOperation),
    (6, RevocationReason::CertificateHold),
    (8, RevocationReason::RemoveFromCrl),
    (9, RevocationReason::PrivilegeWithdrawn),
    (10, RevocationReason::AaCompromise),
];

/// The status of one certificate, to be signed (SingleResponse).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SingleAnswer {
    /// The CertID, DER.
    pub cert_id: Vec<u8>,
    /// The status.
    pub status: CertificateStatus,
    /// thisUpdate.
    pub this_update: Timestamp,
    /// nextUpdate; a responder that works states one (RFC 9919 §3.2.4).
    pub next_update: Option<Timestamp>,
    /// How far back the responder remembers expired certificates (RFC 6960 §4.4.4).
    pub archive_cutoff: Option<Timestamp>,
}

/// What is signed (ResponseData).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResponseContent {
    /// SHA-1 of the signer's public key bits.
    pub key_hash: [u8; 20],
    /// producedAt.
    pub produced_at: Timestamp,
    /// One for each certificate asked about, in that order.
    pub answers: Vec<SingleAnswer>,
    /// The request's nonce, where it is echoed.
    pub nonce: Option<Vec<u8>>,
    /// Bytes of an extension without meaning; 0 but for faults.
    pub padding: usize,
}

impl ResponseContent {
    /// The OCSPResponse, signed with `key`; `certificates` is the DER of those sent along.
    ///
    /// # Errors
    /// [`SigningFailed`].
    pub fn sign(&self, key: &SigningKey, certificates: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        let signed = self.der();
        let signature = key.sign(&signed)?;
        let certificates = match certificates {
            [] => Vec::new(),
            some => explicit(0, &encode(der::SEQUENCE, &[some])),
        };
        let basic = encode(
            der::SEQUENCE,
            &[
                &signed,
                key.algorithm(),
                &encode(der::BIT_STRING, &[&[0], &signature]),
                &certificates,
            ],
        );
        let response_bytes = encode(
            der::SEQUENCE,
            &[
                &encode(der::OBJECT_IDENTIFIER, &[BASIC_RESPONSE]),
                &encode(der::OCTET_STRING, &[&basic]),
            ],
        );
        Ok(encode(
            der::SEQUENCE,
            &[
                &encode(der::ENUMERATED, &[&[0]]),
                &explicit(0, &response_bytes),
            ],
        ))
    }

    fn der(&self) -> Vec<u8> {
        let answers: Vec<u8> = self.answers.iter().flat_map(SingleAnswer::der).collect();
        let nonce = self.nonce.as_deref();
        let nonce = nonce.map(|nonce| encode(der::OCTET_STRING, &[nonce]));
        let padding = (self.padding > 0).then(|| vec![0; self.padding]);
        encode(
            der::SEQUENCE,
            &[
                &explicit(2, &encode(der::OCTET_STRING, &[&self.key_hash])),
                &generalized_time(self.produced_at),
                &encode(der::SEQUENCE, &[&answers]),
                &extensions(&[(NONCE, nonce), (PADDING, padding)]),
            ],
        )
    }
}

impl SingleAnswer {
    fn der(&self) -> Vec<u8> {
        let next_update = self
            .next_update
            .map(|at| explicit(0, &generalized_time(at)));
        let cutoff = self.archive_cutoff.map(generalized_time);
        encode(
            der::SEQUENCE,
            &[
                &self.cert_id,
                &status(self.status),
                &generalized_time(self.this_update),
                &next_update.unwrap_or_default(),
                &extensions(&[(ARCHIVE_CUTOFF, cutoff)]),
            ],
        )
    }
}

/// An OCSPResponse that consists of an error only (RFC 6960 §4.2.1).
pub fn error_response(error: ResponderError) -> Vec<u8> {
    let number = match error {
        ResponderError::MalformedRequest => 1,
        ResponderError::InternalError => 2,
        ResponderError::TryLater => 3,
        ResponderError::SigRequired => 5,
        ResponderError::Unauthorized => 6,
    };
    encode(der::SEQUENCE, &[&encode(der::ENUMERATED, &[&[number]])])
}

/// The reason that RFC 5280 §5.3.1 gives this number.
pub(super) fn reason_of_number(number: u8) -> Option<RevocationReason> {
    let row = REASONS.into_iter().find(|(known, _)| *known == number);
    row.map(|(_, reason)| reason)
}

fn number_of_reason(reason: RevocationReason) -> u8 {
    let row = REASONS.into_iter().find(|(_, known)| *known == reason);
    row.map_or(0, |(number, _)| number)
}

fn status(status: CertificateStatus) -> Vec<u8> {
    match status {
        CertificateStatus::Good => encode(der::context_primitive(0), &[]),
        CertificateStatus::Unknown => encode(der::context_primitive(2), &[]),
        CertificateStatus::Revoked { at, reason } => {
            let reason = reason.map(|reason| {
                explicit(0, &encode(der::ENUMERATED, &[&[number_of_reason(reason)]]))
            });
            encode(
                der::context_constructed(1),
                &[&generalized_time(at), &reason.unwrap_or_default()],
            )
        }
    }
}

/// `[1] EXPLICIT Extensions` with those that have a value; nothing where none has.
fn extensions(extensions: &[(&[u8], Option<Vec<u8>>)]) -> Vec<u8> {
    let list: Vec<u8> = extensions
        .iter()
        .filter_map(|(identifier, value)| {
            let value = encode(der::OCTET_STRING, &[value.as_ref()?]);
            let identifier = encode(der::OBJECT_IDENTIFIER, &[identifier]);
            Some(encode(der::SEQUENCE, &[&identifier, &value]))
        })
        .flatten()
        .collect();
    if list.is_empty() {
        return list;
    }
    explicit(1, &encode(der::SEQUENCE, &[&list]))
}

fn explicit(number: u8, content: &[u8]) -> Vec<u8> {
    encode(der::context_constructed(number), &[content])
}

/// The digits of the RFC 3339 form are those of GeneralizedTime in its DER form (X.690 §11.7).
fn generalized_time(at: Timestamp) -> Vec<u8> {
    let mut text = at.to_string();
    text.retain(|character| character.is_ascii_digit());
    text.push('Z');
    encode(der::GENERALIZED_TIME, &[text.as_bytes()])
}
