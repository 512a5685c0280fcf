//! When to ask for the next response: renewal instants and retry delays.
//!
//! Pure arithmetic over times that are handed in. It does not keep timers (the agent does) and
//! knows nothing of HTTP caching. The renewal instant follows RFC 9919 §6 (ask again well before
//! nextUpdate): at half of the effective life. A CA may sign anew as late as four days after
//! thisUpdate (BR 4.9.9), so nothing newer before that is normal, and repeats are few.

use std::time::Duration;

use crate::time::Timestamp;

/// The longest wait after a failed attempt for one certificate. Below an hour, so that a responder
/// that is back for an hour has been asked within it; one that asks for a longer pause gets it, up
/// to `fetch::RETRY_AFTER_MAX`. If the responder answered, [`next_request`] decides.
pub const LONGEST_RETRY: Duration = Duration::from_secs(50 * 60);
/// The wait after a first failure, before jitter.
pub const FIRST_RETRY: Duration = Duration::from_secs(15);
/// The shortest wait between two requests for one certificate when the responder's answer would
/// otherwise be due for renewal at once.
pub const SHORTEST_REPEAT: Duration = Duration::from_secs(30);
/// The longest wait between two requests while the responder has nothing newer.
pub const LONGEST_REPEAT: Duration = Duration::from_secs(12 * 3600);
/// How long after its thisUpdate a response is asked for anew at the latest, however long it lives.
pub const ASKED_WITHIN: Duration = Duration::from_secs(4 * 86_400);
/// How old a response may be and still count as fresh. Firefox ends one ten days after its
/// thisUpdate, even before nextUpdate (`maxLifetimeInDays` of mozilla::pkix).
pub const MAXIMUM_AGE: Duration = Duration::from_secs(10 * 86_400);
/// While nothing newer comes, so many requests would fit into the life that is left: at half of the
/// life, one in each twenty-eighth of it.
const REPEATS: u32 = 14;
/// No promise of a responder's is believed in the last hours before it deserves to be said that it
/// has nothing newer: several requests have to fit into them.
pub const LAST_TRIES: Duration = Duration::from_secs(2 * 3600);
/// The share of the maximum age, in tenths, from which on an old response is spoken of.
const AGING_TENTHS: u32 = 7;
/// The share of the life, before its half, over which renewals are spread. Before: a responder that
/// is there at the beginning of the second half, and never again, has then been asked.
const JITTER_SHARE: f64 = 0.1;

/// The share of a life that remains when a missing successor deserves an alarm at the latest: a
/// sixth of the life after its half, when the successor was asked for.
const ALARM_SHARE: u32 = 3;

/// What the operator asked for, beside renewal at half-life.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Settings {
    /// A response with less life than this is renewed; passed over for responses that never have
    /// that much.
    pub minimum_validity: Duration,
    /// A response of which less than this share of the life remains, in percent (0 to 100), is
    /// renewed. Zero asks for nothing beyond half-life.
    pub minimum_validity_percentage: f64,
    /// A response that is older than this, by its thisUpdate, does not count as fresh.
    pub maximum_age: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            minimum_validity: Duration::from_secs(7200),
            minimum_validity_percentage: 0.0,
            maximum_age: MAXIMUM_AGE,
        }
    }
}

/// When a single run renews, which is ocspbot's rule: what is given counts, and the earlier of two.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SingleRun {
    minimum_validity: Option<Duration>,
    /// Between 0 and 1.
    remaining_share: Option<f64>,
}

impl SingleRun {
    /// A response with less life than `minimum_validity`, or of whose life less than
    /// `minimum_validity_percentage` remains, is due. ocspbot refuses to run without both; here
    /// a response is then due at half of its life.
    pub fn new(
        minimum_validity: Option<Duration>,
        minimum_validity_percentage: Option<f64>,
    ) -> Self {
        let remaining_share =
            minimum_validity_percentage.map(|percent| percent.clamp(0.0, 100.0) / 100.0);
        let half = minimum_validity.is_none().then_some(0.5);
        SingleRun {
            minimum_validity,
            remaining_share: remaining_share.or(half),
        }
    }

    /// The daemon's rule, without its jitter.
    pub fn like_the_daemon(settings: Settings) -> Self {
        let share = settings.minimum_validity_percentage.clamp(50.0, 100.0);
        Self::new(Some(settings.minimum_validity), Some(share))
    }

    /// Whether a response of this life is to be renewed now.
    pub fn is_due(&self, life: Life, now: Timestamp) -> bool {
        let by_minimum = self
            .minimum_validity
            .map(|minimum| life.end.saturating_sub(minimum));
        let by_share = self.remaining_share.map(|share| {
            let length = life.end.since(life.start);
            life.start.saturating_add(length.mul_f64(1.0 - share))
        });
        let mut instants = by_minimum.into_iter().chain(by_share);
        instants.any(|instant| instant <= now)
    }
}

/// The span in which a response is of use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Life {
    /// The response's thisUpdate.
    pub this_update: Timestamp,
    /// The later of the response's thisUpdate and the certificate's notBefore.
    pub start: Timestamp,
    /// Its effective end: the earliest of nextUpdate and the notAfter of delegate and certificate.
    pub end: Timestamp,
}

/// The instant from which a response should be renewed: at half of its life and [`ASKED_WITHIN`]
/// its thisUpdate, or before by `jitter` (0 to 1) of a tenth of either, or earlier where the
/// settings say so.
pub fn renewal(life: Life, jitter: f64, settings: Settings) -> Timestamp {
    let length = life.end.since(life.start);
    let spread = JITTER_SHARE * jitter.clamp(0.0, 1.0);
    let percentage = settings.minimum_validity_percentage.clamp(0.0, 100.0);
    let share = (0.5 - spread).min(1.0 - percentage / 100.0);
    let by_share = life.start.saturating_add(length.mul_f64(share));
    let by_age = life
        .this_update
        .saturating_add(ASKED_WITHIN.mul_f64(1.0 - spread));
    let by_minimum = (settings.minimum_validity < length)
        .then(|| life.end.saturating_sub(settings.minimum_validity));
    let earliest = by_share.min(by_age);
    by_minimum.map_or(earliest, |instant| earliest.min(instant))
}

/// How long from `now` until the next request, when the responder has just answered with the
/// response that lives so long: until its renewal instant. Past that, it has nothing newer, and is
/// asked again after a share of the life that is left. Where its caching headers promise nothing
/// new for `fresh_for` (RFC 9919 §6.1) it is left alone until then, but for [`ASKED_WITHIN`] at
/// most, and never beyond [`LAST_TRIES`] before the response is `overdue` ([`overdue`]).
pub fn next_request(
    life: Life,
    now: Timestamp,
    jitter: f64,
    settings: Settings,
    overdue: Timestamp,
    fresh_for: Option<Duration>,
) -> Duration {
    let remaining = life.end.since(now);
    let repeat = (remaining / REPEATS).clamp(SHORTEST_REPEAT, LONGEST_REPEAT);
    let patience = fresh_for
        .unwrap_or_default()
        .min(overdue.saturating_sub(LAST_TRIES).since(now))
        .min(ASKED_WITHIN);
    renewal(life, jitter, settings)
        .since(now)
        .max(repeat)
        .max(patience)
}

/// The instant from which it is to be said that the responder has nothing newer than this response:
/// when a missing successor deserves an alarm ([`alarm`]), or when the response begins to be old.
pub fn overdue(life: Life, within: Duration, settings: Settings) -> Timestamp {
    alarm(life, within).min(aging(life.this_update, settings))
}

/// The instant from which a response of this thisUpdate is spoken of as an old one: when so much of
/// the maximum age is over that little is left to have it replaced.
pub fn aging(this_update: Timestamp, settings: Settings) -> Timestamp {
    this_update.saturating_add(settings.maximum_age / 10 * AGING_TENTHS)
}

/// The instant from which it deserves an alarm that a response has no successor: `within` before
/// its end. Of a response that lives so short that it would hardly ever be without an alarm, the
/// last third of its life.
pub fn alarm(life: Life, within: Duration) -> Timestamp {
    let length = life.end.since(life.start);
    life.end.saturating_sub(within.min(length / ALARM_SHARE))
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

/// How long to wait after a request that was not sent, because its responder is left alone for
/// `pause` more: that long, or up to a quarter longer. The certificate whose staple ends first
/// comes back first, by what `remains` of it. One without a staple comes last: it may be the one at
/// which the responder fails.
pub fn comeback(pause: Duration, remains: Option<Duration>, jitter: f64) -> Duration {
    const DAY: f64 = 86_400.0;
    let jitter = jitter.clamp(0.0, 1.0);
    let place = match remains.map(|remains| remains.as_secs_f64()) {
        Some(remains) => 0.7 * remains / (remains + DAY) + 0.1 * jitter,
        None => 0.8 + 0.2 * jitter,
    };
    pause.max(FIRST_RETRY).mul_f64(1.0 + place / 4.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 86_400;

    fn life(start: i64, end: i64) -> Life {
        Life {
            this_update: Timestamp::from_unix(start),
            start: Timestamp::from_unix(start),
            end: Timestamp::from_unix(end),
        }
    }

    #[test]
    fn a_week_is_renewed_at_its_half_or_up_to_a_tenth_before() {
        let settings = Settings::default();
        let week = life(0, 7 * DAY);
        assert_eq!(renewal(week, 0.0, settings).unix(), 7 * DAY / 2);
        assert_eq!(renewal(week, 0.5, settings).unix(), 7 * DAY * 45 / 100);
        assert_eq!(renewal(week, 1.0, settings).unix(), 7 * DAY * 40 / 100);
    }

    #[test]
    fn an_alarm_is_due_so_long_before_the_end_but_never_before_the_renewal() {
        let week = life(0, 7 * DAY);
        let at = |life, days: u64| alarm(life, Duration::from_secs(days * 86_400)).unix();
        assert_eq!(at(week, 1), 6 * DAY);
        assert_eq!(at(week, 2), 5 * DAY);
        assert_eq!(at(week, 7), 7 * DAY * 2 / 3);
        assert_eq!(at(life(0, 3 * 3600), 1), 2 * 3600);
        let latest = renewal(week, 0.0, Settings::default());
        assert!(latest.unix() < at(week, 365));
    }

    #[test]
    fn minimum_validity_brings_the_renewal_forward() {
        let settings = Settings {
            minimum_validity: Duration::from_secs(5 * 86_400),
            ..Settings::default()
        };
        assert_eq!(
            renewal(life(0, 7 * DAY), 0.0, settings).unix(),
            2 * DAY,
            "five of seven days must remain"
        );
    }

    #[test]
    fn the_percentage_is_what_must_remain_and_the_earliest_rule_wins() {
        let renewed_at = |percentage: f64, days: u64| {
            let settings = Settings {
                minimum_validity: Duration::from_secs(days * 86_400),
                minimum_validity_percentage: percentage,
                ..Settings::default()
            };
            renewal(life(0, 7 * DAY), 0.0, settings).unix()
        };
        // ocspbot's own example: 42.8 % of seven days are three days, later than half-life.
        assert_eq!(renewed_at(42.8, 0), 7 * DAY / 2);
        assert_eq!(renewed_at(75.0, 0), 7 * DAY / 4);
        assert_eq!(renewed_at(75.0, 6), DAY);
        assert_eq!(renewed_at(100.0, 0), 0);
    }

    #[test]
    fn a_minimum_that_no_response_of_this_life_can_reach_is_passed_over() {
        // One hour of life with two hours of minimum validity.
        let hour = life(0, 3600);
        assert_eq!(renewal(hour, 0.0, Settings::default()).unix(), 1800);
    }

    #[test]
    fn a_single_run_renews_by_what_is_given_and_at_half_life_without() {
        let day = |count: u64| Some(Duration::from_secs(count * 86_400));
        let week = life(0, 7 * DAY);
        // The first day on which a response is due.
        let due_on = |minimum, percentage| {
            let rule = SingleRun::new(minimum, percentage);
            let days = 0..=70;
            let is_due = |tenth: &i64| rule.is_due(week, Timestamp::from_unix(tenth * DAY / 10));
            days.into_iter().find(is_due)
        };
        // ocspbot's example: three days must remain, or 42.8 %, which is a moment less.
        assert_eq!(due_on(day(3), Some(42.8)), Some(40));
        assert_eq!(due_on(day(2), None), Some(50));
        assert_eq!(due_on(None, Some(10.0)), Some(63));
        assert_eq!(due_on(None, Some(0.0)), Some(70));
        assert_eq!(due_on(None, None), Some(35));
        // No response lives so long: always due.
        assert_eq!(due_on(day(8), None), Some(0));
    }

    /// The next request where an alarm is due a day before the end.
    fn next_in(life: Life, now: i64, settings: Settings, fresh_for: Option<Duration>) -> u64 {
        let overdue = overdue(life, Duration::from_secs(86_400), settings);
        let now = Timestamp::from_unix(now);
        next_request(life, now, 0.5, settings, overdue, fresh_for).as_secs()
    }

    #[test]
    fn a_response_that_is_always_due_is_not_asked_for_in_a_loop() {
        let always = Settings {
            minimum_validity_percentage: 100.0,
            ..Settings::default()
        };
        assert_eq!(next_in(life(0, 3600), 0, always, None), 257);
        assert_eq!(next_in(life(0, 120), 60, always, None), 30);
        assert_eq!(next_in(life(0, 7 * DAY), 0, always, None), 12 * 3600);
    }

    #[test]
    fn nothing_newer_is_asked_again_after_a_share_of_the_life_that_is_left() {
        let next = |day_tenths: i64| {
            let now = day_tenths * DAY / 10;
            next_in(life(0, 7 * DAY), now, Settings::default(), None)
        };
        assert_eq!(next(35), 6 * 3600, "a twenty-eighth of a week");
        assert_eq!(next(60), 86_400 / 14);
        assert_eq!(next(69), 8640 / 14);
    }

    #[test]
    fn caching_headers_put_off_a_repeated_request_but_leave_tries_before_the_alarm() {
        let next = |day: i64, hours: u64| {
            let fresh_for = Some(Duration::from_secs(hours * 3600));
            next_in(life(0, 7 * DAY), day * DAY, Settings::default(), fresh_for)
        };
        assert_eq!(next(4, 0), 3 * 86_400 / 14);
        assert_eq!(next(4, 10), 10 * 3600);
        // The alarm is due at the end of the sixth day.
        assert_eq!(next(4, 1000), 46 * 3600);
        assert_eq!(next(6, 1000), 86_400 / 14);
    }

    #[test]
    fn a_response_of_months_is_asked_for_every_four_days_and_more_often_when_it_is_old() {
        let quarter = life(0, 90 * DAY);
        let settings = Settings::default();
        assert_eq!(renewal(quarter, 0.0, settings).unix(), 4 * DAY);
        assert_eq!(renewal(quarter, 1.0, settings).unix(), 4 * DAY * 9 / 10);
        let next = |day| {
            next_in(
                quarter,
                day * DAY,
                settings,
                Some(Duration::from_secs(1 << 40)),
            )
        };
        assert_eq!(next(0), 4 * 86_400);
        assert_eq!(next(4), (7 - 4) * 86_400 - 2 * 3600);
        assert_eq!(next(7), 12 * 3600);
        assert_eq!(next(60), 12 * 3600);
        assert_eq!(aging(quarter.this_update, settings).unix(), 7 * DAY);
    }

    #[test]
    fn an_old_this_update_of_a_certificate_that_is_new_is_no_reason_for_a_loop() {
        // A responder that answers from a CRL of last month.
        let life = Life {
            this_update: Timestamp::from_unix(-25 * DAY),
            ..life(0, 5 * DAY)
        };
        assert_eq!(next_in(life, 0, Settings::default(), None), 5 * 86_400 / 14);
    }

    #[test]
    fn whose_staple_ends_first_comes_back_first() {
        let pause = Duration::from_secs(600);
        let comes = |hours: Option<u64>, jitter| {
            comeback(
                pause,
                hours.map(|hours| Duration::from_secs(hours * 3600)),
                jitter,
            )
        };
        assert!(comes(Some(1), 0.5) < comes(Some(10), 0.5));
        assert!(comes(Some(10), 0.5) < comes(Some(100), 0.5));
        assert!(comes(Some(10_000), 1.0) <= comes(None, 0.0));
        assert!(comes(Some(0), 0.0) >= pause && comes(None, 1.0) <= pause * 5 / 4);
        assert!(comeback(Duration::ZERO, None, 0.0) >= FIRST_RETRY);
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
        fn renewal_lies_within_the_life_and_before_its_end(
            start in 0i64..4_000_000_000, length in 1i64..400 * DAY, jitter in 0.0f64..=1.0,
            minimum in 0u64..1_000_000, minimum_validity_percentage in 0.0f64..=100.0,
        ) {
            let settings = Settings {
                minimum_validity: Duration::from_secs(minimum),
                minimum_validity_percentage,
                ..Settings::default()
            };
            let life = life(start, start + length);
            let at = renewal(life, jitter, settings);
            prop_assert!(life.start <= at && at < life.end);
        }

        #[test]
        fn the_next_request_is_later_than_now_and_not_after_the_end_of_a_longer_life(
            length in 600i64..400 * DAY, elapsed in 0i64..400 * DAY, jitter in 0.0f64..=1.0,
            fresh_for in proptest::option::of(0u64..1_000_000_000),
            within in 0u64..400 * 86_400,
        ) {
            let life = life(0, length);
            let now = Timestamp::from_unix(elapsed.min(length - 300));
            let settings = Settings::default();
            let overdue = overdue(life, Duration::from_secs(within), settings);
            let fresh_for = fresh_for.map(Duration::from_secs);
            let wait = next_request(life, now, jitter, settings, overdue, fresh_for);
            let unpromised = next_request(life, now, jitter, settings, overdue, None);
            let next = now.saturating_add(wait);
            prop_assert!(wait >= SHORTEST_REPEAT && wait <= ASKED_WITHIN);
            prop_assert!(next < life.end);
            // With any promise there are tries left before the alarm.
            prop_assert!(wait == unpromised || next <= overdue.saturating_sub(LAST_TRIES));
        }

        #[test]
        fn a_single_run_renews_from_the_earlier_of_both_instants_on(
            start in 0i64..4_000_000_000, length in 1i64..400 * DAY, at in -DAY..400 * DAY,
            minimum in 0u64..40_000_000, percentage in 0.0f64..=100.0,
        ) {
            let life = life(start, start + length);
            let now = Timestamp::from_unix(start + at);
            let minimum = Some(Duration::from_secs(minimum));
            let either = SingleRun::new(minimum, None).is_due(life, now)
                || SingleRun::new(None, Some(percentage)).is_due(life, now);
            let both = SingleRun::new(minimum, Some(percentage));
            prop_assert_eq!(both.is_due(life, now), either);
            prop_assert!(both.is_due(life, life.end));
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
