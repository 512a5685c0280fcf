//! `staplerd [run]`: the daemon, in the foreground or in the background.
//!
//! Exit codes: 0 after a signal, 1 when it cannot start, 78 for a configuration that makes no
//! sense; with `-D`, 0 as soon as the process in the background is ready, else that process's code.

mod arguments;

use std::process::ExitCode;

pub(super) use arguments::{DaemonArguments, DaemonOptions};

use super::configuration::{self, Loaded, first_line};
use super::user::User;
use super::{EXIT_CONFIGURATION, once, panics};
use crate::background::{self, StartOutcome};
use crate::config::{Config, Error, Logging};
use crate::run::{self, Extent};
use crate::systemd;
use crate::telemetry::{self, Verbosity};

/// Checks the options and runs until a signal ends it.
pub(super) fn run(arguments: DaemonArguments) -> ExitCode {
    let loaded = match load(&arguments) {
        Ok(loaded) => loaded,
        Err(errors) => {
            // The file of the log may be what is wrong.
            telemetry::start(log_settings(&arguments.logging()).verbosity);
            for error in errors {
                tracing::error!("{}", first_line(&error));
            }
            return ExitCode::from(EXIT_CONFIGURATION);
        }
    };
    let wants_background = loaded.background && !loaded.one_off && !arguments.is_interactive();
    let stays = wants_background && systemd::is_notified();
    if wants_background && !stays && !background::is_here() {
        return start_in_background();
    }
    let settings = log_settings(&loaded.config.logging);
    if let Err(error) = telemetry::start_with(&settings) {
        telemetry::start(settings.verbosity);
        tracing::error!("cannot write the log: {error}");
        return ExitCode::from(EXIT_CONFIGURATION);
    }
    if background::is_here() {
        if settings.directory.is_none() && !settings.syslog {
            tracing::warn!("in the background nothing is logged without --logdir or --syslog");
        }
        if let Err(error) = background::enter() {
            tracing::error!("no session of its own to be had: {error}");
            return ExitCode::FAILURE;
        }
    }
    panics::end_the_process();
    for place in &loaded.passed_over {
        tracing::warn!("{place}");
    }
    if let Some(notice) = &loaded.notice {
        tracing::info!("{notice}");
    }
    if stays {
        tracing::warn!("systemd waits for this process: -D has no effect");
    }
    warn(&loaded.config);
    if arguments.has_keepalive() {
        tracing::debug!("--haproxy-socket-keepalive has no effect: connections are always watched");
    }
    if loaded.one_off {
        return run_once(loaded.config);
    }
    let reload = Box::new(move || {
        let loaded = load(&arguments)?;
        warn(&loaded.config);
        Ok(loaded.config)
    });
    match run::run(loaded.config, reload) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cannot_run(&error),
    }
}

/// stapled's `--one-off`.
fn run_once(config: Config) -> ExitCode {
    match once::once(config, Extent::Everything, &once::bar(true)) {
        Ok(summary) => {
            tracing::info!("{}", once::in_words(&summary, false));
            match summary.is_success() {
                true => ExitCode::SUCCESS,
                false => ExitCode::FAILURE,
            }
        }
        Err(error) => cannot_run(&error),
    }
}

/// The exit code of a program that could not start, which is logged.
pub(super) fn cannot_run(error: &run::Error) -> ExitCode {
    tracing::error!("{error}");
    match error {
        run::Error::Group(_) | run::Error::HaproxyConfig(_) => ExitCode::from(EXIT_CONFIGURATION),
        run::Error::Runtime(_) | run::Error::Signals(_) => ExitCode::FAILURE,
    }
}

/// The configuration of these options.
pub(super) fn load(arguments: &DaemonArguments) -> Result<Loaded, Vec<Error>> {
    configuration::for_daemon(arguments.options(), arguments.config())
}

/// Says what the operator should know about the file, and about programs that it names in vain.
fn warn(config: &Config) {
    for warning in &config.warnings {
        tracing::warn!("{}", first_line(warning));
    }
    for hook in config.hooks.programs() {
        if let Err(problem) = User::Current.check_program(&hook.program) {
            tracing::warn!(reason = "hook_not_started", "hooks: {problem}: correct it");
        }
    }
}

/// Starts the same command line once more, as the process in the background, and waits for its
/// word.
fn start_in_background() -> ExitCode {
    match background::start() {
        Ok(StartOutcome::Ready) => ExitCode::SUCCESS,
        // It has said why.
        Ok(StartOutcome::Ended(code)) => {
            let code = code.and_then(|code| u8::try_from(code).ok());
            code.map_or(ExitCode::FAILURE, ExitCode::from)
        }
        Err(error) => {
            eprintln!("no process in the background: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the configuration says of the log.
pub(super) fn log_settings(logging: &Logging) -> telemetry::Settings {
    telemetry::Settings {
        verbosity: match logging.verbosity {
            Some(0) => Verbosity::Quiet,
            Some(1) => Verbosity::Terse,
            None | Some(2) => Verbosity::Normal,
            Some(3) => Verbosity::Detailed,
            Some(_) => Verbosity::Everything,
        },
        quiet: logging.quiet,
        directory: logging.directory.clone(),
        syslog: logging.syslog,
    }
}
