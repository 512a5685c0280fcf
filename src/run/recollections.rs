//! What the agent has to know of the process before, and what the next one has to know of it:
//! between the agent's words and the memory's.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::agent::{Agent, Identity, Recollection};
use crate::memory::{self, CertificateRecord, Digest, Memory, Record, RecordKey, StapleFileRecord};
use crate::time::Timestamp;

/// What is lost where nothing outlives the process.
const LOST: &str = "what is known of revocations and of transactions that are open in HAProxy ends \
                    with this process";

/// Opens the memory, in `named` or else where it is by default. Without one all works, which is
/// said.
pub(super) fn open(named: Option<&Path>) -> Memory {
    if let Some(directory) = named {
        // What stands in the way is said when it is opened.
        let _ = DirBuilder::new().mode(0o700).create(directory);
    }
    let directory = named.unwrap_or(Path::new(memory::DIRECTORY));
    match Memory::open(directory) {
        Ok(memory) => memory,
        Err(error @ memory::Error::Unusable { .. }) if named.is_some() => {
            tracing::warn!(reason = error.kind(), "state_directory: {error}; {LOST}");
            Memory::default()
        }
        Err(error) => {
            tracing::info!(
                reason = error.kind(),
                "{error}; without a state_directory {LOST}"
            );
            Memory::default()
        }
    }
}

/// Tells the agent what an earlier process has learnt of certificates.
pub(super) fn recall(memory: &Memory, agent: &mut Agent, now: Timestamp) {
    for record in memory.recall_all() {
        match record {
            Record::Certificate(known) => {
                let known = Recollection {
                    identity: Identity(known.identity.0),
                    not_after: known.not_after,
                    standing: known.standing,
                };
                agent.recall(known, now);
            }
            Record::StapleFile(written) if is_gone(Path::new(&written.path)) => {
                memory.forget(&RecordKey::StapleFile(written.path));
            }
            Record::StapleFile(_) | Record::Transaction(_) => {}
        }
    }
}

/// Whether a file is gone although its folder is there.
fn is_gone(path: &Path) -> bool {
    !path.exists() && path.parent().is_some_and(Path::exists)
}

/// Keeps what the agent wants to be known by the next process.
pub(super) fn remember(memory: &Memory, known: Recollection) {
    memory.remember(Record::Certificate(CertificateRecord {
        identity: Digest(known.identity.0),
        not_after: known.not_after,
        standing: known.standing,
    }));
}

/// Forgets what was kept of a certificate.
pub(super) fn forget(memory: &Memory, identity: Identity) {
    memory.forget(&RecordKey::Certificate(Digest(identity.0)));
}

/// A staple's file was written: from now on it is this program's. One whose name is no text is so
/// only as far as its bytes say it.
pub(super) fn wrote(memory: &Memory, staple_path: &Path, bytes: &[u8]) {
    if let Some(path) = staple_path.to_str() {
        memory.remember(Record::StapleFile(StapleFileRecord {
            path: path.to_owned(),
            content: Digest::of(bytes),
        }));
    }
}

/// A staple's file was removed.
pub(super) fn unwrote(memory: &Memory, staple_path: &Path) {
    if let Some(path) = staple_path.to_str() {
        memory.forget(&RecordKey::StapleFile(path.to_owned()));
    }
}

/// Whether a staple's file is as it was written; none where nothing was written there.
pub(super) fn is_as_written(memory: &Memory, staple_path: &Path, bytes: &[u8]) -> Option<bool> {
    let key = RecordKey::StapleFile(staple_path.to_str()?.to_owned());
    match memory.recall(&key)? {
        Record::StapleFile(written) => Some(written.content == Digest::of(bytes)),
        Record::Certificate(_) | Record::Transaction(_) => None,
    }
}
