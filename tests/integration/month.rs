//! A month in the life of ten thousand certificates whose responder is out for ten minutes of
//! every hour: nothing expires, and the responder is asked within stated bounds.
//!
//! The deciding parts are the real ones (agent, schedule, limits); the responder, the network and
//! both clocks are simulated, so the month takes seconds.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use staplerd::agent::{
    Action, Agent, Answer, CertificateNumber, Content, Event, Failure, FoundFile, Report,
    RequestFailure, Settings, Subject, Validators,
};
use staplerd::fetch::{Dismissed, Health, Limits, RENEWAL_THREADS, REQUEST_TIMEOUT};
use staplerd::ocsp::{Policy, verify};
use staplerd::schedule;
use staplerd::time::{Now, Timestamp};

use crate::pki::{CertificateBuilder, Key, NOW, ResponseBuilder, basic_constraints, time};

const CERTIFICATES: u32 = 10_000;
const MONTH: Duration = Duration::from_secs(30 * 86_400);
/// How long a response is valid.
const LIFE: Duration = Duration::from_secs(10 * 86_400);
/// How long the responder takes to answer.
const ANSWERS_AFTER: Duration = Duration::from_millis(50);
const HOUR: u64 = 3600;
/// Each hour begins with the responder answering nobody for so many seconds.
const OUTAGE: u64 = 600;

/// Requests per certificate in the month: one every five days, and a third more for attempts that
/// fail and for the first in the middle of an outage.
const REQUESTS_PER_CERTIFICATE: f64 = 8.0;
/// Requests to a responder that answers nobody, per outage.
const REQUESTS_PER_OUTAGE: u64 = 30;
/// When the last certificate has its first staple, although the month begins with an outage.
const ALL_HELD_WITHIN: Duration = Duration::from_secs(HOUR);

type Case = (CertificateNumber, Arc<Subject>);

/// An exchange that will have ended at some time.
struct Exchange {
    case: Case,
    answered: bool,
    begun: Duration,
}

struct World {
    agent: Agent,
    limits: Limits<Case>,
    now: Now,
    random: fastrand::Rng,
    issuer: staplerd::x509::Certificate,
    key: Key,
    in_flight: BinaryHeap<Reverse<(Duration, u64)>>,
    exchanges: BTreeMap<u64, Exchange>,
    /// Requests that reached the responder while it answered, and in each outage.
    answered: u64,
    unanswered: BTreeMap<u64, u64>,
    expired: u64,
    most_in_flight: usize,
    /// Certificates that have, or had, a staple, and since when all of them.
    held: HashSet<CertificateNumber>,
    all_held_at: Option<Duration>,
}

impl World {
    fn is_out(&self) -> bool {
        self.now.steady.as_secs() % HOUR < OUTAGE
    }

    /// Hands an event to the agent and carries out its orders.
    fn event(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.agent.handle(event, self.now) {
                match action {
                    Action::Request {
                        certificate,
                        subject,
                        ..
                    } => events.extend(self.request((certificate, subject))),
                    Action::Write {
                        certificate, path, ..
                    } => events.push(Event::Written {
                        certificate,
                        path,
                        result: Ok(()),
                    }),
                    Action::Report(Report::StapleExpired { .. }) => self.expired += 1,
                    Action::Report(_) | Action::Deliver { .. } => {}
                }
            }
        }
        self.start_exchanges();
    }

    fn request(&mut self, case: Case) -> Option<Event> {
        let admitted = self
            .limits
            .admit("ocsp.example:80", case, false, self.now.steady);
        admitted.err().map(dismissal)
    }

    fn start_exchanges(&mut self) {
        while let Some((_, case)) = self.limits.start_next() {
            let answered = !self.is_out();
            let takes = match answered {
                true => ANSWERS_AFTER,
                false => REQUEST_TIMEOUT,
            };
            let begun = self.now.steady;
            match answered {
                true => self.answered += 1,
                false => *self.unanswered.entry(begun.as_secs() / HOUR).or_default() += 1,
            }
            let number = self.answered + self.unanswered.values().sum::<u64>();
            self.in_flight.push(Reverse((begun + takes, number)));
            let exchange = Exchange {
                case,
                answered,
                begun,
            };
            self.exchanges.insert(number, exchange);
            self.most_in_flight = self.most_in_flight.max(self.in_flight.len());
        }
    }

    fn end_exchange(&mut self, number: u64) {
        let exchange = self.exchanges.remove(&number).unwrap();
        let health = match exchange.answered {
            true => Health::Answered(self.now.steady - exchange.begun),
            false => Health::Failed,
        };
        let random = self.random.f64();
        let steady = self.now.steady;
        let dismissed = self
            .limits
            .finished("ocsp.example:80", health, steady, random);
        let (certificate, subject) = exchange.case;
        let result = match exchange.answered {
            true => {
                self.held.insert(certificate);
                if self.held.len() == CERTIFICATES as usize {
                    self.all_held_at.get_or_insert(steady);
                }
                Ok(self.answer(&subject))
            }
            false => Err(failure("timeout", None)),
        };
        self.event(Event::Answered {
            certificate,
            result,
        });
        for dismissed in dismissed {
            self.event(dismissal(dismissed));
        }
    }

    fn answer(&self, subject: &Subject) -> Answer {
        let mut response = ResponseBuilder::good(&subject.cert_id, &self.issuer);
        response.produced_at = time(self.now.wall);
        response.singles[0].this_update = time(self.now.wall);
        response.singles[0].next_update = Some(time(self.now.wall.saturating_add(LIFE)));
        let bytes = response.sign(&self.key);
        let policy = Policy::default();
        let judged = verify(&bytes, subject.as_ocsp(), None, self.now.wall, policy);
        Answer {
            assessment: Some(judged.unwrap()),
            fresh_for: None,
            validators: Validators::default(),
        }
    }

    /// Moves both clocks to the next thing that happens, and lets it happen.
    fn step(&mut self, end: Duration) -> bool {
        let wakeup = self
            .agent
            .next_wakeup(self.now)
            .map(|wait| self.now.steady + wait);
        let exchange = self.in_flight.peek().map(|Reverse((at, _))| *at);
        let Some(at) = [wakeup, exchange].into_iter().flatten().min() else {
            return false;
        };
        if at > end {
            return false;
        }
        self.now = Now {
            wall: wall_at(at),
            steady: at,
        };
        match self.in_flight.pop() {
            Some(Reverse((ends, number))) if ends == at => self.end_exchange(number),
            other => {
                self.in_flight.extend(other);
                self.event(Event::Wakeup);
            }
        }
        true
    }
}

fn wall_at(steady: Duration) -> Timestamp {
    NOW.saturating_add(steady)
}

fn failure(kind: &'static str, retry_after: Option<Duration>) -> RequestFailure {
    RequestFailure {
        failure: Failure {
            kind,
            message: kind.to_owned(),
        },
        retry_after,
        postponed: retry_after.is_some(),
    }
}

fn dismissal(dismissed: Dismissed<Case>) -> Event {
    let (certificate, _) = dismissed.job;
    Event::Answered {
        certificate,
        result: Err(failure("circuit_open", Some(dismissed.retry_after))),
    }
}

#[test]
fn a_month_of_hourly_outages_stays_within_the_stated_requests_and_expires_nothing() {
    let key = Key::p256();
    let issuer = CertificateBuilder::new("Issuer", "Issuer", &[1])
        .with(basic_constraints(true))
        .sign(&key, &key);
    let settings = Settings {
        schedule: schedule::Settings::default(),
        recycle: true,
    };
    let mut world = World {
        agent: Agent::new(settings, 7),
        limits: Limits::new(RENEWAL_THREADS),
        now: Now {
            wall: NOW,
            steady: Duration::ZERO,
        },
        random: fastrand::Rng::with_seed(7),
        issuer: issuer.clone(),
        key,
        in_flight: BinaryHeap::new(),
        exchanges: BTreeMap::new(),
        answered: 0,
        unanswered: BTreeMap::new(),
        expired: 0,
        most_in_flight: 0,
        held: HashSet::new(),
        all_held_at: None,
    };
    let leaf_key = Key::p256();
    for number in 0..CERTIFICATES {
        let serial = [&[1][..], &number.to_be_bytes()].concat();
        let leaf = CertificateBuilder::new("Issuer", "leaf", &serial).sign(&leaf_key, &world.key);
        world.event(Event::FileFound(FoundFile {
            path: PathBuf::from(format!("{number}.pem")),
            staple_path: PathBuf::from(format!("{number}.pem.ocsp")),
            targets: Arc::new([]),
            content: Content::Certificate {
                subject: Arc::new(Subject::new(leaf, issuer.clone())),
                staple: None,
            },
        }));
    }
    while world.step(MONTH) {}

    let outages = world.unanswered.values();
    let unanswered: u64 = outages.clone().sum();
    let per_certificate = (world.answered + unanswered) as f64 / f64::from(CERTIFICATES);
    let worst_outage = outages.copied().max().unwrap_or_default();
    let all_held_at = world.all_held_at.unwrap();
    println!(
        "all held after {all_held_at:?}, answered {}, unanswered {unanswered}, per certificate {per_certificate:.2}, worst outage {worst_outage}, most in flight {}",
        world.answered, world.most_in_flight
    );
    assert_eq!(world.expired, 0);
    assert!(all_held_at <= ALL_HELD_WITHIN, "{all_held_at:?}");
    assert!(
        per_certificate <= REQUESTS_PER_CERTIFICATE,
        "{per_certificate}"
    );
    assert!(worst_outage <= REQUESTS_PER_OUTAGE, "{worst_outage}");
    assert!(world.most_in_flight <= RENEWAL_THREADS / 2);
}
