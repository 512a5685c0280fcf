//! A session of the `haproxy` room, driven as the agent drives it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use staplerd::haproxy::{
    self, Arrival, DeliveryError, Error, Offer, Process, ProcessNotice, Processes, Push,
    Quarantine, SessionReport, Settings,
};
use staplerd::ocsp::Staple;
use staplerd::x509::CertificateReference;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::haproxy::DEADLINE;
use super::pki;
use super::pki::StapleOffer;

/// How many reports may wait.
const QUEUE: usize = 256;

/// What a session is told.
pub fn settings(refresh_interval: Duration, push: Push) -> Settings {
    Settings {
        refresh_interval,
        push,
        asks_circumstances: false,
    }
}

/// A running session.
pub struct Session {
    deliveries: mpsc::UnboundedSender<Offer>,
    reports: mpsc::Receiver<SessionReport>,
    /// Reports that were not what a test waited for.
    others: VecDeque<SessionReport>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Session {
    /// Starts a session with the control socket `target`.
    pub fn start(target: &str) -> Session {
        Session::refreshing(target, Duration::from_secs(60))
    }

    /// Starts a session that reads all certificate stores within `refresh_interval`.
    pub fn refreshing(target: &str, refresh_interval: Duration) -> Session {
        Session::with(
            target,
            settings(refresh_interval, Push::Always),
            Arc::default(),
        )
    }

    /// Starts a session that pushes as it is told.
    pub fn pushing(target: &str, push: Push) -> Session {
        Session::with(target, settings(DEADLINE, push), Arc::default())
    }

    /// Starts a session that shares what is known of processes with others.
    pub fn with(target: &str, settings: Settings, processes: Arc<Processes>) -> Session {
        let (deliveries, taken) = mpsc::unbounded_channel();
        let (sender, reports) = mpsc::channel(QUEUE);
        let stop = CancellationToken::new();
        let task = tokio::spawn(haproxy::run(
            target.parse().unwrap(),
            settings,
            taken,
            sender,
            processes,
            pki::now,
            stop.clone(),
        ));
        Session {
            deliveries,
            reports,
            others: VecDeque::new(),
            stop,
            task,
        }
    }

    /// The next report that `wanted` accepts; what comes before it is kept for later.
    pub async fn report<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&SessionReport) -> Option<T>,
    ) -> T {
        let kept = self
            .others
            .iter()
            .enumerate()
            .find_map(|(position, report)| Some((position, wanted(report)?)));
        if let Some((position, found)) = kept {
            self.others.remove(position);
            return found;
        }
        loop {
            let report = timeout(DEADLINE, self.reports.recv())
                .await
                .unwrap_or_else(|_| panic!("waited in vain for {what}; had {:?}", self.others))
                .expect("the session to go on");
            match wanted(&report) {
                Some(found) => return found,
                None => self.others.push_back(report),
            }
        }
    }

    /// Waits for a connection.
    pub async fn connected(&mut self) -> Process {
        self.report("a connection", |report| match report {
            SessionReport::Connected(process) => Some(process.clone()),
            _ => None,
        })
        .await
    }

    /// Waits for the loss of the connection, or for a failure to make one.
    pub async fn disconnected(&mut self) -> Error {
        self.report("a disconnection", |report| match report {
            SessionReport::Disconnected(error) => Some(error.clone()),
            _ => None,
        })
        .await
    }

    /// Waits until something is said about the process that `wanted` accepts.
    pub async fn noticed(&mut self, wanted: impl Fn(&ProcessNotice) -> bool) -> ProcessNotice {
        self.report("a notice", |report| match report {
            SessionReport::Noticed(notices) => {
                notices.iter().find(|notice| wanted(notice)).cloned()
            }
            _ => None,
        })
        .await
    }

    /// Waits for the report that a store has changed.
    pub async fn store_changed(&mut self) -> (String, CertificateReference) {
        self.report("a changed store", |report| match report {
            SessionReport::StoreChanged { store, certificate } => {
                Some((store.clone(), certificate.clone()))
            }
            _ => None,
        })
        .await
    }

    /// A report that came while something else was waited for.
    pub fn kept(&mut self, wanted: impl Fn(&SessionReport) -> bool) -> Option<SessionReport> {
        while let Ok(report) = self.reports.try_recv() {
            self.others.push_back(report);
        }
        self.others.iter().find(|report| wanted(report)).cloned()
    }

    /// Waits for the stores that are left alone.
    pub async fn quarantined(&mut self) -> BTreeMap<String, Quarantine> {
        self.report("stores in quarantine", |report| match report {
            SessionReport::Quarantined(stores) => Some(stores.clone()),
            _ => None,
        })
        .await
    }

    /// Waits for the names of the stores.
    pub async fn loaded(&mut self) -> Vec<String> {
        self.report("the names of the stores", |report| match report {
            SessionReport::Loaded(stores) => Some(stores.clone()),
            _ => None,
        })
        .await
    }

    /// Hands a delivery over without waiting for its outcome.
    pub fn send(&mut self, staple: &StapleOffer) {
        self.deliveries.send(staple.0.clone()).unwrap();
    }

    /// Waits for the outcome of a delivery for this staple's certificate.
    pub async fn outcome(&mut self, staple: &Staple) -> Result<Arrival, DeliveryError> {
        let wanted = staple.certificate_fingerprint();
        self.report("the outcome of a delivery", |report| match report {
            SessionReport::Delivered {
                fingerprint,
                outcome,
            } if *fingerprint == wanted => Some(outcome.clone()),
            _ => None,
        })
        .await
    }

    /// Delivers and waits for the outcome.
    pub async fn deliver(&mut self, staple: &StapleOffer) -> Result<Arrival, DeliveryError> {
        self.send(staple);
        self.outcome(staple).await
    }

    /// Waits for a connection to the process `pid`. On the way there may be others: while a new
    /// worker of 3.1 or later loads, its master still leads to the old one.
    pub async fn connected_to(&mut self, pid: u32) {
        while self.connected().await.pid != pid {}
    }

    /// Delivers as the agent does: again after every connection that was lost.
    pub async fn deliver_again(&mut self, staple: &StapleOffer) -> Result<Arrival, DeliveryError> {
        loop {
            match self.deliver(staple).await {
                Err(DeliveryError::Disconnected) => self.connected().await,
                outcome => return outcome,
            };
        }
    }

    /// Ends it where it is, as SIGKILL ends a program.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// Stops it and waits for its end.
    pub async fn stop(self) {
        self.stop.cancel();
        timeout(DEADLINE, self.task).await.unwrap().unwrap();
    }
}
