//! `staplerd [run]`: the daemon.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Args};

use super::EXIT_CONFIGURATION;
use crate::config::{Config, Options};
use crate::fetch;
use crate::run;
use crate::telemetry::{self, Verbosity};

/// The daemon's options; the names are those of `stapled`.
#[derive(Args)]
pub(super) struct DaemonArguments {
    /// Directories with certificates
    #[arg(value_name = "DIR")]
    positional: Vec<PathBuf>,

    /// Directories with certificates (the same as DIR)
    #[arg(short, long, value_name = "DIR", num_args = 1..)]
    directories: Vec<PathBuf>,

    /// HAProxy control sockets; the n-th belongs to the n-th directory
    ///
    /// A path, tcp://ADDRESS:PORT, abns@NAME, or master:PATH for the master CLI.
    #[arg(short = 's', long, value_name = "SOCKET", num_args = 1..)]
    haproxy_sockets: Vec<String>,

    /// Responder addresses to allow although they are refused by default
    ///
    /// Comma-separated networks (192.0.2.0/24), or the words loopback and private.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    allow_addresses: Vec<String>,

    /// Renew a staple that is valid for less than this
    #[arg(long, value_name = "SECONDS", default_value_t = 7200)]
    minimum_validity: u64,

    /// Look at the directories this often, besides being told of changes
    #[arg(short, long, value_name = "SECONDS", default_value_t = 60)]
    refresh_interval: u64,

    /// Requests to responders in flight at once
    #[arg(short = 't', long, value_name = "N", default_value_t = fetch::RENEWAL_THREADS)]
    renewal_threads: usize,

    /// Renew everything at start, also what has a valid staple on disk
    #[arg(long)]
    no_recycle: bool,

    /// Log more; twice, what the libraries say as well
    #[arg(short, action = ArgAction::Count)]
    verbose: u8,

    /// Log errors only
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
}

impl DaemonArguments {
    fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, 1) => Verbosity::Detailed,
            (false, _) => Verbosity::Everything,
        }
    }

    fn options(self) -> Options {
        let mut directories = self.directories;
        directories.extend(self.positional);
        Options {
            directories,
            sockets: self.haproxy_sockets,
            allow_addresses: self.allow_addresses,
            refresh_interval: self.refresh_interval,
            minimum_validity: self.minimum_validity,
            renewal_threads: self.renewal_threads,
            recycle: !self.no_recycle,
        }
    }
}

/// Checks the options and runs until a signal ends it.
pub(super) fn run(arguments: DaemonArguments) -> ExitCode {
    telemetry::start(arguments.verbosity());
    let config = match Config::from_options(&arguments.options()) {
        Ok(config) => config,
        Err(errors) => {
            for error in errors {
                tracing::error!("{error}");
            }
            return ExitCode::from(EXIT_CONFIGURATION);
        }
    };
    match run::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
