//! What is logged and where: stapled's options, and ocspbot's log files with the time in their
//! names.
//!
//! Pure: nothing is opened here, and the time is handed in.

use std::path::{Path, PathBuf};

use jiff::civil::DateTime;

/// What stands for the parts of a time, from the largest to the smallest.
const PLACEHOLDERS: [&str; 6] = [
    "{year}", "{month}", "{day}", "{hour}", "{minute}", "{second}",
];

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

/// The name of a log file in which `{year}`, `{month}`, `{day}`, `{hour}`, `{minute}` and
/// `{second}` stand for the time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogFilePattern(String);

/// Why a text is no log file's name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "'{0}': expected a path; {{year}}, {{month}}, {{day}}, {{hour}}, {{minute}} and {{second}} may stand in it, and no other braces"
)]
pub struct InvalidLogFile(String);

impl LogFilePattern {
    /// Reads a name.
    ///
    /// # Errors
    /// [`InvalidLogFile`] for an empty one, or one with other braces.
    pub fn parse(text: &str) -> Result<Self, InvalidLogFile> {
        let mut rest = text.to_owned();
        for placeholder in PLACEHOLDERS {
            rest = rest.replace(placeholder, "");
        }
        if text.is_empty() || rest.contains(['{', '}']) {
            return Err(InvalidLogFile(text.to_owned()));
        }
        Ok(LogFilePattern(text.to_owned()))
    }

    /// The folder it lies in, where that does not depend on the time.
    pub fn fixed_folder(&self) -> Option<PathBuf> {
        let folder = match Path::new(&self.0).parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        (!folder.to_string_lossy().contains('{')).then(|| folder.to_owned())
    }

    /// The file for this time, which ocspbot took as the machine's zone has it.
    pub fn at(&self, moment: DateTime) -> PathBuf {
        let year = format!("{:04}", moment.year());
        let parts = [
            moment.month(),
            moment.day(),
            moment.hour(),
            moment.minute(),
            moment.second(),
        ];
        let parts = parts.into_iter().map(|part| format!("{part:02}"));
        let values = std::iter::once(year).chain(parts);
        let name = PLACEHOLDERS
            .into_iter()
            .zip(values)
            .fold(self.0.clone(), |name, (placeholder, value)| {
                name.replace(placeholder, &value)
            });
        PathBuf::from(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_stands_in_the_name_with_two_digits_each() {
        let moment = DateTime::constant(2017, 4, 5, 6, 7, 8, 0);
        let at = |text| LogFilePattern::parse(text).unwrap().at(moment);
        let name = "/logs/example-{year}{month}{day}-{hour}{minute}{second}.log";
        assert_eq!(at(name), PathBuf::from("/logs/example-20170405-060708.log"));
        assert_eq!(at("{day}/{day}.log"), PathBuf::from("05/05.log"));
        assert_eq!(at("plain.log"), PathBuf::from("plain.log"));
    }

    #[test]
    fn the_folder_is_known_unless_the_time_is_in_it() {
        let folder = |text| LogFilePattern::parse(text).unwrap().fixed_folder();
        assert_eq!(folder("/logs/{day}.log"), Some("/logs".into()));
        assert_eq!(folder("{day}.log"), Some(".".into()));
        assert_eq!(folder("/logs/{year}/x.log"), None);
    }

    #[test]
    fn braces_that_stand_for_nothing_are_refused() {
        for text in ["", "{week}.log", "{year.log", "a}.log", "{}"] {
            assert!(LogFilePattern::parse(text).is_err(), "{text}");
        }
    }
}
