//! `staplerd responder`: an OCSP responder for private CAs, until a signal ends it.
//!
//! What it answers for is said by its options ([`groups`]), or by the section `responder` of the
//! configuration file where no `--issuer` is given. Reads the files ([`load`]), says what clients
//! may have against the signers, and serves. Exit codes: 0 after a signal, 1 where it cannot serve,
//! 78 for options and files that make no sense.

mod groups;
mod load;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::groups::Authorities;
use super::{EXIT_CONFIGURATION, configuration};
use crate::config::responder::{ARCHIVES, LISTEN, VALIDITIES, VALIDITY};
use crate::config::{Options, ResponderConfig};
use crate::responder::fault::{Fault, Faults};
use crate::responder::{Authority, Responder, Server, Settings, SigningFailed, SigningKey, serve};
use crate::run::wall_clock;
use crate::signals::{SignalRequest, Signals};
use crate::telemetry::{self, Verbosity};

/// What to do where nothing is said about what to answer for.
const NO_AUTHORITY: &str = "no authority to answer for: give --issuer with its --key and --index, or a \
    configuration file (-c) with a section 'responder'";

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

    /// Configuration file with a section `responder`; the command line goes before it
    ///
    /// Without this option and without --issuer, the file in its default place counts.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,

    /// How long answers are valid, such as 4d or 12h [default: 4d]
    #[arg(long, value_name = "DURATION", value_parser = validity)]
    validity: Option<Duration>,

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
    within(text, &VALIDITIES)
}

fn archive(text: &str) -> Result<Duration, String> {
    within(text, &ARCHIVES)
}

fn within(text: &str, bounds: &RangeInclusive<Duration>) -> Result<Duration, String> {
    let duration = configuration::duration(text)?;
    if !bounds.contains(&duration) {
        let days = bounds.end().as_secs() / (24 * 3600);
        return Err(format!("expected from 1s to {days}d"));
    }
    Ok(duration)
}

impl ResponderArguments {
    /// What counts of the options and of the file; what is wrong with them is added to `problems`.
    fn check(self, problems: &mut Vec<String>) -> ResponderConfig {
        let mut config = ResponderConfig {
            listen: LISTEN,
            validity: VALIDITY,
            nonce: false,
            archive_cutoff: None,
            authorities: Vec::new(),
        };
        if self.authorities.is_empty() || self.config.is_some() {
            match configuration::check(Options::default(), self.config.as_deref()) {
                Ok(file) => config = file.responder.unwrap_or(config),
                Err(errors) => problems.extend(errors.iter().map(ToString::to_string)),
            }
        }
        if !self.authorities.is_empty() {
            config.authorities = self.authorities.check(problems);
        }
        if config.authorities.is_empty() && problems.is_empty() {
            problems.push(NO_AUTHORITY.to_owned());
        }
        config.listen = self.listen.unwrap_or(config.listen);
        config.validity = self.validity.unwrap_or(config.validity);
        config.nonce |= self.nonce;
        config.archive_cutoff = self.archive_cutoff.or(config.archive_cutoff);
        config
    }
}

/// Says what clients may have against the signers, and what goes wrong on purpose.
fn server(
    authorities: Vec<Authority>,
    settings: Settings,
    faults: Vec<Fault>,
) -> Result<Server, SigningFailed> {
    let now = wall_clock();
    for warning in authorities.iter().flat_map(|one| one.warnings(now)) {
        tracing::warn!("{warning}");
    }
    for fault in &faults {
        tracing::warn!("FAULTS ARE ON, this responder answers wrongly on purpose: {fault:?}");
    }
    let faults = match faults.is_empty() {
        true => None,
        false => Some(Faults::new(faults, SigningKey::generate()?)),
    };
    Ok(Server {
        responder: Responder::new(authorities, settings),
        clock: wall_clock,
        faults,
    })
}

/// Serves until a signal ends it.
pub(super) fn run(mut arguments: ResponderArguments) -> ExitCode {
    telemetry::start(Verbosity::Normal);
    let faults = std::mem::take(&mut arguments.faults);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    // The programs that are asked for statuses are its tasks.
    let _inside = runtime.enter();
    let mut problems = Vec::new();
    let config = arguments.check(&mut problems);
    let authorities = load::authorities(&config.authorities, &mut problems);
    if !problems.is_empty() {
        for problem in problems {
            tracing::error!("{}", configuration::first_line(&problem));
        }
        return ExitCode::from(EXIT_CONFIGURATION);
    }
    let settings = Settings {
        validity: config.validity,
        echo_nonce: config.nonce,
        archive: config.archive_cutoff,
    };
    let address = config.listen;
    let server = match server(authorities, settings, faults) {
        Ok(server) => server,
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
    while signals.next().await != SignalRequest::Stop {}
    stop.cancel();
    serving.await.map_err(std::io::Error::other)
}
