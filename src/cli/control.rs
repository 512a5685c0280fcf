//! Which daemon a command speaks to, and the way to it.

use std::path::PathBuf;

use clap::Args;

use super::configuration;
use crate::config::{CONTROL_SOCKET, Error, Options};
use crate::control::{ControlReply, ControlRequest, ask};

/// Which daemon.
#[derive(Args)]
#[command(next_help_heading = "Which daemon")]
pub(super) struct DaemonChoice {
    /// Configuration file of the daemon, for its control_socket
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Control socket of the daemon [default: that of its configuration,
    /// /run/staplerd/control.sock]
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    control_socket: Option<PathBuf>,
}

impl DaemonChoice {
    /// The control socket that is meant.
    pub(super) fn socket(&self) -> Result<PathBuf, String> {
        if let Some(path) = &self.control_socket {
            return Ok(path.clone());
        }
        match configuration::check(Options::default(), self.config.as_deref()) {
            Ok(config) => config.control_socket.ok_or_else(|| {
                "the configuration turns the control socket off (control_socket: null)".to_owned()
            }),
            // A user who may ask the daemon need not be able to read its configuration.
            Err(errors)
                if self.config.is_none()
                    && errors
                        .iter()
                        .all(|error| matches!(error, Error::Unreadable { .. })) =>
            {
                Ok(PathBuf::from(CONTROL_SOCKET))
            }
            Err(errors) => Err(configuration::in_lines(&errors)),
        }
    }

    /// The daemon's reply; a refusal is an error.
    pub(super) fn ask(&self, request: &ControlRequest) -> Result<ControlReply, String> {
        let reply = ask(&self.socket()?, request).map_err(|error| error.to_string())?;
        match reply {
            ControlReply::Refused(refusal) => Err(refusal.message),
            reply => Ok(reply),
        }
    }
}

/// For a reply to another question than the one that was asked.
pub(super) const OUT_OF_STEP: &str = "the daemon has answered another question";

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    #[test]
    fn the_help_names_the_default_that_is_used() {
        let mut command = DaemonChoice::augment_args(Command::new("status"));
        let help = command.render_long_help().to_string();
        assert!(help.contains(CONTROL_SOCKET), "{help}");
    }
}
