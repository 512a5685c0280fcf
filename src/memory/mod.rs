//! What must outlive the process: typed records in one file of the state directory.
//!
//! A revocation that a responder told, the newest response that was given to a process, what was
//! written where, a transaction that is open in a HAProxy process: who forgets these at a restart
//! does harm. The room keeps records and decides nothing; what they mean is known by those who
//! write them. Writing waits for no caller: one thread appends to the file, and what cannot be
//! written is still known until the process ends. Without a directory all works, and everything
//! ends with the process.

mod journal;
mod record;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use self::journal::MemoryFile;
use crate::text::Printable;

pub use self::record::{
    CertificateRecord, Digest, ProcessRecord, Record, RecordKey, Stage, StapleFileRecord,
    TransactionRecord,
};

/// The directory that is used where none is named, if it is there and may be written.
pub const DIRECTORY: &str = "/var/lib/staplerd";
/// So much is remembered and no more: of a hundred thousand certificates, all.
const MOST_RECORDS: usize = 300_000;
/// How long a caller waits at most for what it wants to be sure of.
const PATIENCE: Duration = Duration::from_millis(500);

/// Why nothing outlives the process.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such directory, or it may not be used.
    #[error("{}: {error}", path.printable())]
    Unusable {
        /// The directory, or the file in it.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
    },
    /// Another staplerd remembers there.
    #[error("{}: another staplerd uses this directory", .0.printable())]
    InUse(PathBuf),
}

impl Error {
    /// The kind in snake_case: log reason.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Unusable { .. } => "state_directory_unusable",
            Error::InUse(_) => "state_directory_in_use",
        }
    }
}

/// A handle to all that is remembered; cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    kept: Kept,
    /// None where everything ends with the process.
    orders: Option<mpsc::Sender<MemoryOrder>>,
}

/// What is known now.
type Kept = Arc<Mutex<BTreeMap<RecordKey, Record>>>;

/// What the writing thread is told.
#[derive(Debug)]
enum MemoryOrder {
    /// One more line.
    Line(String),
    /// To say when everything before is in the file: it outlives the process.
    Settle(oneshot::Sender<()>),
    /// To say when everything before is on the disk: it outlives the machine's power.
    Sync(oneshot::Sender<()>),
}

fn lock(kept: &Kept) -> MutexGuard<'_, BTreeMap<RecordKey, Record>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    /// Remembers in this directory from now on, and recalls what is remembered there. What cannot
    /// be read is set aside under another name and said in the log.
    ///
    /// # Errors
    /// [`Error`]: the directory is missing, may not be written, or is another process's.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let kept = Kept::default();
        let (sender, orders) = mpsc::channel();
        let journal = MemoryFile::open(directory, &kept)?;
        std::thread::spawn(move || journal.work(&orders));
        Ok(Memory {
            kept,
            orders: Some(sender),
        })
    }

    /// Whether anything outlives the process.
    pub fn is_lasting(&self) -> bool {
        self.orders.is_some()
    }

    /// Remembers this in place of what had the same key.
    pub fn remember(&self, record: Record) {
        let mut kept = lock(&self.kept);
        let key = record.key();
        let known = kept.get(&key);
        if known == Some(&record) || (known.is_none() && kept.len() >= MOST_RECORDS) {
            return;
        }
        self.append(record::line_to_remember(&record));
        kept.insert(key, record);
    }

    /// Forgets what has this key.
    pub fn forget(&self, key: &RecordKey) {
        let mut kept = lock(&self.kept);
        if kept.remove(key).is_some() {
            self.append(record::line_to_forget(key));
        }
    }

    /// What has this key.
    pub fn recall(&self, key: &RecordKey) -> Option<Record> {
        lock(&self.kept).get(key).cloned()
    }

    /// Everything that is remembered.
    pub fn recall_all(&self) -> Vec<Record> {
        lock(&self.kept).values().cloned().collect()
    }

    /// Waits until what was remembered and forgotten so far outlives the process, half a second at
    /// most. Whether it does.
    pub async fn settled(&self) -> bool {
        self.confirmed(MemoryOrder::Settle).await
    }

    /// The same for the machine's power.
    pub async fn synced(&self) -> bool {
        self.confirmed(MemoryOrder::Sync).await
    }

    async fn confirmed(&self, order: impl FnOnce(oneshot::Sender<()>) -> MemoryOrder) -> bool {
        let (sender, confirmation) = oneshot::channel();
        let sent = self.orders.as_ref().map(|it| it.send(order(sender)));
        matches!(sent, Some(Ok(()))) && matches!(timeout(PATIENCE, confirmation).await, Ok(Ok(())))
    }

    /// Called with the records locked, so that the lines come in the order of the changes.
    fn append(&self, line: Option<String>) {
        if let (Some(orders), Some(line)) = (&self.orders, line) {
            // The thread is gone only when the process is.
            let _ = orders.send(MemoryOrder::Line(line));
        }
    }
}
