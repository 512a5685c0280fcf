//! A responder with its good and bad days, and the record of when it could be reached.

use std::collections::VecDeque;
use std::time::Duration;

use staplerd::fetch::REQUEST_TIMEOUT;

use super::swarm::Promise;

/// "Whenever the responder was reachable for an hour."
pub const LONG_ENOUGH: Duration = Duration::from_secs(3600);

/// How a responder behaves for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Healthy,
    /// It takes seconds, but it answers.
    Slow,
    /// Nothing comes back.
    Silent,
    /// Connections are refused.
    Refusing,
    /// 503 with Retry-After.
    Busy {
        retry_after: Duration,
    },
    /// Most of its answers are false in some way.
    Lying,
    /// Every other request fails.
    Flaky,
    /// It answers with OCSP error statuses: tryLater and internalError while it passes, else any.
    InTrouble {
        passing: bool,
    },
}

impl Mode {
    pub fn drawn(random: &mut fastrand::Rng) -> Self {
        match random.u8(0..10) {
            0 => Mode::Slow,
            1 | 2 => Mode::Silent,
            3 => Mode::Refusing,
            4 => Mode::Busy {
                retry_after: Duration::from_secs(random.u64(10..7200)),
            },
            5 | 6 => Mode::Lying,
            7 => Mode::InTrouble { passing: true },
            8 => Mode::InTrouble { passing: false },
            _ => Mode::Flaky,
        }
    }

    /// Nothing to be had from it for a while, and nobody's certificate in particular.
    pub fn outage(random: &mut fastrand::Rng) -> Self {
        match random.u8(0..6) {
            0 | 1 => Mode::Silent,
            2 | 3 => Mode::Refusing,
            4 => Mode::Busy {
                retry_after: Duration::from_secs(random.u64(10..600)),
            },
            _ => Mode::InTrouble { passing: true },
        }
    }

    /// Whether it answers, or fails for everybody alike so that it is only probed.
    pub fn is_plain(self) -> bool {
        !matches!(
            self,
            Mode::Lying | Mode::Flaky | Mode::InTrouble { passing: false }
        )
    }

    fn answers(self) -> bool {
        matches!(self, Mode::Healthy | Mode::Slow)
    }

    /// How long one exchange takes.
    pub fn takes(self, random: &mut fastrand::Rng) -> Duration {
        match self {
            Mode::Silent => REQUEST_TIMEOUT,
            Mode::Slow => Duration::from_millis(random.u64(1000..8000)),
            _ => Duration::from_millis(random.u64(10..200)),
        }
    }
}

#[derive(Debug)]
pub struct Responder {
    pub name: String,
    /// How long its responses are valid.
    pub life: Duration,
    pub mode: Mode,
    /// How long it says that its answers stay the newest.
    pub promise: Promise,
    /// It has asked to be left alone until then.
    pub left_alone_until: Duration,
    /// Since when it can be reached.
    since: Option<Duration>,
    /// When it could be, for [`LONG_ENOUGH`] at least.
    past: VecDeque<(Duration, Duration)>,
    /// The hour that is counted.
    pub hour: Hour,
}

#[derive(Clone, Copy, Default, Debug)]
pub struct Hour {
    pub requests: u64,
    /// Requests that brought something.
    pub answers: u64,
    /// It answered, or failed for everybody alike; nobody got an answer that was worth nothing.
    pub was_plain: bool,
}

impl Responder {
    pub fn new(number: usize, life: Duration, promise: Promise) -> Self {
        Responder {
            name: format!("ocsp{number}.example:80"),
            life,
            mode: Mode::Healthy,
            promise,
            left_alone_until: Duration::ZERO,
            since: Some(Duration::ZERO),
            past: VecDeque::new(),
            hour: Hour::default(),
        }
    }

    /// Takes note of whether it can be reached from `now` on; `machine_is_well`: the agent's
    /// machine is awake and its clock right.
    pub fn observe(&mut self, now: Duration, machine_is_well: bool) {
        let reachable = machine_is_well && self.mode.answers() && self.left_alone_until <= now;
        match (reachable, self.since) {
            (true, None) => self.since = Some(now),
            (false, Some(since)) => {
                if now - since >= LONG_ENOUGH {
                    self.past.push_back((since, now));
                }
                self.since = None;
            }
            _ => {}
        }
        // Longer ago than any response lives.
        while self
            .past
            .front()
            .is_some_and(|(_, end)| *end + 2 * self.life < now)
        {
            self.past.pop_front();
        }
    }

    /// How long it has been reachable without a break.
    pub fn reachable_for(&self, now: Duration) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now - since)
    }

    /// Whether it was reachable for an hour between these times.
    pub fn was_reachable_between(&self, from: Duration, until: Duration) -> bool {
        let current = self.since.map(|since| (since, until));
        self.past
            .iter()
            .copied()
            .chain(current)
            .any(|(start, end)| end.min(until).saturating_sub(start.max(from)) >= LONG_ENOUGH)
    }
}
