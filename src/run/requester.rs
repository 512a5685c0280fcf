//! The agent's requests, carried out by the fetch room and judged by the `ocsp` room.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Input, wall_clock};
use crate::agent::{CertificateNumber, Event, Failure, RequestFailure, Subject};
use crate::config::Config;
use crate::fetch::{self, Answer, Report, Verdict};
use crate::ocsp::{self, Assessment, Policy, Rejection, ResponderError};

/// Whose response a job is about.
pub(super) type Key = (CertificateNumber, Arc<Subject>);
/// A request for the fetch room.
pub(super) type Job = fetch::Job<Key>;
/// What the `ocsp` room says of an answer.
type Judgement = Result<Assessment, Rejection>;

/// Reports of the fetch room that may wait to be translated.
const REPORTS: usize = 256;

/// The request for a certificate's response: to the responders that it names, for the CertID that
/// HAProxy knows it by.
pub(super) fn job(certificate: CertificateNumber, subject: Arc<Subject>, urgent: bool) -> Job {
    fetch::Job {
        urls: subject.certificate.ocsp_urls().to_vec(),
        request: ocsp::encode_request(&subject.cert_id, None).into(),
        key: (certificate, subject),
        urgent,
        conditional: None,
    }
}

/// Runs the fetch room and translates between it and the agent.
pub(super) fn run(
    config: &Config,
    jobs: mpsc::UnboundedReceiver<Job>,
    inputs: mpsc::Sender<Input>,
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
            if inputs.send(Input::Event(event(report))).await.is_err() {
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
fn judge((_, subject): &Key, response: &[u8]) -> Verdict<Judgement> {
    let judgement = ocsp::verify(
        response,
        subject.as_ocsp(),
        None,
        wall_clock(),
        Policy::default(),
    );
    match &judgement {
        Ok(_) => Verdict::Settled(judgement),
        Err(Rejection::Responder(
            ResponderError::TryLater | ResponderError::InternalError | ResponderError::Unauthorized,
        )) => Verdict::NextUrl(judgement),
        Err(_) => Verdict::OtherForm(judgement),
    }
}

fn event(report: Report<Key, Judgement>) -> Event {
    let (certificate, _) = report.key;
    let result = match report.outcome {
        Ok(Answer::Judged { judgement, url, .. }) => {
            judgement.map_err(|rejection| RequestFailure {
                failure: Failure {
                    kind: rejection.kind(),
                    message: format!("{url}: {rejection}"),
                },
                retry_after: None,
            })
        }
        Ok(Answer::NotModified { .. }) => return Event::Wakeup,
        Err(failure) => Err(RequestFailure {
            failure: Failure {
                kind: failure.error.kind(),
                message: failure.to_string(),
            },
            retry_after: failure.error.retry_after(),
        }),
    };
    Event::Answered {
        certificate,
        result,
    }
}
