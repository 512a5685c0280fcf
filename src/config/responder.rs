//! What `staplerd responder` answers for, as the file has it.
//!
//! Pure, types only: paths, nothing is opened here.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The `responder` section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResponderConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How long answers are valid.
    pub validity: Duration,
    /// Whether nonces are echoed.
    pub nonce: bool,
    /// How long expired certificates are remembered.
    pub archive_cutoff: Option<Duration>,
    /// The authorities it answers for, at least one.
    pub authorities: Vec<AuthorityConfig>,
}

/// One authority to answer for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthorityConfig {
    /// The CA's certificate.
    pub issuer: PathBuf,
    /// The certificate that signs; the issuer's own where it is none.
    pub signer: Option<PathBuf>,
    /// The signer's private key.
    pub key: PathBuf,
    /// Where statuses come from.
    pub statuses: Statuses,
}

/// Where statuses come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Statuses {
    /// The index.txt of `openssl ca`.
    Index(PathBuf),
    /// A revocation list, and the directory of the certificates that were issued.
    List {
        /// The list.
        crl: PathBuf,
        /// The directory.
        certificates: PathBuf,
    },
}
