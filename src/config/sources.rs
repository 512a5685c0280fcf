//! Where certificates are looked for, with what the operator says about each place.
//!
//! Pure, types only. The places themselves are discovery's ([`Source`]); here is added which
//! processes load their certificates and whom to ask about them.

use crate::discovery::source::Source;

/// A place to look for certificates.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfiguredSource {
    /// The place.
    pub source: Source,
    /// The control sockets of the processes that load its certificates, as places in
    /// [`Config::sockets`](super::Config::sockets).
    pub sockets: Vec<usize>,
    /// Whom to ask about its certificates; where it is none, whom the whole configuration says.
    pub responder: Option<ResponderOverride>,
}

/// ocspbot's `ocsp_responder_uri`; it outranks the `responders` of the whole configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ResponderOverride {
    /// This URL is asked.
    Url(String),
    /// The URLs that the certificate names are asked.
    Certificate,
}

/// Where the names of the certificates come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The configuration names them, or HAProxy configuration files that do.
    Named,
    /// Only control sockets are named: the certificates are those that the processes have loaded.
    Processes,
    /// Nothing is named.
    Nothing,
}

/// Copies of new staples beside them, named `<name>-YYYYMMDD-HHMMSS`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backups {
    /// How many are kept of each staple; all where it is none.
    pub keep: Option<usize>,
}
