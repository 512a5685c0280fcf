//! The log file: `staplerd.log` in a directory, one line a record, appended.
//!
//! When the file was moved or removed (logrotate), the next record begins a new one; no signal is
//! needed for that.

use crate::files;
use crate::text::Printable;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The file's name.
const NAME: &str = "staplerd.log";
/// Who may read it: the log names certificates and sockets.
const MODE: u32 = 0o640;

/// A file that is written to wherever it is moved.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: Mutex<File>,
}

impl LogFile {
    /// Opens the log file of a directory, which is made if need be.
    ///
    /// # Errors
    /// The system's, with the path in its words.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let path = directory.join(NAME);
        let about = |error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.printable()))
        };
        fs::create_dir_all(directory).map_err(about)?;
        let file = append_to(&path).map_err(about)?;
        Ok(LogFile {
            file: Mutex::new(file),
            path,
        })
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    files::append(path, MODE)
}

/// Whether the path still leads to the open file.
fn is_in_place(path: &Path, file: &File) -> bool {
    match (fs::metadata(path), file.metadata()) {
        (Ok(there), Ok(open)) => (there.dev(), there.ino()) == (open.dev(), open.ino()),
        _ => false,
    }
}

impl Write for &LogFile {
    /// One record.
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // If no new file can be made, the old one is better than none.
        if !is_in_place(&self.path, &file)
            && let Ok(new) = append_to(&self.path)
        {
            *file = new;
        }
        file.write_all(record)?;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_moved_away_is_begun_anew_and_nothing_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("log");
        let log = LogFile::open(&folder).unwrap();
        let (path, moved) = (folder.join(NAME), folder.join("staplerd.log.1"));
        (&log).write_all(b"one\n").unwrap();
        fs::rename(&path, &moved).unwrap();
        (&log).write_all(b"two\n").unwrap();
        fs::remove_file(&path).unwrap();
        (&log).write_all(b"four\n").unwrap();
        assert_eq!(fs::read_to_string(&moved).unwrap(), "one\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "four\n");
    }

    #[test]
    fn what_is_there_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        for line in ["one\n", "two\n"] {
            let log = LogFile::open(directory.path()).unwrap();
            (&log).write_all(line.as_bytes()).unwrap();
        }
        let text = fs::read_to_string(directory.path().join(NAME)).unwrap();
        assert_eq!(text, "one\ntwo\n");
    }
}
