//! The caching headers of answers (RFC 9919 §6.2).
//!
//! Pure. Only signed answers without a nonce may be kept by caches, and until nextUpdate at most;
//! errors and answers with a nonce are for one client and one moment.

use httpdate::{fmt_http_date, parse_http_date};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::SignedAnswer;
use crate::time::Timestamp;

/// The headers of an answer that caches may keep, at `now`.
pub(super) fn headers(signed: &SignedAnswer, now: Timestamp) -> [(&'static str, String); 4] {
    let max_age = signed.next_update.since(now).as_secs();
    [
        (
            "cache-control",
            format!("max-age={max_age}, public, no-transform, must-revalidate"),
        ),
        ("etag", entity_tag(signed)),
        ("last-modified", http_date(signed.produced_at)),
        ("expires", http_date(signed.next_update)),
    ]
}

/// Whether a client that sent these headers has this very answer already (RFC 9110 §13.2.2).
pub(super) fn is_not_modified(
    signed: &SignedAnswer,
    if_none_match: Option<&str>,
    if_modified_since: Option<&str>,
) -> bool {
    if let Some(tags) = if_none_match {
        let tag = entity_tag(signed);
        return tags.split(',').map(str::trim).any(|candidate| {
            candidate == "*" || candidate.strip_prefix("W/").unwrap_or(candidate) == tag
        });
    }
    let since = if_modified_since.and_then(|text| parse_http_date(text).ok());
    since.is_some_and(|since| Timestamp::from(since) >= signed.produced_at)
}

fn entity_tag(signed: &SignedAnswer) -> String {
    format!("\"{:032x}\"", signed.tag)
}

/// The IMF-fixdate of RFC 9110 §5.6.7; times before 1970 become its first second.
fn http_date(at: Timestamp) -> String {
    let seconds = u64::try_from(at.unix()).unwrap_or(0);
    let time: SystemTime = UNIX_EPOCH + Duration::from_secs(seconds);
    fmt_http_date(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-15T12:00:00Z.
    const NOW: Timestamp = Timestamp::from_unix(1_768_478_400);

    fn signed() -> SignedAnswer {
        let end = NOW.saturating_add(Duration::from_secs(3600));
        SignedAnswer::new(b"answer".to_vec(), NOW, end)
    }

    #[test]
    fn caches_may_keep_an_answer_until_next_update() {
        let now = NOW.saturating_add(Duration::from_secs(600));
        let headers = headers(&signed(), now);
        let value = |name| &headers.iter().find(|(key, _)| *key == name).unwrap().1;
        assert_eq!(
            value("cache-control"),
            "max-age=3000, public, no-transform, must-revalidate"
        );
        assert_eq!(value("last-modified"), "Thu, 15 Jan 2026 12:00:00 GMT");
        assert_eq!(value("expires"), "Thu, 15 Jan 2026 13:00:00 GMT");
        assert_eq!(value("etag").len(), 34);
    }

    #[test]
    fn a_client_that_has_the_answer_is_told_so() {
        let signed = signed();
        let tag = entity_tag(&signed);
        for tags in [
            tag.clone(),
            format!("\"x\", {tag}"),
            format!("W/{tag}"),
            "*".into(),
        ] {
            assert!(is_not_modified(&signed, Some(&tags), None), "{tags}");
        }
        let same = "Thu, 15 Jan 2026 12:00:00 GMT";
        let earlier = "Thu, 15 Jan 2026 11:59:59 GMT";
        assert!(is_not_modified(&signed, None, Some(same)));
        assert!(!is_not_modified(&signed, None, Some(earlier)));
        assert!(!is_not_modified(&signed, None, Some("tomorrow")));
        // The tag goes before the date (RFC 9110 section 13.1.3).
        assert!(!is_not_modified(&signed, Some("\"x\""), Some(same)));
        assert!(!is_not_modified(&signed, None, None));
    }
}
