//! The promises of the agent, each shown by what it orders and what it does not.

mod delivery;
mod disk;
mod files;
mod memory;
mod outdated;
mod promises;
mod requests;
mod served;
mod states;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::ocsp::{self, Assessment, Policy};
use crate::pki::{
    CertificateBuilder, Key, NOW, ResponseBuilder, Single, basic_constraints, revoked, time,
    tls_feature,
};
use crate::time::Timestamp;

const DAY: Duration = Duration::from_secs(86_400);

/// A CA that answers for its certificates.
struct Authority {
    key: Key,
    issuer: crate::x509::Certificate,
}

impl Authority {
    fn new() -> Self {
        let key = Key::p256();
        let issuer = CertificateBuilder::new("Issuer", "Issuer", &[1])
            .with(basic_constraints(true))
            .sign(&key, &key);
        Authority { key, issuer }
    }

    fn subject(&self, serial: u8) -> Arc<IssuedCertificate> {
        self.subject_of(CertificateBuilder::new("Issuer", "leaf", &[0x10, serial]))
    }

    fn must_staple_subject(&self, serial: u8) -> Arc<IssuedCertificate> {
        let builder = CertificateBuilder::new("Issuer", "leaf", &[0x20, serial]);
        self.subject_of(builder.with(tls_feature(&[5])))
    }

    fn subject_of(&self, builder: CertificateBuilder) -> Arc<IssuedCertificate> {
        let leaf = builder.sign(&Key::p256(), &self.key);
        let urls = leaf.ocsp_urls().to_vec();
        let policy = Policy::default();
        Arc::new(IssuedCertificate::new(
            leaf,
            self.issuer.clone(),
            urls,
            policy,
        ))
    }

    /// A response of `this_update` that is valid for `life`, judged at that time.
    fn answer(
        &self,
        subject: &IssuedCertificate,
        this_update: Timestamp,
        life: Duration,
    ) -> Assessment {
        self.judged(subject, this_update, life, Policy::default(), |_| {})
    }

    fn revocation(
        &self,
        subject: &IssuedCertificate,
        this_update: Timestamp,
        reason: u8,
    ) -> Assessment {
        let policy = Policy::default();
        self.judged(subject, this_update, 4 * DAY, policy, |single| {
            single.status = revoked(this_update, Some(reason));
        })
    }

    /// A revocation under `on_revoked: staple`.
    fn stapleable_revocation(
        &self,
        subject: &IssuedCertificate,
        this_update: Timestamp,
    ) -> Assessment {
        let policy = Policy {
            staple_revoked: true,
            ..Policy::default()
        };
        self.judged(subject, this_update, 4 * DAY, policy, |single| {
            single.status = revoked(this_update, Some(1));
        })
    }

    fn judged(
        &self,
        subject: &IssuedCertificate,
        this_update: Timestamp,
        life: Duration,
        policy: Policy,
        change: impl FnOnce(&mut Single),
    ) -> Assessment {
        let mut response = ResponseBuilder::good(&subject.cert_id, &self.issuer);
        response.produced_at = time(this_update);
        response.singles[0].this_update = time(this_update);
        response.singles[0].next_update = Some(time(this_update.saturating_add(life)));
        change(&mut response.singles[0]);
        let bytes = response.sign(&self.key);
        ocsp::verify(&bytes, subject.as_ocsp(), None, this_update, policy).unwrap()
    }

    fn staple(
        &self,
        subject: &IssuedCertificate,
        this_update: Timestamp,
        life: Duration,
    ) -> Arc<Staple> {
        let answer = self.answer(subject, this_update, life);
        Arc::new(answer.stapling.unwrap())
    }
}

/// An agent with its clock in the test's hand.
struct Bench {
    agent: Agent,
    now: Now,
    /// What is to outlive the process.
    memory: HashMap<Identity, Recollection>,
}

impl Bench {
    fn new() -> Self {
        Self::with(true)
    }

    fn with(recycle: bool) -> Self {
        let settings = Settings {
            schedule: schedule::Settings::default(),
            recycle,
            expiring_within: DAY,
            single_run: None,
        };
        Bench {
            agent: Agent::new(settings, 7),
            now: Now {
                wall: NOW,
                monotonic: Duration::from_secs(1000),
            },
            memory: HashMap::new(),
        }
    }

    /// The process ends and another one begins with what was remembered.
    fn restart(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        let now = self.now;
        *self = Bench::new();
        self.now = now;
        for known in memory.values() {
            self.agent.recall(*known, now.wall);
        }
        self.memory = memory;
    }

    fn pass(&mut self, duration: Duration) -> Vec<Action> {
        self.now.wall = self.now.wall.saturating_add(duration);
        self.now.monotonic += duration;
        self.event(Event::Wakeup)
    }

    /// The actions that an event leads to; what is to be remembered is.
    fn event(&mut self, event: Event) -> Vec<Action> {
        let mut actions = self.agent.handle(event, self.now);
        actions.retain(|action| match action {
            Action::Remember(known) => {
                self.memory.insert(known.identity, *known);
                false
            }
            Action::Forget(identity) => {
                self.memory.remove(identity);
                false
            }
            _ => true,
        });
        actions
    }

    fn find(
        &mut self,
        path: &str,
        subject: &Arc<IssuedCertificate>,
        targets: &[usize],
        staple: Option<Arc<Staple>>,
    ) -> Vec<Action> {
        self.event(Event::FileFound(FoundFile {
            path: PathBuf::from(path),
            staple_path: PathBuf::from(format!("{path}.ocsp")),
            targets: targets.iter().copied().map(TargetId).collect(),
            content: FileContent::Certificate {
                subject: Arc::clone(subject),
                staple: staple.into(),
            },
        }))
    }

    fn answer(&mut self, id: CertificateId, assessment: Assessment) -> Vec<Action> {
        self.event(Event::Answered {
            certificate: id,
            result: Ok(Answered {
                assessment: Some(assessment),
                fresh_for: None,
                validators: CacheValidators {
                    url: "http://ocsp.example/".to_owned(),
                    etag: Some("tag".to_owned()),
                    last_modified: None,
                },
            }),
        })
    }

    /// An answer that carries validators with this tag and promises nothing new for so long.
    fn tagged_answer(
        &mut self,
        id: CertificateId,
        assessment: Assessment,
        tag: &str,
        fresh_for: Option<Duration>,
    ) -> Vec<Action> {
        self.event(Event::Answered {
            certificate: id,
            result: Ok(Answered {
                assessment: Some(assessment),
                fresh_for,
                validators: CacheValidators {
                    url: "http://ocsp.example/".to_owned(),
                    etag: Some(tag.to_owned()),
                    last_modified: None,
                },
            }),
        })
    }

    fn not_modified(&mut self, id: CertificateId, fresh_for: Duration) -> Vec<Action> {
        self.event(Event::Answered {
            certificate: id,
            result: Ok(Answered {
                assessment: None,
                fresh_for: Some(fresh_for),
                validators: CacheValidators::default(),
            }),
        })
    }

    fn fail(&mut self, id: CertificateId, retry_after: Option<Duration>) -> Vec<Action> {
        self.fail_by("timeout", id, retry_after)
    }

    fn fail_by(
        &mut self,
        kind: &'static str,
        id: CertificateId,
        retry_after: Option<Duration>,
    ) -> Vec<Action> {
        let failure = Failure {
            kind,
            message: "no answer".to_owned(),
        };
        self.event(Event::Answered {
            certificate: id,
            result: Err(RequestFailure {
                failure,
                retry_after,
                postponed: false,
            }),
        })
    }

    fn written(&mut self, id: CertificateId, path: &str, ok: bool) -> Vec<Action> {
        let failure = Failure {
            kind: "no_space",
            message: "full".to_owned(),
        };
        self.event(Event::Written {
            certificate: id,
            path: PathBuf::from(path),
            result: if ok { Ok(()) } else { Err(failure) },
        })
    }

    /// Something else lies in the staple's place.
    fn lies(&mut self, path: &str, staple: StapleFile) -> Vec<Action> {
        self.event(Event::StapleFileFound {
            path: PathBuf::from(path),
            staple_path: PathBuf::from(format!("{path}.ocsp")),
            staple,
        })
    }

    fn cleared(&mut self, path: &str) -> Vec<Action> {
        self.event(Event::Cleared {
            path: PathBuf::from(path),
            result: Ok(true),
        })
    }

    fn delivered(&mut self, target: usize, id: CertificateId) -> Vec<Action> {
        self.event(Event::Delivered {
            target: TargetId(target),
            certificate: id,
            result: Ok(Delivered::Pushed),
        })
    }

    fn not_delivered(
        &mut self,
        target: usize,
        id: CertificateId,
        retry: DeliveryRetry,
    ) -> Vec<Action> {
        let failure = Failure {
            kind: "locked",
            message: "locked".to_owned(),
        };
        self.event(Event::Delivered {
            target: TargetId(target),
            certificate: id,
            result: Err(DeliveryFailure { failure, retry }),
        })
    }

    fn postponed(&mut self, id: CertificateId, retry_after: Duration) -> Vec<Action> {
        self.event(Event::Answered {
            certificate: id,
            result: Err(RequestFailure {
                failure: Failure {
                    kind: "circuit_open",
                    message: "left alone".to_owned(),
                },
                retry_after: Some(retry_after),
                postponed: true,
            }),
        })
    }

    fn state(&self, path: &str) -> State {
        let mut states = self.agent.states(self.now.wall);
        let found = states.find(|(other, _)| *other == Path::new(path));
        found.unwrap().1
    }

    fn next_wakeup(&self) -> Duration {
        self.agent.next_wakeup(self.now).unwrap()
    }
}

/// The certificates that responses are asked for.
fn requested(actions: &[Action]) -> Vec<CertificateId> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Request(RequestOrder { certificate, .. }) => Some(*certificate),
            _ => None,
        })
        .collect()
}

/// The staple paths that are written.
fn writes(actions: &[Action]) -> Vec<&str> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Write(WriteOrder { staple_path, .. }) => staple_path.to_str(),
            _ => None,
        })
        .collect()
}

/// The staple paths that are cleared.
fn clearances(actions: &[Action]) -> Vec<&str> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Clear(ClearOrder { staple_path, .. }) => staple_path.to_str(),
            _ => None,
        })
        .collect()
}

/// The HAProxy processes that are delivered to.
fn deliveries(actions: &[Action]) -> Vec<usize> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Deliver(DeliveryOrder { target, .. }) => Some(target.0),
            _ => None,
        })
        .collect()
}

fn reports(actions: &[Action]) -> Vec<&Notice> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Report(report) => Some(report),
            _ => None,
        })
        .collect()
}

/// What the failure reports say went wrong.
fn failure_kinds(actions: &[Action]) -> Vec<&'static str> {
    reports(actions)
        .iter()
        .filter_map(|report| match report {
            Notice::RequestFailed { failure, .. }
            | Notice::WriteFailed { failure, .. }
            | Notice::DeliveryFailed { failure, .. } => Some(failure.kind),
            _ => None,
        })
        .collect()
}
