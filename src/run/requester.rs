//! The agent's requests, carried out by the fetch room and judged by the `ocsp` room.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::wall_clock;
use crate::agent::{
    Answer, CertificateNumber, Event, Failure, RequestFailure, Subject, Validators,
};
use crate::config::{Config, Policies};
use crate::fetch::{self, Caching, Judged, Overrides, Report, Verdict};
use crate::ocsp::{self, Assessment, Policy, Standing};

/// One response to be asked for.
pub(super) struct Order {
    pub(super) certificate: CertificateNumber,
    pub(super) subject: Arc<Subject>,
    pub(super) must_staple: bool,
    pub(super) held: Option<Standing>,
    pub(super) validators: Validators,
}

/// What the fetch room gives back with an answer: whose it is, and how to judge it.
struct Key {
    certificate: CertificateNumber,
    subject: Arc<Subject>,
    held: Option<Standing>,
    policy: Policy,
}

/// Reports of the fetch room that may wait to be translated.
const REPORTS: usize = 256;

/// Runs the fetch room and translates between it and the agent.
pub(super) fn run(
    config: &Config,
    mut orders: mpsc::UnboundedReceiver<Order>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static {
    let settings = fetch::Settings {
        renewal_threads: config.renewal_threads,
        connect_timeout: config.connect_timeout,
        request_timeout: config.request_timeout,
        addresses: config.address_rules.clone(),
        proxies: config.proxies.clone(),
        lookup: fetch::system_lookup(),
        now: wall_clock,
    };
    let rules = Rules {
        overrides: config.overrides.clone(),
        policies: config.policies.clone(),
    };
    let (jobs, taken) = mpsc::unbounded_channel();
    let (results, mut reports) = mpsc::channel(REPORTS);
    let fetcher = fetch::run(settings, taken, judge, results, stop);
    let translate = async move {
        loop {
            tokio::select! {
                Some(order) = orders.recv() => {
                    let _ = jobs.send(rules.job(order));
                }
                report = reports.recv() => {
                    let Some(report) = report else {
                        return;
                    };
                    if events.send(event(report)).await.is_err() {
                        return;
                    }
                }
            }
        }
    };
    async {
        // The fetcher ends first when it is told to stop, the translation when nobody listens.
        tokio::select! {
            () = fetcher => {}
            () = translate => {}
        }
    }
}

/// The operator's rules about whom to ask and what to accept.
struct Rules {
    overrides: Overrides,
    policies: Policies,
}

impl Rules {
    /// The request for a certificate's response, for the CertID that HAProxy knows it by.
    fn job(&self, order: Order) -> fetch::Job<Key> {
        let Order {
            certificate,
            subject,
            must_staple,
            held,
            validators,
        } = order;
        let conditional = (validators != Validators::default()).then_some(fetch::Validators {
            etag: validators.etag,
            last_modified: validators.last_modified,
        });
        let issuer = subject.issuer.subject_display();
        fetch::Job {
            urls: self
                .overrides
                .apply(issuer, subject.certificate.ocsp_urls()),
            request: ocsp::encode_request(&subject.cert_id, None).into(),
            urgent: must_staple,
            conditional,
            key: Key {
                policy: self.policies.of(&subject.issuer),
                certificate,
                subject,
                held,
            },
        }
    }
}

/// Validates an answer and says whether another might be better.
fn judge(key: &Key, response: &[u8]) -> Verdict<Judged> {
    let now = wall_clock();
    let judged = ocsp::verify(response, key.subject.as_ocsp(), None, now, key.policy);
    fetch::verdict(judged, key.held.as_ref(), now)
}

fn event(report: Report<Key, Judged>) -> Event {
    let result = match report.outcome {
        Ok(fetch::Answer::Judged {
            judgement: Ok(assessment),
            caching,
            ..
        }) => Ok(answer(Some(assessment), caching)),
        Ok(fetch::Answer::NotModified { caching, .. }) => Ok(answer(None, caching)),
        Ok(fetch::Answer::Judged {
            judgement: Err(rejection),
            url,
            ..
        }) => Err(RequestFailure::from(Failure {
            kind: rejection.kind(),
            message: format!("{url}: {rejection}"),
        })),
        Err(failure) => Err(RequestFailure {
            failure: Failure {
                kind: failure.error.kind(),
                message: failure.to_string(),
            },
            retry_after: failure.error.retry_after(),
            postponed: matches!(failure.error, fetch::Error::CircuitOpen { .. }),
        }),
    };
    Event::Answered {
        certificate: report.key.certificate,
        result,
    }
}

fn answer(assessment: Option<Assessment>, caching: Caching) -> Answer {
    Answer {
        assessment,
        fresh_for: caching.fresh_for(),
        validators: Validators {
            etag: caching.validators.etag,
            last_modified: caching.validators.last_modified,
        },
    }
}
