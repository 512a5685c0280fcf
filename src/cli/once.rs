//! `staplerd once`: everything that is due, once, for a cron job.
//!
//! Takes the place of `ocspbot`, with its file and its exit codes: 0 nothing was renewed; n staples
//! were renewed (250 at most); 255 something failed; 254 the configuration or a log file could not
//! be read or written; 253 the configuration makes no sense; 252 the command line does not.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{ArgAction, Args};
use indicatif::{ProgressBar, ProgressStyle};

use super::{configuration, panics};
use crate::config::{Config, Error, LogFilePattern, Options, Origin};
use crate::files;
use crate::run::{self, Extent, Once, Summary};
use crate::telemetry::{self, Sink, Verbosity};
use crate::text::Printable;

/// The file that ocspbot reads where none is named.
const DEFAULT_FILE: &str = "ocspbot.yaml";
/// The most renewals that an exit code tells.
const MOST_RENEWED: usize = 250;
/// A response could not be fetched, written or delivered (ocspbot's -1).
const EXIT_FAILED: u8 = 255;
/// A file could not be read or written (ocspbot's -2).
const EXIT_UNREADABLE: u8 = 254;
/// The configuration makes no sense (ocspbot's -3).
const EXIT_CONFIGURATION: u8 = 253;
/// Who may read a log file: it names certificates and responders.
const LOG_MODE: u32 = 0o640;
/// The command line makes no sense (ocspbot's -4).
pub(super) const EXIT_USAGE: u8 = 252;

/// What to do once.
#[derive(Args)]
pub(super) struct OnceArguments {
    /// Configuration file [default: ocspbot.yaml, else that of the daemon]
    #[arg(value_name = "CONFIG")]
    config: Option<PathBuf>,

    /// Say what is due, and do nothing
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Log more; twice, what the libraries say as well
    #[arg(long, action = ArgAction::Count)]
    verbose: u8,

    /// Print the version, as ocspbot's options of these names do
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: (),

    /// Errors only, no summary
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
}

/// Does it.
pub(super) fn run(arguments: &OnceArguments) -> ExitCode {
    let named = match &arguments.config {
        Some(named) => Some(named.as_path()),
        None => match default_file() {
            Ok(found) => found,
            Err(problem) => {
                eprintln!("{problem}");
                return ExitCode::from(EXIT_UNREADABLE);
            }
        },
    };
    let mut config = match configuration::load(Options::default(), named) {
        Ok(loaded) if loaded.config.origin() != Origin::Nothing => loaded.config,
        Ok(loaded) => return refuse_nothing(loaded.file.as_deref()),
        Err(errors) => return refuse(&errors, configuration::error_log(named).as_ref()),
    };
    config.address_rules = config.address_rules.by_key();
    let bar = bar(arguments.quiet || config.output_log.is_some());
    let logging = open(config.output_log.as_ref(), Sink::Output).and_then(|output| {
        let errors = open(config.error_log.as_ref(), Sink::Errors)?;
        telemetry::start_once(verbosity(arguments, &bar), output, errors, bar.clone());
        Ok(())
    });
    if let Err(problem) = logging {
        eprintln!("{problem}");
        return ExitCode::from(EXIT_UNREADABLE);
    }
    for warning in &config.warnings {
        tracing::warn!("{}", configuration::first_line(warning));
    }
    panics::end_the_process();
    let extent = match arguments.dry_run {
        true => Extent::Nothing,
        false => Extent::Everything,
    };
    match once(config, extent, &bar) {
        Ok(summary) => {
            let words = in_words(&summary, arguments.dry_run);
            if !bar.is_hidden() {
                println!("{words}");
            } else if !arguments.quiet {
                for line in words.lines() {
                    tracing::info!("{line}");
                }
            }
            ExitCode::from(exit_code(&summary))
        }
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(match error {
                run::Error::Group(_) | run::Error::HaproxyConfig(_) => EXIT_CONFIGURATION,
                run::Error::Runtime(_) | run::Error::Signals(_) => EXIT_FAILED,
            })
        }
    }
}

/// The file in the working directory, if there is one. Its owner must be trusted, because the
/// program does what the file says with the rights of its user.
fn default_file() -> Result<Option<&'static Path>, String> {
    let path = Path::new(DEFAULT_FILE);
    if !path.is_file() {
        return Ok(None);
    }
    match files::check_owner(path) {
        Ok(()) => Ok(Some(path)),
        Err(error) => Err(format!(
            "./{DEFAULT_FILE}: not read: {error}; if it is to be trusted, name it: staplerd once \
             ./{DEFAULT_FILE}"
        )),
    }
}

/// One run with a bar that shows how far it is.
pub(super) fn once(
    config: Config,
    extent: Extent,
    bar: &ProgressBar,
) -> Result<Summary, run::Error> {
    let mut progress = |requests: usize, answered: usize| {
        bar.set_length(requests as u64);
        bar.set_position(answered as u64);
    };
    let once = Once {
        extent,
        progress: &mut progress,
    };
    let summary = run::once(config, once);
    bar.finish_and_clear();
    summary
}

/// A progress bar for a terminal; an invisible one otherwise.
pub(super) fn bar(unwanted: bool) -> ProgressBar {
    if unwanted || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{pos}/{len} responses {wide_bar} {elapsed}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// With a bar to look at, what goes well needs no lines of its own.
fn verbosity(arguments: &OnceArguments, bar: &ProgressBar) -> Verbosity {
    match (arguments.quiet, arguments.verbose) {
        (true, _) => Verbosity::Quiet,
        (false, 0) if !bar.is_hidden() => Verbosity::Terse,
        (false, 0) => Verbosity::Normal,
        (false, 1) => Verbosity::Detailed,
        (false, _) => Verbosity::Everything,
    }
}

/// There is no file, or it names no certificate.
fn refuse_nothing(file: Option<&str>) -> ExitCode {
    match file {
        None => eprintln!(
            "there is no {DEFAULT_FILE} in this folder and no configuration file of the daemon: \
             name one, as in: staplerd once /etc/ocspbot.yaml"
        ),
        Some(file) => eprintln!(
            "{file}: it names no certificates: list them under 'domains', 'scan_keys' or \
             'directories'"
        ),
    }
    ExitCode::from(EXIT_UNREADABLE)
}

fn refuse(errors: &[Error], log: Option<&LogFilePattern>) -> ExitCode {
    let lines = configuration::in_lines(errors);
    eprintln!("{lines}");
    if let Some(Ok(Sink::File(file))) = log.map(|log| open(Some(log), Sink::Errors)) {
        // It was written to standard error, too.
        let _ = writeln!(&*file, "{lines}");
    }
    let is_unreadable =
        |error: &Error| matches!(error, Error::Unreadable { .. } | Error::NotYaml(_));
    ExitCode::from(if errors.iter().any(is_unreadable) {
        EXIT_UNREADABLE
    } else {
        EXIT_CONFIGURATION
    })
}

/// The log file of this run, begun anew, or the stream it stands for.
fn open(file: Option<&LogFilePattern>, stream: Sink) -> Result<Sink, String> {
    let Some(file) = file else {
        return Ok(stream);
    };
    let path = file.at(run::local_time());
    files::begin(&path, LOG_MODE)
        .map(|file| Sink::File(Arc::new(file)))
        .map_err(|error| format!("{}: cannot be written: {error}", path.printable()))
}

/// One line for what was done.
pub(super) fn in_words(summary: &Summary, is_dry: bool) -> String {
    let Summary {
        renewed,
        unchanged,
        failed,
        not_tried,
        unusable,
        passed_over,
        cleared: _,
        due,
        is_cut_off,
    } = summary;
    if is_dry {
        let list: Vec<String> = due.iter().map(|name| format!("\n  {name}")).collect();
        return format!(
            "{} due, {unchanged} not yet, {failed} in trouble; nothing was done{}",
            due.len(),
            list.concat()
        );
    }
    let verdict = match (is_cut_off, summary.is_success()) {
        (true, _) => "cut off",
        (false, true) => "success",
        (false, false) => "failure",
    };
    let further = [
        (*not_tried, "not tried"),
        (*unusable, "directories or control sockets unusable"),
    ];
    let further = further.iter().filter(|(count, _)| *count > 0);
    let further: Vec<String> = further
        .map(|(count, what)| format!(", {count} {what}"))
        .collect();
    format!(
        "{verdict}: {renewed} renewed, {unchanged} unchanged, {failed} failed, \
         {passed_over} without a responder{}",
        further.concat()
    )
}

fn exit_code(summary: &Summary) -> u8 {
    if !summary.is_success() {
        return EXIT_FAILED;
    }
    u8::try_from(summary.renewed.min(MOST_RENEWED)).unwrap_or(EXIT_FAILED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(renewed: usize, failed: usize) -> Summary {
        Summary {
            renewed,
            failed,
            ..Summary::default()
        }
    }

    #[test]
    fn the_exit_code_tells_renewals_and_never_looks_like_an_error_or_like_nothing() {
        for (renewed, failed, code) in [
            (0, 0, 0),
            (1, 0, 1),
            (250, 0, 250),
            (256, 0, 250),
            (100_000, 0, 250),
            (3, 1, EXIT_FAILED),
        ] {
            assert_eq!(exit_code(&summary(renewed, failed)), code);
        }
        let cut_off = Summary {
            is_cut_off: true,
            ..summary(3, 0)
        };
        assert_eq!(exit_code(&cut_off), EXIT_FAILED);
    }
}
