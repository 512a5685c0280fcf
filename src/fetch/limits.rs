//! Who is asked when: admission, fairness between responders, circuit breaker.
//!
//! Pure: time (a monotonic duration) and randomness are arguments, so a month of outages is a test.
//! A responder is a host and port. It may hold at most half of all permits, and only as many as it
//! has earned: its window starts small, grows with every quick answer and shrinks with every slow or
//! failed one. So a responder that never answers holds few permits, and nobody else's. After
//! [`FAILURES_TO_OPEN`] failures in a row its circuit opens: whoever waits for it is sent away, and
//! after a pause one request at a time probes it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Exchanges in flight with a responder not yet known to answer, or known to be slow or to fail.
pub const WINDOW_INITIAL: usize = 8;
/// An answer that took longer than this costs its responder permits instead of earning it some.
pub const QUICK_ANSWER: Duration = Duration::from_secs(1);
/// Failures in a row that open a responder's circuit; more than a few bad certificates' worth.
pub const FAILURES_TO_OPEN: u32 = 10;
/// First pause of an open circuit; doubled with each failed probe.
pub const PAUSE_FIRST: Duration = Duration::from_secs(10);
/// Longest pause of an open circuit, before jitter.
pub const PAUSE_MAX: Duration = Duration::from_secs(600);
/// Responders remembered; beyond it those that are idle and healthy are forgotten.
pub const RESPONDERS_MAX: usize = 4096;

/// What a finished exchange says about its responder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Health {
    /// It answered, this long after it was asked.
    Answered(Duration),
    /// It failed.
    Failed,
    /// It failed, and asked to be left alone for this long.
    Busy(Duration),
    /// Nothing was learnt about it.
    Unknown,
}

/// A job that was not let in, because its responder's circuit is open.
#[derive(PartialEq, Eq, Debug)]
pub struct Dismissed<J> {
    /// The job, handed back.
    pub job: J,
    /// When the responder will be asked again, at the earliest.
    pub retry_after: Duration,
}

/// The waiting jobs of all responders, and the permits.
#[derive(Debug)]
pub struct Limits<J> {
    total: usize,
    in_flight: usize,
    waiting: usize,
    responders: HashMap<Arc<str>, Responder<J>>,
    /// Responders that have a job waiting and a permit to spare, in turn; urgent jobs first.
    turns: [VecDeque<Arc<str>>; 2],
}

#[derive(Debug)]
struct Responder<J> {
    waiting: [VecDeque<J>; 2],
    has_turn: [bool; 2],
    in_flight: usize,
    window: usize,
    circuit: Circuit,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Circuit {
    /// Requests flow; so many of the last ones failed in a row.
    Closed { failures: u32 },
    /// No request before this time; so many pauses came before this one.
    Open { until: Duration, pauses: u32 },
    /// One request is on its way to see whether the responder is back.
    Probing { pauses: u32 },
}

impl<J> Limits<J> {
    /// Limits with `total` exchanges in flight (at least one).
    pub fn new(total: usize) -> Self {
        Limits {
            total: total.max(1),
            in_flight: 0,
            waiting: 0,
            responders: HashMap::new(),
            turns: [VecDeque::new(), VecDeque::new()],
        }
    }

    /// Jobs let in and not yet started.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Lets a job in to wait for its turn.
    ///
    /// # Errors
    /// [`Dismissed`] when the responder's circuit is open or being probed.
    pub fn admit(
        &mut self,
        responder: &str,
        job: J,
        urgent: bool,
        now: Duration,
    ) -> Result<(), Dismissed<J>> {
        let window = WINDOW_INITIAL.min(self.window_max());
        let name = self.name_of(responder);
        let state = self
            .responders
            .entry(name.clone())
            .or_insert_with(|| Responder::new(window));
        match state.circuit {
            Circuit::Closed { .. } => {}
            Circuit::Open { until, pauses } if until <= now => {
                state.circuit = Circuit::Probing { pauses };
            }
            Circuit::Open { until, .. } => {
                let retry_after = until.saturating_sub(now);
                return Err(Dismissed { job, retry_after });
            }
            Circuit::Probing { .. } => {
                let retry_after = PAUSE_FIRST;
                return Err(Dismissed { job, retry_after });
            }
        }
        state.waiting[usize::from(!urgent)].push_back(job);
        self.waiting += 1;
        state.take_turns(&name, &mut self.turns);
        Ok(())
    }

    /// The next job to start and its responder; a permit is taken with it, to be given back by
    /// [`Limits::finished`]. `None` when nothing may start now.
    pub fn start_next(&mut self) -> Option<(Arc<str>, J)> {
        if self.in_flight >= self.total {
            return None;
        }
        for class in [0, 1] {
            while let Some(name) = self.turns[class].pop_front() {
                let Some(state) = self.responders.get_mut(&name) else {
                    continue;
                };
                state.has_turn[class] = false;
                if state.in_flight >= state.window {
                    continue;
                }
                if let Some(job) = state.waiting[class].pop_front() {
                    state.in_flight += 1;
                    self.in_flight += 1;
                    self.waiting -= 1;
                    state.take_turns(&name, &mut self.turns);
                    return Some((name, job));
                }
            }
        }
        None
    }

    /// Gives a permit back and learns from the outcome. When this opens the circuit, the jobs that
    /// were waiting for the responder are returned. `random` is uniform in 0..1 and spreads pauses.
    pub fn finished(
        &mut self,
        responder: &str,
        health: Health,
        now: Duration,
        random: f64,
    ) -> Vec<Dismissed<J>> {
        let window_max = self.window_max();
        let Some((name, state)) = self.responders.get_key_value(responder) else {
            return Vec::new();
        };
        let (name, in_flight) = (name.clone(), state.in_flight.saturating_sub(1));
        self.in_flight = self.in_flight.saturating_sub(1);
        let Some(state) = self.responders.get_mut(&name) else {
            return Vec::new();
        };
        state.in_flight = in_flight;
        state.window = match health {
            Health::Answered(took) if took <= QUICK_ANSWER => (state.window + 1).min(window_max),
            Health::Unknown => state.window,
            // What it began with it keeps: one bad certificate is not to hold up the others.
            _ => state.window.min((state.window / 2).max(WINDOW_INITIAL)),
        };
        state.circuit = state.circuit.after(health, now, random);
        let Circuit::Open { until, .. } = state.circuit else {
            state.take_turns(&name, &mut self.turns);
            return Vec::new();
        };
        let retry_after = until.saturating_sub(now);
        let dismissed: Vec<_> = state
            .waiting
            .iter_mut()
            .flat_map(|jobs| jobs.drain(..))
            .map(|job| Dismissed { job, retry_after })
            .collect();
        self.waiting -= dismissed.len();
        dismissed
    }

    /// One responder's largest share: with two permits or more, half is always left to the others.
    fn window_max(&self) -> usize {
        (self.total / 2).max(1)
    }

    fn name_of(&mut self, responder: &str) -> Arc<str> {
        if let Some((name, _)) = self.responders.get_key_value(responder) {
            return name.clone();
        }
        if self.responders.len() >= RESPONDERS_MAX {
            self.responders.retain(|_, state| !state.is_forgettable());
        }
        Arc::from(responder)
    }
}

impl<J> Responder<J> {
    fn new(window: usize) -> Self {
        Responder {
            waiting: [VecDeque::new(), VecDeque::new()],
            has_turn: [false, false],
            in_flight: 0,
            window,
            circuit: Circuit::Closed { failures: 0 },
        }
    }

    fn is_forgettable(&self) -> bool {
        self.in_flight == 0
            && self.waiting.iter().all(VecDeque::is_empty)
            && self.circuit == Circuit::Closed { failures: 0 }
    }

    /// Queues the responder for each class of jobs it could start one of.
    fn take_turns(&mut self, name: &Arc<str>, turns: &mut [VecDeque<Arc<str>>; 2]) {
        if self.in_flight >= self.window {
            return;
        }
        for (class, turns) in turns.iter_mut().enumerate() {
            if !self.has_turn[class] && !self.waiting[class].is_empty() {
                self.has_turn[class] = true;
                turns.push_back(name.clone());
            }
        }
    }
}

impl Circuit {
    fn after(self, health: Health, now: Duration, random: f64) -> Circuit {
        let open = |pause: Duration, pauses: u32| Circuit::Open {
            // Between 100 % and 125 %: the agents of a fleet do not come back in step.
            until: now.saturating_add(pause.mul_f64(1.0 + random.clamp(0.0, 1.0) / 4.0)),
            pauses,
        };
        match (self, health) {
            // Stragglers from before it opened: known already.
            (Circuit::Open { .. }, _) => self,
            (_, Health::Answered(_)) => Circuit::Closed { failures: 0 },
            (Circuit::Closed { failures }, Health::Failed | Health::Busy(_))
                if failures + 1 < FAILURES_TO_OPEN =>
            {
                Circuit::Closed {
                    failures: failures + 1,
                }
            }
            (Circuit::Closed { .. }, Health::Failed) => open(PAUSE_FIRST, 1),
            (Circuit::Closed { .. }, Health::Busy(pause)) => open(pause, 1),
            (Circuit::Probing { pauses }, Health::Failed) => {
                let pause = PAUSE_FIRST.saturating_mul(1 << pauses.min(16));
                open(pause.min(PAUSE_MAX), pauses.saturating_add(1))
            }
            (Circuit::Probing { pauses }, Health::Busy(pause)) => open(pause, pauses),
            (Circuit::Closed { .. }, Health::Unknown) => self,
            // The probe never reached the responder: the next job may be the probe.
            (Circuit::Probing { pauses }, Health::Unknown) => Circuit::Open { until: now, pauses },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Health = Health::Answered(Duration::from_millis(20));
    const SLOW: Health = Health::Answered(Duration::from_secs(5));

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn admit(limits: &mut Limits<u32>, responder: &str, jobs: std::ops::Range<u32>) {
        for job in jobs {
            limits.admit(responder, job, false, at(0)).unwrap();
        }
    }

    /// Starts whatever may start, and says for whom.
    fn start(limits: &mut Limits<u32>) -> Vec<String> {
        std::iter::from_fn(|| limits.start_next().map(|(name, _)| name.to_string())).collect()
    }

    fn finish(limits: &mut Limits<u32>, responder: &str, health: Health) -> usize {
        limits.finished(responder, health, at(0), 0.0).len()
    }

    /// Limits of a responder whose circuit has just opened.
    fn opened(responder: &str) -> Limits<u32> {
        let mut limits = Limits::new(16);
        admit(&mut limits, responder, 0..FAILURES_TO_OPEN);
        start(&mut limits);
        for _ in 0..FAILURES_TO_OPEN {
            assert_eq!(finish(&mut limits, responder, Health::Failed), 0);
            start(&mut limits);
        }
        limits
    }

    #[test]
    fn never_more_than_the_total_is_in_flight() {
        let mut limits = Limits::new(6);
        for responder in ["a", "b", "c", "d"] {
            admit(&mut limits, responder, 0..10);
        }
        assert_eq!(start(&mut limits).len(), 6);
        finish(&mut limits, "a", QUICK);
        assert_eq!(start(&mut limits).len(), 1);
        assert_eq!(limits.waiting(), 33);
    }

    #[test]
    fn a_responder_earns_up_to_half_of_the_permits() {
        let mut limits = Limits::new(20);
        admit(&mut limits, "a", 0..100);
        assert_eq!(start(&mut limits).len(), WINDOW_INITIAL);
        let mut in_flight = WINDOW_INITIAL;
        for _ in 0..30 {
            finish(&mut limits, "a", QUICK);
            in_flight = in_flight - 1 + start(&mut limits).len();
        }
        assert_eq!(in_flight, 10);
    }

    #[test]
    fn a_responder_that_never_answers_leaves_the_permits_to_the_others() {
        let mut limits = Limits::new(16);
        admit(&mut limits, "dead", 0..100);
        admit(&mut limits, "alive", 0..900);
        let mut started = start(&mut limits);
        let mut done = 0;
        while let Some(place) = started.iter().position(|name| name == "alive") {
            started.swap_remove(place);
            finish(&mut limits, "alive", QUICK);
            done += 1;
            started.extend(start(&mut limits));
        }
        assert_eq!(done, 900);
        assert_eq!(started.len(), WINDOW_INITIAL, "all for the dead responder");
    }

    #[test]
    fn slow_answers_shrink_a_responders_share_to_what_it_began_with() {
        let mut limits = Limits::new(64);
        admit(&mut limits, "a", 0..500);
        let mut in_flight = start(&mut limits).len();
        for (health, share) in [(QUICK, 32), (SLOW, WINDOW_INITIAL), (QUICK, 32)] {
            for _ in 0..60 {
                finish(&mut limits, "a", health);
                in_flight = in_flight - 1 + start(&mut limits).len();
            }
            assert_eq!(in_flight, share, "{health:?}");
        }
    }

    #[test]
    fn urgent_jobs_go_first_and_responders_take_turns() {
        let mut limits = Limits::new(8);
        admit(&mut limits, "a", 0..3);
        admit(&mut limits, "b", 10..12);
        limits.admit("b", 99, true, at(0)).unwrap();
        let order: Vec<u32> =
            std::iter::from_fn(|| limits.start_next().map(|(_, job)| job)).collect();
        assert_eq!(order, [99, 0, 10, 1, 11, 2]);
    }

    #[test]
    fn failures_in_a_row_open_the_circuit_and_send_the_waiting_away() {
        let mut limits = Limits::new(16);
        admit(&mut limits, "dead", 0..30);
        start(&mut limits);
        for _ in 1..FAILURES_TO_OPEN {
            assert_eq!(finish(&mut limits, "dead", Health::Failed), 0);
            start(&mut limits);
        }
        let started = WINDOW_INITIAL + 9;
        assert_eq!(finish(&mut limits, "dead", Health::Failed), 30 - started);
        assert_eq!(limits.waiting(), 0);
        let dismissed = limits.admit("dead", 7, false, at(4)).unwrap_err();
        assert_eq!(dismissed.retry_after, at(6));
        assert_eq!(dismissed.job, 7);
    }

    #[test]
    fn an_open_circuit_is_probed_by_one_job_with_growing_pauses() {
        let mut limits = opened("dead");
        let mut now = at(0);
        for pause in [10, 20, 40, 80, 160, 320, 600, 600] {
            let early = limits.admit("dead", 0, false, now).unwrap_err();
            assert_eq!(early.retry_after, at(pause));
            now += at(pause);
            limits.admit("dead", 1, false, now).unwrap();
            assert!(
                limits.admit("dead", 2, false, now).is_err(),
                "one probe at a time"
            );
            assert_eq!(start(&mut limits).len(), 1);
            limits.finished("dead", Health::Failed, now, 0.0);
        }
        now += at(600);
        limits.admit("dead", 1, false, now).unwrap();
        start(&mut limits);
        limits.finished("dead", QUICK, now, 0.0);
        limits.admit("dead", 2, false, now).unwrap();
        limits.admit("dead", 3, false, now).unwrap();
    }

    #[test]
    fn an_answer_in_between_keeps_the_circuit_closed() {
        let mut limits = Limits::new(16);
        admit(&mut limits, "shaky", 0..100);
        start(&mut limits);
        for round in 0..100 {
            let health = if round % 10 == 9 {
                QUICK
            } else {
                Health::Failed
            };
            assert_eq!(finish(&mut limits, "shaky", health), 0);
            start(&mut limits);
        }
    }

    #[test]
    fn a_responder_that_keeps_asking_for_a_pause_gets_it_in_full() {
        let mut limits = Limits::new(16);
        admit(&mut limits, "busy", 0..30);
        start(&mut limits);
        let busy = Health::Busy(at(3600));
        for _ in 1..FAILURES_TO_OPEN {
            assert_eq!(finish(&mut limits, "busy", busy), 0);
            start(&mut limits);
        }
        let dismissed = limits.finished("busy", busy, at(0), 0.5);
        assert_eq!(dismissed[0].retry_after, at(4050));
        assert!(limits.admit("busy", 1, false, at(4049)).is_err());
        limits.admit("busy", 1, false, at(4050)).unwrap();
    }

    #[test]
    fn a_probe_that_never_reached_the_responder_decides_nothing() {
        let mut limits = opened("dead");
        limits.admit("dead", 1, false, at(10)).unwrap();
        start(&mut limits);
        limits.finished("dead", Health::Unknown, at(10), 0.0);
        limits.admit("dead", 2, false, at(10)).unwrap();
    }

    #[test]
    fn healthy_responders_are_forgotten_when_there_are_too_many() {
        let mut limits = Limits::new(4);
        for number in 0..2 * RESPONDERS_MAX {
            let name = format!("responder-{number}:80");
            limits.admit(&name, 0, false, at(0)).unwrap();
            limits.start_next().unwrap();
            limits.finished(&name, QUICK, at(0), 0.0);
        }
        assert!(limits.responders.len() <= RESPONDERS_MAX);
    }
}
