//! Fetching OCSP responses over HTTP: fast, polite, and unmoved by a broken responder.
//!
//! [`run`] is the service: jobs come in, reports go out. What strangers choose goes over no wire as
//! it is (`wire`, `acquaintance`), nor everywhere (`address`, `off_limits`, `this_machine`). The
//! deciding parts are pure (`address`, `caching`, `limits`, `outcome`, `overrides`, `proxy`,
//! `verdict`, `wire`), the exchange is blocking (`client`, `connection`, `race`, `resolver`, `tcp`)
//! and runs on tokio's blocking threads, one permit each. This room knows HTTP; what an OCSP
//! response says is judged by the caller's function, in the same thread. Nothing here logs: every
//! outcome is handed back. RFC 6960 appendix A, RFC 9919.

mod acquaintance;
mod address;
mod attempt;
mod caching;
mod client;
mod connection;
mod limits;
mod off_limits;
mod outcome;
mod overrides;
mod pauses;
mod proxy;
mod race;
mod resolver;
mod tcp;
mod this_machine;
mod url;
mod verdict;
mod wire;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use address::{AddressKind, AddressRules, Author, InvalidNetwork, RefusedAddress};
pub use caching::{Caching, RETRY_AFTER_MAX, RETRY_AFTER_MIN, Validators};
pub use client::{BODY_MAX, HEADER_MAX, REDIRECTS_MAX};
pub use limits::{Dismissed, Health, Limits, Need};
pub use off_limits::{ForeignListener, ListenerKind, OffLimits};
pub use outcome::{Error, NextStep};
pub use overrides::{InvalidOverride, Overrides};
pub use pauses::Pauses;
pub use proxy::{InvalidProxy, Proxies};
pub use resolver::{Destinations, LOOKUPS_MAX, Lookup, system_lookup};
pub use url::URL_MAX;
pub use verdict::{Judged, verdict};

use attempt::Attempt;
use client::Client;
use resolver::AddressBook;

use crate::time::Timestamp;

/// Exchanges in flight, unless configured otherwise; chosen by `benches/fetch.rs`.
pub const RENEWAL_THREADS: usize = 160;
/// Time to connect, name lookup and TLS included, unless configured otherwise.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for everything that is tried at one URL, unless configured otherwise.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Jobs waiting, in flight or reported and not yet taken; beyond it no more are accepted.
pub const JOBS_HELD_MAX: usize = 65_536;
/// How long exchanges under way are waited for when the service is stopped.
pub const STOP_GRACE: Duration = Duration::from_millis(500);
/// Certificates' first URLs for which a better one is remembered.
const BETTER_URLS_MAX: usize = 1024;

/// What the fetcher needs to know.
#[derive(Clone)]
pub struct Settings {
    /// Exchanges in flight at a time.
    pub renewal_threads: usize,
    /// Time to connect, name lookup and TLS included.
    pub connect_timeout: Duration,
    /// Time for everything that is tried at one URL.
    pub request_timeout: Duration,
    /// Which addresses strangers' URLs may lead to.
    pub addresses: AddressRules,
    /// The URLs that the operator wrote himself, which need no permission.
    pub operators_urls: Arc<BTreeSet<String>>,
    /// Where nothing is asked.
    pub off_limits: OffLimits,
    /// Which way requests take.
    pub proxies: Proxies,
    /// How host names become addresses.
    pub lookup: Lookup,
    /// The responders that are being left alone.
    pub pauses: Pauses,
    /// The wall clock; asked only what a `Retry-After` date without a `Date` beside it means.
    pub now: fn() -> Timestamp,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            renewal_threads: RENEWAL_THREADS,
            connect_timeout: CONNECT_TIMEOUT,
            request_timeout: REQUEST_TIMEOUT,
            addresses: AddressRules::default(),
            operators_urls: Arc::default(),
            off_limits: OffLimits::default(),
            proxies: Proxies::default(),
            lookup: system_lookup(),
            pauses: Pauses::default(),
            now: || SystemTime::now().into(),
        }
    }
}

impl Settings {
    /// Whose word a responder's URL is.
    fn author_of(&self, url: &str) -> Author {
        match self.operators_urls.contains(url) {
            true => Author::Operator,
            false => Author::Stranger,
        }
    }

    fn address_book(&self) -> Arc<AddressBook> {
        let rules = self.addresses.clone();
        AddressBook::new(self.lookup.clone(), rules, self.off_limits.clone())
    }
}

/// One response to be fetched.
#[derive(Clone, Debug)]
pub struct Job<K> {
    /// The caller's name for the job.
    pub key: K,
    /// The certificate's OCSP URLs, in order.
    pub urls: Vec<String>,
    /// The DER OCSPRequest.
    pub request: Arc<[u8]>,
    /// The certificate that it is for, and its priority.
    pub need: Need,
    /// Validators of the answer held, where a 304 would do.
    pub conditional: Option<Validators>,
}

/// What the caller makes of an answer, and whether another might be better.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict<A> {
    /// Take it.
    Settled(A),
    /// Older than the one held, or nearly over: ask once more past all caches, then the next URL.
    Outdated(A),
    /// The responder dislikes the request's form or answers nonsense (malformedRequest,
    /// sigRequired, not parseable, wrong CertID): ask by POST once, then the next URL.
    OtherForm(A),
    /// The responder has nothing for this certificate (unauthorized, unknown): next URL.
    NextUrl(A),
    /// The responder is not able to answer now (tryLater, internalError): next URL, and it counts
    /// as a failure of the responder.
    Unable(A),
}

/// How a job ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobReport<K, A> {
    /// The job's key.
    pub key: K,
    /// The last answer judged, if there was any; else the last failure.
    pub outcome: Result<FetchedAnswer<A>, UrlFailure>,
}

/// A responder's answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FetchedAnswer<A> {
    /// A response, and what the caller's function made of it.
    Judged {
        /// The caller's judgement.
        judgement: A,
        /// The responder's URL.
        url: String,
        /// What the headers say about asking again.
        caching: Caching,
    },
    /// 304: the response held is still the current one.
    NotModified {
        /// The responder's URL.
        url: String,
        /// What the headers say about asking again.
        caching: Caching,
    },
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct UrlFailure {
    /// The URL last tried; none where there was none to try.
    pub url: Option<String>,
    /// What happened there.
    #[source]
    pub error: Error,
}

impl std::fmt::Display for UrlFailure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.url {
            Some(url) => write!(formatter, "{url}: {}", self.error),
            None => write!(formatter, "{}", self.error),
        }
    }
}

/// Fetches what `jobs` brings and reports each job exactly once on `results`, in no particular
/// order; `judge` is called in the thread that did the exchange.
///
/// Returns when `jobs` is closed and everything is reported, when the receiver of the reports is
/// gone, or within [`STOP_GRACE`] of `stop`, dropping what is unfinished. Up to [`JOBS_HELD_MAX`]
/// jobs are taken out of `jobs` without a report being taken out of `results`.
pub async fn run<K, A>(
    settings: Settings,
    mut jobs: mpsc::UnboundedReceiver<Job<K>>,
    judge: impl Fn(&K, &[u8]) -> Verdict<A> + Send + Sync + 'static,
    results: mpsc::Sender<JobReport<K, A>>,
    stop: CancellationToken,
) where
    K: Send + 'static,
    A: Send + 'static,
{
    let mut dispatcher = Dispatcher::new(&settings);
    let client = Client::new(&settings);
    let judge = Arc::new(judge);
    let timeout = settings.request_timeout;
    let mut exchanges = JoinSet::new();
    let mut accepting = true;
    loop {
        while let Some((responder, active)) = dispatcher.limits.start_next() {
            let (client, judge) = (client.clone(), judge.clone());
            exchanges.spawn_blocking(move || {
                let attempt = active.attempt(&client, timeout, &*judge);
                (responder, active, attempt)
            });
        }
        let held = dispatcher.limits.waiting() + exchanges.len() + dispatcher.reports.len();
        if !accepting && held == 0 {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => break,
            Some(finished) = exchanges.join_next() => match finished {
                Ok((responder, active, attempt)) => dispatcher.finished(&responder, active, attempt),
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // The runtime is going down and takes its threads along.
                    Err(_) => return,
                },
            },
            permit = results.reserve(), if !dispatcher.reports.is_empty() => match permit {
                Ok(permit) => if let Some(report) = dispatcher.reports.pop_front() {
                    permit.send(report);
                },
                // The receiver is gone.
                Err(_) => break,
            },
            job = jobs.recv(), if accepting && held < JOBS_HELD_MAX => match job {
                Some(job) => dispatcher.accept(job),
                None => accepting = false,
            },
        }
    }
    client.shut_down();
    let ended = async { while exchanges.join_next().await.is_some() {} };
    // What still hangs (a connect, a name lookup) ends with the process.
    let _ = tokio::time::timeout(STOP_GRACE, ended).await;
}

/// The responder of a URL, by the name that [`Pauses`] and circuits know it by.
fn responder_of(url: &str) -> Option<String> {
    client::responder_of(url).ok()
}

/// Time since the machine was started, which no setting of the clock changes. It runs on while the
/// machine is suspended: a responder that wanted an hour's pause has had it by then.
fn monotonic() -> Duration {
    clock_gettime(ClockId::Boottime)
        .try_into()
        .unwrap_or_default()
}

/// A job on its way through its URLs.
struct ActiveJob<K, A> {
    job: Job<K>,
    /// The first URL as the certificate has it, by which a better one is remembered.
    first_url: String,
    /// The URL to try now.
    place: usize,
    /// The best that the URLs before brought.
    so_far: Option<Result<FetchedAnswer<A>, UrlFailure>>,
}

impl<K, A> ActiveJob<K, A> {
    fn attempt(
        &self,
        client: &Client,
        timeout: Duration,
        judge: &impl Fn(&K, &[u8]) -> Verdict<A>,
    ) -> Attempt<A> {
        attempt::ask(
            client,
            self.job.urls.get(self.place).map_or("", String::as_str),
            &self.job.request,
            self.job.conditional.as_ref(),
            timeout,
            |response| judge(&self.job.key, response),
        )
    }

    /// Notes the outcome at the present URL and goes on to the next. An answer outranks a failure,
    /// and a failure outranks a request that was not sent, which says nothing about the
    /// certificate.
    fn move_on(&mut self, outcome: Result<FetchedAnswer<A>, UrlFailure>) {
        let worth = |outcome: &Result<FetchedAnswer<A>, UrlFailure>| match outcome {
            Ok(_) => 2,
            Err(failure) => u8::from(!failure.error.is_postponement()),
        };
        let before = self.so_far.as_ref().map(worth);
        if before.is_none_or(|before| before <= worth(&outcome)) {
            self.so_far = Some(outcome);
        }
        self.place += 1;
    }
}

/// The service's state between two events: the waiting jobs, those in flight, and the reports to
/// send.
struct Dispatcher<K, A> {
    limits: Limits<ActiveJob<K, A>>,
    pauses: Pauses,
    reports: VecDeque<JobReport<K, A>>,
    /// First URL of a certificate → the one of its URLs that answered last.
    better_urls: HashMap<String, String>,
}

impl<K, A> Dispatcher<K, A> {
    fn new(settings: &Settings) -> Self {
        Dispatcher {
            limits: Limits::new(settings.renewal_threads),
            pauses: settings.pauses.clone(),
            reports: VecDeque::new(),
            better_urls: HashMap::new(),
        }
    }

    fn accept(&mut self, mut job: Job<K>) {
        let first_url = job.urls.first().cloned().unwrap_or_default();
        if let Some(better) = self.better_urls.get(&first_url)
            && let Some(place) = job.urls.iter().position(|url| url == better)
        {
            job.urls[..=place].rotate_right(1);
        }
        self.dispatch(ActiveJob {
            job,
            first_url,
            place: 0,
            so_far: None,
        });
    }

    /// Lets the job wait for its present URL's responder, or a later one's, or reports it.
    fn dispatch(&mut self, mut active: ActiveJob<K, A>) {
        while let Some(url) = active.job.urls.get(active.place) {
            let url = Some(url.clone());
            let now = monotonic();
            let error = match client::responder_of(url.as_deref().unwrap_or_default()) {
                Err(error) => error,
                Ok(responder) => {
                    let need = active.job.need;
                    let admitted = self.limits.admit(&responder, active, need, now);
                    self.tell_pause(&responder, now);
                    match admitted {
                        Ok(()) => return,
                        Err(dismissed) => {
                            let Dismissed { job, retry_after } = dismissed;
                            active = job;
                            Error::CircuitOpen { retry_after }
                        }
                    }
                }
            };
            active.move_on(Err(UrlFailure { url, error }));
        }
        let no_url = UrlFailure {
            url: None,
            error: Error::NoUrl,
        };
        self.reports.push_back(JobReport {
            key: active.job.key,
            outcome: active.so_far.unwrap_or(Err(no_url)),
        });
    }

    fn finished(&mut self, responder: &str, mut active: ActiveJob<K, A>, attempt: Attempt<A>) {
        self.learn(responder, active.job.need.certificate, attempt.health);
        if attempt.settled {
            self.remember(&active);
            self.reports.push_back(JobReport {
                key: active.job.key,
                outcome: attempt.outcome,
            });
        } else {
            active.move_on(attempt.outcome);
            self.dispatch(active);
        }
    }

    fn learn(&mut self, responder: &str, certificate: u64, health: Health) {
        let (now, random) = (monotonic(), fastrand::f64());
        let dismissed = self
            .limits
            .finished(responder, certificate, health, now, random);
        self.tell_pause(responder, now);
        for dismissed in dismissed {
            let Dismissed {
                job: mut active,
                retry_after,
            } = dismissed;
            let url = active.job.urls.get(active.place).cloned();
            let error = Error::CircuitOpen { retry_after };
            active.move_on(Err(UrlFailure { url, error }));
            self.dispatch(active);
        }
    }

    fn tell_pause(&self, responder: &str, now: Duration) {
        self.pauses
            .tell(responder, self.limits.pause(responder, now), now);
    }

    /// The URL that answered is tried first for the next certificate with the same URLs.
    fn remember(&mut self, active: &ActiveJob<K, A>) {
        let answered = active.job.urls.get(active.place);
        if answered == Some(&active.first_url) {
            self.better_urls.remove(&active.first_url);
        } else if let Some(answered) = answered {
            if self.better_urls.len() >= BETTER_URLS_MAX {
                self.better_urls.clear();
            }
            self.better_urls
                .insert(active.first_url.clone(), answered.clone());
        }
    }
}
