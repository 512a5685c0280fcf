//! What always holds: shown with random events in random order.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::agent::timers::Timer;
use crate::x509::CertificateReference;

/// How many files, certificates and HAProxy processes the events are about.
const FILES: usize = 4;
const CERTIFICATES: u8 = 3;
const TARGETS: usize = 2;

/// Something that may happen, to one of a few things.
#[derive(Clone, Debug)]
enum Step {
    Found {
        file: usize,
        certificate: u8,
    },
    Gone {
        file: usize,
    },
    StapleGone {
        file: usize,
    },
    /// One of the open orders, if there is one, ends in one of a few ways.
    Ends {
        order: usize,
        how: u8,
    },
    Connected {
        target: usize,
    },
    Disconnected {
        target: usize,
    },
    /// It has the certificates loaded whose bits are set.
    Serves {
        target: usize,
        certificates: u8,
    },
    StapleUnseen {
        target: usize,
        certificate: u8,
    },
    RenewAll,
    Passes {
        minutes: u64,
    },
    ClockSet {
        minutes: i64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => (0..FILES, 0..CERTIFICATES).prop_map(|(file, certificate)| Step::Found { file, certificate }),
        1 => (0..FILES).prop_map(|file| Step::Gone { file }),
        1 => (0..FILES).prop_map(|file| Step::StapleGone { file }),
        4 => (0usize..100, 0u8..8).prop_map(|(order, how)| Step::Ends { order, how }),
        1 => (0..TARGETS).prop_map(|target| Step::Connected { target }),
        1 => (0..TARGETS).prop_map(|target| Step::Disconnected { target }),
        1 => (0..TARGETS, 0u8..1 << CERTIFICATES)
            .prop_map(|(target, certificates)| Step::Serves { target, certificates }),
        1 => (0..TARGETS, 0..CERTIFICATES)
            .prop_map(|(target, certificate)| Step::StapleUnseen { target, certificate }),
        1 => Just(Step::RenewAll),
        2 => (0u64..5000).prop_map(|minutes| Step::Passes { minutes }),
        1 => (-200_000i64..200_000).prop_map(|minutes| Step::ClockSet { minutes }),
    ];
    prop::collection::vec(step, 1..80)
}

/// Carries out the steps and keeps the agent's open orders.
struct Run {
    authority: Authority,
    subjects: Vec<Arc<IssuedCertificate>>,
    bench: Bench,
    open: Vec<Action>,
}

impl Run {
    fn event(&mut self, event: Event) {
        let actions = self.bench.event(event);
        self.open.extend(
            actions
                .into_iter()
                .filter(|action| !matches!(action, Action::Report(_) | Action::LookAgain)),
        );
    }

    fn reference(&self, certificate: u8) -> CertificateReference {
        let subject = &self.subjects[usize::from(certificate)];
        let [fingerprint, _] = CertificateReference::all(&subject.certificate);
        fingerprint
    }

    fn step(&mut self, step: Step) {
        let path = |file: usize| PathBuf::from(format!("/{file}.pem"));
        match step {
            Step::Found { file, certificate } => {
                let subject = Arc::clone(&self.subjects[usize::from(certificate)]);
                self.event(Event::FileFound(FoundFile {
                    path: path(file),
                    staple_path: path(file).with_extension("ocsp"),
                    targets: [TargetId(file % TARGETS)].into(),
                    content: FileContent::Certificate {
                        subject,
                        staple: StapleFile::Missing,
                    },
                }));
            }
            Step::Gone { file } => self.event(Event::FileGone(path(file))),
            Step::StapleGone { file } => self.event(Event::StapleFileFound {
                path: path(file),
                staple_path: path(file).with_extension("ocsp"),
                staple: StapleFile::Useless,
            }),
            Step::Ends { order, how } => {
                if !self.open.is_empty() {
                    let order = self.open.swap_remove(order % self.open.len());
                    self.end(order, how);
                }
            }
            Step::Connected { target } => self.event(Event::Connected(TargetId(target))),
            Step::Disconnected { target } => self.event(Event::Disconnected(TargetId(target))),
            Step::Serves {
                target,
                certificates,
            } => {
                let bits = (0..CERTIFICATES).filter(|bit| certificates & (1 << bit) != 0);
                let certificates = bits
                    .map(|certificate| self.reference(certificate))
                    .collect();
                self.event(Event::Serves {
                    target: TargetId(target),
                    certificates,
                });
            }
            Step::StapleUnseen {
                target,
                certificate,
            } => {
                let certificate = self.reference(certificate);
                self.event(Event::StapleUnseen {
                    target: TargetId(target),
                    certificate,
                });
            }
            Step::RenewAll => self.event(Event::RenewAll),
            Step::Passes { minutes } => {
                let duration = Duration::from_secs(60 * minutes);
                self.bench.now.wall = self.bench.now.wall.saturating_add(duration);
                self.bench.now.monotonic += duration;
                self.event(Event::Wakeup);
            }
            Step::ClockSet { minutes } => {
                self.bench.now.wall =
                    Timestamp::from_unix(self.bench.now.wall.unix() + 60 * minutes);
                self.event(Event::Wakeup);
            }
        }
    }

    fn end(&mut self, order: Action, how: u8) {
        let failure = Failure {
            kind: "timeout",
            message: "no answer".to_owned(),
        };
        match order {
            Action::Request(RequestOrder {
                certificate,
                subject,
                ..
            }) => {
                let wall = self.bench.now.wall;
                let valid = subject.certificate.not_after() > wall.saturating_add(DAY);
                let result = match how {
                    0 => Err(RequestFailure::from(failure)),
                    1 => Err(RequestFailure {
                        failure,
                        retry_after: Some(DAY),
                        postponed: true,
                    }),
                    2 if valid => Ok(self.authority.revocation(&subject, wall, 6)),
                    _ if valid => Ok(self.authority.answer(&subject, wall, 4 * DAY)),
                    _ => Err(RequestFailure::from(failure)),
                };
                self.event(Event::Answered {
                    certificate,
                    result: result.map(|assessment| Answered {
                        assessment: (how != 3).then_some(assessment),
                        fresh_for: (how == 4).then_some(7 * DAY),
                        validators: CacheValidators::default(),
                    }),
                });
            }
            Action::Write(WriteOrder {
                certificate, path, ..
            }) => self.event(Event::Written {
                certificate,
                path,
                result: if how < 3 { Err(failure) } else { Ok(()) },
            }),
            Action::Clear(ClearOrder { path, .. }) => self.event(Event::Cleared {
                path,
                result: if how < 3 { Err(failure) } else { Ok(how > 5) },
            }),
            Action::Deliver(DeliveryOrder {
                target,
                certificate,
                ..
            }) => {
                let retry = [
                    DeliveryRetry::Soon,
                    DeliveryRetry::Passing,
                    DeliveryRetry::Later,
                    DeliveryRetry::NextChange,
                    DeliveryRetry::NextConnection,
                ];
                let result = match retry.get(usize::from(how)) {
                    Some(retry) => Err(DeliveryFailure {
                        failure,
                        retry: *retry,
                    }),
                    None => Ok(Delivered::Pushed),
                };
                self.event(Event::Delivered {
                    target,
                    certificate,
                    result,
                });
            }
            Action::Remember(_) | Action::Forget(_) | Action::Report(_) | Action::LookAgain => {}
        }
    }

    /// After any events each certificate has its next step, and each alarm belongs to something
    /// that exists.
    fn check(&self) {
        let agent = &self.bench.agent;
        let entries = &agent.inventory.entries;
        for (number, entry) in entries {
            assert!(
                entry.requesting || agent.timers.is_set(&Timer::Request(*number)),
                "nothing would ever happen to {}",
                entry.name().display()
            );
            let asked = self.open.iter().any(
                |order| matches!(order, Action::Request(RequestOrder { certificate, .. }) if certificate == number),
            );
            assert_eq!(entry.requesting, asked, "waits for what is not under way");
        }
        let mut seen = BTreeSet::new();
        for timer in agent.timers.iter() {
            let exists = match timer {
                Timer::Request(number) | Timer::Expiry(number) => entries.contains_key(number),
                Timer::Write(path) => {
                    matches!(agent.inventory.file(path), Some(FileState::Holds(_)))
                }
                Timer::Deliver(number, target) => {
                    agent.connected.contains(target)
                        && entries
                            .get(number)
                            .is_some_and(|entry| entry.live.contains_key(target))
                }
                Timer::OutOfReach(target) => {
                    agent.served.knows(*target) && !agent.connected.contains(target)
                }
            };
            assert!(exists, "{timer:?} stands for nothing");
            assert!(seen.insert(timer.clone()));
        }
        for order in &self.open {
            let fit = match order {
                Action::Write(WriteOrder { staple, .. })
                | Action::Deliver(DeliveryOrder { staple, .. }) => {
                    staple.status() == crate::ocsp::CertificateStatus::Good
                }
                _ => true,
            };
            assert!(fit, "{order:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_certificate_has_its_next_step_and_each_alarm_its_reason(steps in steps()) {
        let authority = Authority::new();
        let subjects = (0..CERTIFICATES).map(|serial| authority.subject(serial)).collect();
        let mut run = Run { authority, subjects, bench: Bench::new(), open: Vec::new() };
        for step in steps {
            run.step(step);
            run.check();
        }
    }
}
