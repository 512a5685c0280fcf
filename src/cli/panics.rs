//! The end of the process at a panic in any of its threads.
//!
//! A task or thread that panics ends alone, and the rest goes on as if nothing were missing: no
//! directory would be scanned any more, or no session served, by a daemon that answers its
//! watchdog. A process that ends is noticed and started again. The responder is not made to: there
//! a panic over one request is answered with `internalError`.

use std::panic;
use std::process::abort;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long the log is waited for: the thread that panicked may hold a lock that it needs.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Makes every panic from now on end the process with SIGABRT, once it has been said on standard
/// error and in the log.
pub(super) fn end_the_process() {
    let say = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        say(panic);
        log(panic.to_string().replace('\n', " "));
        abort();
    }));
}

/// Has it logged by another thread: this one may be in the middle of logging.
fn log(panic: String) {
    let (said, is_said) = mpsc::channel();
    let logging = move || {
        tracing::error!(
            reason = "panicked",
            "a mistake in the program itself; it ends, to be started again: {panic}"
        );
        let _ = said.send(());
    };
    if thread::Builder::new().spawn(logging).is_ok() {
        let _ = is_said.recv_timeout(LAST_WORDS);
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use rustix::process::Signal;

    use super::*;

    /// Set in the process that is to end.
    const VICTIM: &str = "STAPLERD_TEST_PANICS";

    /// A task that panics in a runtime whose main task has all the time of the world.
    fn be_the_victim() {
        end_the_process();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let room = tokio::task::spawn_blocking(|| panic!("the room is gone"));
            let _ = room.await;
            tokio::time::sleep(Duration::from_secs(60)).await;
        });
    }

    #[test]
    fn a_panic_in_a_task_ends_the_process() {
        if env::var_os(VICTIM).is_some() {
            return be_the_victim();
        }
        let ended = Command::new(env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("cli::panics::tests::a_panic_in_a_task_ends_the_process")
            .env(VICTIM, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(
            ended.status.signal(),
            Some(Signal::ABORT.as_raw()),
            "{said}"
        );
        assert!(said.contains("the room is gone"), "{said}");
    }
}
