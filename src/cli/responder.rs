//! `staplerd responder`: an OCSP responder for private CAs, until a signal ends it.
//!
//! Reads the files, says what clients may have against the signers, and serves. Every `--issuer`
//! begins an authority; the `--signer`, `--key`, `--index` (or `--crl` with `--certificates`) after
//! it belong to it. Exit codes: 0 after a signal, 1 where it cannot serve, 78 for options and files
//! that make no sense.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches, value_parser};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::EXIT_CONFIGURATION;
use crate::config::parse_duration;
use crate::responder::fault::{Fault, Faults};
use crate::responder::sources::{CertificateDirectory, IndexFile};
use crate::responder::{Authority, Responder, Server, Settings, SigningKey, serve};
use crate::run::wall_clock;
use crate::signals::{Request, Signals};
use crate::telemetry::{self, Verbosity};
use crate::time::Timestamp;
use crate::x509::{Bundle, Certificate, bundle::MAX_PEM_BYTES};

/// The longest life of an answer that can be asked for: a year.
const MAX_VALIDITY: Duration = Duration::from_secs(366 * 24 * 3600);
/// The longest archive that can be asked for: a century.
const MAX_ARCHIVE: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// What `--fault` is for.
const FAULT_HELP: &str =
    "TESTING ONLY: answer wrongly, as KIND[=VALUE][,share=PERCENT][,serial=HEX]";
/// What can go wrong.
const FAULT_LONG_HELP: &str = "\
TESTING ONLY: answer wrongly, as KIND[=VALUE][,share=PERCENT][,serial=HEX]

KIND is one of delay=MILLISECONDS, http=CODE[:RETRY_AFTER], status=good|revoked|unknown, \
never-answer, trickle, reset, malformed-request, internal-error, try-later, sig-required, \
unauthorized, garbage, truncated, oversized, wrong-serial, wrong-issuer, sha256-certid, \
several-responses, foreign-signature, expired, future, no-next-update. Can be given several \
times; all faults that meet a request strike it. Never use it where anybody relies on the answers.";

/// What to answer for, and how.
#[derive(Args)]
pub(super) struct ResponderArguments {
    #[command(flatten)]
    authorities: Authorities,

    /// Address and port to listen on
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// How long answers are valid, such as 4d or 12h
    #[arg(long, value_name = "DURATION", default_value = "4d", value_parser = validity)]
    validity: Duration,

    /// Echo nonces (RFC 9654), which costs a signature for every such request
    #[arg(long)]
    nonce: bool,

    /// State that expired certificates are remembered for this long (RFC 6960 archive cutoff)
    #[arg(long, value_name = "DURATION", value_parser = archive)]
    archive_cutoff: Option<Duration>,

    // Not a doc comment: its brackets are no links.
    #[arg(long = "fault", value_name = "FAULT", help = FAULT_HELP, long_help = FAULT_LONG_HELP)]
    faults: Vec<Fault>,
}

fn validity(text: &str) -> Result<Duration, String> {
    bounded(text, MAX_VALIDITY)
}

fn archive(text: &str) -> Result<Duration, String> {
    bounded(text, MAX_ARCHIVE)
}

fn bounded(text: &str, longest: Duration) -> Result<Duration, String> {
    let duration = parse_duration(text).ok_or("expected seconds, or a duration such as 4d 12h")?;
    if duration.is_zero() || duration > longest {
        let days = longest.as_secs() / (24 * 3600);
        return Err(format!("expected from 1s to {days}d"));
    }
    Ok(duration)
}

/// The options that come in groups, in the order of the command line.
struct Authorities(Vec<Group>);

#[derive(Default)]
struct Group {
    issuer: PathBuf,
    signer: Option<PathBuf>,
    key: Option<PathBuf>,
    index: Option<PathBuf>,
    crl: Option<PathBuf>,
    certificates: Option<PathBuf>,
}

/// The options of a group with what they are for; `issuer` comes first.
const GROUP: [(&str, &str, &str); 6] = [
    (
        "issuer",
        "FILE",
        "Certificate of a CA to answer for; begins a group of the options below",
    ),
    (
        "signer",
        "FILE",
        "Certificate that signs; the issuer's own where it is not given",
    ),
    (
        "key",
        "FILE",
        "Private key of the signer: PKCS#8, SEC1 or PKCS#1 in PEM, not encrypted",
    ),
    (
        "index",
        "FILE",
        "Statuses: the index.txt of openssl ca, read again when it changes",
    ),
    (
        "crl",
        "FILE",
        "Statuses: a revocation list, together with --certificates",
    ),
    (
        "certificates",
        "DIR",
        "The certificates that were issued, for --crl",
    ),
];

impl Args for Authorities {
    fn augment_args(command: Command) -> Command {
        GROUP
            .into_iter()
            .fold(command, |command, (name, value, help)| {
                command.arg(
                    clap::Arg::new(name)
                        .long(name)
                        .value_name(value)
                        .help(help)
                        .value_parser(value_parser!(PathBuf))
                        .action(clap::ArgAction::Append)
                        .required(name == "issuer"),
                )
            })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Authorities {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given: Vec<(usize, &str, &PathBuf)> = Vec::new();
        for (name, _, _) in GROUP {
            let places = matches.indices_of(name).into_iter().flatten();
            let values = matches.get_many::<PathBuf>(name).into_iter().flatten();
            given.extend(
                places
                    .zip(values)
                    .map(|(place, value)| (place, name, value)),
            );
        }
        given.sort_unstable_by_key(|(place, _, _)| *place);
        let mut groups: Vec<Group> = Vec::new();
        for (_, name, value) in given {
            let conflict =
                |text: String| clap::Error::raw(clap::error::ErrorKind::ArgumentConflict, text);
            if name == "issuer" {
                groups.push(Group {
                    issuer: value.clone(),
                    ..Group::default()
                });
                continue;
            }
            let group = groups
                .last_mut()
                .ok_or_else(|| conflict(format!("--{name} stands before the first --issuer\n")))?;
            let place = match name {
                "signer" => &mut group.signer,
                "key" => &mut group.key,
                "index" => &mut group.index,
                "crl" => &mut group.crl,
                _ => &mut group.certificates,
            };
            if place.replace(value.clone()).is_some() {
                return Err(conflict(format!(
                    "--{name} is there twice for one --issuer\n"
                )));
            }
        }
        Ok(Authorities(groups))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Group {
    /// Reads the files.
    fn load(&self) -> Result<Authority, String> {
        let issuer = certificate(&self.issuer)?;
        let signer = match &self.signer {
            Some(path) => certificate(path)?,
            None => issuer.clone(),
        };
        let name = self.issuer.display();
        let key = self.key.as_ref();
        let key = key.ok_or_else(|| format!("--issuer {name}: its --key is missing"))?;
        let pem = read(key)?;
        let pem = std::str::from_utf8(&pem).map_err(|error| about(key, error))?;
        let key = SigningKey::from_pem(pem).map_err(|error| about(key, error))?;
        let authority = match (&self.index, &self.crl, &self.certificates) {
            (Some(index), None, None) => {
                let source = IndexFile::open(index).map_err(|error| error.to_string())?;
                Authority::new(issuer, signer, key, source)
            }
            (None, Some(list), Some(directory)) => {
                let source = CertificateDirectory::open(directory, list, &issuer);
                let source = source.map_err(|error| error.to_string())?;
                Authority::new(issuer, signer, key, source)
            }
            _ => {
                return Err(format!(
                    "--issuer {name}: give either --index, or --crl and --certificates"
                ));
            }
        };
        authority.map_err(|error| about(&self.issuer, error))
    }
}

fn about(path: &Path, problem: impl std::fmt::Display) -> String {
    format!("{}: {problem}", path.display())
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let metadata = fs::metadata(path).map_err(|error| about(path, error))?;
    if !metadata.is_file() || metadata.len() > MAX_PEM_BYTES as u64 {
        return Err(about(path, "not a regular file of 1 MiB at most"));
    }
    let bytes = fs::read(path).map_err(|error| about(path, error))?;
    Ok(Zeroizing::new(bytes))
}

/// The first certificate, PEM or DER.
fn certificate(path: &Path) -> Result<Certificate, String> {
    let bytes = read(path)?;
    if let Ok(certificate) = Certificate::from_der(&bytes) {
        return Ok(certificate);
    }
    let bundle = Bundle::from_pem_buffer(bytes).map_err(|error| about(path, error))?;
    Ok(bundle.leaf().clone())
}

impl ResponderArguments {
    fn server(self, now: Timestamp) -> Result<Server, String> {
        let groups = self.authorities.0.iter();
        let authorities: Vec<Authority> = groups.map(Group::load).collect::<Result<_, _>>()?;
        for warning in authorities.iter().flat_map(|one| one.warnings(now)) {
            tracing::warn!("{warning}");
        }
        let settings = Settings {
            validity: self.validity,
            echo_nonce: self.nonce,
            archive: self.archive_cutoff,
        };
        for fault in &self.faults {
            tracing::warn!("FAULTS ARE ON, this responder answers wrongly on purpose: {fault:?}");
        }
        let faults = match self.faults.is_empty() {
            true => None,
            false => {
                let foreign_key = SigningKey::generate().map_err(|error| error.to_string())?;
                Some(Faults::new(self.faults, foreign_key))
            }
        };
        Ok(Server {
            responder: Responder::new(authorities, settings),
            clock: wall_clock,
            faults,
        })
    }
}

/// Serves until a signal ends it.
pub(super) fn run(arguments: ResponderArguments) -> ExitCode {
    telemetry::start(Verbosity::Normal);
    let address = arguments.listen;
    let server = match arguments.server(wall_clock()) {
        Ok(server) => server,
        Err(problem) => {
            tracing::error!("{problem}");
            return ExitCode::from(EXIT_CONFIGURATION);
        }
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(listen(address, server)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("cannot serve at {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn listen(address: SocketAddr, server: Server) -> std::io::Result<()> {
    let mut signals = Signals::new()?;
    let listener = TcpListener::bind(address).await?;
    tracing::info!(
        "answering OCSP requests at http://{}/",
        listener.local_addr()?
    );
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve(listener, Arc::new(server), stop.clone()));
    // The files are looked at on each request: there is nothing to do for the other signals.
    while signals.next().await != Request::Stop {}
    stop.cancel();
    serving.await.map_err(std::io::Error::other)
}
