//! Programs that are told of what happens to certificates: the `hooks` of the configuration.
//!
//! A hook is started directly, never by a shell, with the facts in environment variables and as one
//! JSON object on its standard input (see [`HookFacts`]). It has bounded time, after which it is
//! killed with its process group; for one certificate file one hook runs at a time, and a bounded
//! number over all. Its exit status and the end of its output are logged. What it does changes
//! nothing here: a hook that fails is not run again.

mod facts;
mod process;
mod queue;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use facts::{HookEvent, HookFacts};

use self::queue::Queue;
use crate::agent::{FileStatus, Notice};
use crate::config::{Hooks, Invocation};

/// One hook that is to be run.
#[derive(Clone, Debug)]
pub struct HookRun {
    /// The program with its arguments.
    command: Invocation,
    /// How long it may take.
    timeout: Duration,
    /// What it is told.
    facts: HookFacts,
}

/// The hook that is to be run after this report, if there is one; `status` is asked for the
/// certificate file that it is about.
pub fn order<'agent>(
    hooks: &Hooks,
    report: &Notice,
    status: impl FnOnce(&Path) -> Option<FileStatus<'agent>>,
) -> Option<HookRun> {
    let (event, path) = HookEvent::of(report)?;
    let command = match event {
        HookEvent::Renewed => hooks.renewed.as_ref(),
        HookEvent::Failing => hooks.failing.as_ref(),
        HookEvent::Revoked => hooks.revoked.as_ref(),
        HookEvent::Expiring => hooks.expiring.as_ref(),
    }?;
    Some(HookRun {
        command: command.clone(),
        timeout: hooks.timeout,
        facts: HookFacts::new(event, report, &status(path)?)?,
    })
}

/// Runs what is ordered until `stop` is cancelled. Then what waits is not run any more, and what
/// runs has a second to end before it is killed.
///
/// The orders are taken over at once, even while hooks run; the queue here bounds them.
pub async fn run(mut orders: mpsc::UnboundedReceiver<HookRun>, stop: CancellationToken) {
    let mut queue = Queue::default();
    let mut running = JoinSet::new();
    // Orders that found the queue full since one last found room.
    let mut lost: u64 = 0;
    loop {
        while let Some(order) = queue.next() {
            let stop = stop.clone();
            running.spawn(async move {
                process::run(&order, &stop).await;
                order.facts.certificate
            });
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = running.join_next(), if !running.is_empty() => {
                if let Ok(certificate) = ended {
                    queue.finished(&certificate);
                }
            }
            order = orders.recv() => {
                let Some(order) = order else { break };
                lost = count_lost(queue.push(order), lost);
            }
        }
    }
    if queue.waiting() > 0 {
        tracing::warn!(
            reason = "hooks_dropped",
            "{} hooks are not run any more",
            queue.waiting()
        );
    }
    while running.join_next().await.is_some() {}
}

/// Logs where orders begin to be lost and where that ends; how many are lost now.
fn count_lost(is_taken: bool, lost: u64) -> u64 {
    match (is_taken, lost) {
        (true, 0) => 0,
        (true, lost) => {
            tracing::warn!(
                reason = "hooks_dropped",
                "{lost} events had no hook run for them"
            );
            0
        }
        (false, 0) => {
            tracing::warn!(
                reason = "hooks_dropped",
                "{} events wait for their hooks: further ones have none run for them",
                queue::LONGEST
            );
            1
        }
        (false, lost) => lost.saturating_add(1),
    }
}
