//! Points in time, as certificates and OCSP responses state them.
//!
//! A [`Timestamp`] is a whole second of UTC. It is always handed in by the caller: nothing here,
//! and nothing in the pure rooms above, asks a clock. GeneralizedTime itself (RFC 5280 §4.1.2.5.2)
//! is read where DER is read; this module knows the calendar and the RFC 3339 form operators see.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::time::format_description::well_known::Rfc3339;
use ::time::{Date, Month, OffsetDateTime, Time};
use serde::{Deserialize, Serialize};

/// A second of UTC, counted from 1970-01-01T00:00:00Z. In JSON it is an RFC 3339 text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Timestamp(i64);

/// The two clocks at one moment: what every decision of the agent is given.
///
/// The wall clock decides about validity (it may jump), the monotonic clock about waiting (it never
/// runs backwards).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// UTC, as the system's clock has it.
    pub wall: Timestamp,
    /// Time since the program started, by the monotonic clock.
    pub monotonic: Duration,
}

/// The text was not an RFC 3339 date and time.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("'{text}' is not an RFC 3339 time such as 2026-11-20T08:30:00Z")]
pub struct InvalidTimestamp {
    /// What was given instead.
    pub text: String,
}

impl Timestamp {
    /// The second that lies `seconds` after the Unix epoch (before it, if negative).
    pub const fn from_unix(seconds: i64) -> Self {
        Timestamp(seconds)
    }

    /// Seconds since the Unix epoch.
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// The given second of the proleptic Gregorian calendar in UTC, or `None` where there is no
    /// such second (month 13, 30 February, hour 24, second 60).
    pub fn from_calendar(
        year: i32,
        month: u8,
        day: u8,
        hour: u8,
        minute: u8,
        second: u8,
    ) -> Option<Self> {
        let date = Date::from_calendar_date(year, Month::try_from(month).ok()?, day).ok()?;
        let time = Time::from_hms(hour, minute, second).ok()?;
        Some(Timestamp(
            OffsetDateTime::new_utc(date, time).unix_timestamp(),
        ))
    }

    /// Reads an RFC 3339 time with any offset; fractions of a second are cut off.
    ///
    /// # Errors
    /// [`InvalidTimestamp`] with the text that could not be read.
    pub fn parse_rfc3339(text: &str) -> Result<Self, InvalidTimestamp> {
        OffsetDateTime::parse(text, &Rfc3339)
            .map(|moment| Timestamp(moment.unix_timestamp()))
            .map_err(|_| InvalidTimestamp {
                text: text.to_owned(),
            })
    }

    /// This time moved later by `duration` (whole seconds), stopping at the end of time.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Timestamp(self.0.saturating_add(whole_seconds(duration)))
    }

    /// This time moved earlier by `duration` (whole seconds), stopping at the start of time.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Timestamp(self.0.saturating_sub(whole_seconds(duration)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Timestamp) -> Duration {
        let seconds = self.0.saturating_sub(earlier.0);
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    }
}

fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Timestamp(whole_seconds(after)),
            Err(before) => Timestamp(-whole_seconds(before.duration())),
        }
    }
}

impl From<Timestamp> for String {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.to_string()
    }
}

impl TryFrom<String> for Timestamp {
    type Error = InvalidTimestamp;

    fn try_from(text: String) -> Result<Self, InvalidTimestamp> {
        Timestamp::parse_rfc3339(&text)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, such as `2026-11-20T08:30:00Z`; outside the years 0 to 9999 the number of
    /// seconds, as `@253402300800`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp(self.0)
            .ok()
            .and_then(|moment| moment.format(&Rfc3339).ok());
        match text {
            Some(text) => formatter.write_str(&text),
            None => write!(formatter, "@{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_is_read_with_any_offset_and_written_in_utc() {
        let at = Timestamp::parse_rfc3339("2026-11-20T09:30:00.75+01:00").unwrap();
        assert_eq!(at.to_string(), "2026-11-20T08:30:00Z");
        assert_eq!(at.unix(), 1_795_163_400);
    }

    #[test]
    fn text_that_is_no_time_is_named_in_the_error() {
        let error = Timestamp::parse_rfc3339("tomorrow").unwrap_err();
        assert!(error.to_string().contains("'tomorrow'"));
    }

    #[test]
    fn seconds_that_the_calendar_lacks_do_not_exist() {
        assert!(Timestamp::from_calendar(2026, 2, 29, 0, 0, 0).is_none());
        assert!(Timestamp::from_calendar(2026, 13, 1, 0, 0, 0).is_none());
        assert!(Timestamp::from_calendar(2026, 1, 1, 24, 0, 0).is_none());
        assert!(Timestamp::from_calendar(2026, 1, 1, 0, 0, 60).is_none());
        assert_eq!(
            Timestamp::from_calendar(2024, 2, 29, 23, 59, 59)
                .unwrap()
                .to_string(),
            "2024-02-29T23:59:59Z"
        );
    }

    #[test]
    fn arithmetic_saturates_and_differences_never_go_below_zero() {
        let end = Timestamp::from_unix(i64::MAX);
        assert_eq!(end.saturating_add(Duration::from_secs(1)), end);
        let (early, late) = (Timestamp::from_unix(10), Timestamp::from_unix(25));
        assert_eq!(late.since(early), Duration::from_secs(15));
        assert_eq!(early.since(late), Duration::ZERO);
    }

    #[test]
    fn times_beyond_the_calendar_are_shown_as_seconds() {
        assert_eq!(
            Timestamp::from_unix(i64::MAX).to_string(),
            "@9223372036854775807"
        );
    }
}
