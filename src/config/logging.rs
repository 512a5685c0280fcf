//! What is logged and where: stapled's options, and ocspbot's log files with the time in their
//! names.
//!
//! Pure: nothing is opened here, and the time is handed in.

use std::path::PathBuf;

use time::PrimitiveDateTime;

/// What the daemon logs, as stapled has it; what is not said is absent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Logging {
    /// From 0 (nothing but errors) to 4 (everything).
    pub verbosity: Option<u8>,
    /// Nothing but errors.
    pub quiet: bool,
    /// The directory of the log file.
    pub directory: Option<PathBuf>,
    /// To the system's log.
    pub syslog: bool,
}

impl Logging {
    /// This, and what it does not say from `below`.
    #[must_use]
    pub fn or(self, below: Logging) -> Logging {
        Logging {
            verbosity: self.verbosity.or(below.verbosity),
            quiet: self.quiet || below.quiet,
            directory: self.directory.or(below.directory),
            syslog: self.syslog || below.syslog,
        }
    }
}

/// The name of a log file in which `{year}`, `{month}`, `{day}`, `{hour}`, `{minute}` and `{second}`
/// stand for the time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogFile(String);

impl LogFile {
    /// The file for this time.
    pub fn at(&self, moment: PrimitiveDateTime) -> PathBuf {
        let parts = [
            ("{year}", format!("{:04}", moment.year())),
            ("{month}", format!("{:02}", u8::from(moment.month()))),
            ("{day}", format!("{:02}", moment.day())),
            ("{hour}", format!("{:02}", moment.hour())),
            ("{minute}", format!("{:02}", moment.minute())),
            ("{second}", format!("{:02}", moment.second())),
        ];
        let mut name = self.0.clone();
        for (placeholder, value) in parts {
            name = name.replace(placeholder, &value);
        }
        PathBuf::from(name)
    }
}
