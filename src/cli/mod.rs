//! The command line: arguments to subcommands, results to exit codes.
//!
//! Each subcommand has a file here that reads its arguments, calls the rooms that do the work and
//! prints. The daemon is the default: `staplerd DIR…` and `staplerd run DIR…` are the same.

mod clear;
mod configuration;
mod control;
mod daemon;
mod fetch;
mod generate;
mod input;
mod limits;
mod once;
mod panics;
mod probe;
mod reload;
mod renew;
#[cfg(feature = "responder")]
mod responder;
mod status;
mod survey;
mod user;
mod validate;
mod verify;
mod wording;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::run::wall_clock;

/// The configuration makes no sense (sysexits.h, EX_CONFIG).
const EXIT_CONFIGURATION: u8 = 78;
/// How similar a word has to be to a command to be meant as one (Damerau-Levenshtein, 1 is the
/// same).
const SIMILAR: f64 = 0.6;
/// Help fits a terminal of this many columns.
const HELP_WIDTH: usize = 80;

/// Keeps OCSP staples fresh in running HAProxy processes.
#[derive(Parser)]
#[command(
    name = "staplerd",
    version,
    max_term_width = HELP_WIDTH,
    args_conflicts_with_subcommands = true,
    after_help = "Example: staplerd -d /etc/haproxy/certs -s /run/haproxy/admin.sock"
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<CliCommand>,
    #[command(flatten)]
    daemon: daemon::DaemonArguments,
}

#[derive(Subcommand)]
enum CliCommand {
    /// Run the daemon (the default).
    #[command(after_help = "\
Examples:
  staplerd run /etc/haproxy/certs -s /run/haproxy/admin.sock
  staplerd run -c /etc/staplerd/staplerd.yaml -D --logdir")]
    Run(daemon::DaemonArguments),
    /// Renew what is due, once: the cron job in place of ocspbot.
    #[command(
        version,
        disable_version_flag = true,
        after_help = "\
Examples:
  staplerd once ocspbot.yaml
  staplerd once --dry-run"
    )]
    Once(once::OnceArguments),
    /// Show how it stands with every certificate of the running daemon.
    #[command(after_help = "\
Examples:
  staplerd status
  staplerd status www.example.com --timeline
  staplerd status --json | jq '.certificates[] | select(.needs_attention)'")]
    Status(status::StatusArguments),
    /// Have the running daemon read its configuration again.
    ///
    /// Takes the options that the daemon was started with. A configuration with a mistake is
    /// refused whole, and the old one goes on.
    #[command(after_help = "\
Examples:
  staplerd reload
  staplerd reload -c /etc/staplerd/staplerd.yaml")]
    Reload(daemon::DaemonArguments),
    /// Remove staples that would keep HAProxy from starting, without any request.
    ///
    /// Takes the daemon's options, and is for the time before HAProxy starts: what the daemon
    /// itself does at its start. While the daemon runs there is nothing to do.
    #[command(after_help = "\
Examples:
  staplerd clear
  staplerd clear /etc/haproxy/certs")]
    Clear(daemon::DaemonArguments),
    /// Have the running daemon renew responses now.
    #[command(after_help = "\
Examples:
  staplerd renew
  staplerd renew site.pem www.example.com")]
    Renew(renew::RenewArguments),
    /// Ask for one certificate's response, judge, show and save it.
    #[command(after_help = "\
Examples:
  staplerd fetch /etc/haproxy/certs/site.pem
  staplerd fetch site.pem --issuer ca.pem -o site.pem.ocsp")]
    Fetch(fetch::FetchArguments),
    /// Show the staple that a TLS client gets from a server.
    #[command(after_help = "\
Examples:
  staplerd probe www.example.com
  staplerd probe 127.0.0.1:443 --name www.example.com --json
  staplerd probe 127.0.0.1:443 --all -d /etc/haproxy/certs")]
    Probe(probe::ProbeArguments),
    /// Judge an OCSP response: good, revoked, unknown, or why not.
    #[command(after_help = "\
Example:
  staplerd verify --response site.pem.ocsp --cert site.pem --issuer ca.pem")]
    Verify(verify::VerifyArguments),
    /// Check a configuration, and that all it names is there.
    #[command(after_help = "\
Examples:
  staplerd validate
  staplerd validate /etc/staplerd/staplerd.yaml --user staplerd")]
    Validate(validate::ValidateArguments),
    /// Answer OCSP requests for one or several private CAs.
    #[cfg(feature = "responder")]
    #[command(after_help = "\
Example:
  staplerd responder --issuer ca.pem --key ca.key --index index.txt")]
    Responder(responder::ResponderArguments),
    /// Print the completions for a shell.
    #[command(after_help = "\
Example:
  staplerd completions bash > /etc/bash_completion.d/staplerd")]
    Completions(generate::CompletionsArguments),
    /// Print a manual page, or write all of them.
    #[command(after_help = "\
Examples:
  staplerd man probe | man -l -
  staplerd man --all /usr/local/share/man/man1")]
    Man(generate::ManArguments),
}

/// Runs the program with the process's arguments.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(refusal) => return refuse(&refusal),
    };
    let daemon = match &arguments.command {
        None => Some(&arguments.daemon),
        Some(CliCommand::Run(daemon)) => Some(daemon),
        Some(_) => None,
    };
    if let Some(word) = daemon.and_then(daemon::DaemonArguments::misplaced_word) {
        return refuse(&no_such_place(word));
    }
    limits::raise_open_files();
    match arguments.command {
        None => daemon::run(arguments.daemon),
        Some(CliCommand::Run(daemon)) => daemon::run(daemon),
        Some(CliCommand::Once(once)) => once::run(&once),
        Some(CliCommand::Status(status)) => status::run(&status),
        Some(CliCommand::Reload(daemon)) => reload::run(&daemon),
        Some(CliCommand::Clear(daemon)) => clear::run(&daemon),
        Some(CliCommand::Renew(renew)) => renew::run(&renew),
        Some(CliCommand::Fetch(fetch)) => fetch::run(&fetch),
        Some(CliCommand::Probe(probe)) => probe::run(&probe),
        Some(CliCommand::Completions(completions)) => {
            generate::completions(&completions, Arguments::command())
        }
        Some(CliCommand::Man(man)) => generate::man(&man, Arguments::command()),
        Some(CliCommand::Verify(verify)) => verify::run(&verify, wall_clock()),
        Some(CliCommand::Validate(validate)) => validate::run(&validate),
        #[cfg(feature = "responder")]
        Some(CliCommand::Responder(responder)) => responder::run(responder),
    }
}

/// What to say of a word that is neither a command nor the name of a directory.
fn no_such_place(word: &str) -> clap::Error {
    let mut command = Arguments::command();
    let names = command.get_subcommands().map(|command| command.get_name());
    let similarity = |name: &&str| strsim::normalized_damerau_levenshtein(word, name);
    let nearest = names.max_by(|one, other| similarity(one).total_cmp(&similarity(other)));
    let hint = match nearest.filter(|name| similarity(name) >= SIMILAR) {
        Some(name) if name == word => {
            format!("{word} is a command: it comes first, as in 'staplerd {word} …'")
        }
        Some(name) => format!("there is no such directory; did you mean 'staplerd {name}'?"),
        None => "there is no such directory, nor a command of this name".to_owned(),
    };
    let message = format!("'{}': {hint}", word.escape_debug());
    command.error(clap::error::ErrorKind::InvalidSubcommand, message)
}

/// Prints what is wrong with the command line, or the help that was asked for.
fn refuse(refusal: &clap::Error) -> ExitCode {
    let _ = refusal.print();
    let is_once = std::env::args_os()
        .nth(1)
        .is_some_and(|command| command == "once");
    match u8::try_from(refusal.exit_code()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) if is_once => ExitCode::from(once::EXIT_USAGE),
        Ok(code) => ExitCode::from(code),
        Err(_) => ExitCode::FAILURE,
    }
}

/// Prints a JSON object for programs.
fn print_json(object: &impl serde::Serialize) {
    // Only maps with keys that are no text cannot be written.
    if let Ok(text) = serde_json::to_string_pretty(object) {
        // The reader may have closed the pipe (`| head`).
        let _ = writeln!(std::io::stdout(), "{text}");
    }
}
