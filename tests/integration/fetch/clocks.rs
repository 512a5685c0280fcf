//! Wall clocks that are wrong, or jump while requests are under way: waiting is measured by the
//! monotonic clock, and what responders say about time by their own.

use std::sync::atomic::{AtomicI64, Ordering};

use staplerd::fetch::{Caching, RETRY_AFTER_MAX, RETRY_AFTER_MIN};
use staplerd::time::Timestamp;

use super::*;
use crate::scripted_responder::{ScriptedResponder, Step, answer, ocsp_answer};

/// Friday, 20 November 2026, 08:00:00 GMT, in seconds.
const MORNING: i64 = 1_795_161_600;
const YEAR: i64 = 365 * 24 * 3600;

/// Jumps ten years forward or back each time it is looked at.
fn jumping() -> Timestamp {
    static LOOKS: AtomicI64 = AtomicI64::new(0);
    let is_ahead = LOOKS.fetch_add(1, Ordering::SeqCst) % 2 == 0;
    let error = if is_ahead { 10 * YEAR } else { -10 * YEAR };
    Timestamp::from_unix(MORNING + error)
}

/// The wait that a 503 with these headers comes to, by this clock.
fn wait_for(headers: &str, now: fn() -> Timestamp) -> Duration {
    let responder = ScriptedResponder::always(answer("503 Busy", headers, b""));
    let settings = Settings { now, ..settings() };
    let error = error(fetch_one(settings, &[responder.url()]));
    error.retry_after().unwrap()
}

#[test]
fn a_clock_that_jumps_while_requests_are_under_way_moves_no_deadline() {
    let slow = ScriptedResponder::start(|_| {
        let (pause, answer) = (Duration::from_millis(100), ocsp_answer(RESPONSE));
        vec![Step::Pause(pause), Step::Send(answer)]
    });
    let silent = ScriptedResponder::start(|_| vec![Step::Hang]);
    let busy = ScriptedResponder::always(answer("503 Busy", "Retry-After: 60\r\n", b""));
    let patient = Settings {
        now: jumping,
        request_timeout: Duration::from_secs(2),
        ..settings()
    };
    let jobs = (0..30)
        .map(|key| job(key, &[[&slow, &silent, &busy][key % 3].url()]))
        .collect();
    for report in fetch_all(patient, jobs) {
        match report.key % 3 {
            0 => assert_eq!(body(&report.outcome), RESPONSE),
            1 => assert!(["timeout", "circuit_open"].contains(&error(report.outcome).kind())),
            _ => {
                // A circuit that opens adds a quarter at most.
                let wait = error(report.outcome).retry_after().unwrap();
                let bounds = Duration::from_secs(60)..=Duration::from_secs(75);
                assert!(bounds.contains(&wait), "{wait:?}");
            }
        }
    }
}

#[test]
fn a_retry_after_date_beside_the_responders_own_date_needs_no_clock_of_ours() {
    let headers = "Date: Fri, 20 Nov 2026 08:00:00 GMT\r\n\
                   Retry-After: Fri, 20 Nov 2026 08:30:00 GMT\r\n";
    for now in [
        (|| Timestamp::from_unix(MORNING + YEAR)) as fn() -> Timestamp,
        || Timestamp::from_unix(MORNING - YEAR),
        || Timestamp::from_unix(i64::MIN),
        || Timestamp::from_unix(i64::MAX),
    ] {
        assert_eq!(wait_for(headers, now), Duration::from_secs(1800));
    }
}

#[test]
fn a_retry_after_date_alone_is_clamped_however_wrong_our_clock_is() {
    let headers = "Retry-After: Fri, 20 Nov 2026 08:30:00 GMT\r\n";
    let right = || Timestamp::from_unix(MORNING);
    assert_eq!(wait_for(headers, right), Duration::from_secs(1800));
    let ahead = || Timestamp::from_unix(MORNING + YEAR);
    assert_eq!(wait_for(headers, ahead), RETRY_AFTER_MIN);
    let behind = || Timestamp::from_unix(MORNING - YEAR);
    assert_eq!(wait_for(headers, behind), RETRY_AFTER_MAX);
}

#[test]
fn how_long_an_answer_stays_the_newest_is_read_by_the_responders_clock() {
    let fresh_for = |headers: &str| {
        let headers = format!("Content-Type: application/ocsp-response\r\n{headers}");
        let responder = ScriptedResponder::always(answer("200 OK", &headers, RESPONSE));
        let settings = Settings {
            now: jumping,
            ..settings()
        };
        match fetch_one(settings, &[responder.url()]) {
            Ok(FetchedAnswer::Judged { caching, .. }) => Caching::fresh_for(&caching),
            other => panic!("no answer: {other:?}"),
        }
    };
    // Its clock is a year behind or ahead of any other.
    for day in ["Thu, 20 Nov 2025", "Sat, 20 Nov 2027"] {
        let headers =
            format!("Date: {day} 08:00:00 GMT\r\nExpires: {day} 09:00:00 GMT\r\nAge: 600\r\n");
        assert_eq!(fresh_for(&headers), Some(Duration::from_secs(3000)));
    }
    let only_expires = "Expires: Fri, 20 Nov 2026 09:00:00 GMT\r\n";
    assert_eq!(fresh_for(only_expires), None, "by which clock?");
}
