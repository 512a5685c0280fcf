//! Why a response is refused, and why an accepted one cannot be stapled.
//!
//! Two enums for two verdicts: [`Rejection`] says that nothing in the response may be believed,
//! [`NotStapleable`] that HAProxy cannot or must not present it although it is true. Each variant's
//! `kind` is its log reason; its text is one sentence an operator can act on.

use super::cert_id::Mismatch;
use crate::time::Timestamp;
use crate::x509::{der, signature};

/// The errors a responder answers with instead of a response (RFC 6960 §4.2.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResponderError {
    /// 1: it says our request was malformed.
    MalformedRequest,
    /// 2: it has a fault.
    InternalError,
    /// 3: it is busy.
    TryLater,
    /// 5: it wants signed requests.
    SigRequired,
    /// 6: it does not answer for this certificate (RFC 9919 §3.2.3).
    Unauthorized,
}

impl ResponderError {
    pub(super) fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(ResponderError::MalformedRequest),
            2 => Some(ResponderError::InternalError),
            3 => Some(ResponderError::TryLater),
            5 => Some(ResponderError::SigRequired),
            6 => Some(ResponderError::Unauthorized),
            _ => None,
        }
    }

    /// The RFC's name and number of it.
    pub fn name(self) -> &'static str {
        match self {
            ResponderError::MalformedRequest => "malformedRequest (1)",
            ResponderError::InternalError => "internalError (2)",
            ResponderError::TryLater => "tryLater (3)",
            ResponderError::SigRequired => "sigRequired (5)",
            ResponderError::Unauthorized => "unauthorized (6)",
        }
    }
}

/// Why nothing in a response may be believed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Rejection {
    /// Larger than any response is read.
    #[error("the response has {bytes} bytes, more than the {maximum} that are read")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The largest that is read.
        maximum: usize,
    },
    /// Not the DER of an OCSPResponse (RFC 6960 §4.2.1).
    #[error("the response is not valid DER (RFC 6960 section 4.2.1): {error} in {part}")]
    Malformed {
        /// The innermost type that could not be read.
        part: &'static str,
        /// What is wrong with it.
        error: der::Error,
    },
    /// The responder answered with an error (RFC 6960 §4.2.1).
    #[error("the responder answered {} instead of a status (RFC 6960 section 4.2.1)", .0.name())]
    Responder(ResponderError),
    /// Not id-pkix-ocsp-basic (RFC 6960 §4.2.1).
    #[error("the response is of type {found}, not id-pkix-ocsp-basic (RFC 6960 section 4.2.1)")]
    ResponseType {
        /// The type's object identifier.
        found: String,
    },
    /// Not version 1 (RFC 6960 §4.2.1).
    #[error("the response has version {found}, not 1 (RFC 6960 section 4.2.1)")]
    Version {
        /// The version it states.
        found: u16,
    },
    /// The certificate names another issuer than the one given (RFC 5280 §4.1.2.4).
    #[error("the certificate was issued by '{named}', not by '{given}' (RFC 5280 section 4.1.2.4)")]
    IssuerMismatch {
        /// The issuer the certificate names.
        named: String,
        /// The subject of the issuer certificate that was given.
        given: String,
    },
    /// It says nothing about any certificate.
    #[error("the response holds no SingleResponse (RFC 6960 section 4.2.1)")]
    NoSingleResponse,
    /// It is about other certificates (RFC 6960 §3.2 item 1).
    #[error(
        "the response is about another certificate (RFC 6960 section 3.2): it has {mismatch}; serial number {found} instead of {expected}"
    )]
    CertidMismatch {
        /// What differs in the entry that comes closest.
        mismatch: Mismatch,
        /// The serial number that entry is about.
        found: String,
        /// The certificate's serial number.
        expected: String,
    },
    /// A critical extension that is not understood (RFC 6960 §4.4, RFC 5280 §4.2).
    #[error("the response has the unknown critical extension {identifier} (RFC 5280 section 4.2)")]
    UnknownCriticalExtension {
        /// Its object identifier.
        identifier: String,
    },
    /// Neither the issuer nor a certificate in the response is the responder it names
    /// (RFC 6960 §4.2.2.3).
    #[error(
        "the response was signed by neither the issuer nor a certificate it carries: there is no responder {responder} (RFC 6960 section 4.2.2.3)"
    )]
    ResponderIdMismatch {
        /// The name or key hash of the responder.
        responder: String,
    },
    /// The signature is wrong (RFC 6960 §3.2 item 2).
    #[error(
        "the response's signature does not verify with the key of '{signer}' (RFC 6960 section 3.2)"
    )]
    BadSignature {
        /// The subject of the certificate whose key it was checked with.
        signer: String,
    },
    /// Signed with an algorithm that is not accepted at all.
    #[error("the response's signature cannot be accepted: {error}")]
    UnsupportedSignature {
        /// Which algorithm and key.
        error: signature::Error,
    },
    /// Signed with SHA-1 or a short RSA key, and that is not allowed for this issuer.
    #[error(
        "the response, or its responder's certificate, is signed with {algorithm}, which is too weak (Baseline Requirements 7.1.3.2.1); for a private CA it can be allowed"
    )]
    WeakSignature {
        /// The algorithm.
        algorithm: &'static str,
    },
    /// The delegate's certificate names another issuer (RFC 6960 §4.2.2.2).
    #[error(
        "the responder certificate '{delegate}' was issued by '{found}', not by '{expected}' (RFC 6960 section 4.2.2.2)"
    )]
    DelegateWrongIssuer {
        /// The delegate's subject.
        delegate: String,
        /// The issuer it names.
        found: String,
        /// The certificate's issuer.
        expected: String,
    },
    /// The delegate's certificate was not signed by the issuer's key (RFC 6960 §4.2.2.2).
    #[error(
        "the responder certificate '{delegate}' was not signed by the issuer's key (RFC 6960 section 4.2.2.2): {error}"
    )]
    DelegateBadSignature {
        /// The delegate's subject.
        delegate: String,
        /// What the signature check says.
        error: signature::Error,
    },
    /// The delegate's certificate lacks id-kp-OCSPSigning (RFC 6960 §4.2.2.2).
    #[error(
        "the responder certificate '{delegate}' lacks the extended key usage OCSPSigning (RFC 6960 section 4.2.2.2)"
    )]
    DelegateNoOcspSigning {
        /// The delegate's subject.
        delegate: String,
    },
    /// The delegate's certificate is a CA's: browsers take an end entity's only (mozilla::pkix).
    #[error(
        "the responder certificate '{delegate}' is a CA's (basicConstraints cA=TRUE), which browsers refuse; let the CA issue an end entity's for the responder"
    )]
    DelegateIsAuthority {
        /// The delegate's subject.
        delegate: String,
    },
    /// The delegate's keyUsage lacks digitalSignature (RFC 5280 §4.2.1.3).
    #[error(
        "the responder certificate '{delegate}' has a keyUsage without digitalSignature (RFC 5280 section 4.2.1.3)"
    )]
    DelegateNoDigitalSignature {
        /// The delegate's subject.
        delegate: String,
    },
    /// The delegate's certificate has a critical extension that is not understood.
    #[error(
        "the responder certificate '{delegate}' has the unknown critical extension {identifier} (RFC 5280 section 4.2)"
    )]
    DelegateUnknownCriticalExtension {
        /// The delegate's subject.
        delegate: String,
        /// The extension's object identifier.
        identifier: String,
    },
    /// The delegate's certificate is not valid yet (RFC 5280 §4.1.2.5).
    #[error(
        "the responder certificate '{delegate}' is valid from {not_before} on, it is {now} (RFC 5280 section 4.1.2.5)"
    )]
    DelegateNotYetValid {
        /// The delegate's subject.
        delegate: String,
        /// Start of its validity.
        not_before: Timestamp,
        /// The time of the judgement.
        now: Timestamp,
    },
    /// The delegate's certificate is not valid any more (RFC 5280 §4.1.2.5).
    #[error(
        "the responder certificate '{delegate}' expired at {not_after}, it is {now} (RFC 5280 section 4.1.2.5)"
    )]
    DelegateExpired {
        /// The delegate's subject.
        delegate: String,
        /// End of its validity.
        not_after: Timestamp,
        /// The time of the judgement.
        now: Timestamp,
    },
    /// It carries another nonce than the one sent (RFC 9654 §2.1).
    #[error("the response carries another nonce than the one that was sent (RFC 9654 section 2.1)")]
    NonceMismatch,
    /// thisUpdate lies in the future (RFC 6960 §4.2.2.1).
    #[error("thisUpdate {this_update} lies in the future, it is {now} (RFC 6960 section 4.2.2.1)")]
    NotYetValid {
        /// thisUpdate.
        this_update: Timestamp,
        /// The time of the judgement.
        now: Timestamp,
    },
    /// producedAt lies in the future (RFC 6960 §4.2.1).
    #[error("producedAt {produced_at} lies in the future, it is {now} (RFC 6960 section 4.2.1)")]
    ProducedInFuture {
        /// producedAt.
        produced_at: Timestamp,
        /// The time of the judgement.
        now: Timestamp,
    },
    /// nextUpdate is not after thisUpdate (RFC 6960 §4.2.2.1).
    #[error(
        "nextUpdate {next_update} is not after thisUpdate {this_update} (RFC 6960 section 4.2.2.1)"
    )]
    NextUpdateNotAfterThisUpdate {
        /// thisUpdate.
        this_update: Timestamp,
        /// nextUpdate.
        next_update: Timestamp,
    },
    /// nextUpdate has passed (RFC 6960 §4.2.2.1).
    #[error(
        "the response expired: nextUpdate was {next_update}, it is {now} (RFC 6960 section 4.2.2.1)"
    )]
    Expired {
        /// nextUpdate.
        next_update: Timestamp,
        /// The time of the judgement.
        now: Timestamp,
    },
    /// Without nextUpdate, thisUpdate is too long ago (RFC 6960 §3.2 item 5).
    #[error(
        "the response has no nextUpdate, and thisUpdate {this_update} is more than 7 days ago at {now} (RFC 6960 section 3.2)"
    )]
    TooOld {
        /// thisUpdate.
        this_update: Timestamp,
        /// The time of the judgement.
        now: Timestamp,
    },
}

impl Rejection {
    /// The variant's name in snake_case, for logs and `reject:<kind>`; a responder's error under
    /// its own name.
    pub fn kind(&self) -> &'static str {
        match self {
            Rejection::TooLarge { .. } => "too_large",
            Rejection::Malformed { .. } => "malformed",
            Rejection::Responder(ResponderError::MalformedRequest) => "malformed_request",
            Rejection::Responder(ResponderError::InternalError) => "internal_error",
            Rejection::Responder(ResponderError::TryLater) => "try_later",
            Rejection::Responder(ResponderError::SigRequired) => "sig_required",
            Rejection::Responder(ResponderError::Unauthorized) => "unauthorized",
            Rejection::ResponseType { .. } => "response_type",
            Rejection::Version { .. } => "version",
            Rejection::IssuerMismatch { .. } => "issuer_mismatch",
            Rejection::NoSingleResponse => "no_single_response",
            Rejection::CertidMismatch { .. } => "certid_mismatch",
            Rejection::UnknownCriticalExtension { .. } => "unknown_critical_extension",
            Rejection::ResponderIdMismatch { .. } => "responder_id_mismatch",
            Rejection::BadSignature { .. } => "bad_signature",
            Rejection::UnsupportedSignature { .. } => "unsupported_signature",
            Rejection::WeakSignature { .. } => "weak_signature",
            Rejection::DelegateWrongIssuer { .. } => "delegate_wrong_issuer",
            Rejection::DelegateBadSignature { .. } => "delegate_bad_signature",
            Rejection::DelegateNoOcspSigning { .. } => "delegate_no_ocsp_signing",
            Rejection::DelegateIsAuthority { .. } => "delegate_is_authority",
            Rejection::DelegateNoDigitalSignature { .. } => "delegate_no_digital_signature",
            Rejection::DelegateUnknownCriticalExtension { .. } => {
                "delegate_unknown_critical_extension"
            }
            Rejection::DelegateNotYetValid { .. } => "delegate_not_yet_valid",
            Rejection::DelegateExpired { .. } => "delegate_expired",
            Rejection::NonceMismatch => "nonce_mismatch",
            Rejection::NotYetValid { .. } => "not_yet_valid",
            Rejection::ProducedInFuture { .. } => "produced_in_future",
            Rejection::NextUpdateNotAfterThisUpdate { .. } => "next_update_not_after_this_update",
            Rejection::Expired { .. } => "expired",
            Rejection::TooOld { .. } => "too_old",
        }
    }
}

/// Why a response that is true cannot, or must not, be stapled by HAProxy.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotStapleable {
    /// HAProxy finds staples by a SHA-1 CertID only (`ssl_sock_load_ocsp_response`).
    #[error("HAProxy finds staples by a SHA-1 CertID, this one is {found}")]
    CertidForm {
        /// The hash algorithm.
        found: String,
    },
    /// HAProxy refuses more than one.
    #[error("{count} SingleResponses, HAProxy takes only one")]
    SeveralSingleResponses {
        /// How many there are.
        count: usize,
    },
    /// HAProxy refuses it.
    #[error("no nextUpdate, which HAProxy asks for")]
    NoNextUpdate,
    /// It, its signer or the certificate ends too soon: HAProxy stops using a staple 300 seconds
    /// before nextUpdate.
    #[error("it can be used until {expires} only, less than {minimum} seconds from now")]
    LifeTooShort {
        /// The effective end.
        expires: Timestamp,
        /// The least life in seconds.
        minimum: u64,
    },
    /// Larger than every HAProxy takes.
    #[error("{bytes} bytes, HAProxy takes {maximum} safely")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The most that is pushed.
        maximum: usize,
    },
    /// Clients would refuse the connection; only by the operator's will.
    #[error("the certificate is revoked")]
    Revoked,
    /// Says nothing a client could use; HAProxy refuses it.
    #[error("the responder does not know the certificate")]
    Unknown,
}

impl NotStapleable {
    /// The variant's name in snake_case: the log reason.
    pub fn kind(&self) -> &'static str {
        match self {
            NotStapleable::CertidForm { .. } => "certid_form",
            NotStapleable::SeveralSingleResponses { .. } => "several_single_responses",
            NotStapleable::NoNextUpdate => "no_next_update",
            NotStapleable::LifeTooShort { .. } => "life_too_short",
            NotStapleable::TooLarge { .. } => "too_large",
            NotStapleable::Revoked => "revoked",
            NotStapleable::Unknown => "unknown",
        }
    }
}
