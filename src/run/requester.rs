//! The agent's requests, carried out by the fetch room and judged by the `ocsp` room.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::wall_clock;
use crate::agent::{
    Answer, CertificateNumber, Event, Failure, RequestFailure, Subject, Validators,
};
use crate::config::Config;
use crate::fetch::{self, Caching, Judged, Report, Verdict};
use crate::ocsp::{self, Assessment, Policy, Standing};

/// Whose response a job is about, and what the response held says.
pub(super) struct Key {
    certificate: CertificateNumber,
    subject: Arc<Subject>,
    held: Option<Standing>,
}

/// A request for the fetch room.
pub(super) type Job = fetch::Job<Key>;
/// Reports of the fetch room that may wait to be translated.
const REPORTS: usize = 256;

/// The request for a certificate's response: to the responders that it names, for the CertID that
/// HAProxy knows it by.
pub(super) fn job(
    certificate: CertificateNumber,
    subject: Arc<Subject>,
    urgent: bool,
    held: Option<Standing>,
    validators: Validators,
) -> Job {
    let conditional = (validators != Validators::default()).then_some(fetch::Validators {
        etag: validators.etag,
        last_modified: validators.last_modified,
    });
    fetch::Job {
        urls: subject.certificate.ocsp_urls().to_vec(),
        request: ocsp::encode_request(&subject.cert_id, None).into(),
        key: Key {
            certificate,
            subject,
            held,
        },
        urgent,
        conditional,
    }
}

/// Runs the fetch room and translates between it and the agent.
pub(super) fn run(
    config: &Config,
    jobs: mpsc::UnboundedReceiver<Job>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static {
    let settings = fetch::Settings {
        renewal_threads: config.renewal_threads,
        addresses: config.address_rules.clone(),
        ..fetch::Settings::default()
    };
    let (results, mut reports) = mpsc::channel(REPORTS);
    let fetcher = fetch::run(settings, jobs, judge, results, stop);
    let translate = async move {
        while let Some(report) = reports.recv().await {
            if events.send(event(report)).await.is_err() {
                return;
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

/// Validates an answer and says whether another might be better.
fn judge(key: &Key, response: &[u8]) -> Verdict<Judged> {
    let now = wall_clock();
    let judged = ocsp::verify(
        response,
        key.subject.as_ocsp(),
        None,
        now,
        Policy::default(),
    );
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
        }) => Err(RequestFailure {
            failure: Failure {
                kind: rejection.kind(),
                message: format!("{url}: {rejection}"),
            },
            retry_after: None,
        }),
        Err(failure) => Err(RequestFailure {
            failure: Failure {
                kind: failure.error.kind(),
                message: failure.to_string(),
            },
            retry_after: failure.error.retry_after(),
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
