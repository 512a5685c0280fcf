//! The process is killed at every step of a write.
//!
//! The one that is killed is this test binary, started once more for one test and told by its
//! environment where to write and when to die.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use super::faults::{Fault, Faulty};
use super::*;

const OLD: &[u8] = b"the old staple, longer than the new one";
const NEW: &[u8] = b"the new staple";
const SIGKILL: i32 = 9;
/// Where the process that is to be killed writes, and at which step it is.
const DIRECTORY: &str = "STAPLERD_TEST_CRASH_DIRECTORY";
const STEP: &str = "STAPLERD_TEST_CRASH_STEP";
/// More steps than a batch of two files has.
const ENOUGH: usize = 40;

fn targets(directory: &Path) -> [PathBuf; 2] {
    ["a.ocsp", "b.ocsp"].map(|name| directory.join(name))
}

/// The part of the process that is killed; does nothing when the tests are run as usual.
#[test]
fn victim() {
    let (Ok(directory), Ok(step)) = (std::env::var(DIRECTORY), std::env::var(STEP)) else {
        return;
    };
    let disk = Faulty::new(step.parse().unwrap(), Fault::Killed);
    let targets = targets(Path::new(&directory));
    let files: Vec<(&Path, &[u8])> = targets.iter().map(|path| (path.as_path(), NEW)).collect();
    for result in write_with(&disk, &files, &Claims::default(), Ownership::default()) {
        result.unwrap();
    }
}

#[test]
fn a_kill_at_any_step_leaves_old_or_new_whole_and_the_next_start_sweeps() {
    let mut left_over = 0;
    for step in 0..ENOUGH {
        let directory = tempfile::tempdir().unwrap();
        let targets = targets(directory.path());
        for target in &targets {
            fs::write(target, OLD).unwrap();
        }
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::crash::victim"])
            .env(DIRECTORY, directory.path())
            .env(STEP, step.to_string())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        if status.success() {
            assert!(step >= 10, "only {step} steps");
            assert!(left_over > 0, "no kill ever left a temporary file");
            assert_eq!(
                fs::read(&targets[0]).unwrap(),
                NEW,
                "it wrote something else"
            );
            return;
        }
        assert_eq!(status.signal(), Some(SIGKILL), "step {step}");
        for target in &targets {
            let bytes = fs::read(target).unwrap();
            assert!(bytes == OLD || bytes == NEW, "step {step}: {bytes:?}");
        }
        left_over += names(directory.path()).len() - targets.len();
        temporary::sweep(directory.path(), false);
        assert_eq!(names(directory.path()), ["a.ocsp", "b.ocsp"], "step {step}");
    }
    panic!("the write never came to its end");
}
