//! What the headers of an answer say about time: caching and `Retry-After`.
//!
//! Reads `Cache-Control`, `Expires`, `Age`, `Date`, `ETag`, `Last-Modified` (RFC 9111 §4.2, §5;
//! RFC 9919 §6.1) and `Retry-After` (RFC 9110 §10.2.3). The responder's own `Date` is the clock the
//! other dates are held against, so a wrong clock here changes nothing. Nothing here decides about
//! validity: nextUpdate does, and no header reaches beyond it.

use std::time::Duration;

use httpdate::{fmt_http_date, parse_http_date};
use ureq::http::header::{
    AGE, CACHE_CONTROL, DATE, ETAG, EXPIRES, HeaderName, LAST_MODIFIED, RETRY_AFTER,
};
use ureq::http::{HeaderMap, Uri};

use super::wire;
use crate::time::Timestamp;

/// A responder is left alone at least this long when it sends `Retry-After`.
pub const RETRY_AFTER_MIN: Duration = Duration::from_secs(10);
/// A responder is left alone at most this long, even if its `Retry-After` asks for more: one that
/// is back for an hour is asked within that hour.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// Validators longer than this are not kept: no honest responder needs them.
const VALIDATOR_MAX: usize = 256;

/// What a conditional request repeats so that the responder may answer 304. Only what has the
/// grammar of RFC 9110 §8.8 is kept, and it is repeated only to the URL that it came from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Validators {
    /// The URL that gave them, behind all redirects; empty where there are none.
    pub url: String,
    /// `ETag` of the answer held, for `If-None-Match`.
    pub etag: Option<String>,
    /// `Last-Modified` of the answer held, for `If-Modified-Since`.
    pub last_modified: Option<String>,
}

impl Validators {
    fn from_headers(headers: &HeaderMap, url: &Uri) -> Self {
        let etag = text(headers, ETAG)
            .filter(|value| value.len() <= VALIDATOR_MAX && wire::is_entity_tag(value));
        // Written anew: what is repeated is a date and nothing else.
        let last_modified = text(headers, LAST_MODIFIED)
            .and_then(|value| parse_http_date(value).ok())
            .map(fmt_http_date);
        match (etag, last_modified) {
            (None, None) => Validators::default(),
            (etag, last_modified) => Validators {
                url: url.to_string(),
                etag: etag.map(str::to_owned),
                last_modified,
            },
        }
    }

    /// Whether they may be repeated to `url`.
    pub(super) fn are_of(&self, url: &Uri) -> bool {
        self.url == url.to_string()
    }
}

/// What an answer's headers say about how long it may be reused.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Caching {
    /// `Cache-Control: max-age`; zero for `no-cache` and `no-store`.
    pub max_age: Option<Duration>,
    /// `Expires`; an unreadable one (such as `0`) is in the past (RFC 9111 §5.3).
    pub expires: Option<Timestamp>,
    /// `Age`: how long the answer already sat in caches.
    pub age: Duration,
    /// `Date`: when the answer was sent, by the responder's clock.
    pub date: Option<Timestamp>,
    /// For the next request about the same certificate.
    pub validators: Validators,
}

impl Caching {
    /// Reads the headers of an answer of `url`; what cannot be read counts as absent.
    pub fn from_headers(headers: &HeaderMap, url: &Uri) -> Self {
        Caching {
            max_age: text(headers, CACHE_CONTROL).and_then(max_age),
            expires: text(headers, EXPIRES)
                .map(|value| http_date(value).unwrap_or(Timestamp::from_unix(0))),
            age: text(headers, AGE).and_then(seconds).unwrap_or_default(),
            date: text(headers, DATE).and_then(http_date),
            validators: Validators::from_headers(headers, url),
        }
    }

    /// For how long asking again would only bring the same answer; `None` where nothing was said.
    /// `max-age` outranks `Expires` (RFC 9111 §4.2.1), and time spent in caches is taken off.
    pub fn fresh_for(&self) -> Option<Duration> {
        let lifetime = match (self.max_age, self.expires, self.date) {
            (Some(max_age), _, _) => max_age,
            (None, Some(expires), Some(date)) => expires.since(date),
            _ => return None,
        };
        Some(lifetime.saturating_sub(self.age))
    }
}

/// The wait that `Retry-After` asks for, in seconds or as a date, held within
/// [`RETRY_AFTER_MIN`] and [`RETRY_AFTER_MAX`]. `now` serves only where there is no `Date`.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = text(headers, RETRY_AFTER)?;
    let wait = seconds(value).or_else(|| {
        let sent = text(headers, DATE).and_then(http_date).unwrap_or(now);
        http_date(value).map(|date| date.since(sent))
    })?;
    Some(wait.clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// delta-seconds; a number too large to hold counts as very long (RFC 9111 §1.2.2).
fn seconds(value: &str) -> Option<Duration> {
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Duration::from_secs(
        value.parse().unwrap_or(u64::from(u32::MAX)),
    ))
}

fn max_age(directives: &str) -> Option<Duration> {
    let mut found = None;
    for directive in directives.split(',').map(str::trim) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-cache" | "no-store" => return Some(Duration::ZERO),
            "max-age" => found = seconds(value.trim().trim_matches('"')),
            _ => {}
        }
    }
    found
}

/// An HTTP-date in any of its three forms (RFC 9110 §5.6.7).
fn http_date(value: &str) -> Option<Timestamp> {
    let words: Vec<&str> = value
        .split([' ', ',', '-'])
        .filter(|word| !word.is_empty())
        .collect();
    let (day, month, year, clock) = match words[..] {
        // Sun, 06 Nov 1994 08:49:37 GMT and Sunday, 06-Nov-94 08:49:37 GMT
        [_, day, month, year, clock, "GMT"] => (day, month, year, clock),
        // Sun Nov  6 08:49:37 1994
        [_, month, day, clock, year] => (day, month, year, clock),
        _ => return None,
    };
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = MONTHS.iter().position(|name| *name == month)?;
    let mut year: i32 = year.parse().ok()?;
    if (0..100).contains(&year) {
        // The two-digit form ended with the last century; nothing sends it for years before 1970.
        year += if year < 70 { 2000 } else { 1900 };
    }
    let mut clock = clock.split(':').map(|part| part.parse::<u8>().ok());
    let mut part = || clock.next().flatten();
    Timestamp::from_calendar(
        year,
        u8::try_from(month).ok()?.checked_add(1)?,
        day.parse().ok()?,
        part()?,
        part()?,
        part()?,
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_date_reads_back_whatever_the_form_it_was_written_in(seconds in 0i64..4_102_444_800) {
            let at = Timestamp::from_unix(seconds);
            let text = at.to_string();
            let month = text[5..7].parse::<usize>().unwrap();
            let name = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][month - 1];
            let (year, day, clock) = (&text[..4], &text[8..10], &text[11..19]);
            prop_assert_eq!(http_date(&format!("Mon, {day} {name} {year} {clock} GMT")), Some(at));
            prop_assert_eq!(http_date(&format!("Mon {name} {day} {clock} {year}")), Some(at));
        }

        #[test]
        fn whatever_the_headers_say_a_wait_stays_within_its_bounds(
            wait in "[ -~]{0,40}",
            date in "[ -~]{0,40}",
        ) {
            let headers = headers(&[("retry-after", &wait), ("date", &date), ("expires", &wait)]);
            if let Some(wait) = retry_after(&headers, Timestamp::from_unix(0)) {
                prop_assert!((RETRY_AFTER_MIN..=RETRY_AFTER_MAX).contains(&wait));
            }
            let _ = of(&headers).fresh_for();
        }
    }

    fn of(headers: &HeaderMap) -> Caching {
        Caching::from_headers(headers, &Uri::from_static("http://ocsp.example/x"))
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    const DATE_TEXT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    #[test]
    fn all_three_forms_of_a_date_are_read() {
        for text in [
            DATE_TEXT,
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(
                http_date(text).unwrap().to_string(),
                "1994-11-06T08:49:37Z",
                "{text}"
            );
        }
        for text in ["", "0", "-1", "tomorrow", "Sun, 31 Feb 1994 08:49:37 GMT"] {
            assert_eq!(http_date(text), None, "{text}");
        }
    }

    #[test]
    fn freshness_is_max_age_or_expires_less_the_time_spent_in_caches() {
        let fresh_for = |pairs: &[(&'static str, &str)]| {
            of(&headers(pairs)).fresh_for().map(|fresh| fresh.as_secs())
        };
        assert_eq!(fresh_for(&[]), None);
        assert_eq!(
            fresh_for(&[("cache-control", "public, max-age=600")]),
            Some(600)
        );
        assert_eq!(
            fresh_for(&[("cache-control", "Max-Age=600"), ("age", "100")]),
            Some(500)
        );
        assert_eq!(
            fresh_for(&[("cache-control", "max-age=60"), ("age", "100")]),
            Some(0)
        );
        assert_eq!(
            fresh_for(&[("cache-control", "max-age=600, no-cache")]),
            Some(0)
        );
        let later = "Sun, 06 Nov 1994 09:49:37 GMT";
        assert_eq!(
            fresh_for(&[("date", DATE_TEXT), ("expires", later)]),
            Some(3600)
        );
        assert_eq!(
            fresh_for(&[
                ("date", DATE_TEXT),
                ("expires", later),
                ("cache-control", "max-age=5")
            ]),
            Some(5)
        );
        assert_eq!(fresh_for(&[("date", DATE_TEXT), ("expires", "0")]), Some(0));
        assert_eq!(fresh_for(&[("expires", later)]), None);
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_date_and_kept_within_bounds() {
        let now = Timestamp::from_unix(0);
        let wait = |pairs: &[(&'static str, &str)]| {
            retry_after(&headers(pairs), now).map(|wait| wait.as_secs())
        };
        assert_eq!(wait(&[]), None);
        assert_eq!(wait(&[("retry-after", "soon")]), None);
        assert_eq!(wait(&[("retry-after", "120")]), Some(120));
        assert_eq!(wait(&[("retry-after", "0")]), Some(10));
        assert_eq!(
            wait(&[("retry-after", "99999999999999999999999")]),
            Some(3600)
        );
        let later = "Sun, 06 Nov 1994 08:59:37 GMT";
        assert_eq!(
            wait(&[("retry-after", later), ("date", DATE_TEXT)]),
            Some(600)
        );
        assert_eq!(
            wait(&[("retry-after", DATE_TEXT), ("date", later)]),
            Some(10)
        );
    }

    #[test]
    fn a_retry_date_without_a_date_of_sending_is_held_against_the_own_clock() {
        let now = Timestamp::parse_rfc3339("1994-11-06T08:48:37Z").unwrap();
        let pairs = headers(&[("retry-after", DATE_TEXT)]);
        assert_eq!(retry_after(&pairs, now), Some(Duration::from_secs(60)));
    }

    #[test]
    fn only_validators_of_the_rfcs_grammar_are_kept_and_of_whom_they_are() {
        let kept = |etag: &str, last_modified: &str| {
            let headers = headers(&[("etag", etag), ("last-modified", last_modified)]);
            of(&headers).validators
        };
        let long = format!("\"{}\"", "x".repeat(VALIDATOR_MAX));
        for etag in [
            long.as_str(),
            "bare",
            "\"a b\"",
            "\";prompt;\"",
            "disable frontend f",
        ] {
            assert_eq!(kept(etag, DATE_TEXT).etag, None, "{etag}");
        }
        for date in [
            "x;prompt, 06 Nov 1994 08:49:37 GMT",
            "yesterday",
            "0",
            ";quit",
        ] {
            assert_eq!(kept("\"a\"", date).last_modified, None, "{date}");
        }
        let obsolete = kept("bare", "Sunday, 06-Nov-94 08:49:37 GMT");
        assert_eq!(obsolete.last_modified.as_deref(), Some(DATE_TEXT));
        assert_eq!(kept("W/\"a\"", "").etag.as_deref(), Some("W/\"a\""));
        assert_eq!(kept("bare", "never"), Validators::default());
        let both = kept("\"a\"", DATE_TEXT);
        assert!(both.are_of(&Uri::from_static("http://ocsp.example/x")));
        assert!(!both.are_of(&Uri::from_static("http://ocsp.example/y")));
        assert!(!both.are_of(&Uri::from_static("http://other.example/x")));
    }
}
