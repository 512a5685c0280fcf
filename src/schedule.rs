//! When to ask for the next response: renewal instants and retry delays.
//!
//! Pure arithmetic over times that are handed in. It does not keep timers (the agent does) and
//! knows nothing of HTTP caching. The renewal instant follows RFC 9919 §6 (ask again well before
//! nextUpdate) and keeps ahead of the CA/Browser Forum's refresh duty (BR 4.9.9) by renewing at
//! half of the effective life.

use std::time::Duration;

use crate::time::Timestamp;

/// The longest wait between two attempts for one certificate, whatever happens. Below an hour, so
/// that a responder that is back for an hour has been asked within it.
pub const LONGEST_RETRY: Duration = Duration::from_secs(50 * 60);
/// The wait after a first failure, before jitter.
pub const FIRST_RETRY: Duration = Duration::from_secs(15);
/// The shortest wait between two requests for one certificate when the responder's answer would
/// otherwise be due for renewal at once.
pub const SHORTEST_REPEAT: Duration = Duration::from_secs(30);
/// The share of the life, around its half, over which renewals are spread.
const JITTER_SHARE: f64 = 0.1;

/// What the operator asked for, beside renewal at half-life.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Settings {
    /// A response with less life than this is renewed.
    pub minimum_validity: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            minimum_validity: Duration::from_secs(7200),
        }
    }
}

/// The span in which a response is of use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Life {
    /// thisUpdate of the response.
    pub start: Timestamp,
    /// Its effective end: the earliest of nextUpdate and the notAfter of delegate and certificate.
    pub end: Timestamp,
}

/// The instant from which a response should be renewed: around half of its life (spread by
/// `jitter`, 0 to 1), or earlier where `minimum_validity` says so.
pub fn renewal(life: Life, jitter: f64, settings: Settings) -> Timestamp {
    let length = life.end.since(life.start);
    let share = 0.5 + JITTER_SHARE * (jitter.clamp(0.0, 1.0) - 0.5);
    let half_life = life.start.saturating_add(length.mul_f64(share));
    half_life.min(life.end.saturating_sub(settings.minimum_validity))
}

/// When to ask again after a response has just been accepted at `now`: its renewal instant, but
/// never so soon that a responder which hands out the same response again would be hammered.
pub fn next_request(life: Life, now: Timestamp, jitter: f64, settings: Settings) -> Timestamp {
    let repeat = (life.end.since(now) / 8).clamp(SHORTEST_REPEAT, LONGEST_RETRY);
    renewal(life, jitter, settings).max(now.saturating_add(repeat))
}

/// When to ask again after the responder handed out the response that is held already: not before
/// its caching headers promise something new (`fresh_for`, RFC 9919 §6.1), but always while half of
/// the remaining life is left.
pub fn repeated_request(
    life: Life,
    now: Timestamp,
    jitter: f64,
    settings: Settings,
    fresh_for: Option<Duration>,
) -> Timestamp {
    let patience = fresh_for.unwrap_or_default().min(life.end.since(now) / 2);
    next_request(life, now, jitter, settings).max(now.saturating_add(patience))
}

/// How long to wait after the `failures`-th failure in a row: exponential, capped at
/// [`LONGEST_RETRY`], faster when the held response has little life left (`remaining`), spread by
/// `jitter` (0 to 1) between half of the delay and the whole.
pub fn retry(failures: u32, remaining: Option<Duration>, jitter: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let mut delay = FIRST_RETRY
        .saturating_mul(1 << doublings)
        .min(LONGEST_RETRY);
    if let Some(remaining) = remaining {
        delay = delay.min((remaining / 8).max(FIRST_RETRY));
    }
    delay.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 86_400;

    fn life(start: i64, end: i64) -> Life {
        Life {
            start: Timestamp::from_unix(start),
            end: Timestamp::from_unix(end),
        }
    }

    #[test]
    fn a_week_is_renewed_at_its_half_with_a_spread_of_a_tenth() {
        let settings = Settings::default();
        let week = life(0, 7 * DAY);
        assert_eq!(renewal(week, 0.5, settings).unix(), 7 * DAY / 2);
        assert_eq!(renewal(week, 0.0, settings).unix(), 7 * DAY * 45 / 100);
        assert_eq!(renewal(week, 1.0, settings).unix(), 7 * DAY * 55 / 100);
    }

    #[test]
    fn minimum_validity_brings_the_renewal_forward() {
        let settings = Settings {
            minimum_validity: Duration::from_secs(5 * 86_400),
        };
        assert_eq!(
            renewal(life(0, 7 * DAY), 0.5, settings).unix(),
            2 * DAY,
            "five of seven days must remain"
        );
    }

    #[test]
    fn a_response_that_is_always_due_is_not_asked_for_in_a_loop() {
        // One hour of life with two hours of minimum validity: due from the start.
        let settings = Settings::default();
        let next = next_request(life(0, 3600), Timestamp::from_unix(0), 0.5, settings);
        assert_eq!(next.unix(), 450);
        let short = next_request(life(0, 120), Timestamp::from_unix(60), 0.5, settings);
        assert_eq!(short.unix(), 90);
    }

    #[test]
    fn caching_headers_put_off_a_repeated_request_up_to_half_of_what_is_left() {
        let now = Timestamp::from_unix(4 * DAY);
        let next = |hours: u64| {
            let fresh_for = Some(Duration::from_secs(hours * 3600));
            repeated_request(life(0, 7 * DAY), now, 0.5, Settings::default(), fresh_for).unix()
        };
        assert_eq!(next(0), 4 * DAY + 3000);
        assert_eq!(next(6), 4 * DAY + 6 * 3600);
        assert_eq!(next(1000), 4 * DAY + 3 * DAY / 2);
    }

    #[test]
    fn failures_double_the_wait_up_to_the_cap() {
        let waits: Vec<u64> = (1..=12).map(|n| retry(n, None, 1.0).as_secs()).collect();
        assert_eq!(
            waits,
            [15, 30, 60, 120, 240, 480, 960, 1920, 3000, 3000, 3000, 3000]
        );
    }

    #[test]
    fn little_life_left_makes_retries_faster() {
        let remaining = Some(Duration::from_secs(800));
        assert_eq!(retry(10, remaining, 1.0).as_secs(), 100);
        assert_eq!(retry(10, Some(Duration::ZERO), 1.0), FIRST_RETRY);
    }

    proptest! {
        #[test]
        fn renewal_lies_before_the_end_of_life(
            start in 0i64..4_000_000_000, length in 1i64..400 * DAY, jitter in 0.0f64..=1.0,
            minimum in 0u64..1_000_000,
        ) {
            let settings = Settings { minimum_validity: Duration::from_secs(minimum) };
            let life = life(start, start + length);
            prop_assert!(renewal(life, jitter, settings) < life.end);
        }

        #[test]
        fn the_next_request_is_later_than_now_and_not_after_the_end_of_a_longer_life(
            length in 600i64..400 * DAY, elapsed in 0i64..400 * DAY, jitter in 0.0f64..=1.0,
        ) {
            let life = life(0, length);
            let now = Timestamp::from_unix(elapsed.min(length - 300));
            let next = next_request(life, now, jitter, Settings::default());
            prop_assert!(next.since(now) >= SHORTEST_REPEAT);
            prop_assert!(next < life.end);
        }

        #[test]
        fn retries_stay_within_their_bounds(
            failures in 0u32..1000, remaining in proptest::option::of(0u64..10_000_000),
            jitter in 0.0f64..=1.0,
        ) {
            let delay = retry(failures, remaining.map(Duration::from_secs), jitter);
            prop_assert!(delay >= FIRST_RETRY / 2 && delay <= LONGEST_RETRY);
        }
    }
}
