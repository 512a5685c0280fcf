//! Fetching from responders that misbehave: every fault has its outcome, and none spreads.

mod addresses;
mod answers;
mod clocks;
mod combinations;
mod faults;
mod isolation;
mod mangled;
mod proxies;
mod shared_cache;
mod wire;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use staplerd::fetch::{
    AddressRules, Error, FetchedAnswer, Job, JobReport, Need, Overrides, Settings, UrlFailure,
    Verdict, run,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::scripted_responder::DEADLINE;

/// The smallest OCSPResponse: tryLater. These tests look at the way, not at the contents.
const RESPONSE: &[u8] = &[0x30, 0x03, 0x0a, 0x01, 0x03];
/// A request as it may look; nobody here reads it.
const REQUEST: &[u8] = &[0x30, 0x03, 0x0c, 0x01, 0xff];

/// Default settings, but for loopback responders that may be slow on purpose.
fn settings() -> Settings {
    Settings {
        addresses: AddressRules::parse(&["loopback"]).unwrap(),
        ..Settings::default()
    }
}

/// Settings under which something that never comes is given up soon.
fn impatient() -> Settings {
    Settings {
        connect_timeout: Duration::from_millis(300),
        request_timeout: Duration::from_millis(600),
        ..settings()
    }
}

/// A job for a certificate of its own.
fn job<K>(key: K, urls: &[String]) -> Job<K> {
    static CERTIFICATES: AtomicU64 = AtomicU64::new(0);
    Job {
        key,
        urls: urls.to_vec(),
        request: Arc::from(REQUEST),
        need: Need {
            certificate: CERTIFICATES.fetch_add(1, Ordering::Relaxed),
            ..Need::default()
        },
        conditional: None,
    }
}

type Outcome = Result<FetchedAnswer<Vec<u8>>, UrlFailure>;

/// Fetches all jobs with everything accepted that comes.
fn fetch_all(settings: Settings, jobs: Vec<Job<usize>>) -> Vec<JobReport<usize, Vec<u8>>> {
    fetch_jobs(settings, jobs, |_, body| Verdict::Settled(body.to_vec()))
}

/// Fetches all jobs with the caller's judgement; each must be reported once.
fn fetch_jobs<A: Send + 'static>(
    settings: Settings,
    jobs: Vec<Job<usize>>,
    judge: impl Fn(&usize, &[u8]) -> Verdict<A> + Send + Sync + 'static,
) -> Vec<JobReport<usize, A>> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let expected: HashSet<usize> = jobs.iter().map(|job| job.key).collect();
    let reports = runtime.block_on(async {
        let (job_sender, job_receiver) = mpsc::unbounded_channel();
        let (report_sender, mut report_receiver) = mpsc::channel(jobs.len().max(1));
        for job in jobs {
            job_sender.send(job).unwrap();
        }
        drop(job_sender);
        let service = run(
            settings,
            job_receiver,
            judge,
            report_sender,
            CancellationToken::new(),
        );
        let collect = async {
            let mut reports = Vec::new();
            while let Some(report) = report_receiver.recv().await {
                reports.push(report);
            }
            reports
        };
        let both = async { tokio::join!(service, collect).1 };
        tokio::time::timeout(DEADLINE, both).await.unwrap()
    });
    runtime.shutdown_background();
    let reported: HashSet<usize> = reports.iter().map(|report| report.key).collect();
    assert_eq!(reported, expected);
    assert_eq!(reports.len(), expected.len(), "each job is reported once");
    reports
}

/// Fetches one response from `urls`.
fn fetch_one(settings: Settings, urls: &[String]) -> Outcome {
    fetch_all(settings, vec![job(0, urls)]).remove(0).outcome
}

/// The bytes of an answer that must be there.
fn body(outcome: &Outcome) -> &[u8] {
    match outcome {
        Ok(FetchedAnswer::Judged { judgement, .. }) => judgement,
        other => panic!("no answer: {other:?}"),
    }
}

/// The error that must be there.
fn error(outcome: Outcome) -> Error {
    outcome.unwrap_err().error
}
