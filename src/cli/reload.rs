//! `staplerd reload`: has the running daemon read its configuration again, and says what became of
//! it. What `ExecReload=` of the systemd unit runs.
//!
//! It takes the daemon's own options, reads the same configuration and asks over the control socket
//! that is named there. If that is turned off, or new, the process that systemd names gets SIGHUP.
//! Exit codes: 0 when the daemon goes by the configuration as it is now, 1 when it cannot be
//! reached or refuses it, 78 for a configuration that makes no sense.

use std::path::Path;
use std::process::ExitCode;

use rustix::process::{Pid, Signal, kill_process};

use super::EXIT_CONFIGURATION;
use super::configuration;
use super::control::OUT_OF_STEP;
use super::daemon::{self, DaemonArguments};
use crate::control::{AskError, ControlReply, ControlRequest, ask};

/// Where systemd says which process is the daemon (systemd.exec(5)).
const MAIN_PID: &str = "MAINPID";

/// Asks, and says what became of it.
pub(super) fn run(arguments: &DaemonArguments) -> ExitCode {
    let config = match daemon::load(arguments) {
        Ok(loaded) => loaded.config,
        Err(mistakes) => {
            eprintln!("{}", configuration::in_lines(&mistakes));
            return ExitCode::from(EXIT_CONFIGURATION);
        }
    };
    match reload(config.control_socket.as_deref()) {
        Ok(done) => {
            println!("{done}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn reload(control_socket: Option<&Path>) -> Result<String, String> {
    let Some(path) = control_socket else {
        let problem = "the configuration turns the control socket off (control_socket: null)";
        return signal(problem);
    };
    match ask(path, &ControlRequest::Reload) {
        Ok(ControlReply::Reloaded(reloaded)) => {
            for warning in reloaded.warnings {
                eprintln!("{warning}");
            }
            Ok("configuration read again".to_owned())
        }
        Ok(ControlReply::Refused(refusal)) => Err(refusal.message),
        Ok(_) => Err(OUT_OF_STEP.to_owned()),
        Err(error @ AskError::NotRunning(_)) => signal(&error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Sends SIGHUP to the process that systemd names.
fn signal(problem: &str) -> Result<String, String> {
    let pid = std::env::var(MAIN_PID).ok();
    let pid = pid.and_then(|pid| Pid::from_raw(pid.parse().ok()?));
    let Some(pid) = pid else {
        return Err(format!("{problem}; send SIGHUP to the daemon"));
    };
    match kill_process(pid, Signal::HUP) {
        Ok(()) => Ok(format!(
            "{problem}: sent SIGHUP, and the log says what became of it"
        )),
        Err(error) => Err(format!("{problem}; no SIGHUP to process {pid:?}: {error}")),
    }
}
