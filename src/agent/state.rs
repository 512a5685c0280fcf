//! The states of a certificate, each with its one reason.
//!
//! Logs, the status page and metrics all take a state's name and reason from here, so that they
//! cannot disagree. Pure data; the transitions are made by the modules beside this one.

use crate::ocsp::{CertificateStatus, RevocationReason};
use crate::time::Timestamp;

/// Why a file is not stapled for. None of these is an error of the agent.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Exclusion {
    /// The certificate names no OCSP responder: normal since public CAs began to leave OCSP.
    #[error("names no OCSP responder")]
    NoResponder,
    /// No issuer that HAProxy would find; a `.ocsp` would keep HAProxy from starting.
    #[error("{reason}")]
    NoIssuer {
        /// What was looked at and what to do.
        reason: String,
    },
    /// A CA certificate or a self-signed one: nobody answers for it.
    #[error("{reason}")]
    NotApplicable {
        /// Which of the two.
        reason: String,
    },
    /// No certificate could be read from the file.
    #[error("{reason}")]
    Unreadable {
        /// What is wrong with it.
        reason: String,
    },
}

impl Exclusion {
    /// The state's name in logs, status and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Exclusion::NoResponder => "no_responder",
            Exclusion::NoIssuer { .. } => "no_issuer",
            Exclusion::NotApplicable { .. } => "not_applicable",
            Exclusion::Unreadable { .. } => "unreadable",
        }
    }
}

/// How it stands with a certificate that is stapled for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Condition {
    /// No answer yet since the certificate was found.
    Waiting,
    /// A valid staple is held.
    Fresh,
    /// The last attempt failed; a staple may still be held.
    Failing {
        /// The failure's kind in snake_case.
        kind: &'static str,
        /// The failure in a sentence.
        message: String,
    },
    /// The responder says that the certificate is revoked.
    Revoked {
        /// When it was revoked.
        at: Timestamp,
        /// Why, if the CA says so.
        reason: Option<RevocationReason>,
    },
    /// The certificate itself has ended.
    Expired,
}

impl Condition {
    /// How it stands with a certificate of which an accepted response says this.
    pub(super) fn of(status: CertificateStatus) -> Self {
        match status {
            CertificateStatus::Good => Condition::Fresh,
            CertificateStatus::Revoked { at, reason } => Condition::Revoked { at, reason },
            CertificateStatus::Unknown => Condition::Waiting,
        }
    }
}
