//! Where log lines go: to the journal when standard error is the journal, else to standard error;
//! and to a file and the system's log where that is wanted.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::FilterExt;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;

use super::fields::fields;
use super::file::LogFile;
use super::flood::Flood;
use super::journal::Journal;
use super::syslog::{self, DEVICE, Syslog};

/// How much is logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Verbosity {
    /// Errors only.
    Quiet,
    /// Errors and warnings.
    Terse,
    /// Errors, warnings and what was done.
    #[default]
    Normal,
    /// Everything the agent decides.
    Detailed,
    /// Everything the libraries say as well.
    Everything,
}

impl From<Verbosity> for LevelFilter {
    fn from(verbosity: Verbosity) -> Self {
        match verbosity {
            Verbosity::Quiet => LevelFilter::ERROR,
            Verbosity::Terse => LevelFilter::WARN,
            Verbosity::Normal => LevelFilter::INFO,
            Verbosity::Detailed => LevelFilter::DEBUG,
            Verbosity::Everything => LevelFilter::TRACE,
        }
    }
}

/// What is logged, and where.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// How much.
    pub verbosity: Verbosity,
    /// Standard error gets errors only; file and system's log are not concerned.
    pub quiet: bool,
    /// The directory of the log file, if there is to be one.
    pub directory: Option<PathBuf>,
    /// Whether the system's log gets everything, too.
    pub syslog: bool,
}

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Starts logging to standard error alone; to be called once, before anything logs.
pub fn start(verbosity: Verbosity) {
    let layers = vec![standard_error(verbosity)];
    tracing_subscriber::registry().with(layers).init();
}

/// Starts logging; to be called once, before anything logs.
///
/// # Errors
/// When the log file or a socket cannot be opened; then nothing is logged anywhere.
pub fn start_with(settings: &Settings) -> io::Result<()> {
    let level = LevelFilter::from(settings.verbosity);
    let mut layers = vec![standard_error(match settings.quiet {
        true => Verbosity::Quiet,
        false => settings.verbosity,
    })];
    if let Some(directory) = &settings.directory {
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(Arc::new(LogFile::open(directory)?))
            .with_ansi(false)
            .with_target(false)
            .fmt_fields(fields());
        layers.push(lines.with_filter(level).boxed());
    }
    if settings.syslog {
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(Syslog::new(DEVICE)?)
            .without_time()
            .with_level(false)
            .with_ansi(false)
            .with_target(false)
            .fmt_fields(fields());
        layers.push(lines.with_filter(level).boxed());
    }
    tracing_subscriber::registry().with(layers).init();
    if settings.syslog
        && let Err(error) = syslog::listens()
    {
        tracing::warn!("nothing reaches the system's log until a daemon listens there: {error}");
    }
    Ok(())
}

fn standard_error(verbosity: Verbosity) -> BoxedLayer {
    if stderr_is_the_journal()
        && let Ok(journal) = Journal::new()
    {
        return gated(journal, verbosity);
    }
    let terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(terminal)
        .with_target(false)
        .fmt_fields(fields());
    gated(lines, verbosity)
}

/// What the verbosity lets through; of what comes in thousands, the number.
fn gated(layer: impl Layer<Registry> + Send + Sync, verbosity: Verbosity) -> BoxedLayer {
    let level = LevelFilter::from(verbosity);
    match level > LevelFilter::INFO {
        true => layer.with_filter(level).boxed(),
        false => layer.with_filter(level.and(Flood::shared())).boxed(),
    }
}

/// Whether standard error is connected to the journal: systemd gives the device and inode of that
/// connection in `JOURNAL_STREAM` (systemd.exec(5)), and a redirected one has others.
fn stderr_is_the_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    rustix::fs::fstat(std::io::stderr())
        .is_ok_and(|stderr| stream == format!("{}:{}", stderr.st_dev, stderr.st_ino))
}
