//! Deliveries during which connections were lost.
//!
//! Pure bookkeeping; the time is an argument. Such a delivery goes behind the others and waits
//! longer each time, so that one certificate cannot keep the others from their staples by ending
//! every connection. It outlives the connections.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::haproxy::reply::Fingerprint;

/// The first wait; it doubles with every loss.
const SHORTEST_WAIT: Duration = Duration::from_millis(500);

/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What waits, and how often a connection was lost over which certificate.
#[derive(Debug)]
pub(super) struct Postponed<Delivery> {
    losses: HashMap<Fingerprint, u32>,
    waiting: VecDeque<(Instant, Delivery)>,
}

impl<Delivery> Postponed<Delivery> {
    pub(super) fn new() -> Self {
        Postponed {
            losses: HashMap::new(),
            waiting: VecDeque::new(),
        }
    }

    /// A connection was lost during a delivery for this certificate.
    pub(super) fn lost(&mut self, certificate: Fingerprint) {
        let losses = self.losses.entry(certificate).or_default();
        *losses = losses.saturating_add(1);
    }

    /// A delivery for this certificate came to an answer.
    pub(super) fn answered(&mut self, certificate: Fingerprint) {
        self.losses.remove(&certificate);
    }

    /// Keeps a delivery that has to wait; gives back one that has not.
    pub(super) fn admit(
        &mut self,
        certificate: Fingerprint,
        delivery: Delivery,
        now: Instant,
    ) -> Option<Delivery> {
        let Some(losses) = self.losses.get(&certificate) else {
            return Some(delivery);
        };
        let doublings = losses.saturating_sub(1).min(16);
        let wait = SHORTEST_WAIT.saturating_mul(1 << doublings);
        self.waiting
            .push_back((now + wait.min(LONGEST_WAIT), delivery));
        None
    }

    /// One delivery that has waited long enough: each is carried out alone.
    pub(super) fn due(&mut self, now: Instant) -> Option<Delivery> {
        let mut waiting = self.waiting.iter();
        let position = waiting.position(|(until, _)| *until <= now)?;
        self.waiting.remove(position).map(|(_, delivery)| delivery)
    }

    /// All that wait: their connection is gone.
    pub(super) fn take_all(&mut self) -> Vec<Delivery> {
        let waiting = self.waiting.drain(..);
        waiting.map(|(_, delivery)| delivery).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_costs_connections_waits_longer_each_time_and_nobody_else_does() {
        let now = Instant::now();
        let (culprit, honest) = ([1; 20], [2; 20]);
        let mut postponed = Postponed::new();
        let mut waits = Vec::new();
        for _ in 0..10 {
            postponed.lost(culprit);
            assert_eq!(postponed.admit(honest, "honest", now), Some("honest"));
            assert_eq!(postponed.admit(culprit, "culprit", now), None);
            let wait = (0..).map(|half| SHORTEST_WAIT * half);
            let wait = wait
                .take(200)
                .find(|wait| postponed.due(now + *wait).is_some());
            waits.push(wait.unwrap().as_millis());
        }
        let expected = [
            500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000,
        ];
        assert_eq!(waits, expected);
        postponed.answered(culprit);
        assert_eq!(postponed.admit(culprit, "culprit", now), Some("culprit"));
    }

    #[test]
    fn those_that_wait_are_carried_out_one_at_a_time_and_none_is_forgotten() {
        let now = Instant::now();
        let mut postponed = Postponed::new();
        for number in 0..3 {
            postponed.lost([number; 20]);
            assert_eq!(postponed.admit([number; 20], number, now), None);
        }
        assert_eq!(postponed.due(now), None);
        assert_eq!(postponed.due(now + SHORTEST_WAIT), Some(0));
        assert_eq!(postponed.take_all(), [1, 2]);
        assert_eq!(postponed.due(now + LONGEST_WAIT), None);
    }
}
