//! What is said on the pipes between the responder and a program that knows statuses.
//!
//! Pure: a question becomes a line, a line becomes an answer. Both are JSON objects (RFC 8259) in
//! one line each. An answer repeats the serial number of its question, so that one that is late or
//! lost never becomes another certificate's.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::answer::reason_of_number;
use crate::ocsp::{CertificateStatus, RevocationReason};
use crate::time::Timestamp;

/// Longest line that is read, in bytes.
pub const MAX_LINE_BYTES: usize = 4096;
/// How long an answer counts, unless it says otherwise.
pub const CACHED: Duration = Duration::from_secs(60);
/// The longest that an answer may count.
const LONGEST_CACHED: Duration = Duration::from_secs(3600);

#[derive(Serialize)]
struct QuestionLine<'a> {
    serial: &'a str,
    issuer: &'a str,
}

/// A line that came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Line {
    /// The serial number that it is about, as the question had it.
    pub(super) serial: String,
    /// What it says; or what is wrong with it.
    pub(super) answer: Result<ToldStatus, NoStatus>,
}

/// A status, and how long it counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ToldStatus {
    pub(super) status: CertificateStatus,
    pub(super) cached: Duration,
}

/// Why a line has no status.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum NoStatus {
    /// The program says that it does not know now.
    Error(String),
    /// It makes no sense.
    Malformed(String),
}

#[derive(Deserialize)]
struct Whose {
    serial: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerLine {
    #[serde(rename = "serial")]
    _serial: String,
    status: Option<StatusLine>,
    revoked_at: Option<Timestamp>,
    reason: Option<String>,
    cache_seconds: Option<u64>,
    error: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StatusLine {
    Good,
    Revoked,
    Unknown,
}

/// The line that asks for a serial number of an authority, its end included.
pub(super) fn question(serial: &str, issuer: &str) -> Vec<u8> {
    // Strings alone: there is nothing that cannot be written.
    let mut line = serde_json::to_vec(&QuestionLine { serial, issuer }).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Reads a line.
///
/// # Errors
/// What is wrong, where it does not even say which question it answers.
pub(super) fn read(line: &str) -> Result<Line, String> {
    let Whose { serial } = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let answer = match serde_json::from_str::<AnswerLine>(line) {
        Ok(answer) => answer.told(),
        Err(error) => Err(NoStatus::Malformed(error.to_string())),
    };
    Ok(Line { serial, answer })
}

impl AnswerLine {
    fn told(self) -> Result<ToldStatus, NoStatus> {
        if let Some(error) = self.error {
            return Err(NoStatus::Error(error));
        }
        let malformed = |text: &str| NoStatus::Malformed(text.to_owned());
        let cached = self.cache_seconds.map_or(CACHED, Duration::from_secs);
        if cached > LONGEST_CACHED {
            return Err(malformed("'cache_seconds' is more than 3600"));
        }
        let status = match (self.status, self.revoked_at) {
            (None, _) => return Err(malformed("there is neither 'status' nor 'error'")),
            (Some(StatusLine::Revoked), None) => {
                return Err(malformed("'revoked' needs 'revoked_at'"));
            }
            (Some(StatusLine::Revoked), Some(at)) => CertificateStatus::Revoked {
                at,
                reason: match self.reason.as_deref() {
                    None => None,
                    Some(name) => Some(reason(name).ok_or_else(|| {
                        malformed("'reason' is none of RFC 5280's, such as keyCompromise")
                    })?),
                },
            },
            (Some(_), Some(_)) => return Err(malformed("'revoked_at' without 'revoked'")),
            (Some(StatusLine::Good), None) => CertificateStatus::Good,
            (Some(StatusLine::Unknown), None) => CertificateStatus::Unknown,
        };
        Ok(ToldStatus { status, cached })
    }
}

/// The reason with this name in RFC 5280 §5.3.1, in any case, with or without `_` between its
/// words.
fn reason(name: &str) -> Option<RevocationReason> {
    let name = name.replace('_', "");
    let mut numbers = 0..=u8::MAX;
    numbers.find_map(|number| {
        let reason = reason_of_number(number)?;
        reason.name().eq_ignore_ascii_case(&name).then_some(reason)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(line: &str) -> Result<ToldStatus, NoStatus> {
        let line = read(line).unwrap();
        assert_eq!(line.serial, "80");
        line.answer
    }

    fn malformed(line: &str) -> String {
        match told(line) {
            Err(NoStatus::Malformed(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn questions_are_lines_whatever_an_issuer_is_called() {
        let line = question("80", "CN=a\"\nb");
        assert_eq!(line, b"{\"serial\":\"80\",\"issuer\":\"CN=a\\\"\\nb\"}\n");
    }

    #[test]
    fn every_status_is_read() {
        let told = |line: &str| told(line).unwrap();
        assert_eq!(
            told(r#"{"serial":"80","status":"good"}"#),
            ToldStatus {
                status: CertificateStatus::Good,
                cached: CACHED
            }
        );
        let unknown = told(r#"{"serial":"80","status":"unknown","cache_seconds":0}"#);
        assert_eq!(unknown.status, CertificateStatus::Unknown);
        assert_eq!(unknown.cached, Duration::ZERO);
        let at = Timestamp::from_unix(1_768_478_400);
        for (reason, expected) in [
            ("", None),
            (
                r#","reason":"keyCompromise""#,
                Some(RevocationReason::KeyCompromise),
            ),
            (
                r#","reason":"ca_compromise""#,
                Some(RevocationReason::CaCompromise),
            ),
            (
                r#","reason":"removeFromCRL""#,
                Some(RevocationReason::RemoveFromCrl),
            ),
        ] {
            let line = format!(
                r#"{{"serial":"80","status":"revoked","revoked_at":"2026-01-15T12:00:00Z"{reason}}}"#
            );
            let reason = expected;
            assert_eq!(
                told(&line).status,
                CertificateStatus::Revoked { at, reason }
            );
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_concerns_one_question_only() {
        let wrong = [
            (r#"{"serial":"80","status":"goood"}"#, "unknown variant"),
            (r#"{"serial":"80"}"#, "neither 'status' nor 'error'"),
            (r#"{"serial":"80","status":"revoked"}"#, "'revoked_at'"),
            (
                r#"{"serial":"80","status":"revoked","revoked_at":"yesterday"}"#,
                "RFC 3339",
            ),
            (
                r#"{"serial":"80","status":"good","revoked_at":"2026-01-15T12:00:00Z"}"#,
                "without 'revoked'",
            ),
            (
                r#"{"serial":"80","status":"revoked","revoked_at":"2026-01-15T12:00:00Z","reason":"boredom"}"#,
                "RFC 5280",
            ),
            (
                r#"{"serial":"80","status":"good","cached":1}"#,
                "unknown field",
            ),
            (
                r#"{"serial":"80","status":"good","cache_seconds":3601}"#,
                "3600",
            ),
        ];
        for (line, words) in wrong {
            let text = malformed(line);
            assert!(text.contains(words), "{line}: {text}");
        }
        assert_eq!(
            told(r#"{"serial":"80","error":"the database is away"}"#),
            Err(NoStatus::Error("the database is away".to_owned()))
        );
        for line in ["", "good", "[]", "{}", r#"{"serial":80,"status":"good"}"#] {
            assert!(read(line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_is_too_strange(line: String) {
            let _ = read(&line);
        }
    }
}
