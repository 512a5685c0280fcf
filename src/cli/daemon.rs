//! `staplerd [run]`: the daemon.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgAction, Args};

use super::{EXIT_CONFIGURATION, configuration};
use crate::config::{Config, Error, Options, Origin};
use crate::run;
use crate::telemetry::{self, Verbosity};

/// stapled's default for `--file-extensions`.
const FILE_EXTENSIONS: &str = "crt,pem,cer";

/// The daemon's options; the names are those of `stapled`.
#[derive(Args, Clone)]
pub(super) struct DaemonArguments {
    /// Directories with certificates
    #[arg(value_name = "DIR")]
    positional: Vec<PathBuf>,

    /// Configuration file (YAML); the command line goes before it
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Directories with certificates (the same as DIR)
    #[arg(short, long, value_name = "DIR", num_args = 1..)]
    directories: Vec<PathBuf>,

    /// HAProxy control sockets; the n-th belongs to the n-th directory
    ///
    /// A path, tcp://ADDRESS:PORT, abns@NAME, or master:PATH for the master CLI.
    #[arg(short = 's', long, value_name = "SOCKET", num_args = 1..)]
    haproxy_sockets: Vec<String>,

    /// Look into the folders in the directories, too
    #[arg(short = 'R', long)]
    recursive: bool,

    /// Only files with these extensions [without a list: crt,pem,cer]
    ///
    /// Comma-separated. Without this option, every file is looked at that HAProxy would load.
    #[arg(
        long, value_name = "LIST", value_delimiter = ',',
        num_args = 0..=1, default_missing_value = FILE_EXTENSIONS
    )]
    file_extensions: Vec<String>,

    /// Files to pass over; * stands for any characters, ? for one
    ///
    /// A pattern that begins with / is compared with the whole path, any other with its end.
    #[arg(short, long, value_name = "PATTERN", num_args = 1..)]
    ignore: Vec<String>,

    /// Responder addresses to allow although they are refused by default
    ///
    /// Comma-separated networks (192.0.2.0/24), or the words loopback and private.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    allow_addresses: Vec<String>,

    /// Renew a staple that is valid for less than this, in seconds or as 1d 12h [default: 2h]
    #[arg(long, value_name = "DURATION", value_parser = configuration::duration)]
    minimum_validity: Option<Duration>,

    /// Look at the directories this often, besides being told of changes [default: 60]
    #[arg(short, long, value_name = "DURATION", value_parser = configuration::duration)]
    refresh_interval: Option<Duration>,

    /// Requests to responders in flight at once [default: 160]
    #[arg(short = 't', long, value_name = "N")]
    renewal_threads: Option<usize>,

    /// Where status and renew reach this daemon [default: /run/staplerd/control.sock]
    #[arg(long, value_name = "PATH")]
    control_socket: Option<PathBuf>,

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
            recursive: self.recursive,
            file_extensions: self.file_extensions,
            ignore: self.ignore,
            allow_addresses: self.allow_addresses,
            refresh_interval: self.refresh_interval,
            minimum_validity: self.minimum_validity,
            renewal_threads: self.renewal_threads,
            no_recycle: self.no_recycle,
            control_socket: self.control_socket,
            haproxy_config: Vec::new(),
            certificate_paths: Vec::new(),
        }
    }

    fn check(self) -> Result<Config, Vec<Error>> {
        let named = self.config.clone();
        let config = configuration::check(self.options(), named.as_deref())?;
        match config.origin() {
            Origin::Named | Origin::Processes => Ok(config),
            Origin::Nothing => Err(vec![Error::NothingNamed]),
        }
    }
}

/// Checks the options and runs until a signal ends it.
pub(super) fn run(arguments: DaemonArguments) -> ExitCode {
    telemetry::start(arguments.verbosity());
    let config = match arguments.clone().check() {
        Ok(config) => config,
        Err(errors) => {
            for error in errors {
                tracing::error!("{error}");
            }
            return ExitCode::from(EXIT_CONFIGURATION);
        }
    };
    let reload = Box::new(move || arguments.clone().check());
    match run::run(config, reload) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            match error {
                run::Error::Group(_) => ExitCode::from(EXIT_CONFIGURATION),
                run::Error::Runtime(_) | run::Error::Signals(_) => ExitCode::FAILURE,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command};

    use super::*;
    use crate::config::{CONTROL_SOCKET, REFRESH_INTERVAL};
    use crate::fetch::RENEWAL_THREADS;
    use crate::schedule;

    #[test]
    fn the_help_names_the_defaults_that_are_used() {
        let mut command = DaemonArguments::augment_args(Command::new("run"));
        let help = command.render_long_help().to_string();
        let minimum = schedule::Settings::default().minimum_validity.as_secs() / 3600;
        for default in [
            format!("at once [default: {RENEWAL_THREADS}]"),
            format!("of changes [default: {}]", REFRESH_INTERVAL.as_secs()),
            format!("1d 12h [default: {minimum}h]"),
            format!("this daemon [default: {CONTROL_SOCKET}]"),
        ] {
            assert!(help.contains(&default), "no '{default}' in {help}");
        }
    }
}
