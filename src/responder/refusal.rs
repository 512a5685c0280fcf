//! Why a request gets an OCSP error instead of a signed answer.
//!
//! One flat enum; each variant has the error a client is told (RFC 6960 §2.3, RFC 9919 §3.2.3).
//! The texts are for the operator.

use super::key::SigningFailed;
use super::program::ProgramError;
use super::status::SourceError;
use crate::ocsp::ResponderError;
use crate::ocsp::request::RequestError;
use crate::time::Timestamp;
use crate::x509::der;

/// Why there is no signed answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// It is no request.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The path of a GET is not base64 (RFC 6960 A.1).
    #[error("the path is no request in base64 (RFC 6960 appendix A.1)")]
    Base64,
    /// It has a critical extension that is not known here (RFC 6960 §4.4).
    #[error("the request has the unknown critical extension {identifier} (RFC 6960 section 4.4)")]
    CriticalExtension {
        /// The extension's object identifier.
        identifier: String,
    },
    /// The client accepts other response types only (RFC 6960 §4.4.3).
    #[error("the client does not accept id-pkix-ocsp-basic (RFC 6960 section 4.4.3)")]
    ResponseType,
    /// A nonce of a forbidden length (RFC 9654 §2.1).
    #[error("the nonce has {bytes} octets instead of 1 to 128 (RFC 9654 section 2.1)")]
    Nonce {
        /// How many it has.
        bytes: usize,
    },
    /// It asks about a certificate of an issuer that is not answered for here, or of several
    /// issuers at once, so that no single signer can answer.
    #[error("the request asks about certificates of another issuer (RFC 9919 section 3.2.3)")]
    Unauthorized,
    /// The source has no answer now.
    #[error("the status is not known at the moment: {0}")]
    Source(#[from] SourceError),
    /// The source panicked over the question; it is asked again next time.
    #[error("the source of statuses panicked: {message}")]
    SourcePanicked {
        /// What it said.
        message: String,
    },
    /// The signer's certificate has run out.
    #[error("the signer's certificate expired at {not_after}")]
    SignerExpired {
        /// The end of its validity.
        not_after: Timestamp,
    },
    /// The key could not be used.
    #[error(transparent)]
    Signing(#[from] SigningFailed),
}

impl Refusal {
    /// What the client is told.
    pub fn responder_error(&self) -> ResponderError {
        match self {
            Refusal::Request(_)
            | Refusal::Base64
            | Refusal::CriticalExtension { .. }
            | Refusal::ResponseType
            | Refusal::Nonce { .. } => ResponderError::MalformedRequest,
            Refusal::Unauthorized => ResponderError::Unauthorized,
            // A program that cannot be run, or is not one of the kind, needs the operator.
            Refusal::Source(SourceError::Program(
                ProgramError::NotStarted { .. } | ProgramError::Malformed { .. },
            )) => ResponderError::InternalError,
            Refusal::Source(_) => ResponderError::TryLater,
            Refusal::SourcePanicked { .. }
            | Refusal::SignerExpired { .. }
            | Refusal::Signing(_) => ResponderError::InternalError,
        }
    }

    /// The log reason, where the fault is on this side, so that the operator has to know.
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Refusal::Source(error) => Some(error.kind()),
            Refusal::SourcePanicked { .. } => Some("status_source_panicked"),
            Refusal::SignerExpired { .. } => Some("signer_expired"),
            Refusal::Signing(_) => Some("signing_failed"),
            Refusal::Request(_)
            | Refusal::Base64
            | Refusal::CriticalExtension { .. }
            | Refusal::ResponseType
            | Refusal::Nonce { .. }
            | Refusal::Unauthorized => None,
        }
    }
}

impl From<der::Error> for Refusal {
    fn from(error: der::Error) -> Self {
        Refusal::Request(error.into())
    }
}
