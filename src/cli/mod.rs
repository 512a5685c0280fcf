//! The command line: arguments become one subcommand, its result an exit code.
//!
//! Each subcommand has its own file; what it does lives in the rooms below.

pub mod verify;

use std::process::ExitCode;
use std::time::SystemTime;

use clap::Parser;

use crate::time::Timestamp;

/// staplerd keeps OCSP staples fresh in running HAProxy processes.
#[derive(Parser, Debug)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Judge an OCSP response as strictly as a browser does.
    Verify(verify::VerifyArguments),
}

/// Runs what the command line asks for.
pub fn run() -> ExitCode {
    match Arguments::parse().command {
        Command::Verify(arguments) => verify::run(&arguments, Timestamp::from(SystemTime::now())),
    }
}
