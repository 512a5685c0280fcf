//! Where log lines go: to the journal when standard error is the journal, else to standard error.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How much is logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verbosity {
    /// Errors only.
    Quiet,
    /// Errors, warnings and what was done.
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
            Verbosity::Normal => LevelFilter::INFO,
            Verbosity::Detailed => LevelFilter::DEBUG,
            Verbosity::Everything => LevelFilter::TRACE,
        }
    }
}

/// Starts logging; to be called once, before anything logs.
pub fn start(verbosity: Verbosity) {
    let registry = tracing_subscriber::registry().with(LevelFilter::from(verbosity));
    if stderr_is_the_journal()
        && let Ok(journal) = tracing_journald::layer()
    {
        registry.with(journal).init();
        return;
    }
    let terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(terminal)
        .with_target(false);
    registry.with(lines).init();
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
