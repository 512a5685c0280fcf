//! `staplerd renew`: asks the running daemon to renew responses now.
//!
//! Exit code 0 when it is under way, 1 when the daemon cannot be reached or knows no such
//! certificate.

use std::process::ExitCode;

use clap::Args;

use super::control::{DaemonChoice, OUT_OF_STEP};
use crate::control::{ControlReply, ControlRequest};

/// What is to be renewed.
#[derive(Args)]
pub(super) struct RenewArguments {
    /// Certificates: the path of the file, an end of it, or a DNS name [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    #[command(flatten)]
    daemon: DaemonChoice,
}

/// Asks, and says how many.
pub(super) fn run(arguments: &RenewArguments) -> ExitCode {
    let names = arguments.names.clone();
    let problem = match arguments.daemon.ask(&ControlRequest::Renew { names }) {
        Ok(ControlReply::Renewal(renewal)) => {
            let count = renewal.certificates;
            let noun = match count {
                1 => "certificate file",
                _ => "certificate files",
            };
            println!("renewing {count} {noun}; staplerd status shows what becomes of it");
            for not_asked in &renewal.not_asked {
                println!("{not_asked}");
            }
            return ExitCode::SUCCESS;
        }
        Ok(_) => OUT_OF_STEP.to_owned(),
        Err(problem) => problem,
    };
    eprintln!("{problem}");
    ExitCode::FAILURE
}
