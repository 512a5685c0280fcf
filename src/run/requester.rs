//! The agent's requests, carried out by the fetch room and judged by the `ocsp` room.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{off_limits, wall_clock};
use crate::agent::{
    Answered, CacheValidators, CertificateId, Event, Failure, IssuedCertificate, RequestFailure,
    RequestOrder,
};
use crate::config::Config;
use crate::fetch::{self, Caching, JobReport, Judged, Verdict};
use crate::ocsp::{self, Assessment, Standing};

/// What the fetch room gives back with an answer: whose it is, and how to judge it.
struct JobKey {
    certificate: CertificateId,
    subject: Arc<IssuedCertificate>,
    held: Option<Standing>,
    is_overdue: bool,
}

/// Reports of the fetch room that may wait to be translated.
const REPORTS: usize = 256;

/// How the configuration wants responders to be asked.
pub(crate) fn settings(config: &Config) -> fetch::Settings {
    fetch::Settings {
        renewal_threads: config.renewal_threads,
        connect_timeout: config.connect_timeout,
        request_timeout: config.request_timeout,
        addresses: config.address_rules.clone(),
        operators_urls: Arc::new(config.responder_urls()),
        off_limits: off_limits::of(config, &[]),
        proxies: config.proxies.clone(),
        lookup: fetch::system_lookup(),
        pauses: fetch::Pauses::default(),
        now: wall_clock,
    }
}

/// Runs the fetch room and translates between it and the agent, until the orders end and all of
/// them are answered.
pub(super) async fn run(
    settings: fetch::Settings,
    mut orders: mpsc::UnboundedReceiver<RequestOrder>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) {
    let (jobs, taken) = mpsc::unbounded_channel();
    let (results, mut reports) = mpsc::channel(REPORTS);
    let fetcher = fetch::run(settings, taken, judge, results, stop);
    let translate = async move {
        let mut jobs = Some(jobs);
        loop {
            tokio::select! {
                order = orders.recv(), if jobs.is_some() => match (order, &jobs) {
                    (Some(order), Some(jobs)) => {
                        let _ = jobs.send(job(order));
                    }
                    // The fetcher ends when it has no more to do.
                    _ => jobs = None,
                },
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
    // The fetcher's end closes the reports; when the receiver is gone, the fetcher notices that
    // they are not taken.
    tokio::join!(fetcher, translate);
}

/// The request for a certificate's response, for the CertID that HAProxy knows it by.
fn job(order: RequestOrder) -> fetch::Job<JobKey> {
    let RequestOrder {
        certificate,
        subject,
        must_staple,
        held,
        is_overdue,
        lasts,
        is_wanted_now,
        validators,
    } = order;
    let conditional = (validators != CacheValidators::default()).then_some(fetch::Validators {
        url: validators.url,
        etag: validators.etag,
        last_modified: validators.last_modified,
    });
    fetch::Job {
        urls: subject.responders.clone(),
        request: ocsp::encode_request(&subject.cert_id, None).into(),
        need: fetch::Need {
            certificate: certificate.as_u64(),
            is_urgent: must_staple,
            lasts,
            is_wanted_now,
        },
        conditional,
        key: JobKey {
            certificate,
            subject,
            held,
            is_overdue,
        },
    }
}

/// Validates an answer and says whether another might be better.
fn judge(key: &JobKey, response: &[u8]) -> Verdict<Judged> {
    let now = wall_clock();
    let judged = ocsp::verify(
        response,
        key.subject.as_ocsp(),
        None,
        now,
        key.subject.policy,
    );
    fetch::verdict(judged, key.held.as_ref(), key.is_overdue, now)
}

fn event(report: JobReport<JobKey, Judged>) -> Event {
    let result = match report.outcome {
        Ok(fetch::FetchedAnswer::Judged {
            judgement: Ok(assessment),
            caching,
            ..
        }) => Ok(answer(Some(assessment), caching)),
        Ok(fetch::FetchedAnswer::NotModified { caching, .. }) => Ok(answer(None, caching)),
        Ok(fetch::FetchedAnswer::Judged {
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
            postponed: failure.error.is_postponement(),
        }),
    };
    Event::Answered {
        certificate: report.key.certificate,
        result,
    }
}

fn answer(assessment: Option<Assessment>, caching: Caching) -> Answered {
    Answered {
        assessment,
        fresh_for: caching.fresh_for(),
        validators: CacheValidators {
            url: caching.validators.url,
            etag: caching.validators.etag,
            last_modified: caching.validators.last_modified,
        },
    }
}
