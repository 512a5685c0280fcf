//! When each responder is asked: admission, fairness between responders, circuit breaker.
//!
//! Pure: time (a monotonic duration) and randomness are arguments, so a month of outages is a test.
//! A responder is a scheme, a host and a port. It may hold at most half of all permits, and only as
//! many as it has earned: its window starts small, grows with every quick answer and shrinks with
//! every slow or failed one. So a responder that never answers holds few permits, and none of the
//! others'.
//!
//! After [`FAILURES_TO_OPEN`] failures in a row, each of another certificate, its circuit opens:
//! waiting jobs are sent away, and after a pause one request at a time probes it. One certificate
//! alone opens no circuit (its author could silence a host for all others); its own backoff spares
//! the responder. The probe is the request for the certificate whose staple ends first of those
//! that this responder ever answered for, so that a certificate that never had an answer there
//! cannot keep the circuit open; and the pause is over before a staple behind it is.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Exchanges in flight with a responder not yet known to answer, or known to be slow or to fail.
pub const WINDOW_INITIAL: usize = 8;
/// An answer that took longer than this costs its responder permits instead of earning it some.
pub const QUICK_ANSWER: Duration = Duration::from_secs(1);
/// Certificates whose requests failed, without any answer in between, that open a responder's
/// circuit; more than a few bad ones.
pub const FAILURES_TO_OPEN: usize = 10;
/// First pause of an open circuit; doubled with each failed probe.
pub const PAUSE_FIRST: Duration = Duration::from_secs(10);
/// Longest pause of an open circuit, before jitter.
pub const PAUSE_MAX: Duration = Duration::from_secs(600);
/// Longest pause that a responder can ask for, before jitter: with it, and with the pause of a job
/// that comes back after it, an hour.
pub const PAUSE_ASKED_MAX: Duration = Duration::from_secs(38 * 60);
/// A staple that is about to end does not shorten a pause below this.
const PAUSE_NEEDED_MIN: Duration = Duration::from_secs(60);
/// A job that is sent away comes back within a quarter of the pause, plus this.
const COMEBACK: Duration = Duration::from_secs(8);
/// Certificates of a responder of which it is remembered that it answered for them.
const ANSWERED_MAX: usize = 16_384;
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

/// The certificate that a job is for, and its priority.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Need {
    /// Tells certificates apart.
    pub certificate: u64,
    /// It goes before others.
    pub is_urgent: bool,
    /// How long the staple that is held lasts; none where none is held.
    pub lasts: Option<Duration>,
    /// The operator wants it: if the circuit is open, it is the probe.
    pub is_wanted_now: bool,
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
    responders: HashMap<Arc<str>, ResponderRecord<J>>,
    /// Responders that have a job waiting and a permit to spare, in turn; urgent jobs first.
    turns: [VecDeque<Arc<str>>; 2],
}

#[derive(Debug)]
struct ResponderRecord<J> {
    waiting: [VecDeque<(Applicant, J)>; 2],
    has_turn: [bool; 2],
    in_flight: usize,
    window: usize,
    circuit: Circuit,
    /// The certificates that it ever answered for.
    answered: HashSet<u64>,
}

/// A certificate that a responder is to be asked about, and when its staple ends; never for one
/// that has none. The order is that of the ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Applicant {
    ends: Duration,
    certificate: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Circuit {
    /// Requests flow; those for these certificates were the last ones, and failed.
    Closed { failed: Vec<u64> },
    /// No request for a while.
    Open(Pause),
    /// One request, for this certificate, is on its way to see whether the responder is back.
    Probing { certificate: u64, pauses: u32 },
}

/// A time without requests.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Pause {
    until: Duration,
    /// How long a job that is sent away may take to come back, after the end.
    comeback: Duration,
    /// So many pauses came before this one.
    pauses: u32,
    /// The last probe was for this certificate, and failed.
    failed: Option<u64>,
    /// Of those who were sent away, the one whose staple ends first.
    first: Option<Applicant>,
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

    /// How long a responder is still left alone; nothing where requests flow, zero where it is
    /// being probed.
    pub fn pause(&self, responder: &str, now: Duration) -> Option<Duration> {
        match &self.responders.get(responder)?.circuit {
            Circuit::Closed { .. } => None,
            Circuit::Open(pause) => Some(pause.until.saturating_sub(now)),
            Circuit::Probing { .. } => Some(Duration::ZERO),
        }
    }

    /// Lets a job in to wait for its turn.
    ///
    /// # Errors
    /// [`Dismissed`] when the responder's circuit is open or being probed.
    pub fn admit(
        &mut self,
        responder: &str,
        job: J,
        need: Need,
        now: Duration,
    ) -> Result<(), Dismissed<J>> {
        let window = WINDOW_INITIAL.min(self.window_max());
        let name = self.name_of(responder);
        let state = self
            .responders
            .entry(name.clone())
            .or_insert_with(|| ResponderRecord::new(window));
        let applicant = Applicant {
            ends: need.lasts.map_or(Duration::MAX, |lasts| now + lasts),
            certificate: need.certificate,
        };
        match &mut state.circuit {
            Circuit::Closed { .. } => {}
            Circuit::Open(pause) => {
                pause.hear(applicant, &state.answered, now);
                let wait = pause.wait(applicant, now);
                if let (Some(retry_after), false) = (wait, need.is_wanted_now) {
                    return Err(Dismissed { job, retry_after });
                }
                state.circuit = Circuit::Probing {
                    certificate: need.certificate,
                    pauses: pause.pauses,
                };
            }
            Circuit::Probing { .. } => {
                let retry_after = PAUSE_FIRST;
                return Err(Dismissed { job, retry_after });
            }
        }
        state.waiting[usize::from(!need.is_urgent)].push_back((applicant, job));
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
                if let Some((_, job)) = state.waiting[class].pop_front() {
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

    /// Gives a permit back and learns from the outcome of a request for this certificate. When this
    /// opens the circuit, the jobs that were waiting for the responder are returned. `random` is
    /// uniform in 0..1 and spreads pauses.
    pub fn finished(
        &mut self,
        responder: &str,
        certificate: u64,
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
        if matches!(health, Health::Answered(_)) {
            if state.answered.len() >= ANSWERED_MAX {
                state.answered.clear();
            }
            state.answered.insert(certificate);
        }
        state.circuit.learn(certificate, health, now, random);
        let Circuit::Open(pause) = &mut state.circuit else {
            state.take_turns(&name, &mut self.turns);
            return Vec::new();
        };
        let waiting = state.waiting.iter_mut().flat_map(|jobs| jobs.drain(..));
        let jobs: Vec<J> = waiting
            .map(|(applicant, job)| {
                pause.hear(applicant, &state.answered, now);
                job
            })
            .collect();
        self.waiting -= jobs.len();
        let retry_after = pause.until.saturating_sub(now);
        jobs.into_iter()
            .map(|job| Dismissed { job, retry_after })
            .collect()
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

impl<J> ResponderRecord<J> {
    fn new(window: usize) -> Self {
        ResponderRecord {
            waiting: [VecDeque::new(), VecDeque::new()],
            has_turn: [false, false],
            in_flight: 0,
            window,
            circuit: Circuit::Closed { failed: Vec::new() },
            answered: HashSet::new(),
        }
    }

    fn is_forgettable(&self) -> bool {
        self.in_flight == 0
            && self.waiting.iter().all(VecDeque::is_empty)
            && matches!(&self.circuit, Circuit::Closed { failed } if failed.is_empty())
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
    /// A request for this certificate has come to its end.
    fn learn(&mut self, certificate: u64, health: Health, now: Duration, random: f64) {
        let pauses = match self {
            // Stragglers from before it opened: known already.
            Circuit::Open(_) => return,
            Circuit::Probing {
                certificate: probe, ..
            } if *probe != certificate && !matches!(health, Health::Answered(_)) => {
                return;
            }
            Circuit::Probing { pauses, .. } => *pauses,
            Circuit::Closed { .. } => 0,
        };
        let is_probe = pauses > 0;
        let pause = match health {
            Health::Answered(_) => {
                *self = Circuit::Closed { failed: Vec::new() };
                return;
            }
            Health::Unknown => match self {
                // The probe never reached the responder: the next job may be the probe.
                Circuit::Probing { .. } => Duration::ZERO,
                _ => return,
            },
            Health::Failed => PAUSE_FIRST
                .saturating_mul(1 << pauses.min(16))
                .min(PAUSE_MAX),
            Health::Busy(pause) => pause.min(PAUSE_ASKED_MAX),
        };
        if let Circuit::Closed { failed } = self {
            if !failed.contains(&certificate) {
                failed.push(certificate);
            }
            if failed.len() < FAILURES_TO_OPEN {
                return;
            }
        }
        // Between 100 % and 125 %: the agents of a fleet do not come back in step.
        let spread = pause.mul_f64(random.clamp(0.0, 1.0) / 4.0);
        let counts = u32::from(health == Health::Failed || !is_probe);
        *self = Circuit::Open(Pause {
            until: now.saturating_add(pause).saturating_add(spread),
            comeback: pause / 4 + COMEBACK,
            pauses: pauses.saturating_add(counts),
            failed: (is_probe && health != Health::Unknown).then_some(certificate),
            first: None,
        });
    }
}

impl Pause {
    /// Notes a job that is sent away: the pause does not outlast a staple that needs a successor.
    /// It is the one to probe if its staple ends first of those that were answered for before.
    fn hear(&mut self, applicant: Applicant, answered: &HashSet<u64>, now: Duration) {
        if applicant.ends == Duration::MAX {
            return;
        }
        let needs = applicant.ends.saturating_sub(now) / 2;
        self.until = self.until.min(now + needs.max(PAUSE_NEEDED_MIN));
        let is_first = self.first.is_none_or(|first| applicant.ends < first.ends);
        let is_known = answered.contains(&applicant.certificate);
        if is_first && is_known && self.failed != Some(applicant.certificate) {
            self.first = Some(applicant);
        }
    }

    /// How long this one has to wait; not at all when it is to be the probe.
    fn wait(&self, applicant: Applicant, now: Duration) -> Option<Duration> {
        if now < self.until {
            return Some(self.until - now);
        }
        let is_expected = |first: Applicant| first.certificate == applicant.certificate;
        let may_probe =
            self.first.is_none_or(is_expected) && self.failed != Some(applicant.certificate);
        // The expected job may not come any more.
        let at_last = self.until + self.comeback;
        (!may_probe && now < at_last).then(|| (at_last - now).min(PAUSE_FIRST))
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

    /// A certificate without a staple.
    fn need(certificate: u32) -> Need {
        Need {
            certificate: u64::from(certificate),
            ..Need::default()
        }
    }

    /// A certificate with a staple that lasts so many seconds.
    fn holder(certificate: u32, seconds: u64) -> Need {
        Need {
            lasts: Some(at(seconds)),
            ..need(certificate)
        }
    }

    fn admit(limits: &mut Limits<u32>, responder: &str, jobs: std::ops::Range<u32>) {
        for job in jobs {
            limits.admit(responder, job, need(job), at(0)).unwrap();
        }
    }

    /// Starts every job that may start, and returns them.
    fn start(limits: &mut Limits<u32>) -> Vec<String> {
        std::iter::from_fn(|| limits.start_next().map(|(name, _)| name.to_string())).collect()
    }

    fn finish(limits: &mut Limits<u32>, responder: &str, health: Health) -> usize {
        finish_one(limits, responder, 0, health)
    }

    fn finish_one(
        limits: &mut Limits<u32>,
        responder: &str,
        certificate: u64,
        health: Health,
    ) -> usize {
        limits
            .finished(responder, certificate, health, at(0), 0.0)
            .len()
    }

    /// Limits of a responder whose circuit has just opened.
    fn opened(responder: &str) -> Limits<u32> {
        opened_after(responder, 0..0)
    }

    /// The same, after it had answered for these certificates.
    fn opened_after(responder: &str, answered: std::ops::Range<u64>) -> Limits<u32> {
        let mut limits = Limits::new(16);
        for certificate in answered {
            admit(&mut limits, responder, 0..1);
            start(&mut limits);
            finish_one(&mut limits, responder, certificate, QUICK);
        }
        admit(&mut limits, responder, 0..FAILURES_TO_OPEN as u32);
        start(&mut limits);
        for certificate in 0..FAILURES_TO_OPEN as u64 {
            let dismissed = finish_one(&mut limits, responder, certificate, Health::Failed);
            assert_eq!(dismissed, 0);
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
        let urgent = Need {
            is_urgent: true,
            ..need(99)
        };
        limits.admit("b", 99, urgent, at(0)).unwrap();
        let order: Vec<u32> =
            std::iter::from_fn(|| limits.start_next().map(|(_, job)| job)).collect();
        assert_eq!(order, [99, 0, 10, 1, 11, 2]);
    }

    #[test]
    fn failures_in_a_row_open_the_circuit_and_send_the_waiting_away() {
        let mut limits = Limits::new(16);
        admit(&mut limits, "dead", 0..30);
        start(&mut limits);
        for certificate in 1..FAILURES_TO_OPEN as u64 {
            assert_eq!(
                finish_one(&mut limits, "dead", certificate, Health::Failed),
                0
            );
            start(&mut limits);
        }
        let started = WINDOW_INITIAL + 9;
        assert_eq!(
            finish_one(&mut limits, "dead", 10, Health::Failed),
            30 - started
        );
        assert_eq!(limits.waiting(), 0);
        let dismissed = limits.admit("dead", 7, need(7), at(4)).unwrap_err();
        assert_eq!(dismissed.retry_after, at(6));
        assert_eq!(dismissed.job, 7);
        assert_eq!(limits.pause("dead", at(4)), Some(at(6)));
        assert_eq!(limits.pause("alive", at(4)), None);
    }

    #[test]
    fn few_certificates_open_no_circuit_however_often_they_fail() {
        let mut limits = Limits::new(16);
        for round in 0..100 {
            for certificate in 1..FAILURES_TO_OPEN as u32 {
                limits
                    .admit("host", certificate, need(certificate), at(round))
                    .unwrap();
                start(&mut limits);
                finish_one(&mut limits, "host", u64::from(certificate), Health::Failed);
            }
        }
        assert_eq!(limits.pause("host", at(0)), None);
    }

    #[test]
    fn an_open_circuit_is_probed_by_one_job_with_growing_pauses() {
        let mut limits = opened("dead");
        let mut now = at(0);
        for (round, pause) in [10, 20, 40, 80, 160, 320, 600, 600].into_iter().enumerate() {
            let probe = 100 + round as u32;
            let early = limits.admit("dead", 0, need(probe), now).unwrap_err();
            assert_eq!(early.retry_after, at(pause));
            now += at(pause);
            limits.admit("dead", 1, need(probe), now).unwrap();
            assert!(
                limits.admit("dead", 2, need(2), now).is_err(),
                "one probe at a time"
            );
            assert_eq!(start(&mut limits).len(), 1);
            // An earlier request of another job is not the probe.
            limits.finished("dead", 5, Health::Failed, now, 0.0);
            assert_eq!(limits.pause("dead", now), Some(at(0)));
            limits.finished("dead", u64::from(probe), Health::Failed, now, 0.0);
        }
        now += at(600);
        limits.admit("dead", 1, need(1), now).unwrap();
        start(&mut limits);
        limits.finished("dead", 1, QUICK, now, 0.0);
        limits.admit("dead", 2, need(2), now).unwrap();
        limits.admit("dead", 3, need(3), now).unwrap();
    }

    #[test]
    fn the_probe_is_for_the_certificate_whose_staple_ends_first() {
        let mut limits = opened_after("dead", 50..53);
        for (certificate, lasts) in [(50, 5000), (51, 3000), (52, 90_000)] {
            let need = holder(certificate, lasts);
            assert!(limits.admit("dead", 0, need, at(1)).is_err());
        }
        // A certificate without a staple, and one with a staple that lasts, wait for the expected
        // one.
        for other in [need(60), holder(52, 90_000)] {
            assert!(limits.admit("dead", 0, other, at(10)).is_err());
        }
        limits.admit("dead", 0, holder(51, 2990), at(11)).unwrap();
        start(&mut limits);
        limits.finished("dead", 51, Health::Failed, at(11), 0.0);
        // Next time it is another one's turn first.
        assert!(limits.admit("dead", 0, holder(51, 2980), at(31)).is_err());
        limits.admit("dead", 0, holder(50, 4970), at(31)).unwrap();
    }

    #[test]
    fn who_was_expected_and_does_not_come_is_not_waited_for_for_ever() {
        let mut limits = opened_after("dead", 50..51);
        assert!(limits.admit("dead", 0, holder(50, 5000), at(1)).is_err());
        let mut now = at(10);
        while let Err(dismissed) = limits.admit("dead", 0, need(60), now) {
            assert!(dismissed.retry_after <= PAUSE_FIRST);
            now += dismissed.retry_after;
        }
        assert!(now <= at(10) + PAUSE_FIRST / 4 + COMEBACK, "{now:?}");
    }

    #[test]
    fn certificates_that_always_fail_do_not_keep_the_circuit_open_for_others() {
        let mut limits = opened_after("host", 8..9);
        let (mut now, mut probes) = (at(0), 0);
        loop {
            // The bad ones are always there first; they may even have staples that end soon.
            let mut bad = [6, 7].into_iter();
            let probe = bad.find(|it| limits.admit("host", 0, holder(*it, 700), now).is_ok());
            if let Some(probe) = probe {
                probes += 1;
                start(&mut limits);
                limits.finished("host", u64::from(probe), Health::Failed, now, 0.0);
            } else if limits.admit("host", 1, holder(8, 90_000), now).is_ok() {
                break;
            }
            now += at(1);
        }
        assert!(probes <= 1 && now <= at(60), "{probes} probes, {now:?}");
    }

    #[test]
    fn a_pause_is_over_before_a_staple_behind_it_ends() {
        for (lasts, pause) in [(100_000, 2280), (1000, 500), (1, 60)] {
            let mut limits = Limits::new(16);
            admit(&mut limits, "busy", 0..10);
            for certificate in 0..10 {
                start(&mut limits);
                finish_one(&mut limits, "busy", certificate, Health::Busy(at(3000)));
            }
            let dismissed = limits.admit("busy", 0, holder(50, lasts), at(0));
            assert_eq!(dismissed.unwrap_err().retry_after, at(pause), "{lasts}");
        }
    }

    #[test]
    fn what_the_operator_wants_now_goes_through_once() {
        let mut limits = opened("dead");
        let wanted = Need {
            is_wanted_now: true,
            ..need(70)
        };
        limits.admit("dead", 0, wanted, at(1)).unwrap();
        assert!(limits.admit("dead", 1, wanted, at(1)).is_err());
        start(&mut limits);
        limits.finished("dead", 70, QUICK, at(2), 0.0);
        limits.admit("dead", 1, need(1), at(2)).unwrap();
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
            assert_eq!(finish_one(&mut limits, "shaky", round, health), 0);
            start(&mut limits);
        }
    }

    #[test]
    fn a_responder_that_keeps_asking_for_a_pause_gets_an_hour_at_most() {
        for (asked, least, most) in [(1800, 2025, 2025), (86_400, 2565, 2565)] {
            let mut limits = Limits::new(16);
            admit(&mut limits, "busy", 0..30);
            start(&mut limits);
            let busy = Health::Busy(at(asked));
            for certificate in 1..FAILURES_TO_OPEN as u64 {
                assert_eq!(finish_one(&mut limits, "busy", certificate, busy), 0);
                start(&mut limits);
            }
            let dismissed = limits.finished("busy", 10, busy, at(0), 0.5);
            let pause = dismissed[0].retry_after;
            assert!((at(least)..=at(most)).contains(&pause), "{pause:?}");
            assert!(limits.admit("busy", 1, need(1), pause - at(1)).is_err());
            limits.admit("busy", 1, need(1), pause).unwrap();
        }
        assert!(PAUSE_ASKED_MAX * 25 / 16 <= at(3600));
    }

    #[test]
    fn a_probe_that_never_reached_the_responder_decides_nothing() {
        let mut limits = opened("dead");
        limits.admit("dead", 1, need(1), at(10)).unwrap();
        start(&mut limits);
        limits.finished("dead", 1, Health::Unknown, at(10), 0.0);
        limits.admit("dead", 2, need(2), at(10)).unwrap();
    }

    #[test]
    fn healthy_responders_are_forgotten_when_there_are_too_many() {
        let mut limits = Limits::new(4);
        for number in 0..2 * RESPONDERS_MAX {
            let name = format!("responder-{number}:80");
            limits.admit(&name, 0, need(0), at(0)).unwrap();
            limits.start_next().unwrap();
            limits.finished(&name, 0, QUICK, at(0), 0.0);
        }
        assert!(limits.responders.len() <= RESPONDERS_MAX);
    }
}
