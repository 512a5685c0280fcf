//! Where the lines of a single run go: what was done to one place, what went wrong to another.
//!
//! As ocspbot has it: standard output and standard error, or a log file for either. What went wrong
//! stands in the output's log file as well. A progress bar on the terminal is drawn around the
//! lines.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use indicatif::ProgressBar;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::Verbosity;
use super::fields::fields;

/// A place for lines.
#[derive(Clone, Debug)]
pub enum Sink {
    /// Standard output.
    Output,
    /// Standard error.
    Errors,
    /// A log file.
    File(Arc<File>),
}

/// Starts logging for a single run; to be called once, before anything logs.
pub fn start_once(verbosity: Verbosity, output: Sink, errors: Sink, bar: ProgressBar) {
    let writers = Writers {
        output,
        errors,
        bar,
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writers)
        .with_ansi(false)
        .with_target(false)
        .fmt_fields(fields());
    tracing_subscriber::registry()
        .with(LevelFilter::from(verbosity))
        .with(lines)
        .init();
}

struct Writers {
    output: Sink,
    errors: Sink,
    bar: ProgressBar,
}

/// Writes one line to one place or two.
struct LogLine<'a> {
    sinks: Vec<&'a Sink>,
    bar: &'a ProgressBar,
}

impl<'a> MakeWriter<'a> for Writers {
    type Writer = LogLine<'a>;

    fn make_writer(&'a self) -> LogLine<'a> {
        LogLine {
            sinks: vec![&self.output],
            bar: &self.bar,
        }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> LogLine<'a> {
        let is_trouble = *metadata.level() <= Level::WARN;
        let sinks = match &self.output {
            Sink::File(_) if is_trouble => vec![&self.output, &self.errors],
            _ if is_trouble => vec![&self.errors],
            output => vec![output],
        };
        LogLine {
            sinks,
            bar: &self.bar,
        }
    }
}

impl Write for LogLine<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        for sink in &self.sinks {
            match sink {
                Sink::Output => self.bar.suspend(|| io::stdout().write_all(line))?,
                Sink::Errors => self.bar.suspend(|| io::stderr().write_all(line))?,
                Sink::File(file) => file.as_ref().write_all(line)?,
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
