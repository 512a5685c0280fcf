//! Discovery's changes, with the staples found beside the certificates, as events for the agent.
//!
//! Sees to it as well that only one staplerd at a time writes to a directory: what another one
//! looks after is claimed as soon as that one has ended.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::wall_clock;
use crate::agent::{Content, Event, Exclusion, FoundFile, Subject, TargetId};
use crate::config::{Config, Policies};
use crate::discovery::source::Source;
use crate::discovery::{
    self, Change, Directory, Finding, Hints, Interests, PATIENCE, Refusal, Scanner,
};
use crate::ocsp::{self, Policy, Staple};
use crate::store::{self, Claim, Claims};

/// How long to wait after a hint, so that a file that is being written is whole and a hundred
/// changes cost one scan.
const SETTLING: Duration = Duration::from_millis(100);
/// How often a directory is tried that another staplerd looks after.
const CLAIM_INTERVAL: Duration = Duration::from_secs(2);

/// Scans at start, at every hint, at every rescan request, and every refresh interval.
pub(super) fn run(
    config: &Config,
    claims: Arc<Claims>,
    rescan: Arc<Notify>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static {
    let refresh_interval = config.refresh_interval;
    let mut finder = Finder::new(config, claims, events);
    async move {
        let mut hints = Hints::new()
            .inspect_err(|error| {
                tracing::warn!(
                    reason = "no_inotify",
                    "changes are noticed only every {} s: {error}",
                    refresh_interval.as_secs()
                );
            })
            .ok();
        while !stop.is_cancelled() {
            let begun = Instant::now();
            let Ok(scanned) = tokio::task::spawn_blocking(move || finder.scan()).await else {
                return;
            };
            let Some(outcome) = scanned else {
                return;
            };
            finder = outcome.finder;
            let is_more_watched = hints
                .as_mut()
                .is_some_and(|hints| hints.watch(outcome.interests));
            if is_more_watched {
                continue;
            }
            // However often hints come, at most half of a core's time goes into scans.
            let settling = SETTLING.max(begun.elapsed());
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(refresh_interval.min(outcome.look_again_in)) => {}
                () = rescan.notified() => {}
                () = next_hint(&mut hints) => sleep(settling).await,
            }
        }
    }
}

/// Waits for a hint; for ever, once there are none to be had.
async fn next_hint(hints: &mut Option<Hints>) {
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
    /// The directories, and whether the folders in them belong to them.
    paths: Vec<(PathBuf, bool)>,
    targets: Vec<Arc<[TargetId]>>,
    policies: Policies,
    events: mpsc::Sender<Event>,
    claims: Arc<Claims>,
    /// The directories that another staplerd looks after.
    in_use: BTreeSet<PathBuf>,
}

/// After a scan.
struct Outcome {
    finder: Finder,
    interests: Interests,
    look_again_in: Duration,
}

impl Finder {
    fn new(config: &Config, claims: Arc<Claims>, events: mpsc::Sender<Event>) -> Self {
        let mut paths = Vec::new();
        let mut targets = Vec::new();
        for configured in &config.sources {
            let Source::Directory(directory) = &configured.source else {
                tracing::warn!("passed over: {:?}", configured.source);
                continue;
            };
            paths.push((directory.path.clone(), directory.recursive));
            targets.push(configured.sockets.iter().copied().map(TargetId).collect());
        }
        let scanned = paths.iter().map(|(path, recursive)| Directory {
            path: path.clone(),
            recursive: *recursive,
        });
        Finder {
            scanner: Scanner::new(scanned.collect(), config.selection.clone()),
            paths,
            targets,
            policies: config.policies.clone(),
            events,
            claims,
            in_use: BTreeSet::new(),
        }
    }

    /// One scan; nothing when nobody listens any more.
    fn scan(mut self) -> Option<Outcome> {
        self.claim();
        let Finder {
            scanner,
            targets,
            policies,
            events,
            ..
        } = &mut self;
        let is_awaiting = scanner.scan(Instant::now(), |change| {
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
        let interests = self.scanner.interests();
        let look_again_in = match (is_awaiting, self.in_use.is_empty()) {
            (true, _) => PATIENCE,
            (false, false) => CLAIM_INTERVAL,
            (false, true) => Duration::MAX,
        };
        Some(Outcome {
            finder: self,
            interests,
            look_again_in,
        })
    }

    /// Claims the directories that are not ours yet.
    fn claim(&mut self) {
        for (index, (path, recursive)) in self.paths.iter().enumerate() {
            let directory = path.display();
            let claim = self.claims.claim(path, *recursive);
            if matches!(claim, Ok(Claim::InUse)) {
                if self.in_use.insert(path.clone()) {
                    tracing::error!(
                        %directory,
                        reason = "in_use",
                        "another staplerd looks after this directory: nothing is written to it \
                         until that one ends"
                    );
                }
                continue;
            }
            let was_in_use = self.in_use.remove(path);
            // A directory that cannot be opened is the scan's to report.
            if let Ok(Claim::NotLockable(error)) = claim {
                tracing::warn!(
                    %directory,
                    reason = "not_lockable",
                    "cannot be locked ({error}): see to it that no other staplerd writes to it"
                );
            }
            if was_in_use && self.claims.cover(path) {
                tracing::info!(%directory, "the other staplerd has ended: this one writes now");
                // What that one wrote is not known yet.
                self.scanner.report_again(index);
            }
        }
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
