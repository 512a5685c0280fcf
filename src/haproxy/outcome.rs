//! How deliveries and connections end: the two flat error types of this room, and the reports.
//!
//! Pure. Every variant's name in snake_case is its metric label and log reason ([`kind`]); its
//! `Display` says what to do about it. Deciding on retries is not done here: the agent does that.
//!
//! [`kind`]: DeliveryError::kind

use std::collections::BTreeMap;
use std::time::Duration;

use super::address::Address;
use super::notice::ProcessNotice;
use super::quarantine::Quarantine;
use super::reply::{Fingerprint, Level};
use super::versions::{Release, Version};
use crate::ocsp::Assessment;
use crate::time::Timestamp;
use crate::x509::CertificateReference;

/// How a staple came to be live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// It replaced the response in an existing slot.
    Pushed,
    /// The certificate had no slot, and got one.
    Attached,
    /// HAProxy held these very bytes already.
    AlreadyHeld,
}

/// Why a staple is not live in one HAProxy process.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DeliveryError {
    /// There is no connection, or it was lost before HAProxy answered.
    #[error("there is no connection to HAProxy; delivered when there is one again")]
    Disconnected,
    /// No certificate store of this process holds this certificate.
    #[error(
        "HAProxy has not loaded this certificate; it will be stapled once a reload or 'commit ssl cert' brings it in"
    )]
    NotLoaded,
    /// HAProxy holds a newer response: an older one does not replace it.
    #[error("HAProxy holds a newer response for this certificate; it is left in place")]
    NewerHeld(
        /// What it says; nothing where HAProxy shows it in a form that cannot be verified.
        Option<Box<Assessment>>,
    ),
    /// Somebody else's `set ssl cert` transaction is open.
    #[error(
        "somebody else's 'set ssl cert' transaction is open; tried again once it is committed or aborted"
    )]
    ForeignTransaction,
    /// HAProxy's certificate stores are locked by another command.
    #[error(
        "HAProxy's certificates are locked by another command; tried again (some versions can stay so for ever, where two clients met or one went away in the middle of a commit: reload HAProxy then)"
    )]
    Locked,
    /// The connection's level is too low.
    #[error(
        "HAProxy denies permission; write 'level admin' on this socket's 'stats socket' line in haproxy.cfg"
    )]
    PermissionDenied,
    /// The response has more bytes than HAProxy can be given safely.
    #[error("the response is larger than HAProxy can take over its socket; only the file is kept")]
    TooBig,
    /// The response ends too soon: HAProxy would drop the good staple and send none.
    #[error("the response ends too soon to be given to HAProxy; a newer one is needed")]
    ShortLived,
    /// HAProxy says the response is outside its time.
    #[error(
        "HAProxy says the response is not valid now; compare the clocks of this machine and HAProxy's"
    )]
    Expired,
    /// HAProxy says the response says `unknown`.
    #[error("HAProxy refuses a response that says 'unknown'")]
    StatusUnknown,
    /// HAProxy says the response has no usable nextUpdate.
    #[error("HAProxy refuses a response without nextUpdate")]
    NextUpdateMissing,
    /// HAProxy says the response answers for several certificates.
    #[error("HAProxy refuses a response that answers for several certificates")]
    SeveralResponses,
    /// HAProxy cannot use the response's CertID.
    #[error("HAProxy cannot use the response's CertID")]
    CertIdUnusable,
    /// HAProxy says the response is for another certificate than the one in the store.
    #[error("HAProxy says the response is not for the certificate it has loaded under this name")]
    OtherCertificate,
    /// HAProxy cannot read the response.
    #[error("HAProxy cannot read the response")]
    Malformed,
    /// The operator does not want it pushed.
    #[error(
        "'push:' in the configuration keeps it from being put into this running HAProxy; a reload brings it in"
    )]
    PushWithheld,
    /// Only `server` lines use this certificate, and nothing is stapled to servers.
    #[error("only 'server' lines of HAProxy use this certificate, which takes no staple")]
    ClientCertificate,
    /// HAProxy shows nothing of stores with such names.
    #[error(
        "HAProxy shows no certificate whose name begins with '*', so it is not known whether it has loaded this one; write a path before the name in haproxy.cfg"
    )]
    NotShown,
    /// The certificate has no slot, and attaching did not make one.
    #[error("HAProxy has no place for this certificate's staple")]
    NoSlot,
    /// HAProxy does not find the certificate's issuer.
    #[error(
        "HAProxy does not find the certificate's issuer; put it into the PEM after the certificate, or beside it as .issuer"
    )]
    IssuerMissing,
    /// The certificate store went away between two commands.
    #[error("the certificate was taken out of HAProxy meanwhile")]
    StoreGone,
    /// A commit failed in a HAProxy that does not survive another transaction after that.
    #[error(
        "a 'commit ssl cert' failed, and this version of HAProxy does not survive another one after that: reload it"
    )]
    CommitFailed,
    /// The end of a commit was not seen: nothing may touch transactions in this process any more.
    #[error(
        "the end of a 'commit ssl cert' was not seen, and HAProxy may not survive another one or an abort: reload it"
    )]
    CommitUnseen,
    /// The transaction went away between `set` and `commit`.
    #[error("somebody else ended the 'set ssl cert' transaction before its commit; tried again")]
    TransactionLost,
    /// What another client set went into this program's transaction, and was committed with it.
    #[error(
        "another client's certificate came into this store of HAProxy's with the staple, as can happen before 3.1: deploy its own certificate again, or reload HAProxy"
    )]
    ForeignCertificate,
    /// HAProxy said yes, but what it holds is something else.
    #[error("HAProxy said yes, but holds another response than the one it was given; tried again")]
    NotHeld,
    /// HAProxy has no memory left.
    #[error("HAProxy has no memory left for the response")]
    OutOfMemory,
    /// This HAProxy cannot staple, or does not know the command.
    #[error(
        "this HAProxy cannot take OCSP responses over its socket; 2.2 or later with OpenSSL can"
    )]
    Unsupported,
    /// HAProxy said what no known version says.
    #[error("HAProxy answered unexpectedly: {0}")]
    UnexpectedReply(String),
}

impl DeliveryError {
    /// The variant's name in snake_case: metric label and log reason.
    pub fn kind(&self) -> &'static str {
        match self {
            DeliveryError::Disconnected => "disconnected",
            DeliveryError::NotLoaded => "not_loaded",
            DeliveryError::NewerHeld(_) => "newer_held",
            DeliveryError::ForeignTransaction => "foreign_transaction",
            DeliveryError::Locked => "locked",
            DeliveryError::PermissionDenied => "permission_denied",
            DeliveryError::TooBig => "too_big",
            DeliveryError::ShortLived => "short_lived",
            DeliveryError::Expired => "expired",
            DeliveryError::StatusUnknown => "status_unknown",
            DeliveryError::NextUpdateMissing => "next_update_missing",
            DeliveryError::SeveralResponses => "several_responses",
            DeliveryError::CertIdUnusable => "cert_id_unusable",
            DeliveryError::OtherCertificate => "other_certificate",
            DeliveryError::Malformed => "malformed",
            DeliveryError::PushWithheld => "push_withheld",
            DeliveryError::ClientCertificate => "client_certificate",
            DeliveryError::NotShown => "not_shown",
            DeliveryError::NoSlot => "no_slot",
            DeliveryError::IssuerMissing => "issuer_missing",
            DeliveryError::StoreGone => "store_gone",
            DeliveryError::CommitFailed => "commit_failed",
            DeliveryError::CommitUnseen => "commit_unseen",
            DeliveryError::TransactionLost => "transaction_lost",
            DeliveryError::ForeignCertificate => "foreign_certificate",
            DeliveryError::NotHeld => "not_held",
            DeliveryError::OutOfMemory => "out_of_memory",
            DeliveryError::Unsupported => "unsupported",
            DeliveryError::UnexpectedReply(_) => "unexpected_reply",
        }
    }
}

/// Why there is no connection to a control socket, or no longer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// There is no socket at this address.
    #[error("there is no such socket; is HAProxy running, and is this its 'stats socket'?")]
    NoSuchSocket,
    /// There is something else at this path.
    #[error("there is {0}, and no socket: name the path that HAProxy's 'stats socket' line has")]
    NotASocket(&'static str),
    /// Nobody listens at this address.
    #[error("the connection is refused; is HAProxy running?")]
    Refused,
    /// The file permissions of the socket do not let this user in.
    #[error(
        "this user may not open the socket; set user, group or mode on its 'stats socket' line in haproxy.cfg"
    )]
    AccessDenied,
    /// Connecting failed in another way.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// Nobody accepted the connection in time.
    #[error("connecting took longer than {0:?}")]
    ConnectTimedOut(Duration),
    /// The connection is made but nobody answers on it.
    #[error(
        "connected, but no answer for {0:?}: all connections of 'stats maxconn' (10 by default) are taken, or HAProxy is stopped or stuck"
    )]
    NoAnswer(Duration),
    /// A command could not be written in time.
    #[error("'{command}' could not be sent within {after:?}: HAProxy is stopped or stuck")]
    WriteTimedOut {
        /// The command, without its arguments.
        command: String,
        /// How long was waited.
        after: Duration,
    },
    /// A command was not answered in time.
    #[error("'{command}' was not answered within {after:?}: HAProxy is stopped or stuck")]
    ReplyTimedOut {
        /// The command, without its arguments.
        command: String,
        /// How long was waited.
        after: Duration,
    },
    /// HAProxy closed the connection.
    #[error("HAProxy closed the connection")]
    Closed,
    /// The process has been told to go; a new one will answer the next connection.
    #[error("this HAProxy process is stopping")]
    Stopping,
    /// The transport failed.
    #[error("the connection failed: {0}")]
    Transport(String),
    /// Replies and commands do not belong to each other any more.
    #[error("HAProxy's replies are out of step with the commands; the connection was dropped")]
    OutOfStep,
    /// A reply was longer than any this program asks for.
    #[error("a reply was longer than {0} bytes; the connection was dropped")]
    ReplyTooLarge(usize),
    /// Whoever answers is no HAProxy.
    #[error("whoever answers at this socket is no HAProxy (it said '{0}')")]
    NotHaproxy(String),
}

impl Error {
    /// The variant's name in snake_case: metric label and log reason.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::NoSuchSocket => "no_such_socket",
            Error::NotASocket(_) => "not_a_socket",
            Error::Refused => "refused",
            Error::AccessDenied => "access_denied",
            Error::Connect(_) => "connect",
            Error::ConnectTimedOut(_) => "connect_timed_out",
            Error::NoAnswer(_) => "no_answer",
            Error::WriteTimedOut { .. } => "write_timed_out",
            Error::ReplyTimedOut { .. } => "reply_timed_out",
            Error::Closed => "closed",
            Error::Stopping => "stopping",
            Error::Transport(_) => "transport",
            Error::OutOfStep => "out_of_step",
            Error::ReplyTooLarge(_) => "reply_too_large",
            Error::NotHaproxy(_) => "not_haproxy",
        }
    }
}

/// The process at the other end of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Process {
    /// Its branch.
    pub version: Version,
    /// Its version as it says it.
    pub release: Release,
    /// Its process id.
    pub pid: u32,
    /// When it was started; 2.4 and later say it.
    pub started: Option<Timestamp>,
    /// For how many seconds it had been running when it was asked.
    pub uptime: Option<u64>,
    /// The machine's name, as it has it.
    pub node: String,
    /// Its threads, if it says so.
    pub threads: Option<u32>,
    /// The processes that share its work, if it says so.
    pub processes: Option<u32>,
    /// What this connection may do.
    pub level: Level,
}

/// The connection may not do what staples need.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "control socket {target} has level '{}', so {} can be given to HAProxy {release}; write 'level admin' on its 'stats socket' line in haproxy.cfg", level.word(), if *pushes { "no certificate's first staple" } else { "no staple" }
)]
pub struct LevelTooLow {
    /// The control socket.
    pub target: Address,
    /// The level it has.
    pub level: Level,
    /// The version, as HAProxy says it.
    pub release: String,
    /// Staples can be replaced all the same.
    pub pushes: bool,
}

impl Process {
    /// Whether this is the same process as the one that said `other` of itself.
    pub fn is(&self, other: &Process) -> bool {
        (self.pid, self.started, &self.node) == (other.pid, other.started, &other.node)
    }

    /// Checks that this connection to `target` may do all that staples need: `set ssl cert` takes
    /// the level admin in every version, `set ssl ocsp-response` in later ones.
    ///
    /// # Errors
    /// [`LevelTooLow`]; it says whether certificates that have a slot are delivered all the same.
    pub fn check_level(&self, target: &Address) -> Result<(), LevelTooLow> {
        if self.level == Level::Admin {
            return Ok(());
        }
        Err(LevelTooLow {
            target: target.clone(),
            level: self.level,
            release: self.release.text().to_owned(),
            pushes: self.level >= self.release.level_for_pushes(),
        })
    }
}

/// What a session tells the agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SessionReport {
    /// There is a connection, to a process that may hold nothing: every staple is to be delivered.
    Connected(Process),
    /// There is no connection; said once for every loss and every new kind of failure.
    Disconnected(Error),
    /// What became of one delivery; exactly one for every delivery taken.
    Delivered {
        /// The certificate, as `Staple` names it.
        fingerprint: Fingerprint,
        /// Live, or why not.
        outcome: Result<Arrival, DeliveryError>,
    },
    /// What is worth knowing about this process, all of it; said whenever it is something else.
    Noticed(Vec<ProcessNotice>),
    /// The names of the certificate stores of this process, as far as it knows them by these names:
    /// said once for every connection, and whenever they are others.
    Loaded(Vec<String>),
    /// The certificate stores of this process that are left alone, and why: said whenever they are
    /// others, and for every connection where there are some.
    Quarantined(BTreeMap<String, Quarantine>),
    /// These certificates are loaded, and no others: said when all stores have been read and
    /// whenever they are others.
    Serves(Vec<CertificateReference>),
    /// A store holds this certificate, and not as it did before: replaced by `set ssl cert` and
    /// `commit ssl cert`, newly added, or its place for a staple is gone. Its staple is to be
    /// delivered (again).
    StoreChanged {
        /// The store's name in HAProxy.
        store: String,
        /// The certificate it holds now.
        certificate: CertificateReference,
    },
    /// A store holds the certificate that it held before, in a version that does not show
    /// responses: where the certificate was deployed once more, its staple is gone. Said in turn,
    /// once within the refresh interval, where staples may be replaced. Not said where several
    /// stores hold the certificate: there, each repetition would take a transaction.
    StapleUnseen {
        /// The certificate.
        certificate: CertificateReference,
    },
}
