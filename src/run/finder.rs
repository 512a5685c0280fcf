//! Discovery's changes, with the staples found beside the certificates, as events for the agent.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::wall_clock;
use crate::agent::{Content, Event, Exclusion, FoundFile, Subject, TargetId};
use crate::config::{Config, Policies};
use crate::discovery::{self, Change, Directory, DirtyDirectories, Finding, Refusal, Scanner};
use crate::ocsp::{self, Policy, Staple};
use crate::store;

/// How long to wait after a hint, so that a file that is being written is whole and a hundred
/// changes cost one scan.
const SETTLING: Duration = Duration::from_millis(100);

/// Scans at start, at every hint, at every rescan request, and every refresh interval.
pub(super) fn run(
    config: &Config,
    rescan: Arc<Notify>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static {
    let refresh_interval = config.refresh_interval;
    let policies = config.policies.clone();
    let paths: Vec<PathBuf> = config
        .directories
        .iter()
        .map(|directory| directory.path.clone())
        .collect();
    let targets: Vec<Arc<[TargetId]>> = config
        .directories
        .iter()
        .map(|directory| directory.sockets.iter().copied().map(TargetId).collect())
        .collect();
    async move {
        let directories = paths
            .iter()
            .cloned()
            .map(|path| Directory { path })
            .collect();
        let mut finder = Finder {
            scanner: Scanner::new(directories),
            targets,
            policies,
            events,
        };
        let mut hints = discovery::watch()
            .inspect_err(|error| {
                tracing::warn!(
                    reason = "no_inotify",
                    "changes are noticed only every {} s: {error}",
                    refresh_interval.as_secs()
                );
            })
            .ok();
        sweep(&paths);
        loop {
            if let Some(hints) = &mut hints {
                hints.add(&paths);
            }
            let Ok(scanned) = tokio::task::spawn_blocking(move || finder.scan()).await else {
                return;
            };
            let Some(still) = scanned else {
                return;
            };
            finder = still;
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(refresh_interval) => {}
                () = rescan.notified() => {}
                () = next_hint(&mut hints) => sleep(SETTLING).await,
            }
        }
    }
}

/// Removes what a run that was cut off left behind; what cannot be swept does no harm.
fn sweep(paths: &[PathBuf]) {
    for path in paths {
        if let Err(error) = store::sweep(path) {
            tracing::debug!(directory = %path.display(), "left-over files not looked for: {error}");
        }
    }
}

/// Waits for a hint; for ever, once there are none to be had.
async fn next_hint(hints: &mut Option<DirtyDirectories>) {
    if let Some(stream) = hints {
        match stream.next().await {
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(reason = "no_inotify", "no more hints of changes: {error}");
                *hints = None;
            }
        }
    }
    std::future::pending().await
}

struct Finder {
    scanner: Scanner,
    targets: Vec<Arc<[TargetId]>>,
    policies: Policies,
    events: mpsc::Sender<Event>,
}

impl Finder {
    /// One scan; gives itself back, or nothing when nobody listens any more.
    fn scan(mut self) -> Option<Self> {
        let Finder {
            scanner,
            targets,
            policies,
            events,
        } = &mut self;
        scanner.scan(|change| {
            let event = match change {
                Change::Found {
                    directory,
                    path,
                    content,
                } => {
                    let targets = targets.get(directory).map(Arc::clone).unwrap_or_default();
                    Event::FileFound(found(path, targets, content, policies))
                }
                Change::Gone { path } => Event::FileGone(path),
                Change::StapleGone { path } => Event::StapleFileGone(path),
                other => return log_directory(&other),
            };
            // When nobody listens any more, the end of the scan notices.
            let _ = events.blocking_send(event);
        });
        self.events.blocking_send(Event::Scanned).ok()?;
        Some(self)
    }
}

fn log_directory(change: &Change) {
    match change {
        Change::DirectoryFailed { path, error } => {
            tracing::error!(directory = %path.display(), reason = error.kind(), "directory {error}");
        }
        Change::DirectoryRecovered { path } => {
            tracing::info!(directory = %path.display(), "directory can be read again");
        }
        Change::DirectoryEmptied { path } => tracing::warn!(
            directory = %path.display(),
            reason = "emptied",
            "directory has no certificates any more; HAProxy keeps the staples it has"
        ),
        Change::Found { .. } | Change::Gone { .. } | Change::StapleGone { .. } => {}
    }
}

/// A scan's finding as the agent wants it: classified, and with the staple beside it if that is
/// worth anything.
fn found(
    path: PathBuf,
    targets: Arc<[TargetId]>,
    content: Result<Finding, Refusal>,
    policies: &Policies,
) -> FoundFile {
    let staple_path = discovery::staple_path(&path);
    let content = match content {
        Ok(finding) => {
            let subject = Arc::new(Subject::new(finding.certificate, finding.issuer));
            let staple = held_staple(&staple_path, &subject, policies.of(&subject.issuer));
            Content::Certificate { subject, staple }
        }
        Err(refusal) => Content::Excluded(exclusion(&refusal)),
    };
    FoundFile {
        path,
        staple_path,
        targets,
        content,
    }
}

/// The staple on disk, if it is valid now. What is not valid is replaced like one that is missing.
fn held_staple(staple_path: &Path, subject: &Subject, policy: Policy) -> Option<Arc<Staple>> {
    let useless = |reason: &str| {
        tracing::info!(staple = %staple_path.display(), "not used, to be replaced: {reason}");
    };
    let bytes = match store::load(staple_path) {
        Ok(bytes) => bytes?,
        Err(error) => {
            useless(&error.to_string());
            return None;
        }
    };
    match ocsp::verify(&bytes, subject.as_ocsp(), None, wall_clock(), policy) {
        Ok(assessment) => match assessment.stapling {
            Ok(staple) => return Some(Arc::new(staple)),
            Err(reason) => useless(&reason.to_string()),
        },
        Err(rejection) => useless(&rejection.to_string()),
    }
    None
}

fn exclusion(refusal: &Refusal) -> Exclusion {
    let reason = refusal.to_string();
    match refusal {
        Refusal::NoResponder => Exclusion::NoResponder,
        Refusal::NoIssuer(_) | Refusal::WrongIssuerFile(_) => Exclusion::NoIssuer { reason },
        Refusal::CertificateAuthority | Refusal::SelfSigned => Exclusion::NotApplicable { reason },
        Refusal::KeyOnly | Refusal::Incomplete | Refusal::NotACertificate(_) | Refusal::Io(_) => {
            Exclusion::Unreadable { reason }
        }
    }
}
