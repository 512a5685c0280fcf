//! `staplerd clear`: what a unit before HAProxy's runs, so that HAProxy starts under
//! `zero-warning`.
//!
//! It takes the daemon's own options, and what it does is what the daemon does at its start before
//! it is ready: the same rooms and the same agent, without any requests. Exit codes: 0 when
//! everything has been looked at, or a running daemon sees to it; 1 when it could not start or was
//! cut off; 78 for a configuration that makes no sense.

use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use super::EXIT_CONFIGURATION;
use super::configuration::first_line;
use super::daemon::{self, DaemonArguments};
use super::{once, panics};
use crate::config::{Config, Origin};
use crate::run::Extent;
use crate::telemetry;
use crate::text::counted;

/// Clears away what is in HAProxy's way.
pub(super) fn run(arguments: &DaemonArguments) -> ExitCode {
    telemetry::start(daemon::log_settings(&arguments.logging()).verbosity);
    panics::end_the_process();
    let config = match daemon::load(arguments) {
        Ok(loaded) => loaded.config,
        Err(mistakes) => {
            for mistake in &mistakes {
                tracing::error!("{}", first_line(mistake));
            }
            return ExitCode::from(EXIT_CONFIGURATION);
        }
    };
    if is_looked_after(&config) {
        tracing::info!("nothing to do: staplerd runs, and leaves nothing in HAProxy's way");
        return ExitCode::SUCCESS;
    }
    if config.origin() == Origin::Processes {
        tracing::info!(
            "nothing to do: only a HAProxy that runs tells which certificates there are"
        );
        return ExitCode::SUCCESS;
    }
    match once::once(config.without_sockets(), Extent::Disk, &once::bar(true)) {
        Ok(summary) => {
            tracing::info!("{} removed", counted(summary.cleared, "staple", "staples"));
            match summary.is_cut_off {
                true => ExitCode::FAILURE,
                false => ExitCode::SUCCESS,
            }
        }
        Err(error) => daemon::cannot_run(&error),
    }
}

/// Whether a daemon answers on its control socket.
fn is_looked_after(config: &Config) -> bool {
    let socket = config.control_socket.as_ref();
    socket.is_some_and(|path| UnixStream::connect(path).is_ok())
}
