//! What tells one state of a file from another, without reading it.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What changes when a file is replaced, written to, or given to others to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    mode: u32,
    group: u32,
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            mode: metadata.mode() & 0o7777,
            group: metadata.gid(),
        }
    }

    /// Of the file at this path, if there is one.
    pub(super) fn read(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().as_ref().map(Stamp::of)
    }

    /// The file's permissions.
    pub fn mode(&self) -> u32 {
        self.mode
    }

    /// The number of the file's group.
    pub fn group(&self) -> u32 {
        self.group
    }
}
