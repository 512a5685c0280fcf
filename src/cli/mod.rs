//! The command line: arguments to subcommands, results to exit codes.
//!
//! Each subcommand has a file here that reads its arguments, calls the rooms that do the work and
//! prints. The daemon is the default: `staplerd DIR…` and `staplerd run DIR…` are the same.

mod configuration;
mod control;
mod daemon;
mod fetch;
mod input;
mod probe;
mod renew;
mod responder;
mod status;
mod verify;
mod wording;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::run::wall_clock;

/// The configuration makes no sense (sysexits.h, EX_CONFIG).
const EXIT_CONFIGURATION: u8 = 78;

/// Keeps OCSP staples fresh in running HAProxy processes.
#[derive(Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Example: staplerd -d /etc/haproxy/certs -s /run/haproxy/admin.sock"
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    daemon: daemon::DaemonArguments,
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon in the foreground (the default).
    Run(daemon::DaemonArguments),
    /// Show how it stands with every certificate of the running daemon.
    Status(status::StatusArguments),
    /// Have the running daemon renew responses now.
    Renew(renew::RenewArguments),
    /// Ask for one certificate's response, judge it, show it and save it.
    Fetch(fetch::FetchArguments),
    /// Show the staple that a TLS client gets from a server.
    Probe(probe::ProbeArguments),
    /// Judge one OCSP response: good, revoked, unknown or a reason to reject it.
    Verify(verify::VerifyArguments),
    /// Answer OCSP requests for one or several private CAs.
    Responder(responder::ResponderArguments),
}

/// Runs the program with the process's arguments.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        None => daemon::run(arguments.daemon),
        Some(Command::Run(daemon)) => daemon::run(daemon),
        Some(Command::Status(status)) => status::run(&status),
        Some(Command::Renew(renew)) => renew::run(&renew),
        Some(Command::Fetch(fetch)) => fetch::run(&fetch),
        Some(Command::Probe(probe)) => probe::run(&probe),
        Some(Command::Verify(verify)) => verify::run(&verify, wall_clock()),
        Some(Command::Responder(responder)) => responder::run(responder),
    }
}

/// Prints a JSON object for programs.
fn print_json(object: &impl serde::Serialize) {
    // Only maps with keys that are no text cannot be written.
    if let Ok(text) = serde_json::to_string_pretty(object) {
        // Whoever reads it may have read enough (`| head`).
        let _ = writeln!(std::io::stdout(), "{text}");
    }
}
