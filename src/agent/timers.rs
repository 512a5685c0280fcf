//! The agent's alarm clock: at most one deadline for each thing that waits.
//!
//! A deadline is a time to wait, and passes when either clock says so: the monotonic one ticks
//! truly but stands still while the machine is suspended, the wall clock may jump either way. Going
//! off early is harmless, because the woken code looks at the time again; going off late is not. It
//! reads no clock.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use super::inventory::{CertificateId, TargetId};
use crate::time::{Now, Timestamp};

/// What an alarm is for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Timer {
    /// Ask the responder.
    Request(CertificateId),
    /// The held staple stops being of use.
    Expiry(CertificateId),
    /// Try again to write the staple of this certificate file.
    Write(PathBuf),
    /// Try again to deliver to this HAProxy.
    Deliver(CertificateId, TargetId),
    /// This HAProxy has not come back.
    OutOfReach(TargetId),
}

/// When an alarm goes off: at the earlier of the first two.
#[derive(Clone, Copy, Debug)]
struct AlarmTime {
    wall: Timestamp,
    monotonic: Duration,
    /// When that is to be expected, as it is said to people.
    expected: Timestamp,
}

/// All alarms that are set.
#[derive(Default, Debug)]
pub(super) struct Timers {
    deadlines: HashMap<Timer, AlarmTime>,
    by_wall: BTreeSet<(Timestamp, Timer)>,
    by_monotonic: BTreeSet<(Duration, Timer)>,
}

impl Timers {
    /// Sets the alarm to go off after `wait`, in place of one that was set for the same thing.
    pub(super) fn set(&mut self, timer: Timer, wait: Duration, now: Now) {
        self.cancel(&timer);
        let deadline = AlarmTime {
            // The wall clock counts whole seconds: never before the wait is over.
            wall: now
                .wall
                .saturating_add(wait.saturating_add(Duration::from_secs(2))),
            monotonic: now.monotonic.saturating_add(wait),
            expected: now.wall.saturating_add(wait),
        };
        self.by_wall.insert((deadline.wall, timer.clone()));
        self.by_monotonic
            .insert((deadline.monotonic, timer.clone()));
        self.deadlines.insert(timer, deadline);
    }

    /// Takes the alarm back, if it is set.
    pub(super) fn cancel(&mut self, timer: &Timer) {
        if let Some(AlarmTime {
            wall, monotonic, ..
        }) = self.deadlines.remove(timer)
        {
            self.by_wall.remove(&(wall, timer.clone()));
            self.by_monotonic.remove(&(monotonic, timer.clone()));
        }
    }

    /// Takes out the next alarm that is due at `now`, if any.
    pub(super) fn take_due(&mut self, now: Now) -> Option<Timer> {
        let wall = self.by_wall.first().filter(|(at, _)| *at <= now.wall);
        let monotonic = self
            .by_monotonic
            .first()
            .filter(|(at, _)| *at <= now.monotonic);
        let timer = wall
            .map(|(_, timer)| timer.clone())
            .or_else(|| monotonic.map(|(_, timer)| timer.clone()))?;
        self.cancel(&timer);
        Some(timer)
    }

    /// How long from `now` until the next alarm, if one is set; zero when one is due.
    pub(super) fn next(&self, now: Now) -> Option<Duration> {
        let wall = self.by_wall.first().map(|(at, _)| at.since(now.wall));
        let monotonic = self
            .by_monotonic
            .first()
            .map(|(at, _)| at.saturating_sub(now.monotonic));
        [wall, monotonic].into_iter().flatten().min()
    }

    /// When the alarm for this thing is expected to go off, if it is set.
    pub(super) fn at(&self, timer: &Timer) -> Option<Timestamp> {
        self.deadlines.get(timer).map(|deadline| deadline.expected)
    }

    /// Whether the alarm for this thing is set.
    pub(super) fn is_set(&self, timer: &Timer) -> bool {
        self.deadlines.contains_key(timer)
    }

    /// How many alarms are set.
    pub(super) fn len(&self) -> usize {
        self.deadlines.len()
    }

    /// The alarms that are set, in no order.
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Timer> {
        self.deadlines.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn now(wall: i64, monotonic: u64) -> Now {
        Now {
            wall: Timestamp::from_unix(wall),
            monotonic: Duration::from_secs(monotonic),
        }
    }

    fn request(id: u64) -> Timer {
        Timer::Request(CertificateId(id))
    }

    #[test]
    fn setting_again_replaces_the_earlier_deadline() {
        let mut timers = Timers::default();
        timers.set(request(1), MINUTE, now(0, 0));
        timers.set(request(1), 2 * MINUTE, now(0, 0));
        assert_eq!(timers.take_due(now(100, 100)), None);
        assert_eq!(
            timers.next(now(100, 100)),
            Some(Duration::from_secs(20)),
            "the monotonic clock is the finer one"
        );
        assert_eq!(timers.take_due(now(120, 120)), Some(request(1)));
        assert_eq!(timers.next(now(0, 0)), None);
    }

    #[test]
    fn whichever_clock_passes_the_deadline_first_sets_the_alarm_off_and_only_once() {
        // Suspended, or set forward; and set back.
        for passed in [now(62, 0), now(-1_000_000, 60)] {
            let mut timers = Timers::default();
            timers.set(request(1), MINUTE, now(0, 0));
            assert_eq!(timers.take_due(now(61, 59)), None);
            assert_eq!(timers.take_due(passed), Some(request(1)));
            assert_eq!(timers.take_due(now(1_000_000, 1_000_000)), None);
        }
    }

    #[test]
    fn a_wait_shorter_than_a_second_is_not_cut_short_by_the_wall_clock() {
        let mut timers = Timers::default();
        timers.set(request(1), Duration::from_millis(250), now(0, 0));
        // The second may have been about to end.
        assert_eq!(timers.take_due(now(1, 0)), None);
        assert_eq!(timers.take_due(now(1, 1)), Some(request(1)));
    }

    #[test]
    fn a_cancelled_alarm_never_goes_off() {
        let mut timers = Timers::default();
        timers.set(request(1), MINUTE, now(0, 0));
        timers.cancel(&request(1));
        assert!(!timers.is_set(&request(1)));
        assert_eq!(timers.take_due(now(100, 100)), None);
    }
}
