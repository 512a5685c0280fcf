//! Life in the background: a process of its own session, whose starter leaves when it is ready.
//!
//! The program starts itself again, with a pipe as standard output, over which the new process says
//! when it is ready; until then its standard error is the starter's, so that what keeps it from
//! starting is seen there. Then its standard streams become `/dev/null`. The working directory
//! stays, because paths on the command line may be relative to it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// What both processes are called, as `ps` shows it.
const NAME: &str = "staplerd";
/// The environment variable by which the new process knows what it is: the number of the process
/// that has started it. What that one starts in turn has another parent.
pub const STARTER: &str = "STAPLERD_STARTER";
/// What the new process says when it is ready.
const READY: &[u8] = b"ready";

/// Whether this is the new process, and its starter has not been told yet that it is ready.
static AWAITED: AtomicBool = AtomicBool::new(false);

/// What became of the new process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartOutcome {
    /// It runs.
    Ready,
    /// It has ended, with this exit code; none where a signal ended it.
    Ended(Option<i32>),
}

/// Whether this is the process that [`start`] has started. To be asked first while that one is
/// there.
pub fn is_here() -> bool {
    static IS_HERE: OnceLock<bool> = OnceLock::new();
    *IS_HERE.get_or_init(|| {
        let starter = std::env::var(STARTER).ok();
        starter.is_some_and(|pid| pid == std::os::unix::process::parent_id().to_string())
    })
}

/// Starts this program again with the same arguments and waits until it is ready or has ended.
///
/// # Errors
/// The system's, where there is no new process.
pub fn start() -> io::Result<StartOutcome> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg0(NAME)
        .env(STARTER, std::process::id().to_string())
        .args(std::env::args_os().skip(1))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = Vec::new();
    if let Some(pipe) = child.stdout.take() {
        // The end of what it says comes with its readiness or with its end.
        pipe.take(READY.len() as u64).read_to_end(&mut said)?;
    }
    if said == READY {
        return Ok(StartOutcome::Ready);
    }
    Ok(StartOutcome::Ended(child.wait()?.code()))
}

/// Makes this process, which [`start`] started, the leader of a session of its own.
///
/// # Errors
/// The system's, where it leads a process group already.
pub fn enter() -> io::Result<()> {
    rustix::process::setsid()?;
    AWAITED.store(true, Ordering::SeqCst);
    Ok(())
}

/// Lets the starter leave, and lets go of its terminal. Does nothing in the foreground, and the
/// second time.
pub fn ready() {
    if !AWAITED.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut stdout = io::stdout();
    // A starter that is gone need not be told.
    let _ = stdout.write_all(READY).and_then(|()| stdout.flush());
    if let Ok(nothing) = File::options().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(&nothing);
        let _ = rustix::stdio::dup2_stderr(&nothing);
    }
}
