//! What `staplerd responder` answers for, as the file has it.
//!
//! Pure: paths, nothing is opened here. The keys are the options of the command.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::document::Table;
use super::invocation::Invocation;

/// Where it listens, unless configured otherwise.
pub const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// How long answers are valid, unless configured otherwise.
pub const VALIDITY: Duration = Duration::from_secs(4 * 24 * 3600);
/// The bounds of `validity`: a year at most.
pub const VALIDITIES: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(366 * 24 * 3600);
/// The bounds of `archive_cutoff`: a century at most.
pub const ARCHIVES: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(100 * 366 * 24 * 3600);

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

impl ResponderConfig {
    pub(super) fn read(table: &Table<'_>) -> Option<Self> {
        let listen = table.read("listen", |value| {
            let expected = |_| "expected an address and a port, as in 127.0.0.1:8080";
            value.parsed(|text| text.parse().map_err(expected))
        });
        let duration = |key, bounds| table.read(key, |value| value.duration(&bounds));
        let validity = duration("validity", VALIDITIES);
        let archive_cutoff = duration("archive_cutoff", ARCHIVES);
        let nonce = table.is_set("nonce");
        let authorities = table.required("authorities");
        Some(ResponderConfig {
            listen: listen.unwrap_or(LISTEN),
            validity: validity.unwrap_or(VALIDITY),
            nonce,
            archive_cutoff,
            authorities: authorities?.list(|item| item.table(AuthorityConfig::read))?,
        })
    }
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

impl AuthorityConfig {
    fn read(table: &Table<'_>) -> Option<Self> {
        let path = |key| table.read(key, |value| value.path());
        let issuer = table.required("issuer").and_then(|value| value.path());
        let key = table.required("key").and_then(|value| value.path());
        let signer = path("signer");
        let statuses = Statuses::of(
            path("index"),
            path("crl"),
            path("certificates"),
            table.read("status_command", Invocation::read),
        );
        if statuses.is_none() {
            table.wrong(
                "expected one of 'index', 'status_command', and 'crl' together with 'certificates'",
            );
        }
        Some(AuthorityConfig {
            issuer: issuer?,
            signer,
            key: key?,
            statuses: statuses?,
        })
    }
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
    /// A program that is asked.
    Command(Invocation),
}

impl Statuses {
    /// What these say together, where they make sense.
    pub fn of(
        index: Option<PathBuf>,
        crl: Option<PathBuf>,
        certificates: Option<PathBuf>,
        command: Option<Invocation>,
    ) -> Option<Self> {
        match (index, crl, certificates, command) {
            (Some(index), None, None, None) => Some(Statuses::Index(index)),
            (None, Some(crl), Some(certificates), None) => {
                Some(Statuses::List { crl, certificates })
            }
            (None, None, None, Some(command)) => Some(Statuses::Command(command)),
            _ => None,
        }
    }
}
