//! Why a delivery or a connection fails: the two flat error types of this room.
//!
//! Pure. Every variant's name in snake_case is its log reason ([`kind`]); its `Display` says what
//! to do about it. Deciding on retries is not done here: the agent does that.
//!
//! [`kind`]: DeliveryError::kind

use std::time::Duration;

use crate::ocsp::Assessment;

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
    /// Another client's `set ssl cert` transaction is open.
    #[error(
        "another client's 'set ssl cert' transaction is open; tried again once it is committed or aborted"
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
    /// It may be one of those that HAProxy has loaded and does not describe.
    #[error(
        "HAProxy does not describe everything that it has loaded (see 'quarantined'), so it is not known whether this certificate is part of it; if so, it is stapled once HAProxy is reloaded"
    )]
    NotDescribed,
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
    #[error("another client ended the 'set ssl cert' transaction before its commit; tried again")]
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
    /// The variant's name in snake_case: the log reason.
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
            DeliveryError::NotDescribed => "not_described",
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
    /// No process listens at this address.
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
    /// The connection was not accepted in time.
    #[error("connecting took longer than {0:?}")]
    ConnectTimedOut(Duration),
    /// The connection is made but not answered.
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
    /// The program that answers is not HAProxy.
    #[error("the program that answers at this socket is not HAProxy (it said '{0}')")]
    NotHaproxy(String),
}

impl Error {
    /// The variant's name in snake_case: the log reason.
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
