//! The states of a certificate, each with its one reason.
//!
//! The log and `status` both take a state's name and reason from here, so that they cannot
//! disagree. Pure data; the transitions are made by the modules beside this one.

use super::failure::Failure;
use crate::ocsp::RevocationReason;
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
    /// A CA certificate or a self-signed one: no responder answers for it.
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
    /// Whether this is how it should be; otherwise a person has to do something about it.
    pub fn is_normal(&self) -> bool {
        match self {
            Exclusion::NoResponder | Exclusion::NotApplicable { .. } => true,
            Exclusion::NoIssuer { .. } | Exclusion::Unreadable { .. } => false,
        }
    }

    /// The state's name in logs and status.
    pub fn kind(&self) -> &'static str {
        match self {
            Exclusion::NoResponder => "no_responder",
            Exclusion::NoIssuer { .. } => "no_issuer",
            Exclusion::NotApplicable { .. } => "not_applicable",
            Exclusion::Unreadable { .. } => "unreadable",
        }
    }
}

/// A staple whose successor is overdue, of which the responder has nothing newer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the responder has nothing newer since {this_update}{}",
    .refused_from
        .map(|from| format!("; clients refuse it from {from}: let the CA sign more often"))
        .unwrap_or_default()
)]
pub struct Outdated {
    /// thisUpdate of the response.
    pub this_update: Timestamp,
    /// For an old response: the time from which clients refuse it although it is valid for longer.
    /// It then reaches the maximum age of the settings.
    pub refused_from: Option<Timestamp>,
}

impl Outdated {
    /// The state's name in logs and status.
    pub const KIND: &'static str = "outdated";
}

/// How it stands with a certificate file. Shown, it gives its reason in words.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum State {
    /// Not stapled for: no_responder, no_issuer, not_applicable or unreadable.
    #[error("{0}")]
    Excluded(Exclusion),
    /// No usable answer yet, and none that failed; or the certificate is so new that its responder
    /// does not know it yet.
    #[error("no staple yet")]
    Waiting,
    /// A valid staple is held.
    #[error("a valid staple is held")]
    Fresh,
    /// A valid staple is held, and the responder is being asked for the next.
    #[error("the next response is being asked for")]
    Renewing,
    /// A valid staple is held whose successor is overdue, or which is older than the maximum age:
    /// the responder keeps handing it out.
    #[error("{0}")]
    Outdated(Outdated),
    /// The last attempt failed; a staple may still be held. Without a staple, this state also
    /// stands for a request that was not sent.
    #[error("{}", .0.message)]
    Failing(Failure),
    /// The responder says that the certificate is revoked.
    #[error(
        "the CA has revoked this certificate at {at}{}",
        .reason.map(|reason| format!(" ({})", reason.name())).unwrap_or_default()
    )]
    Revoked {
        /// When it was revoked.
        at: Timestamp,
        /// Why, if the CA says so.
        reason: Option<RevocationReason>,
    },
    /// The certificate itself has ended.
    #[error("the certificate itself ended at {not_after}")]
    Expired {
        /// Its notAfter.
        not_after: Timestamp,
    },
}

impl State {
    /// The state's name in logs and status.
    pub fn kind(&self) -> &'static str {
        match self {
            State::Excluded(exclusion) => exclusion.kind(),
            State::Waiting => "waiting",
            State::Fresh => "fresh",
            State::Renewing => "renewing",
            State::Outdated(_) => Outdated::KIND,
            State::Failing(_) => "failing",
            State::Revoked { .. } => "revoked",
            State::Expired { .. } => "expired",
        }
    }
}
