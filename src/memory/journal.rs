//! The file: lines are appended, and from time to time it is written anew without what is over.
//!
//! What was appended outlives the process at once and, a second later, a power failure. Writing
//! anew goes by a temporary file, a flush and a rename, so that the file is the old one whole or
//! the new one whole. A lock on the directory (flock(2)) keeps a second process from the same file.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tokio::sync::oneshot;

use super::record::{self, RecordsReading};
use super::{Error, Kept, MemoryOrder, lock};
use crate::files::{self, Reach};
use crate::text::Printable;

/// The file.
const NAME: &str = "memory.jsonl";
/// What it is called while it is written anew.
const NEW: &str = "memory.jsonl.new";
/// What one is called that could not be read.
const BROKEN: &str = "memory.jsonl.broken";
/// A file above this size is not this program's.
const LARGEST: u64 = 128 * 1024 * 1024;
/// Lines are on the disk so long after they were written.
const SYNCED_WITHIN: Duration = Duration::from_secs(1);
/// How long to wait before a file that could not be written is tried again.
const REPAIRED_AFTER: Duration = Duration::from_secs(30);
/// So many lines may be over, and as many again as are needed, before the file is written anew.
const LINES_OVER: usize = 1024;

/// The file and how far it can be relied on.
#[derive(Debug)]
pub(super) struct MemoryFile {
    directory: PathBuf,
    /// Open for its lock, and to be flushed.
    handle: File,
    kept: Kept,
    file: Option<File>,
    lines: usize,
    /// Since when there are lines that a power failure would take.
    unsynced_since: Option<Instant>,
    /// When it was last tried to mend the file, if something is wrong with it.
    broken_at: Option<Instant>,
}

impl MemoryFile {
    /// Takes possession of a directory, reads what is remembered there into `kept`, and writes the
    /// file anew.
    pub(super) fn open(directory: &Path, kept: &Kept) -> Result<Self, Error> {
        let unusable = |error| Error::Unusable {
            path: directory.to_owned(),
            error,
        };
        let handle = files::open_directory(directory, Reach::Anywhere).map_err(unusable)?;
        // Some network file systems know no locks: any other error is none.
        let locked = flock(&handle, FlockOperation::NonBlockingLockExclusive);
        if locked == Err(Errno::WOULDBLOCK) {
            return Err(Error::InUse(directory.to_owned()));
        }
        let mut journal = MemoryFile {
            directory: directory.to_owned(),
            handle,
            kept: Kept::clone(kept),
            file: None,
            lines: 0,
            unsynced_since: None,
            broken_at: None,
        };
        let path = directory.join(NAME);
        let RecordsReading { records, mistake } = read(&journal.handle).map_err(unusable)?;
        if let Some(mistake) = mistake {
            journal.set_aside(&path, records.len(), &mistake);
        }
        *lock(kept) = records;
        journal.write_anew().map_err(unusable)?;
        Ok(journal)
    }

    /// The file is kept for a look at the part that could not be read; the rest counts.
    fn set_aside(&self, path: &Path, records: usize, mistake: &str) {
        let aside = self.directory.join(BROKEN);
        let outcome = match fs::rename(path, &aside) {
            Ok(()) => format!("set aside as {}", aside.printable()),
            Err(error) => format!("cannot be set aside: {error}"),
        };
        tracing::warn!(
            file = %path.printable(),
            reason = "memory_unreadable",
            "{mistake}; {outcome}; {records} records of it could be read and count"
        );
    }

    /// Carries out orders until their channel is closed.
    pub(super) fn work(mut self, orders: &Receiver<MemoryOrder>) {
        loop {
            let wait = self.unsynced_since.map_or(REPAIRED_AFTER, |since| {
                SYNCED_WITHIN.saturating_sub(since.elapsed())
            });
            let first = match orders.recv_timeout(wait) {
                Ok(order) => Some(order),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            self.carry_out(first.into_iter().chain(orders.try_iter()));
        }
        self.sync();
    }

    fn carry_out(&mut self, orders: impl Iterator<Item = MemoryOrder>) {
        let (mut lines, mut settled, mut synced) = (String::new(), Vec::new(), Vec::new());
        for order in orders {
            match order {
                MemoryOrder::Line(line) => {
                    self.lines += 1;
                    lines.push_str(&line);
                }
                MemoryOrder::Settle(sender) => settled.push(sender),
                MemoryOrder::Sync(sender) => synced.push(sender),
            }
        }
        if !lines.is_empty() && self.broken_at.is_none() {
            self.append(&lines);
        }
        self.mend();
        confirm(settled, self.broken_at.is_none());
        let is_due = |since: Instant| since.elapsed() >= SYNCED_WITHIN;
        if !synced.is_empty() || self.unsynced_since.is_some_and(is_due) {
            self.sync();
        }
        confirm(synced, self.broken_at.is_none());
    }

    fn append(&mut self, lines: &str) {
        self.unsynced_since.get_or_insert_with(Instant::now);
        let written = self.file.as_mut().map(|it| it.write_all(lines.as_bytes()));
        if let Some(Err(error)) = written {
            self.failed(&error);
        }
    }

    fn sync(&mut self) {
        let file = self.unsynced_since.take().and(self.file.as_ref());
        if let Some(Err(error)) = file.map(File::sync_data) {
            self.failed(&error);
        }
    }

    /// A file that failed once is not relied on until it was written anew. Said once.
    fn failed(&mut self, error: &io::Error) {
        self.unsynced_since = None;
        if self.broken_at.replace(Instant::now()).is_none() {
            tracing::warn!(
                file = %self.directory.join(NAME).printable(),
                reason = "memory_not_written",
                "{error}; until this is mended, what is learnt ends with the process"
            );
        }
    }

    /// Writes the file anew where it has become long, or something was wrong with it for a while.
    fn mend(&mut self) {
        let is_due = match self.broken_at {
            None => self.lines > 2 * lock(&self.kept).len() + LINES_OVER,
            Some(at) => at.elapsed() >= REPAIRED_AFTER,
        };
        if !is_due {
            return;
        }
        match self.write_anew() {
            Err(error) => self.failed(&error),
            Ok(()) if self.broken_at.take().is_some() => {
                let file = self.directory.join(NAME);
                tracing::info!(file = %file.printable(), "can be written again");
            }
            Ok(()) => {}
        }
    }

    fn write_anew(&mut self) -> io::Result<()> {
        let (text, count) = {
            let kept = lock(&self.kept);
            (record::write(kept.values()), kept.len())
        };
        let (new, path) = (self.directory.join(NEW), self.directory.join(NAME));
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = files::begin(&new, 0o600)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        fs::rename(&new, &path)?;
        match self.handle.sync_all() {
            // Some network file systems do not know how to.
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
                ) =>
            {
                return Err(error);
            }
            _ => {}
        }
        self.file = Some(file);
        self.lines = count;
        self.unsynced_since = None;
        Ok(())
    }
}

/// Those who get no word know that it is not so.
fn confirm(waiting: Vec<oneshot::Sender<()>>, is_so: bool) {
    for sender in waiting.into_iter().filter(|_| is_so) {
        // The asker may have given up.
        let _ = sender.send(());
    }
}

/// What the file in this directory says; nothing where there is none.
fn read(directory: &File) -> io::Result<RecordsReading> {
    let foreign = || RecordsReading {
        mistake: Some("is no file of this program's".to_owned()),
        ..RecordsReading::default()
    };
    let file = match files::open_at(directory, OsStr::new(NAME)) {
        Ok(file) => file,
        Err(error) => {
            return match error.kind() {
                io::ErrorKind::NotFound => Ok(RecordsReading::default()),
                io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory => Ok(foreign()),
                _ => Err(error),
            };
        }
    };
    let mut bytes = Vec::new();
    let read = file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    match u64::try_from(read) {
        Ok(read) if read <= LARGEST => Ok(record::read(&bytes)),
        _ => Ok(foreign()),
    }
}
