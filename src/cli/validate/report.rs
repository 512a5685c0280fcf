//! What a check found: a line each, and a verdict.

use crate::text::{Printable, counted};
use std::fmt::{self, Display};

/// The lines of one grade about one subject that are shown; the others are counted.
const MOST_ALIKE: usize = 50;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Grade {
    Ok,
    Warning,
    Error,
}

impl Display for Grade {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Grade::Ok => "ok",
            Grade::Warning => "warning",
            Grade::Error => "error",
        })
    }
}

/// Everything that was found.
#[derive(Default)]
pub(super) struct Findings(Vec<FindingsRow>);

struct FindingsRow {
    grade: Grade,
    subject: &'static str,
    text: String,
}

impl Findings {
    /// Something is as it should be.
    pub(super) fn ok(&mut self, subject: &'static str, text: impl Display) {
        self.add(Grade::Ok, subject, text);
    }

    /// Something to know.
    pub(super) fn warning(&mut self, subject: &'static str, text: impl Display) {
        self.add(Grade::Warning, subject, text);
    }

    /// Something that keeps the configuration from working.
    pub(super) fn error(&mut self, subject: &'static str, text: impl Display) {
        self.add(Grade::Error, subject, text);
    }

    fn add(&mut self, grade: Grade, subject: &'static str, text: impl Display) {
        // What comes from files must not move the terminal's cursor.
        let text = text.to_string();
        let lines = text.lines().map(|line| line.printable().to_string());
        let text = lines.collect::<Vec<_>>().join("\n");
        self.0.push(FindingsRow {
            grade,
            subject,
            text,
        });
    }

    /// Whether there is no error.
    pub(super) fn is_good(&self) -> bool {
        self.counted(Grade::Error) == 0
    }

    fn counted(&self, grade: Grade) -> usize {
        self.0.iter().filter(|row| row.grade == grade).count()
    }

    /// The table and the verdict.
    pub(super) fn lines(&self) -> Vec<String> {
        let width = self
            .0
            .iter()
            .map(|row| row.subject.len())
            .max()
            .unwrap_or(0);
        let line = |grade: Grade, subject: &str, text: &str| {
            format!("{grade:<7}  {subject:<width$}  {text}")
        };
        let mut lines = Vec::new();
        for (place, row) in self.0.iter().enumerate() {
            let alike =
                |other: &&FindingsRow| (other.grade, other.subject) == (row.grade, row.subject);
            match self.0.iter().take(place).filter(alike).count() {
                before if before < MOST_ALIKE => {
                    lines.push(line(row.grade, row.subject, &row.text));
                }
                MOST_ALIKE => {
                    let more = self.0.iter().filter(alike).count() - MOST_ALIKE;
                    lines.push(line(row.grade, row.subject, &format!("and {more} more")));
                }
                _ => {}
            }
        }
        let warnings = counted(self.counted(Grade::Warning), "warning", "warnings");
        let errors = counted(self.counted(Grade::Error), "error", "errors");
        lines.push(match self.is_good() {
            true => format!("valid: {warnings}"),
            false => format!("not valid: {errors}, {warnings}"),
        });
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_finding_and_a_verdict() {
        let mut report = Findings::default();
        report.ok("socket", "fine");
        report.warning("certificate", "no \x1b[1missuer");
        assert_eq!(
            report.lines(),
            [
                "ok       socket       fine",
                r"warning  certificate  no \u{1b}[1missuer",
                "valid: 1 warning"
            ]
        );
        report.error("socket", "gone");
        assert!(!report.is_good());
        let lines = report.lines();
        assert_eq!(lines.last().unwrap(), "not valid: 1 error, 1 warning");
    }

    #[test]
    fn thousands_of_the_same_are_counted() {
        let mut report = Findings::default();
        for number in 0..10_000 {
            report.warning("certificate", number);
        }
        let lines = report.lines();
        assert_eq!(lines.len(), MOST_ALIKE + 2);
        assert!(lines[MOST_ALIKE].ends_with("and 9950 more"), "{lines:?}");
    }
}
