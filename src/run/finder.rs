//! Discovery's changes, with the staples found on disk, as events for the agent.
//!
//! A file that is found in several sources is told of once, with the processes of all of them.
//!
//! Sees to it as well that only one staplerd at a time writes to a directory: what another one
//! looks after is claimed as soon as that one has ended.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::RoomNews;
use super::beside::Beside;
use super::found::{Finds, Found};
use super::plan::{Plan, StapleFolder};
use super::unreadable::{IN_USE, NOT_WRITABLE, Unreadable};
use crate::agent::{
    Event, Exclusion, Failure, FileContent, FoundFile, IssuedCertificate, TargetId,
};
use crate::discovery::{
    Change, FileRefusal, Finding, Hints, Interests, PATIENCE, Scanner, Selection, SourceId,
};
use crate::store::{self, Claim, Claims};
use crate::text::Printable;

/// How long to wait after a hint, so that a file that is being written is whole and a hundred
/// changes cost one scan.
const SETTLING: Duration = Duration::from_millis(100);
/// How often a directory is tried that another staplerd looks after.
const CLAIM_INTERVAL: Duration = Duration::from_secs(2);

/// A scan that is wanted before its time.
#[derive(Default)]
pub(super) struct Rescan {
    wanted: Notify,
    /// What has not changed is to be reported as well.
    is_everything: AtomicBool,
}

impl Rescan {
    /// Looks for what has changed, now.
    pub(super) fn changes(&self) {
        self.wanted.notify_one();
    }

    /// Reports everything that is there, now.
    pub(super) fn everything(&self) {
        self.is_everything.store(true, Ordering::Relaxed);
        self.wanted.notify_one();
    }
}

/// Scans at start, at every hint, at every rescan request, whenever the plan is another, and every
/// refresh interval.
pub(super) async fn run(
    mut plans: watch::Receiver<Arc<Plan>>,
    claims: Arc<Claims>,
    beside: Arc<Beside>,
    rescan: Arc<Rescan>,
    events: mpsc::Sender<Event>,
    news: mpsc::UnboundedSender<RoomNews>,
    stop: CancellationToken,
) {
    let mut finder = Finder::new(claims, beside, events, news);
    let mut hints = Hints::new()
        .inspect_err(|error| {
            tracing::warn!(
                reason = "no_inotify",
                "changes are noticed only at every refresh interval: {error}"
            );
        })
        .ok();
    while !stop.is_cancelled() {
        let begun = Instant::now();
        // However many changes there were, one scan sees them all.
        skip_waiting_hints(&mut hints).await;
        let plan = Arc::clone(&plans.borrow_and_update());
        let refresh_interval = plan.refresh_interval;
        if rescan.is_everything.swap(false, Ordering::Relaxed) {
            finder.doubt_everything();
        }
        let Ok(scanned) = tokio::task::spawn_blocking(move || finder.scan(plan)).await else {
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
            () = rescan.wanted.notified() => {}
            changed = plans.changed() => if changed.is_err() {
                return;
            },
            () = next_hint(&mut hints) => sleep(settling).await,
        }
    }
}

/// Passes over the hints that wait already.
pub(super) async fn skip_waiting_hints(hints: &mut Option<Hints>) {
    if let Some(stream) = hints
        && let Err(error) = stream.skip_waiting().await
    {
        no_more_hints(hints, &error);
    }
}

fn no_more_hints(hints: &mut Option<Hints>, error: &io::Error) {
    tracing::warn!(reason = "no_inotify", "no more hints of changes: {error}");
    *hints = None;
}

/// Waits for a hint; for ever, once there can be none.
pub(super) async fn next_hint(hints: &mut Option<Hints>) {
    if let Some(stream) = hints {
        match stream.next().await {
            Ok(()) => return,
            Err(error) => no_more_hints(hints, &error),
        }
    }
    std::future::pending().await
}

struct Finder {
    scanner: Scanner,
    plan: Arc<Plan>,
    folders: BTreeMap<PathBuf, StapleFolder>,
    /// What was read in each file, and where its staple belongs.
    found: HashMap<PathBuf, Finds>,
    beside: Arc<Beside>,
    events: mpsc::Sender<Event>,
    news: mpsc::UnboundedSender<RoomNews>,
    claims: Arc<Claims>,
    unreadable: Unreadable,
    /// The folders that another staplerd looks after.
    in_use: BTreeSet<PathBuf>,
    /// The folders that staples cannot be written to.
    not_writable: BTreeMap<PathBuf, Failure>,
    /// The number of the plan, and since when it is scanned.
    begun: (u64, Instant),
}

/// After a scan.
struct ScanOutcome {
    finder: Finder,
    interests: Interests,
    look_again_in: Duration,
}

impl Finder {
    fn new(
        claims: Arc<Claims>,
        beside: Arc<Beside>,
        events: mpsc::Sender<Event>,
        news: mpsc::UnboundedSender<RoomNews>,
    ) -> Self {
        Finder {
            scanner: Scanner::new([], Selection::default()),
            plan: Arc::default(),
            folders: BTreeMap::new(),
            found: HashMap::new(),
            beside,
            events,
            news,
            claims,
            unreadable: Unreadable::default(),
            in_use: BTreeSet::new(),
            not_writable: BTreeMap::new(),
            begun: (0, Instant::now()),
        }
    }

    /// Has the next scan report everything that is there.
    fn doubt_everything(&mut self) {
        for source in self.plan.sources.keys() {
            self.scanner.report_again(*source);
        }
    }

    /// One scan of what is planned; none when the receiver is gone.
    fn scan(mut self, plan: Arc<Plan>) -> Option<ScanOutcome> {
        let mut gone = Vec::new();
        if !Arc::ptr_eq(&plan, &self.plan) {
            gone = self.adopt(plan);
        }
        self.claim();
        let mut is_awaiting = self.report_changes();
        // Only now: a file that another source has is not to be forgotten in between.
        if self.all_gone(gone) {
            is_awaiting |= self.report_changes();
        }
        let mut directories = self.unreadable.and(&self.in_use, &self.plan);
        for (path, failure) in &self.not_writable {
            directories.entry(path.clone()).or_insert(failure.clone());
        }
        // At the end the receiver may be gone.
        let _ = self.news.send(RoomNews::Directories(directories));
        let plan = self.plan.number;
        if self.begun.0 != plan {
            self.begun = (plan, Instant::now());
        }
        // What may be half-written is given its time before all is known; not for ever.
        if !is_awaiting || self.begun.1.elapsed() >= PATIENCE {
            self.events.blocking_send(Event::Scanned { plan }).ok()?;
        }
        let interests = self.scanner.interests();
        let look_again_in = match (is_awaiting, self.in_use.is_empty()) {
            (true, _) => PATIENCE,
            (false, false) => CLAIM_INTERVAL,
            (false, true) => Duration::MAX,
        };
        Some(ScanOutcome {
            finder: self,
            interests,
            look_again_in,
        })
    }

    /// Goes over to another plan, keeping what is known of the sources that stay; the files of
    /// those that do not.
    fn adopt(&mut self, plan: Arc<Plan>) -> Vec<(SourceId, PathBuf)> {
        let before = std::mem::replace(&mut self.plan, plan);
        let plan = &self.plan;
        let sources = plan
            .sources
            .iter()
            .map(|(number, planned)| (*number, planned.source.clone()));
        let mut gone = Vec::new();
        self.scanner
            .replace(sources, plan.selection.clone(), |change| {
                if let Change::Gone { source, path } = change {
                    gone.push((source, path));
                }
            });
        let same_rules = before.policies == plan.policies && before.overrides == plan.overrides;
        for (number, planned) in &plan.sources {
            if !same_rules || before.sources.get(number) != Some(planned) {
                self.scanner.report_again(*number);
            }
        }
        self.folders = plan.staple_folders();
        self.claims.keep(|path| self.folders.contains_key(path));
        self.in_use.retain(|path| self.folders.contains_key(path));
        self.not_writable
            .retain(|path, _| self.folders.contains_key(path));
        gone
    }

    /// Scans and hands on what has changed. Whether a file may be half-written.
    fn report_changes(&mut self) -> bool {
        // One more scan tells which sources still have a file that any number of them lost at once.
        loop {
            let mut lost = Vec::new();
            let Finder {
                scanner,
                plan,
                found,
                beside,
                claims,
                events,
                unreadable,
                ..
            } = self;
            let is_awaiting = scanner.scan(Instant::now(), |change| {
                let event = match change {
                    Change::Found {
                        source,
                        path,
                        staple_path,
                        staple,
                        content,
                    } => {
                        let content = classified(source, content, plan);
                        let finds = found.entry(path.clone()).or_default();
                        beside.see(&staple_path, staple);
                        finds.put(Found {
                            source,
                            staple_path,
                            stamp: staple,
                            subject: content.as_ref().ok().map(Arc::clone),
                        });
                        let lies_there = finds.staple_file(plan, beside, claims);
                        let staple_path = beside.belongs_to(&path, finds.places());
                        let (content, litter) = match content {
                            Ok(subject) => {
                                let staple = lies_there;
                                (FileContent::Certificate { subject, staple }, None)
                            }
                            Err(exclusion) => (FileContent::Excluded(exclusion), Some(lies_there)),
                        };
                        let file = Event::FileFound(FoundFile {
                            content,
                            targets: targets(plan, finds.sources()),
                            path: path.clone(),
                            staple_path: staple_path.clone(),
                        });
                        let _ = events.blocking_send(file);
                        let Some(staple) = litter else {
                            return;
                        };
                        Event::StapleFileFound {
                            path,
                            staple_path,
                            staple,
                        }
                    }
                    Change::Gone { source, path } => {
                        lost.push((source, path));
                        return;
                    }
                    Change::StapleSeen {
                        source,
                        path,
                        staple,
                    } => {
                        let Some(finds) = found.get_mut(&path) else {
                            return;
                        };
                        let Some(seen) = finds.of(source) else {
                            return;
                        };
                        seen.stamp = staple;
                        if !beside.see(&seen.staple_path, staple) {
                            return;
                        }
                        Event::StapleFileFound {
                            staple: finds.staple_file(plan, beside, claims),
                            staple_path: beside.belongs_to(&path, finds.places()),
                            path,
                        }
                    }
                    other => {
                        log_directory(&other);
                        return unreadable.note(other);
                    }
                };
                // When the receiver is gone, the end of the scan notices.
                let _ = events.blocking_send(event);
            });
            if !self.all_gone(lost) {
                return is_awaiting;
            }
        }
    }

    /// Sources have lost files. Whether others have some of them, and are to report them again.
    fn all_gone(&mut self, files: Vec<(SourceId, PathBuf)>) -> bool {
        let mut are_elsewhere = false;
        for (source, path) in files {
            are_elsewhere |= self.gone(source, path);
        }
        are_elsewhere
    }

    /// A source has lost a file. Whether another one has it, and reports it again.
    fn gone(&mut self, source: SourceId, path: PathBuf) -> bool {
        let finds = self.found.entry(path.clone()).or_default();
        if let Some(removed) = finds.remove(source) {
            self.beside.doubt(&removed.staple_path);
        }
        let other = finds.sources().next();
        if let Some(other) = other {
            self.scanner.report_file_again(other, &path);
            return true;
        }
        self.found.remove(&path);
        let _ = self.events.blocking_send(Event::FileGone(path));
        false
    }

    /// Claims the folders that are not ours yet.
    fn claim(&mut self) {
        for (path, folder) in &self.folders {
            let directory = path.printable();
            let claim = self.claims.claim(path, folder.recursive);
            if matches!(claim, Ok(Claim::InUse)) {
                if self.in_use.insert(path.clone()) {
                    tracing::error!(
                        %directory,
                        reason = IN_USE,
                        "another staplerd looks after this directory: nothing is written to it \
                         until that one ends"
                    );
                }
                continue;
            }
            note_writable(path, claim.is_ok(), &mut self.not_writable);
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
                for source in &folder.sources {
                    self.scanner.report_again(*source);
                }
            }
        }
    }
}

/// Notes whether staples can be written to a folder, and says so where that is another matter than
/// before: the first renewal may be a day away. One that `is_there` not is the scan's to report.
fn note_writable(path: &Path, is_there: bool, not_writable: &mut BTreeMap<PathBuf, Failure>) {
    let checked = match is_there {
        true => store::check_writable(path),
        false => Ok(()),
    };
    let Err(error) = checked else {
        not_writable.remove(path);
        return;
    };
    let failure = Failure {
        kind: NOT_WRITABLE,
        message: format!("staples cannot be written: {error}"),
    };
    if not_writable.get(path) != Some(&failure) {
        let directory = path.printable();
        tracing::error!(%directory, reason = failure.kind, "{}", failure.message);
        not_writable.insert(path.to_owned(), failure);
    }
}

/// The processes that load a file found in these sources.
fn targets(plan: &Plan, sources: impl Iterator<Item = SourceId>) -> Arc<[TargetId]> {
    let planned = sources.filter_map(|source| plan.sources.get(&source));
    let mut all = planned.map(|planned| &planned.targets);
    match (all.next(), all.next()) {
        (Some(only), None) => Arc::clone(only),
        (first, second) => {
            let several = first.into_iter().chain(second).chain(all);
            let targets: BTreeSet<TargetId> = several
                .flat_map(|targets| targets.iter().copied())
                .collect();
            targets.into_iter().collect()
        }
    }
}

fn log_directory(change: &Change) {
    match change {
        Change::DirectoryFailed { path, error } => {
            tracing::error!(directory = %path.printable(), reason = error.kind(), "directory {error}");
        }
        Change::DirectoryRecovered { path } => {
            tracing::info!(directory = %path.printable(), "directory can be read again");
        }
        Change::Shortage { error } => tracing::warn!(
            reason = "shortage",
            "some files are not read yet, and are looked at again: {error} (see LimitNOFILE= of \
             the unit, or ulimit -n)"
        ),
        Change::DirectoryEmptied { path } => tracing::warn!(
            directory = %path.printable(),
            reason = "emptied",
            "directory has no certificates any more; HAProxy keeps the staples it has"
        ),
        Change::Found { .. } | Change::Gone { .. } | Change::StapleSeen { .. } => {}
    }
}

/// What a scan found as the agent wants it: a certificate to staple for, or why there is none.
fn classified(
    source: SourceId,
    content: Result<Finding, FileRefusal>,
    plan: &Plan,
) -> Result<Arc<IssuedCertificate>, Exclusion> {
    let Finding {
        certificate,
        issuer,
    } = content.map_err(|refusal| exclusion(&refusal))?;
    let responders = plan.responders(source, &certificate, &issuer);
    if responders.is_empty() {
        return Err(if certificate.ocsp_urls().is_empty() {
            Exclusion::NoResponder
        } else {
            let reason =
                "its responders are not to be asked (see responders: in the configuration)";
            Exclusion::NotApplicable {
                reason: reason.to_owned(),
            }
        });
    }
    let policy = plan.policies.of(&issuer);
    let subject = IssuedCertificate::new(certificate, issuer, responders, policy);
    Ok(Arc::new(subject))
}

fn exclusion(refusal: &FileRefusal) -> Exclusion {
    let reason = refusal.to_string();
    match refusal {
        FileRefusal::NoResponder => Exclusion::NoResponder,
        FileRefusal::NoIssuer(_)
        | FileRefusal::WrongIssuerFile(_)
        | FileRefusal::UnsupportedIssuer(_) => Exclusion::NoIssuer { reason },
        FileRefusal::CertificateAuthority | FileRefusal::SelfSigned => {
            Exclusion::NotApplicable { reason }
        }
        FileRefusal::IssuerFirst
        | FileRefusal::KeyOnly
        | FileRefusal::Incomplete
        | FileRefusal::NotACertificate(_)
        | FileRefusal::Io(_)
        | FileRefusal::NoRoom
        | FileRefusal::Shortage(_) => Exclusion::Unreadable { reason },
    }
}
