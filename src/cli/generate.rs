//! `staplerd completions` and `staplerd man`: what shells and man(1) want to know of the command
//! line, made from its definitions.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::text::Printable;
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

/// For which shell.
#[derive(Args)]
pub(super) struct CompletionsArguments {
    /// Shell to complete command lines in
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Which pages, and where to.
#[derive(Args)]
pub(super) struct ManArguments {
    /// Command whose page is printed [default: that of staplerd itself]
    #[arg(value_name = "COMMAND", conflicts_with = "all")]
    command: Option<String>,

    /// Write the pages of all commands into this directory
    #[arg(long, value_name = "DIR")]
    all: Option<PathBuf>,
}

/// Prints the completions of `command` for a shell.
pub(super) fn completions(arguments: &CompletionsArguments, mut command: Command) -> ExitCode {
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(arguments.shell, &mut command, name, &mut script);
    finish(io::stdout().write_all(&script), "standard output")
}

/// Prints a page, or writes all of them.
pub(super) fn man(arguments: &ManArguments, command: Command) -> ExitCode {
    if let Some(directory) = &arguments.all {
        let written = write_pages(command, directory);
        return finish(written, &directory.printable().to_string());
    }
    let mut command = with_built_names(command);
    let wanted = match &arguments.command {
        None => Some(&mut command),
        Some(name) => command.find_subcommand_mut(name),
    };
    let Some(wanted) = wanted else {
        let name = arguments.command.as_deref().unwrap_or_default();
        eprintln!("'{name}' is no command of staplerd: staplerd --help lists them");
        return ExitCode::FAILURE;
    };
    let page = page(wanted);
    finish(
        page.and_then(|page| io::stdout().write_all(&page)),
        "standard output",
    )
}

/// The command with the names of its subcommands' pages: `staplerd-probe`.
fn with_built_names(command: Command) -> Command {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    command
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}

fn write_pages(command: Command, directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(command, directory)
}

fn finish(outcome: io::Result<()>, place: &str) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has closed the pipe.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{place}: {error}");
            ExitCode::FAILURE
        }
    }
}
