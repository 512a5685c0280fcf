//! One hook from its start to its end.
//!
//! It is the leader of a process group of its own, by which it is killed with all processes that it
//! has started. Processes that it leaves behind when it ends by itself are left alone.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::HookRun;
use crate::text::Printable;

/// How long hooks that run when the program is to stop have to end by themselves.
pub(super) const GRACE: Duration = Duration::from_secs(1);
/// How much of a hook's output is kept, from its end.
const KEPT_OUTPUT: usize = 4096;
/// Variables that are between systemd and this program alone (sd_notify(3), sd_listen_fds(3),
/// systemd.exec(5)).
const NOT_FOR_HOOKS: [&str; 5] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_",
    "LISTEN_",
    "JOURNAL_STREAM",
    "MAINPID",
];

/// How a hook ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// No process.
    #[error(
        "{program} cannot be started: {error}; check its path, and that the user staplerd runs as \
         may execute it"
    )]
    NotStarted { program: String, error: io::Error },
    /// The system does not tell how it ended.
    #[error("cannot be waited for: {0}")]
    Lost(io::Error),
    /// It took too long.
    #[error("killed, for it had not ended within {}", humantime::format_duration(*.0))]
    Timeout(Duration),
    /// It was still running when the program stopped.
    #[error("killed, for staplerd stops")]
    Stopped,
    /// It says so itself.
    #[error("ended with {0}")]
    Failed(ExitStatus),
}

impl Error {
    /// The kind in snake_case: log reason.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Error::NotStarted { .. } => "hook_not_started",
            Error::Lost(_) => "hook_lost",
            Error::Timeout(_) => "hook_timeout",
            Error::Stopped => "hook_stopped",
            Error::Failed(_) => "hook_failed",
        }
    }
}

/// Runs one hook and logs what became of it.
pub(super) async fn run(order: &HookRun, stop: &CancellationToken) {
    let hook = order.facts.event.name();
    let certificate = order.facts.certificate.printable();
    let mut output = Tail::default();
    let result = execute(order, stop, &mut output).await;
    for line in output.lines() {
        tracing::info!(hook, %certificate, "hook says: {line}");
    }
    match result {
        Ok(()) => tracing::info!(hook, %certificate, "hook ended with exit status: 0"),
        Err(error) => {
            tracing::warn!(hook, %certificate, reason = error.kind(), "hook {error}");
        }
    }
}

pub(super) async fn execute(
    order: &HookRun,
    stop: &CancellationToken,
    output: &mut Tail,
) -> Result<(), Error> {
    let (mut child, pipe) = start(order).map_err(|error| Error::NotStarted {
        program: order.command.program.printable().to_string(),
        error,
    })?;
    let input = child.stdin.take();
    let json = order.facts.json();
    let feed = async {
        if let Some(mut input) = input {
            // A hook that does not read it does not want it.
            let _ = input.write_all(&json).await;
        }
        std::future::pending::<ExitStatus>().await
    };
    let stopped = async {
        stop.cancelled().await;
        sleep(GRACE).await;
    };
    let result = tokio::select! {
        status = child.wait() => match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Error::Failed(status)),
            Err(error) => Err(Error::Lost(error)),
        },
        _ = feed => Ok(()),
        () = output.collect(&pipe) => Ok(()),
        () = sleep(order.timeout) => Err(Error::Timeout(order.timeout)),
        () = stopped => Err(Error::Stopped),
    };
    if matches!(result, Err(Error::Timeout(_) | Error::Stopped)) {
        kill(&mut child).await;
    }
    // What it has written before its end is in the pipe; others may have it open still.
    output.take_rest(&pipe);
    result
}

fn start(order: &HookRun) -> io::Result<(Child, pipe::Receiver)> {
    let (receiver, sender) = std::io::pipe()?;
    let receiver = pipe::Receiver::from_owned_fd(receiver.into())?;
    let mut command = Command::new(&order.command.program);
    command
        .args(&order.command.arguments)
        .stdin(Stdio::piped())
        .stdout(sender.try_clone()?)
        .stderr(sender)
        .process_group(0);
    for (name, _) in std::env::vars_os().filter(|(name, _)| !is_for_hooks(name)) {
        command.env_remove(name);
    }
    command.envs(order.facts.variables());
    Ok((command.spawn()?, receiver))
}

pub(super) fn is_for_hooks(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    !NOT_FOR_HOOKS
        .iter()
        .any(|withheld| name.starts_with(withheld.as_bytes()))
}

/// Kills a process with its group and takes leave of it.
async fn kill(child: &mut Child) {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(group) = id.and_then(Pid::from_raw) {
        // A process that has ended needs no signal.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait().await;
}

/// The last bytes of an output.
#[derive(Default)]
pub(super) struct Tail {
    bytes: VecDeque<u8>,
    is_cut: bool,
}

impl Tail {
    /// Reads the output until all writers have closed the pipe; never ends.
    async fn collect(&mut self, pipe: &pipe::Receiver) {
        while pipe.readable().await.is_ok() {
            match self.take(pipe) {
                Ok(0) => break,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => break,
                _ => {}
            }
        }
        std::future::pending().await
    }

    /// Takes in what is there.
    fn take_rest(&mut self, pipe: &pipe::Receiver) {
        /// More than a pipe holds (pipe(7)), so that a process that goes on writing is not waited
        /// for.
        const READS: usize = 1024;
        for _ in 0..READS {
            if matches!(self.take(pipe), Ok(0) | Err(_)) {
                return;
            }
        }
    }

    /// Takes in some of what is there; how much.
    fn take(&mut self, pipe: &pipe::Receiver) -> io::Result<usize> {
        let mut bytes = [0; 1024];
        let count = pipe.try_read(&mut bytes)?;
        self.bytes.extend(bytes.iter().take(count));
        let surplus = self.bytes.len().saturating_sub(KEPT_OUTPUT);
        self.bytes.drain(..surplus);
        self.is_cut |= surplus > 0;
        Ok(count)
    }

    /// The lines, of which the first is a part where something was cut off.
    pub(super) fn lines(&self) -> Vec<String> {
        let bytes: Vec<u8> = self.bytes.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let mut lines: Vec<String> = lines
            .map(|line| line.trim_end().replace('\t', " ").printable().to_string())
            .collect();
        if self.is_cut
            && let Some(first) = lines.first_mut()
        {
            first.insert(0, '\u{2026}');
        }
        lines
    }
}
