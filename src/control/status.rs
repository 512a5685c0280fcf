//! How it stands with everything, as the daemon tells it and as `staplerd status --json` prints it.
//!
//! Pure, types only. Keys may be added; none changes its meaning without another [`SCHEMA`] number.
//! Times are RFC 3339 in UTC. What is not known or does not apply is null.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The version of the form.
pub const SCHEMA: u32 = 1;

/// Everything, at one moment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct StatusView {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of the daemon's program.
    pub version: String,
    /// The daemon's process id.
    pub pid: u32,
    /// The moment.
    pub time: Timestamp,
    /// Something below needs a person.
    pub needs_attention: bool,
    /// The certificate files, the worst first.
    pub certificates: Vec<CertificateView>,
    /// HAProxy's control sockets.
    pub sockets: Vec<SocketStatus>,
    /// The directories that cannot be read or that another staplerd writes to.
    pub unusable_directories: Vec<DirectoryStatus>,
}

/// One certificate file.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct CertificateView {
    /// The file, as HAProxy names it.
    pub path: String,
    /// `fresh`, `outdated`, `renewing`, `waiting`, `failing`, `revoked`, `expired`, `unreadable`,
    /// `no_issuer`, `no_responder` or `not_applicable`.
    pub state: String,
    /// The state in words, with its reason.
    pub message: String,
    /// What the last request failed by, as in the log's `reason`; null unless it failed.
    pub reason: Option<String>,
    /// It is revoked, expired, unreadable, without issuer, without a staple while requests fail or
    /// are put off, its staple is so old that clients refuse it, or cannot be written or delivered.
    pub needs_attention: bool,
    /// The certificate's subject.
    pub subject: Option<String>,
    /// The DNS names that the certificate is for.
    pub names: Vec<String>,
    /// The end of the certificate itself.
    pub not_after: Option<Timestamp>,
    /// The certificate demands a staple of its server (RFC 7633).
    pub must_staple: bool,
    /// The staple that is held.
    pub staple: Option<StapleStatus>,
    /// When the responder is asked next; null while it is being asked.
    pub next_request: Option<Timestamp>,
    /// Failed requests in a row.
    pub failures: u32,
    /// Why no request was sent, if the last request ended so: the responder is being left alone, or
    /// its name could not be looked up yet.
    #[serde(default)]
    pub not_asked: Option<Problem>,
    /// Where the staple belongs on disk.
    pub staple_path: Option<String>,
    /// Whether it lies there.
    pub disk: Option<PlaceView>,
    /// Whether each HAProxy process that loads the file has it.
    pub live: Vec<LiveStatus>,
}

/// A staple.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct StapleStatus {
    /// `good`, or `revoked` where revoked responses are stapled.
    pub status: String,
    /// thisUpdate of the response.
    pub this_update: Timestamp,
    /// nextUpdate of the response.
    pub next_update: Timestamp,
    /// The first of nextUpdate, the responder certificate's end and the certificate's end.
    pub until: Timestamp,
}

/// Whether the staple that is held lies in one place.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PlaceView {
    /// It does.
    pub current: bool,
    /// Why the last attempt failed; null where it did not.
    pub error: Option<Problem>,
}

/// The same for a HAProxy process.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LiveStatus {
    /// The process's control socket.
    pub socket: String,
    /// As of a place on disk.
    #[serde(flatten)]
    pub place: PlaceView,
}

/// What went wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Problem {
    /// The kind, as in the log's `reason`.
    pub reason: String,
    /// A sentence for the operator.
    pub message: String,
}

/// One of HAProxy's control sockets.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SocketStatus {
    /// The address, as it is configured.
    pub socket: String,
    /// There is no connection, or one that may do too little, or a notice that needs a person.
    pub needs_attention: bool,
    /// The process that answers there; null without a connection.
    pub process: Option<ProcessView>,
    /// Why there is no connection, or what it may not do.
    pub error: Option<Problem>,
    /// What is worth knowing about the process.
    #[serde(default)]
    pub notices: Vec<Problem>,
    /// How many certificate stores the process has loaded; null where it does not say so.
    pub stores: Option<usize>,
    /// The certificate files that are looked after for this process and that it has not loaded.
    pub not_loaded: Vec<String>,
    /// The stores that it has loaded and that this program does not look after. Stores with names
    /// that are not paths (`@store/name`) are left out.
    pub not_looked_after: Vec<String>,
    /// The stores of which HAProxy's configuration and the process do not say the same, and why.
    #[serde(default)]
    pub differences: Vec<StoreDifference>,
    /// The stores that are not asked about, or of whose description little is believed.
    #[serde(default)]
    pub quarantined: Vec<QuarantinedStore>,
}

/// A certificate store that is only loaded, or only named.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoreDifference {
    /// Its name in HAProxy.
    pub store: String,
    /// Which it is, and why.
    #[serde(flatten)]
    pub problem: Problem,
}

/// A certificate store that is left alone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct QuarantinedStore {
    /// Its name in HAProxy.
    pub store: String,
    /// Why.
    #[serde(flatten)]
    pub problem: Problem,
}

/// A HAProxy process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProcessView {
    /// Its version, such as `3.2`.
    pub version: String,
    /// Its version as it says it, such as `3.0.11-1+deb13u3`.
    #[serde(default)]
    pub release: String,
    /// Its process id.
    pub pid: u32,
}

/// A directory that cannot be used as it should be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DirectoryStatus {
    /// Its path.
    pub path: String,
    /// Why.
    pub error: Problem,
}
