//! Each system call of a write fails, or does half: the old staple stays whole.

use std::cell::Cell;
use std::ffi::OsStr;

use rustix::io::Errno;

use super::*;

/// A disk on which the call of this number (from 0) fails.
pub(super) struct Faulty {
    fails_at: usize,
    fault: Fault,
    calls: Cell<usize>,
}

/// What happens at that call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// The system refuses.
    Refused(Errno),
    /// Of a write only the first byte is done; other calls work.
    Short,
    /// A write does nothing and says so; other calls work.
    Stuck,
    /// The process is killed before the call.
    Killed,
}

impl Faulty {
    pub(super) fn new(fails_at: usize, fault: Fault) -> Self {
        Faulty {
            fails_at,
            fault,
            calls: Cell::new(0),
        }
    }

    /// Counts a call and has its fault, if this is the one.
    fn fault(&self) -> io::Result<Option<Fault>> {
        let call = self.calls.replace(self.calls.get() + 1);
        if call != self.fails_at {
            return Ok(None);
        }
        match self.fault {
            Fault::Refused(errno) => Err(errno.into()),
            Fault::Killed => {
                let process = rustix::process::getpid();
                rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
                unreachable!("SIGKILL has been sent to this process");
            }
            other => Ok(Some(other)),
        }
    }
}

impl Disk for Faulty {
    fn create(&self, directory: &File, name: &OsStr) -> io::Result<File> {
        self.fault()?;
        System.create(directory, name)
    }

    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<usize> {
        match self.fault()? {
            Some(Fault::Short) => System.write(file, &bytes[..1]),
            Some(_) => Ok(0),
            None => System.write(file, bytes),
        }
    }

    fn set_group(&self, file: &File, group: u32) -> io::Result<()> {
        self.fault()?;
        System.set_group(file, group)
    }

    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()> {
        self.fault()?;
        System.set_mode(file, mode)
    }

    fn flush(&self, file: &File) -> io::Result<()> {
        self.fault()?;
        System.flush(file)
    }

    fn flush_file_system(&self, directory: &File) -> io::Result<()> {
        self.fault()?;
        System.flush_file_system(directory)
    }

    fn rename(&self, directory: &File, from: &OsStr, to: &OsStr) -> io::Result<()> {
        self.fault()?;
        System.rename(directory, from, to)
    }

    fn flush_directory(&self, directory: &File) -> io::Result<()> {
        self.fault()?;
        System.flush_directory(directory)
    }

    fn remove(&self, directory: &File, name: &OsStr) -> io::Result<()> {
        self.fault()?;
        System.remove(directory, name)
    }
}

const OLD: &[u8] = b"the old staple, longer than the new one";
const NEW: &[u8] = b"the new staple";
/// More calls than a batch of two files makes.
const ENOUGH: usize = 40;

/// A directory with two old staples.
fn two_old() -> (tempfile::TempDir, [PathBuf; 2]) {
    let directory = tempfile::tempdir().unwrap();
    let targets = ["a.ocsp", "b.ocsp"].map(|name| directory.path().join(name));
    for target in &targets {
        fs::write(target, OLD).unwrap();
    }
    (directory, targets)
}

/// Writes these files with one fault; how many calls there were, and the kinds of failure.
fn with_fault(targets: &[PathBuf], disk: &Faulty) -> Vec<Option<&'static str>> {
    let files: Vec<(&Path, &[u8])> = targets.iter().map(|path| (path.as_path(), NEW)).collect();
    write_with(disk, &files, &Claims::default(), Ownership::default())
        .iter()
        .map(|result| result.as_ref().err().map(Error::kind))
        .collect()
}

#[test]
fn whatever_is_refused_at_whatever_step_leaves_old_or_new_whole_and_a_retry_works() {
    for (errno, kind) in [
        (Errno::NOSPC, "no_space"),
        (Errno::DQUOT, "no_space"),
        (Errno::ROFS, "read_only"),
        (Errno::ACCESS, "permission_denied"),
        (Errno::IO, "io"),
    ] {
        for number in [1, 2] {
            let mut steps = 0;
            for step in 0..ENOUGH {
                let (directory, targets) = two_old();
                let targets = &targets[..number];
                let disk = Faulty::new(step, Fault::Refused(errno));
                let kinds = with_fault(targets, &disk);
                if disk.calls.get() <= step {
                    assert_eq!(kinds, vec![None; number], "no fault was reached");
                    break;
                }
                steps += 1;
                assert!(
                    kinds.contains(&Some(kind)),
                    "step {step} {errno}: {kinds:?}"
                );
                for (target, kind) in targets.iter().zip(&kinds) {
                    let bytes = fs::read(target).unwrap();
                    assert!(bytes == OLD || bytes == NEW, "step {step} {errno}");
                    assert!(kind.is_some() || bytes == NEW, "step {step} {errno}");
                }
                assert_eq!(names(directory.path()), ["a.ocsp", "b.ocsp"]);
                assert_eq!(
                    with_fault(targets, &Faulty::new(ENOUGH, Fault::Short)),
                    vec![None; number]
                );
            }
            assert!(steps >= 5, "only {steps} steps had a fault");
        }
    }
}

#[test]
fn a_fault_of_one_file_is_not_the_others() {
    let (_directory, targets) = two_old();
    let kinds = with_fault(&targets, &Faulty::new(1, Fault::Refused(Errno::NOSPC)));
    assert_eq!(kinds, [Some("no_space"), None]);
    assert_eq!(fs::read(&targets[0]).unwrap(), OLD);
    assert_eq!(fs::read(&targets[1]).unwrap(), NEW);
}

#[test]
fn a_short_write_goes_on_and_an_interrupted_one_is_repeated() {
    for fault in [Fault::Short, Fault::Refused(Errno::INTR)] {
        let (_directory, targets) = two_old();
        assert_eq!(
            with_fault(&targets[..1], &Faulty::new(1, fault)),
            [None],
            "{fault:?}"
        );
        assert_eq!(fs::read(&targets[0]).unwrap(), NEW);
    }
}

#[test]
fn a_write_that_does_nothing_leaves_the_old_file() {
    let (directory, targets) = two_old();
    let kinds = with_fault(&targets[..1], &Faulty::new(1, Fault::Stuck));
    assert_eq!(kinds, [Some("io")]);
    assert_eq!(fs::read(&targets[0]).unwrap(), OLD);
    assert_eq!(names(directory.path()), ["a.ocsp", "b.ocsp"]);
}

#[test]
fn a_file_system_that_cannot_flush_directories_is_taken_as_it_is() {
    let (_directory, targets) = two_old();
    for step in 0..ENOUGH {
        let disk = Faulty::new(step, Fault::Refused(Errno::INVAL));
        let kinds = with_fault(&targets[..1], &disk);
        if disk.calls.get() == step + 1 && kinds == [None] {
            return;
        }
    }
    panic!("the last step, flushing the directory, was not reached");
}
