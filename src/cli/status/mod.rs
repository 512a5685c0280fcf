//! `staplerd status`: how it stands with every certificate of the running daemon.
//!
//! Exit code 0 when all is well or on its way; 1 when something needs a person (docs/operating.md
//! says what does), when the daemon cannot be reached, or when it knows no such certificate.

mod style;
mod table;
mod timeline;

#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;
use rustix::termios::tcgetwinsize;

use super::control::{DaemonChoice, OUT_OF_STEP};
use super::{configuration, print_json};
use crate::control::{ControlReply, ControlRequest, StatusView};

use style::Style;

/// The shortest time between two pictures.
const SHORTEST_WATCH: Duration = Duration::from_secs(1);
/// Clears a terminal and begins at its upper left (ECMA-48).
const CLEAR: &str = "\x1b[2J\x1b[H";

/// What is to be shown, and how.
#[derive(Args)]
pub(super) struct StatusArguments {
    /// Certificates: the path of the file, an end of it, or a DNS name [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Print one JSON object
    #[arg(short, long, conflicts_with_all = ["timeline", "watch"])]
    json: bool,

    /// Show the life of each staple as a bar
    #[arg(short, long)]
    timeline: bool,

    /// Show it again and again, until interrupted [without a value: every 2s]
    #[arg(
        short, long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
        value_parser = configuration::duration
    )]
    watch: Option<Duration>,

    #[command(flatten)]
    daemon: DaemonChoice,
}

/// Asks and shows.
pub(super) fn run(arguments: &StatusArguments) -> ExitCode {
    if let Some(interval) = arguments.watch {
        return watch(arguments, interval.max(SHORTEST_WATCH));
    }
    let status = match ask(arguments) {
        Ok(status) => status,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::FAILURE;
        }
    };
    if arguments.json {
        print_json(&status);
    } else {
        let (style, _) = terminal();
        // The reader may have closed the pipe (`| head`).
        let _ = print(&picture(arguments, &status, style));
    }
    match status.needs_attention {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

/// Shows it until the output is closed.
fn watch(arguments: &StatusArguments, interval: Duration) -> ExitCode {
    loop {
        let (style, height) = terminal();
        let mut lines = match ask(arguments) {
            Ok(status) => {
                let head = format!("{}, staplerd {}", status.time, status.version);
                let mut lines = vec![style.cut(&head), String::new()];
                lines.extend(picture(arguments, &status, style));
                lines
            }
            // It may be about to start again.
            Err(problem) => vec![problem],
        };
        if let Some(height) = height {
            table::shorten(&mut lines, height.saturating_sub(1));
            if let Some(first) = lines.first_mut() {
                first.insert_str(0, CLEAR);
            }
        }
        if print(&lines).is_err() {
            return ExitCode::FAILURE;
        }
        thread::sleep(interval);
    }
}

fn ask(arguments: &StatusArguments) -> Result<StatusView, String> {
    let names = arguments.names.clone();
    match arguments.daemon.ask(&ControlRequest::Status { names })? {
        ControlReply::Status(status) => Ok(status),
        _ => Err(OUT_OF_STEP.to_owned()),
    }
}

fn picture(arguments: &StatusArguments, status: &StatusView, style: Style) -> Vec<String> {
    match arguments.timeline {
        true => timeline::lines(status, style),
        false => table::lines(status, style),
    }
}

fn print(lines: &[String]) -> io::Result<()> {
    let mut text = lines.join("\n");
    text.push('\n');
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()
}

/// How to write for the standard output, and how many lines it shows where it is a terminal.
fn terminal() -> (Style, Option<usize>) {
    let output = io::stdout();
    if !output.is_terminal() {
        return (Style::default(), None);
    }
    let size = tcgetwinsize(&output).ok();
    let columns = size.map(|size| usize::from(size.ws_col));
    let rows = size.map(|size| usize::from(size.ws_row));
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    let style = Style {
        width: columns.filter(|columns| *columns > 0),
        // https://no-color.org
        has_colours: !is_set("NO_COLOR") && !is_dumb,
    };
    (style, rows.filter(|rows| *rows > 0))
}
