//! What outlives a connection to a HAProxy process: the session that serves it, and the commands
//! that were left unfinished.
//!
//! One of these is shared by all sessions. A process has one `set ssl cert` transaction for all its
//! clients, and HAProxy 3.4.0 stays locked for ever when two clients collide, so a process is
//! served over one control socket only. A transaction of ours that is neither committed nor aborted
//! keeps all clients from deploying certificates, and a commit whose end was not seen must not be
//! followed by an abort or a commit: HAProxy has freed what they touch (2.2 to 3.4 end by SIGSEGV).
//! Both are remembered until they are known to be over, also by the program's next process. It
//! talks to no HAProxy itself.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::address::Address;
use super::level::Level;
use super::offer::Offer;
use super::outcome::SessionReport;
use super::process::Process;
use crate::memory::{Memory, ProcessRecord, Record, RecordKey, Stage, TransactionRecord};
use crate::time::Timestamp;
use crate::x509::CertificateReference;

/// The start of one process is told to so many seconds: `Uptime_sec` and the clock are cut off.
const START_TOLERANCE: Duration = Duration::from_secs(2);

/// At most so many processes are remembered. Those that are gone are not told of, so the oldest go.
const REMEMBERED: usize = 64;

/// A process among all that ever answered: process ids come back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProcessIdentity {
    pid: u32,
    started: Option<Timestamp>,
    node: String,
}

impl ProcessIdentity {
    /// Who a process is that says this of itself at `now`.
    pub fn of(process: &Process, now: Timestamp) -> Self {
        let by_uptime = || {
            let uptime = process.uptime?;
            Some(now.saturating_sub(Duration::from_secs(uptime)))
        };
        let started = process.started.or_else(by_uptime);
        ProcessIdentity {
            pid: process.pid,
            started,
            node: process.node.clone(),
        }
    }

    /// Whether it is the same process.
    pub fn is(&self, other: &ProcessIdentity) -> bool {
        let same_start = match (self.started, other.started) {
            (Some(one), Some(other)) => one.since(other).max(other.since(one)) <= START_TOLERANCE,
            _ => true,
        };
        self.pid == other.pid && self.node == other.node && same_start
    }

    fn record(&self) -> ProcessRecord {
        ProcessRecord {
            pid: self.pid,
            started: self.started,
            node: self.node.clone(),
        }
    }
}

/// What this program began in a process and did not see the end of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unfinished {
    /// `set ssl cert` was sent for this store, and neither commit nor abort was answered.
    Transaction(String),
    /// `commit ssl cert` was sent for this store: it may have been cut off in its middle. The
    /// certificate that it has to leave there, where HAProxy does not see to that.
    Commit(String, Vec<CertificateReference>),
    /// This store was committed, and whether it holds this certificate still has not been seen.
    Unchecked(String, Vec<CertificateReference>),
    /// `commit ssl cert` for this store failed in a version that does not survive what follows.
    FailedCommit(String),
}

/// What was begun in a process.
#[derive(Debug)]
struct Begun {
    process: ProcessIdentity,
    unfinished: Unfinished,
    /// By an earlier process of this program: the transaction that is open now may be another
    /// client's.
    is_recalled: bool,
}

impl Begun {
    fn recalled(record: TransactionRecord) -> Self {
        let TransactionRecord {
            process: ProcessRecord { pid, started, node },
            store,
            stage,
            certificate,
        } = record;
        Begun {
            process: ProcessIdentity { pid, started, node },
            unfinished: match stage {
                Stage::Begun => Unfinished::Transaction(store),
                Stage::CommitSent => Unfinished::Commit(store, certificate),
                Stage::Committed => Unfinished::Unchecked(store, certificate),
                Stage::CommitFailed => Unfinished::FailedCommit(store),
            },
            is_recalled: true,
        }
    }

    fn record(&self) -> Record {
        let (store, stage, certificate) = match &self.unfinished {
            Unfinished::Transaction(store) => (store, Stage::Begun, &Vec::new()),
            Unfinished::Commit(store, certificate) => (store, Stage::CommitSent, certificate),
            Unfinished::Unchecked(store, certificate) => (store, Stage::Committed, certificate),
            Unfinished::FailedCommit(store) => (store, Stage::CommitFailed, &Vec::new()),
        };
        Record::Transaction(TransactionRecord {
            process: self.process.record(),
            store: store.clone(),
            stage,
            certificate: certificate.clone(),
        })
    }
}

/// What is known of processes beyond a connection.
#[derive(Default, Debug)]
pub struct Processes {
    memory: Memory,
    unfinished: Mutex<Vec<Begun>>,
    served: Mutex<Vec<ServedProcess>>,
    transactions: TaskTracker,
}

/// A process that has its session.
#[derive(Debug)]
struct ServedProcess {
    process: ProcessIdentity,
    server: ServingSession,
    step_down: CancellationToken,
}

/// The session that serves a process, as those see it whose sockets lead to the same process.
#[derive(Clone, Debug)]
pub struct ServingSession {
    /// Its control socket.
    pub address: Address,
    /// The level it has.
    pub level: Level,
    /// What others have it do.
    pub orders: mpsc::UnboundedSender<Handed>,
}

/// What is handed to the session that serves a process, by one whose socket is the second.
#[derive(Debug)]
pub enum Handed {
    /// Reports of the process go here, too.
    Follow(mpsc::Sender<SessionReport>),
    /// A delivery, and where its answer goes.
    Deliver(Offer, mpsc::Sender<SessionReport>),
}

/// The right to serve a process, until it is dropped.
#[derive(Debug)]
pub struct ServingRight<'processes> {
    processes: &'processes Processes,
    /// What others hand over.
    pub orders: mpsc::UnboundedReceiver<Handed>,
    /// Another session can do more in this process and takes it over.
    pub step_down: CancellationToken,
}

impl Drop for ServingRight<'_> {
    fn drop(&mut self) {
        self.orders.close();
        let mut served = lock(&self.processes.served);
        served.retain(|other| !other.server.orders.is_closed());
    }
}

impl Processes {
    /// Knows what is recalled there, and has it remembered what this process leaves unfinished.
    pub fn new(memory: Memory) -> Self {
        let recalled = memory.recall_all().into_iter().filter_map(|it| match it {
            Record::Transaction(record) => Some(Begun::recalled(record)),
            Record::Certificate(_) | Record::StapleFile(_) => None,
        });
        let unfinished = Mutex::new(recalled.collect());
        Processes {
            memory,
            unfinished,
            ..Processes::default()
        }
    }

    /// Asks to serve a process over a control socket; the session that does so already is the
    /// error, unless this one has a higher level.
    ///
    /// # Errors
    /// The session that serves the process.
    pub fn claim(
        &self,
        process: &ProcessIdentity,
        address: &Address,
        level: Level,
    ) -> Result<ServingRight<'_>, ServingSession> {
        let mut served = lock(&self.served);
        if let Some(other) = served.iter().find(|other| other.process.is(process)) {
            if other.server.level >= level {
                return Err(other.server.clone());
            }
            other.step_down.cancel();
        }
        served.retain(|other| !other.process.is(process));
        let (sender, orders) = mpsc::unbounded_channel();
        let step_down = CancellationToken::new();
        served.push(ServedProcess {
            process: process.clone(),
            server: ServingSession {
                address: address.clone(),
                level,
                orders: sender,
            },
            step_down: step_down.clone(),
        });
        Ok(ServingRight {
            processes: self,
            orders,
            step_down,
        })
    }

    /// What is unfinished in a process.
    pub fn unfinished(&self, process: &ProcessIdentity) -> Option<Unfinished> {
        let unfinished = lock(&self.unfinished);
        let found = unfinished.iter().find(|begun| begun.process.is(process));
        found.map(|begun| begun.unfinished.clone())
    }

    /// Whether what is unfinished in a process was begun by an earlier process of this program.
    pub fn is_recalled(&self, process: &ProcessIdentity) -> bool {
        let unfinished = lock(&self.unfinished);
        let mut those = unfinished.iter().filter(|begun| begun.process.is(process));
        those.any(|begun| begun.is_recalled)
    }

    /// Remembers what is unfinished in a process, in place of what was. Waits until this outlives
    /// the program, where anything does: it is called before HAProxy is told.
    pub async fn remember(&self, process: &ProcessIdentity, unfinished: Unfinished) {
        self.replace(process, unfinished);
        self.memory.settled().await;
    }

    fn replace(&self, process: &ProcessIdentity, begun: Unfinished) {
        let mut unfinished = lock(&self.unfinished);
        let begun = Begun {
            process: process.clone(),
            unfinished: begun,
            is_recalled: false,
        };
        let record = begun.record();
        let key = record.key();
        // First: whenever the program ends, one of the two is remembered.
        self.memory.remember(record);
        unfinished.retain(|known| self.keep_unless(known, known.process.is(process), Some(&key)));
        unfinished.push(begun);
        let surplus = unfinished.len().saturating_sub(REMEMBERED);
        for oldest in unfinished.drain(..surplus) {
            self.memory.forget(&oldest.record().key());
        }
    }

    /// Forgets what was unfinished in a process: it is known to be over.
    pub fn forget(&self, process: &ProcessIdentity) {
        let mut unfinished = lock(&self.unfinished);
        unfinished.retain(|known| self.keep_unless(known, known.process.is(process), None));
    }

    /// Has what is over forgotten, unless its record was written over.
    fn keep_unless(&self, begun: &Begun, is_over: bool, written_over: Option<&RecordKey>) -> bool {
        let key = begun.record().key();
        if is_over && written_over != Some(&key) {
            self.memory.forget(&key);
        }
        !is_over
    }

    /// Held while a transaction is being carried out: the program's end waits for it.
    pub fn transaction(&self) -> TaskTrackerToken {
        self.transactions.token()
    }

    /// Whether a transaction is being carried out.
    pub fn is_in_transaction(&self) -> bool {
        !self.transactions.is_empty()
    }
}

/// Every change of the locked value is one step, so it is in order after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
