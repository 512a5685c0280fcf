//! What reaches the agent and what it asks for.
//!
//! Events are facts that other rooms found out; actions are orders that `run` carries out and
//! answers with events. For every order of a kind there is exactly one answer, and the agent has
//! at most one order of a kind open for each certificate, file and HAProxy process: that is what
//! bounds every queue between the rooms by the number of certificates.

use std::path::PathBuf;
use std::time::Duration;

use super::Settings;
use super::failure::Failure;
use super::inventory::{CacheValidators, CertificateId, FoundFile, StapleFile, TargetId};
use super::state::{Exclusion, Outdated};
use crate::ocsp::{Assessment, RevocationReason};
use crate::time::Timestamp;
use crate::x509::CertificateReference;

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// Discovery found a file that is new, or whose content is.
    FileFound(FoundFile),
    /// A certificate file is gone.
    FileGone(PathBuf),
    /// Discovery has looked at everything once more.
    Scanned {
        /// The number of the plan that says what everything is.
        plan: u64,
    },
    /// Something else lies in the staple's place than was written or found there before.
    StapleFileFound {
        /// The certificate file.
        path: PathBuf,
        /// The staple's place.
        staple_path: PathBuf,
        /// What lies there.
        staple: StapleFile,
    },
    /// The answer to [`Action::Request`](super::Action::Request).
    Answered {
        /// Whose response was asked for.
        certificate: CertificateId,
        /// What the responder answered, or why there is no usable answer.
        result: Result<Answered, RequestFailure>,
    },
    /// The answer to [`Action::Write`](super::Action::Write).
    Written {
        /// Whose staple it was.
        certificate: CertificateId,
        /// The certificate file.
        path: PathBuf,
        /// Done, or why not.
        result: Result<(), Failure>,
    },
    /// The answer to [`Action::Clear`](super::Action::Clear).
    Cleared {
        /// The certificate file.
        path: PathBuf,
        /// Whether something was removed (what is not this program's is left, and nothing may be
        /// there), or why it could not be.
        result: Result<bool, Failure>,
    },
    /// A new HAProxy process answers on this control socket; nothing is known of what it holds.
    Connected(TargetId),
    /// The process behind this control socket is gone or out of reach.
    Disconnected(TargetId),
    /// A HAProxy process has these certificates loaded, as far as it shows them, and no others.
    Serves {
        /// The HAProxy process.
        target: TargetId,
        /// The certificates.
        certificates: Vec<CertificateReference>,
    },
    /// A HAProxy process took over another certificate, or lost the place for a staple: what it
    /// holds for this certificate is not known any more.
    StoreChanged {
        /// The HAProxy process.
        target: TargetId,
        /// The certificate it has now, as far as HAProxy shows it.
        certificate: CertificateReference,
    },
    /// A HAProxy process has this certificate as before and does not show whether it still has its
    /// staple.
    StapleUnseen {
        /// The HAProxy process.
        target: TargetId,
        /// The certificate, as far as HAProxy shows it.
        certificate: CertificateReference,
    },
    /// The answer to [`Action::Deliver`](super::Action::Deliver).
    Delivered {
        /// The HAProxy process.
        target: TargetId,
        /// Whose staple it was.
        certificate: CertificateId,
        /// How the process came to hold it, or why it does not.
        result: Result<Delivered, DeliveryFailure>,
    },
    /// Another answer to [`Action::Deliver`](super::Action::Deliver): the process holds a newer
    /// response already, which an older one must not replace.
    HeldNewer {
        /// The HAProxy process.
        target: TargetId,
        /// Whose response it is.
        certificate: CertificateId,
        /// What it says, validated.
        assessment: Box<Assessment>,
    },
    /// The operator wants every response renewed now.
    RenewAll,
    /// The operator wants the response of this certificate file renewed now.
    Renew(PathBuf),
    /// The operator has decided otherwise.
    Reconfigured(Settings),
    /// Requests take another way from now on (proxies, permitted addresses, timeouts): what failed
    /// may not fail any more.
    WaysChanged,
    /// Time has passed.
    Wakeup,
}

/// What a responder answered.
#[derive(Debug)]
pub struct Answered {
    /// The validated response; none where the responder says that the one held is still the
    /// current one (HTTP 304).
    pub assessment: Option<Assessment>,
    /// For how long asking again would only bring the same (RFC 9919 §6.1).
    pub fresh_for: Option<Duration>,
    /// For the next request.
    pub validators: CacheValidators,
}

/// A request that brought no validated response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestFailure {
    /// What went wrong.
    pub failure: Failure,
    /// How long the responder asked to be left alone, if it did (already clamped).
    pub retry_after: Option<Duration>,
    /// No request was sent, because the responder is being left alone. This says nothing about the
    /// certificate, and does not count as its failure.
    pub postponed: bool,
}

impl From<Failure> for RequestFailure {
    /// A failure of which the responder said nothing about asking again.
    fn from(failure: Failure) -> Self {
        RequestFailure {
            failure,
            retry_after: None,
            postponed: false,
        }
    }
}

/// How a HAProxy process came to hold a staple.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivered {
    /// `set ssl ocsp-response` replaced the old one.
    Pushed,
    /// `set ssl cert` and `commit ssl cert` gave the certificate its first one.
    Attached,
    /// It held the same bytes already.
    AlreadyHeld,
}

/// A delivery that did not arrive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeliveryFailure {
    /// What went wrong.
    pub failure: Failure,
    /// When it makes sense to try again.
    pub retry: DeliveryRetry,
}

/// When a delivery that failed makes sense again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeliveryRetry {
    /// Something passing stood in the way.
    Soon,
    /// The same, of a kind that comes and goes: it is told only when it lasts.
    Passing,
    /// Something that may last stood in the way: at leisure.
    Later,
    /// Only another staple, another process, or another certificate in this one changes anything:
    /// each of them is offered what is held when it comes ([`Event::StoreChanged`]).
    NextChange,
    /// The same, and it is likely on its way: told only when it does not come.
    Awaited,
    /// The same, but the operator wants it so: it is never reported as a failure.
    ByDesign,
    /// The connection was lost; the next process is offered everything anyway.
    NextConnection,
}

/// What the agent has to say. Everything an operator is told about a certificate comes from here.
#[derive(Clone, PartialEq, Debug)]
pub enum Notice {
    /// A file is not stapled for.
    Excluded {
        /// The file.
        path: PathBuf,
        /// Why not.
        exclusion: Exclusion,
    },
    /// A certificate is now looked after.
    Adopted {
        /// Its file.
        path: PathBuf,
        /// Until when the staple found on disk is good, if there was one.
        staple_until: Option<Timestamp>,
    },
    /// A certificate file is gone and forgotten.
    Forgotten {
        /// The file.
        path: PathBuf,
    },
    /// A certificate has lost its last file and is served still: it is looked after until no
    /// process has it loaded any more.
    StillServed {
        /// The file.
        path: PathBuf,
    },
    /// A new staple is held.
    Renewed {
        /// The certificate's file.
        path: PathBuf,
        /// thisUpdate of the response.
        this_update: Timestamp,
        /// Its effective end.
        until: Timestamp,
        /// When the next one is asked for.
        next_request: Timestamp,
    },
    /// The responder handed out the response that is held already.
    Unchanged {
        /// The certificate's file.
        path: PathBuf,
        /// When it is asked again.
        next_request: Timestamp,
    },
    /// The responder handed out the response that is held already, whose successor is overdue.
    Outdated {
        /// The certificate's file.
        path: PathBuf,
        /// What there is to say of it.
        outdated: Outdated,
        /// Until when it is good.
        staple_until: Timestamp,
        /// When the responder is asked again.
        next_request: Timestamp,
        /// It was said of this response before.
        repeated: bool,
    },
    /// The responder does not know the certificate, which is so new that it need not.
    NotKnownYet {
        /// The certificate's file.
        path: PathBuf,
        /// What the responder said.
        failure: Failure,
        /// How long until the next attempt.
        retry_in: Duration,
    },
    /// No usable response.
    RequestFailed {
        /// The certificate's file.
        path: PathBuf,
        /// What went wrong.
        failure: Failure,
        /// The number of failures in a row.
        failures: u32,
        /// How long until the next attempt.
        retry_in: Duration,
        /// Until when a staple is still held.
        staple_until: Option<Timestamp>,
        /// It failed for the same reason last time.
        repeated: bool,
    },
    /// No request was sent, because the responder is being left alone.
    RequestPostponed {
        /// The certificate's file.
        path: PathBuf,
        /// Why it is left alone.
        failure: Failure,
        /// How long until the next attempt.
        retry_in: Duration,
    },
    /// The responder says that the certificate is revoked.
    Revoked {
        /// The certificate's file.
        path: PathBuf,
        /// When it was revoked.
        at: Timestamp,
        /// Why, if the CA says so.
        reason: Option<RevocationReason>,
        /// Until when an earlier staple is still served.
        staple_until: Option<Timestamp>,
        /// The responder said so before.
        repeated: bool,
    },
    /// A certificate lacks a staple that lasts as long as the operator wants
    /// ([`Settings::expiring_within`]), although it should have one. Said once, and again after it
    /// had one.
    Expiring {
        /// The certificate's file.
        path: PathBuf,
        /// Until when a staple is still held.
        staple_until: Option<Timestamp>,
        /// Why there is no other one, if a request has failed.
        failure: Option<Failure>,
    },
    /// A staple came to its end without a successor.
    StapleExpired {
        /// The certificate's file.
        path: PathBuf,
    },
    /// The certificate has ended; it is left alone from now on.
    CertificateExpired {
        /// The certificate's file.
        path: PathBuf,
        /// Its notAfter.
        not_after: Timestamp,
    },
    /// A staple is on disk.
    Written {
        /// The certificate's file.
        path: PathBuf,
        /// The staple's file.
        staple_path: PathBuf,
    },
    /// What lay in a staple's place and would have kept HAProxy from starting was removed.
    Cleared {
        /// The certificate's file.
        path: PathBuf,
        /// The staple's file.
        staple_path: PathBuf,
    },
    /// A staple could not be written, or removed at its end.
    WriteFailed {
        /// The certificate's file.
        path: PathBuf,
        /// The staple's file.
        staple_path: PathBuf,
        /// What went wrong.
        failure: Failure,
        /// How long until the next attempt.
        retry_in: Duration,
        /// It failed for the same reason last time.
        repeated: bool,
    },
    /// A HAProxy process holds the staple.
    Live {
        /// The certificate's file.
        path: PathBuf,
        /// The HAProxy process.
        target: TargetId,
        /// How it came to hold it.
        how: Delivered,
    },
    /// A HAProxy process does not hold the staple.
    DeliveryFailed {
        /// The certificate's file.
        path: PathBuf,
        /// The HAProxy process.
        target: TargetId,
        /// What went wrong.
        failure: Failure,
        /// How long until the next attempt, if one is planned.
        retry_in: Option<Duration>,
        /// It failed for the same reason last time.
        repeated: bool,
    },
}
