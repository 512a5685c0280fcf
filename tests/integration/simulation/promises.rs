//! What must hold at every step, and the figures of a run.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use staplerd::agent::TargetId;
use staplerd::fetch::RETRY_AFTER_MAX;
use staplerd::ocsp::verify::SHORTEST_LIFE;
use staplerd::ocsp::verify::{CLOCK_SKEW, MAX_STAPLE_BYTES};
use staplerd::ocsp::{CertificateStatus, Staple};
use staplerd::schedule::{self, Life};
use staplerd::time::Timestamp;

use super::authority::Case;
use super::responder::Hour;
use super::swarm::Promise;
use super::world::{Happening, Open, Weather, World};
use crate::pki::{DAY, HOUR};

/// HAProxy stops stapling so long before the end.
const STAPLED_UNTIL: Duration = Duration::from_secs(300);
/// After an hour without any trouble, everything is live this much later at the latest.
const CONVERGED_WITHIN: Duration = Duration::from_secs(3600 + 300);
/// A certificate whose staple has less life left is said to be expiring.
pub const EXPIRING_WITHIN: Duration = DAY;
/// The longest pause that a responder asks for here, and the agent gives it.
const LONGEST_PAUSE: Duration = Duration::from_secs(RETRY_AFTER_MAX.as_secs() * 5 / 4);
/// Nothing may be wrong with a HAProxy process for this long before it is expected to hold what it
/// should: a delivery is tried again after a minute at the latest.
const QUIET: Duration = Duration::from_secs(300);
/// What has changed on disk has been seen to within this time.
const SETTLED: Duration = Duration::from_secs(60);
/// Requests to a responder within an hour that bring nothing, however many certificates wait for it
/// and however often it goes away: then it is only probed. docs/how-it-works.md states this number.
const FRUITLESS_REQUESTS: u64 = 600;
/// Requests for one certificate in an hour, whatever happens: two URLs, each by GET and by POST,
/// every time that anything goes wrong.
const REQUESTS_FOR_ONE: u32 = 128;

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
    pub most_fruitless: u64,
    pub most_to_one: u64,
    pub most_open: usize,
    pub most_timers: usize,
    pub most_staples: usize,
    pub most_staple_bytes: usize,
    pub not_modified: u64,
    pub error_statuses: u64,
    pub from_second_url: u64,
    /// Newer staples that were found in a process and taken over.
    pub taken_over: u64,
    /// Staples' files that were removed at their end.
    pub cleared: u64,
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
             most requests in an hour: {} for one certificate, {} to one responder, {} to one that brought nothing\n  \
             most orders open: {}, timers set: {}, staples held: {} in {} KiB; {} answers 304, {} error statuses, \
             {} answers from a second URL, {} staples taken over, {} removed from disk",
            100.0 * self.hours_live as f64 / self.hours_due.max(1) as f64,
            self.excused,
            self.most_in_an_hour,
            self.most_to_one,
            self.most_fruitless,
            self.most_open,
            self.most_timers,
            self.most_staples,
            self.most_staple_bytes / 1024,
            self.not_modified,
            self.error_statuses,
            self.from_second_url,
            self.taken_over,
            self.cleared
        )
    }
}

/// From when on a successor is asked for: from half of the life, unless the responder says that it
/// has none, as some do whatever they have. It is not believed for ever.
fn believed_until(promise: Promise, half: Timestamp, life: Life) -> Timestamp {
    let Promise::Always(promise) = promise else {
        return half;
    };
    let overdue = schedule::overdue(life, EXPIRING_WITHIN, schedule::Settings::default());
    let latest = overdue.saturating_sub(schedule::LAST_TRIES);
    half.max(half.saturating_add(promise).min(latest))
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

    /// The program was restarted: what it has forgotten cannot bind it.
    pub fn keep_promises_of_the_remembered(&mut self) {
        let (cases, memory) = (&self.authority.cases, &self.memory);
        let is_remembered = |case: &usize| memory.contains_key(&cases[*case].subject.identity());
        self.newest.retain(|case, _| is_remembered(case));
        self.told_revoked.retain(is_remembered);
    }

    /// A HAProxy process starts: under `zero-warning` it does, as far as it is up to this program.
    /// A minute after anything has changed nothing of its own lies there that would be refused.
    pub fn check_start(&self, target: usize) {
        let wall = self.wall();
        let is_settled = |since: Duration| since == Duration::ZERO || since + SETTLED < self.time;
        for file in &self.files {
            let Some((case, staple)) = &file.staple else {
                continue;
            };
            let is_ours = file.targets.contains(&TargetId(target)) && !file.is_foreign;
            let is_well = self.clock_error == 0
                && is_settled(self.machine_troubled_at)
                && is_settled(file.changed_at)
                && is_settled(file.beside_changed_at);
            if !is_ours || file.hidden.is_some() || !is_well {
                continue;
            }
            assert!(
                *case == file.case && staple.expires().since(wall) > STAPLED_UNTIL,
                "seed {}: at {:?} a process would not start with what lies beside {}: certificate \
                 {case}, until {:?}; the certificate is {}",
                self.scale.seed,
                self.time,
                file.path.display(),
                staple.expires(),
                self.states()[&file.path]
            );
        }
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

    /// A staple that was accepted has come to its end. Where its responder was reachable for an
    /// hour within the last half of its life, its successor is live.
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
        let until = self.time_of(expires.saturating_sub(STAPLED_UNTIL));
        let responder = &self.responders[self.authority.cases[case].responders[0]];
        let life = Life {
            this_update,
            start,
            end: expires,
        };
        let asked_from = self.time_of(believed_until(responder.promise, half, life));
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
                    && !process.lost_unseen.contains(&number)
                    && !process.staples_itself(case)
                    && process.troubled_at + QUIET <= self.time;
                if !is_expected || process.staples(number, case, wall) {
                    continue;
                }
                let misled_at = self.misled_at.get(&case).copied().unwrap_or_default();
                let from = asked_from.max(file.changed_at).max(misled_at);
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
        let number = self.files[self.file_of[path]].case;
        let case = &self.authority.cases[number];
        let life = Life {
            this_update,
            start: this_update.max(case.subject.certificate.not_before()),
            end: until,
        };
        if schedule::alarm(life, EXPIRING_WITHIN) > self.wall() {
            self.told_expiring.remove(&number);
        }
    }

    /// The alarm comes only where a person has something to look at: not when the responder was
    /// there for an hour beyond the longest pause that it may have asked for, and nothing else was
    /// wrong.
    pub fn expires_soon(&mut self, path: &Path) {
        self.figures.told_expiring += 1;
        let file = &self.files[self.file_of[path]];
        self.told_expiring.insert(file.case);
        let facts = &self.authority.cases[file.case];
        let reachable_for = self.responders[facts.responders[0]].reachable_for(self.time);
        let misled_at = self.misled_at.get(&file.case).copied().unwrap_or_default();
        let troubled_at = file.changed_at.max(self.machine_troubled_at).max(misled_at);
        let is_well = self.is_due(facts)
            && reachable_for >= LONGEST_PAUSE + CONVERGED_WITHIN
            && self.clock_error == 0
            && troubled_at + CONVERGED_WITHIN <= self.time;
        assert!(
            !is_well,
            "seed {}: at {:?} {} was said to be expiring although its responder was there; the \
             certificate is {}, {:?}",
            self.scale.seed,
            self.time,
            path.display(),
            self.states()[path],
            self.responders[facts.responders[0]]
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
            ends_too || self.told_expiring.contains(&file.case),
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
            let reachable_for = self.responders[facts.responders[0]].reachable_for(self.time);
            for TargetId(target) in file.targets.iter() {
                let process = &self.processes[*target];
                let is_beyond_us =
                    process.staples_itself(case) || process.lost_unseen.contains(&number);
                if !process.up || !process.has_loaded(number, case) || is_beyond_us {
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
                     the certificate is {}, {}, {:?}",
                    self.scale.seed,
                    self.time,
                    file.path.display(),
                    self.states()[&file.path],
                    self.belief(&file.path),
                    self.responders[facts.responders[0]]
                );
            }
        }
        self.check_requests();
        self.check_bytes();
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
            self.figures.most_to_one = self.figures.most_to_one.max(hour.requests);
            if hour.was_plain {
                let fruitless = hour.requests.saturating_sub(hour.answers);
                self.figures.most_fruitless = self.figures.most_fruitless.max(fruitless);
                assert!(
                    fruitless <= FRUITLESS_REQUESTS,
                    "seed {}: {fruitless} requests to one responder within an hour brought nothing",
                    self.scale.seed
                );
            }
            responder.hour = Hour {
                was_plain: responder.mode.is_plain() && self.clock_error == 0,
                ..Hour::default()
            };
        }
    }

    /// At every step: what the agent keeps in mind is bounded by what it looks after.
    pub fn check_burden(&mut self) {
        let burden = self.agent.footprint();
        let processes = self.processes.len();
        let figures = &mut self.figures;
        figures.most_timers = figures.most_timers.max(burden.timers);
        let places = burden.files + burden.certificates * processes;
        assert!(burden.files <= self.files.len(), "{burden:?}");
        assert!(burden.certificates <= burden.files, "{burden:?}");
        assert!(
            burden.timers <= 2 * burden.certificates + places,
            "{burden:?}"
        );
        assert!(self.open.len() <= self.files.len() * (2 + processes));
    }

    /// Once an hour: the bytes held, too, are bounded by the certificates looked after. A
    /// certificate has one staple, and for a while another one, which is being replaced somewhere;
    /// where so much goes wrong at once as in the swarm, disk and process can lag behind with one
    /// each.
    fn check_bytes(&mut self) {
        let (staples, bytes) = self.agent.staples_held();
        let burden = self.agent.footprint();
        self.figures.most_staples = self.figures.most_staples.max(staples);
        self.figures.most_staple_bytes = self.figures.most_staple_bytes.max(bytes);
        let each = match self.scale.weather {
            Weather::Swarm => 3,
            _ => 2,
        };
        let most = each * burden.certificates + burden.remembered;
        assert!(staples <= most, "{staples} staples held by {burden:?}");
    }

    /// Files that should be fresh and are not, and how it stands with them.
    fn not_fresh(&self) -> Vec<(&PathBuf, &'static str)> {
        let states = self.states();
        let due = self
            .files
            .iter()
            .filter(|file| file.hidden.is_none() && self.is_due(&self.authority.cases[file.case]));
        due.map(|file| {
            (
                &file.path,
                states.get(&file.path).copied().unwrap_or_default(),
            )
        })
        .filter(|(_, state)| !matches!(*state, "fresh" | "renewing"))
        .collect()
    }

    /// Once a minute after the last fault: when everything was as it should be.
    pub fn watch_convergence(&mut self) {
        if self.converged_at.is_some() {
            return;
        }
        let has_converged = self.not_fresh().is_empty();
        if has_converged {
            self.converged_at = Some(self.time);
        }
    }

    /// How long after the last fault everything was as it should be.
    pub fn convergence(&self) -> Duration {
        let (Some(calm), Some(converged)) = (self.calm_since, self.converged_at) else {
            panic!(
                "seed {}: never everything fresh again: {:?}",
                self.scale.seed,
                self.not_fresh()
            );
        };
        converged - calm
    }

    /// After the last fault: every certificate has come to rest.
    pub fn check_end(&self) {
        let took = self.convergence();
        assert!(
            took <= LONGEST_PAUSE + CONVERGED_WITHIN,
            "seed {}: everything fresh only {took:?} after the last fault",
            self.scale.seed
        );
        let states = self.states();
        for file in &self.files {
            let facts = &self.authority.cases[file.case];
            let reachable_for = self.responders[facts.responders[0]].reachable_for(self.time);
            if file.hidden.is_some() || !self.is_due(facts) || reachable_for < CONVERGED_WITHIN {
                continue;
            }
            if file.changed_at + CONVERGED_WITHIN > self.time {
                continue;
            }
            let beside = file.staple.as_ref().map(|(case, _)| *case);
            assert_eq!(
                beside,
                Some(file.case),
                "seed {}: not its own staple lies beside {}",
                self.scale.seed,
                file.path.display()
            );
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
