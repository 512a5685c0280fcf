//! What must hold at every step, and the figures of a run.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use staplerd::agent::{SHORTEST_LIFE, TargetId};
use staplerd::ocsp::verify::{CLOCK_SKEW, MAX_STAPLE_BYTES};
use staplerd::ocsp::{CertificateStatus, Staple};
use staplerd::schedule::{self, Life};
use staplerd::time::Timestamp;

use super::authority::Case;
use super::responder::Mode;
use super::world::{Happening, Open, World};
use crate::pki::{DAY, HOUR};

/// HAProxy stops stapling so long before the end.
const STAPLED_UNTIL: Duration = Duration::from_secs(300);
/// After an hour without any trouble, everything is live this much later at the latest.
const CONVERGED_WITHIN: Duration = Duration::from_secs(3600 + 300);
/// A certificate whose staple has less life left is said to be expiring.
pub const EXPIRING_WITHIN: Duration = DAY;
/// Nothing may be wrong with a HAProxy process for this long before it is expected to hold what it
/// should: a delivery is tried again after a minute at the latest.
const QUIET: Duration = Duration::from_secs(300);
/// Requests to a responder that is silent for a whole hour, however many certificates wait for it: it
/// is only probed. Room for a restart of the program, which has to find out anew.
const REQUESTS_TO_SILENT: u64 = 100;
/// Requests for one certificate in an hour, whatever happens.
const REQUESTS_FOR_ONE: u32 = 64;

#[derive(Default)]
pub struct Figures {
    pub events: u64,
    pub requests: u64,
    pub renewals: u64,
    pub failures: u64,
    pub postponed: u64,
    pub lies: u64,
    pub writes: u64,
    pub deliveries: u64,
    pub staples_expired: u64,
    pub told_expiring: u64,
    pub faults: BTreeMap<&'static str, u64>,
    /// Staples that ended without a successor because the responder was never there for an hour.
    pub excused: u64,
    /// Hours in which a file's certificate should have a staple in a process, and has one.
    pub hours_due: u64,
    pub hours_live: u64,
    pub most_in_an_hour: u32,
    pub most_to_silent: u64,
    pub most_open: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: u64 = self.faults.values().sum();
        writeln!(
            formatter,
            "  {} requests, {} renewals, {} failures, {} postponed, {} lies told; {} written, {} delivered; {} events",
            self.requests,
            self.renewals,
            self.failures,
            self.postponed,
            self.lies,
            self.writes,
            self.deliveries,
            self.events
        )?;
        writeln!(formatter, "  {faults} faults: {:?}", self.faults)?;
        writeln!(
            formatter,
            "  told {} times that a certificate is expiring; {} staples ended after that",
            self.told_expiring, self.staples_expired
        )?;
        write!(
            formatter,
            "  live staple {:.4} % of the time; {} ended without a successor while their responder was never there for an hour; \
             most requests in an hour: {} for one certificate, {} to a silent responder; most orders open: {}",
            100.0 * self.hours_live as f64 / self.hours_due.max(1) as f64,
            self.excused,
            self.most_in_an_hour,
            self.most_to_silent,
            self.most_open
        )
    }
}

impl World {
    /// At most one order of a kind for each certificate, file and process.
    pub fn opened(&mut self, order: Open) {
        assert!(
            !self.open.contains(&order),
            "a second {order:?} while the first is under way"
        );
        self.open.insert(order);
        self.figures.most_open = self.figures.most_open.max(self.open.len());
    }

    /// What is ordered to be written or delivered is fit for it, and nothing older than before.
    pub fn check_order(&mut self, staple: &Staple) {
        let wall = self.wall();
        let case = self.case_of(staple);
        assert!(staple.expires().since(wall) >= SHORTEST_LIFE, "short-lived");
        assert!(staple.der().len() <= MAX_STAPLE_BYTES, "oversized");
        assert_eq!(staple.status(), CertificateStatus::Good);
        assert!(
            !self.told_revoked.contains(&case),
            "good, of a certificate known to be revoked"
        );
        let offered = (staple.this_update(), staple.expires());
        let newest = self.newest.insert(case, offered).unwrap_or(offered);
        assert!(
            newest.0 <= offered.0 || newest.1 <= wall || newest.0 > wall.saturating_add(CLOCK_SKEW),
            "at {:?}, clock wrong by {} s: {offered:?} of certificate {case} is older than {newest:?}",
            self.time,
            self.clock_error
        );
    }

    /// A response that the agent may take was handed to it.
    pub fn promise_successor(&mut self, case: usize, staple: &Staple) {
        let revocation = self.authority.cases[case].revocation;
        if revocation.is_none_or(|(_, until)| until <= staple.this_update()) {
            self.told_revoked.remove(&case);
        }
        if staple.this_update() > self.true_wall() {
            self.misled_at.insert(case, self.time);
        }
        self.lapsing_number += 1;
        let number = self.lapsing_number;
        self.lapsing
            .insert(number, (case, staple.this_update(), staple.expires()));
        let lapses = staple.expires().saturating_sub(STAPLED_UNTIL);
        let wait = lapses.since(self.true_wall());
        self.plan(wait, Happening::Lapses(number));
    }

    /// Whether a staple is to be expected for the certificate at all.
    fn is_due(&self, case: &Case) -> bool {
        !case.is_ever_revoked()
            && case.subject.certificate.not_after() > self.true_wall().saturating_add(HOUR)
    }

    /// A staple that was accepted has come to its end. Where its responder was reachable for an hour
    /// within the last half of its life, its successor is live.
    pub fn lapses(&mut self, number: u64) {
        let Some((case, this_update, expires)) = self.lapsing.remove(&number) else {
            return;
        };
        if !self.is_due(&self.authority.cases[case]) || self.clock_error != 0 {
            return;
        }
        // What a restart or a wrong clock has left behind is mended within an hour.
        if self.machine_troubled_at + CONVERGED_WITHIN > self.time {
            return;
        }
        let subject = &self.authority.cases[case].subject;
        let start = this_update.max(subject.certificate.not_before());
        let half = start.saturating_add(expires.since(start) / 2);
        let half = self.time_of(half);
        let until = self.time_of(expires.saturating_sub(STAPLED_UNTIL));
        let responder = &self.responders[self.authority.cases[case].responder];
        let wall = self.wall();
        for number in self.files_with(case) {
            let file = &self.files[number];
            if file.case != case || file.hidden.is_some() || file.changed_at + QUIET > self.time {
                continue;
            }
            for TargetId(target) in file.targets.iter() {
                let process = &self.processes[*target];
                let is_expected = process.up
                    && process.has_loaded(number, case)
                    && process.troubled_at + QUIET <= self.time;
                if !is_expected || process.staples(number, case, wall) {
                    continue;
                }
                let misled_at = self.misled_at.get(&case).copied().unwrap_or_default();
                let from = half.max(file.changed_at).max(misled_at);
                let was_reachable = responder.was_reachable_between(from, until);
                assert!(
                    !was_reachable,
                    "seed {}: at {:?} the staple of {} ended without a live successor in process {target}, \
                     although its responder was reachable for an hour between {from:?} and {until:?}; \
                     the certificate is {}, {responder:?}",
                    self.scale.seed,
                    self.time,
                    file.path.display(),
                    self.states()[&file.path]
                );
                self.figures.excused += 1;
            }
        }
    }

    /// There is a new staple; where it lasts, the next alarm is another one.
    pub fn renewed(&mut self, path: &Path, this_update: Timestamp, until: Timestamp) {
        self.figures.renewals += 1;
        let case = &self.authority.cases[self.files[self.file_of[path]].case];
        let life = Life {
            start: this_update.max(case.subject.certificate.not_before()),
            end: until,
        };
        if schedule::alarm(life, EXPIRING_WITHIN) > self.wall() {
            self.told_expiring.remove(path);
        }
    }

    /// The alarm comes only where a person has something to look at: not when the responder was there
    /// for an hour and nothing else was wrong.
    pub fn expires_soon(&mut self, path: &Path) {
        self.figures.told_expiring += 1;
        self.told_expiring.insert(path.to_owned());
        let file = &self.files[self.file_of[path]];
        let facts = &self.authority.cases[file.case];
        let reachable_for = self.responders[facts.responder].reachable_for(self.time);
        let misled_at = self.misled_at.get(&file.case).copied().unwrap_or_default();
        let troubled_at = file.changed_at.max(self.machine_troubled_at).max(misled_at);
        let is_well = self.is_due(facts)
            && reachable_for >= CONVERGED_WITHIN
            && self.clock_error == 0
            && troubled_at + CONVERGED_WITHIN <= self.time;
        assert!(
            !is_well,
            "seed {}: at {:?} {} was said to be expiring although its responder was there",
            self.scale.seed,
            self.time,
            path.display()
        );
    }

    /// No staple ends unannounced, unless no longer one could be had.
    pub fn staple_expired(&mut self, path: &Path) {
        self.figures.staples_expired += 1;
        let file = &self.files[self.file_of[path]];
        let not_after = self.authority.cases[file.case]
            .subject
            .certificate
            .not_after();
        let ends_too = not_after.since(self.wall()) <= SHORTEST_LIFE;
        assert!(
            ends_too || self.told_expiring.contains(path),
            "seed {}: at {:?} the staple of {} ended unannounced",
            self.scale.seed,
            self.time,
            path.display()
        );
    }

    /// The files that a certificate was ever put into.
    fn files_with(&self, case: usize) -> Vec<usize> {
        self.files_of.get(&case).cloned().unwrap_or_default()
    }

    fn time_of(&self, wall: Timestamp) -> Duration {
        self.time.saturating_sub(self.true_wall().since(wall))
    }

    /// Once an hour: whatever had an hour without trouble is live, and requests are bounded.
    pub fn check_hour(&mut self) {
        assert!(self.has_next_step(), "nothing would ever happen again");
        let wall = self.wall();
        let calm_since = self.time.saturating_sub(CONVERGED_WITHIN);
        for (number, file) in self.files.iter().enumerate() {
            let case = file.case;
            let facts = &self.authority.cases[case];
            if file.hidden.is_some() || !self.is_due(facts) {
                continue;
            }
            let reachable_for = self.responders[facts.responder].reachable_for(self.time);
            for TargetId(target) in file.targets.iter() {
                let process = &self.processes[*target];
                if !process.up || !process.has_loaded(number, case) {
                    continue;
                }
                let is_live = process.staples(number, case, wall);
                self.figures.hours_due += 1;
                self.figures.hours_live += u64::from(is_live);
                let had_an_hour = reachable_for >= CONVERGED_WITHIN
                    && self.clock_error == 0
                    && [
                        file.changed_at,
                        process.troubled_at,
                        self.machine_troubled_at,
                    ]
                    .iter()
                    .all(|at| *at < calm_since);
                assert!(
                    is_live || !had_an_hour,
                    "seed {}: at {:?} {} has no live staple in process {target} after an hour without trouble; \
                     the certificate is {}, {:?}",
                    self.scale.seed,
                    self.time,
                    file.path.display(),
                    self.states()[&file.path],
                    self.responders[facts.responder]
                );
            }
        }
        self.check_requests();
    }

    fn check_requests(&mut self) {
        let most = self.asked.values().copied().max().unwrap_or_default();
        self.figures.most_in_an_hour = self.figures.most_in_an_hour.max(most);
        assert!(
            most <= REQUESTS_FOR_ONE,
            "seed {}: {most} requests for one certificate within an hour",
            self.scale.seed
        );
        self.asked.clear();
        for responder in &mut self.responders {
            let hour = responder.hour;
            if hour.was_silent {
                self.figures.most_to_silent = self.figures.most_to_silent.max(hour.requests);
                assert!(
                    hour.requests <= REQUESTS_TO_SILENT,
                    "seed {}: {} requests to a silent responder within an hour",
                    self.scale.seed,
                    hour.requests
                );
            }
            responder.hour.requests = 0;
            responder.hour.was_silent = responder.mode == Mode::Silent;
        }
    }

    /// After the last fault: every certificate has come to rest.
    pub fn check_end(&self) {
        let states = self.states();
        for file in &self.files {
            let facts = &self.authority.cases[file.case];
            let reachable_for = self.responders[facts.responder].reachable_for(self.time);
            if file.hidden.is_some() || !self.is_due(facts) || reachable_for < CONVERGED_WITHIN {
                continue;
            }
            if file.changed_at + CONVERGED_WITHIN > self.time {
                continue;
            }
            let state = states.get(&file.path).copied().unwrap_or_default();
            assert!(
                matches!(state, "fresh" | "renewing"),
                "seed {}: {} ended as {state:?}",
                self.scale.seed,
                file.path.display()
            );
        }
    }
}
