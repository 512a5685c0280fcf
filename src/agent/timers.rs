//! The agent's alarm clock: at most one deadline for each thing that waits.
//!
//! Waiting goes by the steady clock, validity by the wall clock; both kinds live here so that one
//! question ("what is due?") and one answer ("when next?") cover them. It reads no clock.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use super::inventory::{CertificateNumber, TargetId};
use crate::time::{Now, Timestamp};

/// What an alarm is for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Timer {
    /// Ask the responder.
    Request(CertificateNumber),
    /// The held staple stops being of use.
    Expiry(CertificateNumber),
    /// Try again to write the staple of this certificate file.
    Write(PathBuf),
    /// Try again to deliver to this HAProxy.
    Deliver(CertificateNumber, TargetId),
}

/// When an alarm goes off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Deadline {
    /// When the wall clock reaches this time.
    Wall(Timestamp),
    /// When the steady clock reaches this time.
    Steady(Duration),
}

/// All alarms that are set.
#[derive(Default, Debug)]
pub(super) struct Timers {
    deadlines: HashMap<Timer, Deadline>,
    by_wall: BTreeSet<(Timestamp, Timer)>,
    by_steady: BTreeSet<(Duration, Timer)>,
}

impl Timers {
    /// Sets the alarm, in place of one that was set for the same thing.
    pub(super) fn set(&mut self, timer: Timer, deadline: Deadline) {
        self.cancel(&timer);
        match deadline {
            Deadline::Wall(at) => self.by_wall.insert((at, timer.clone())),
            Deadline::Steady(at) => self.by_steady.insert((at, timer.clone())),
        };
        self.deadlines.insert(timer, deadline);
    }

    /// Takes the alarm back, if it is set.
    pub(super) fn cancel(&mut self, timer: &Timer) {
        match self.deadlines.remove(timer) {
            Some(Deadline::Wall(at)) => self.by_wall.remove(&(at, timer.clone())),
            Some(Deadline::Steady(at)) => self.by_steady.remove(&(at, timer.clone())),
            None => false,
        };
    }

    /// Takes out the next alarm that is due at `now`, if any.
    pub(super) fn take_due(&mut self, now: Now) -> Option<Timer> {
        let wall = self.by_wall.first().filter(|(at, _)| *at <= now.wall);
        let steady = self.by_steady.first().filter(|(at, _)| *at <= now.steady);
        let timer = wall
            .map(|(_, timer)| timer.clone())
            .or_else(|| steady.map(|(_, timer)| timer.clone()))?;
        self.cancel(&timer);
        Some(timer)
    }

    /// How long from `now` until the next alarm, if one is set; zero when one is due.
    pub(super) fn next(&self, now: Now) -> Option<Duration> {
        let wall = self.by_wall.first().map(|(at, _)| at.since(now.wall));
        let steady = self
            .by_steady
            .first()
            .map(|(at, _)| at.saturating_sub(now.steady));
        [wall, steady].into_iter().flatten().min()
    }

    /// When the alarm for this thing goes off, if it is set.
    pub(super) fn get(&self, timer: &Timer) -> Option<Deadline> {
        self.deadlines.get(timer).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(wall: i64, steady: u64) -> Now {
        Now {
            wall: Timestamp::from_unix(wall),
            steady: Duration::from_secs(steady),
        }
    }

    fn request(number: u64) -> Timer {
        Timer::Request(CertificateNumber(number))
    }

    #[test]
    fn setting_again_replaces_the_earlier_deadline() {
        let mut timers = Timers::default();
        timers.set(request(1), Deadline::Wall(Timestamp::from_unix(10)));
        timers.set(request(1), Deadline::Steady(Duration::from_secs(50)));
        assert_eq!(timers.take_due(now(100, 0)), None);
        assert_eq!(timers.next(now(100, 20)), Some(Duration::from_secs(30)));
        assert_eq!(timers.take_due(now(0, 50)), Some(request(1)));
        assert_eq!(timers.next(now(0, 0)), None);
    }

    #[test]
    fn either_clock_sets_off_its_own_alarms_once() {
        let mut timers = Timers::default();
        timers.set(request(1), Deadline::Wall(Timestamp::from_unix(10)));
        timers.set(request(2), Deadline::Steady(Duration::from_secs(5)));
        assert_eq!(timers.take_due(now(9, 5)), Some(request(2)));
        assert_eq!(timers.take_due(now(9, 5)), None);
        assert_eq!(timers.take_due(now(10, 5)), Some(request(1)));
        assert_eq!(timers.take_due(now(10, 5)), None);
    }

    #[test]
    fn a_cancelled_alarm_never_goes_off() {
        let mut timers = Timers::default();
        timers.set(request(1), Deadline::Wall(Timestamp::from_unix(10)));
        timers.cancel(&request(1));
        assert_eq!(timers.get(&request(1)), None);
        assert_eq!(timers.take_due(now(100, 100)), None);
    }
}
