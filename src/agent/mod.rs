//! The deciding part: which certificate is asked for, written and delivered, and when.
//!
//! Pure: facts come in by [`Agent::handle`], orders go out as its result, [`Agent::next_wakeup`]
//! says when to come back. It knows no socket, file, thread, clock or log, so that a year of
//! operation runs as a test. What it may hand out at all, only `ocsp::verify` can make: a
//! [`Staple`]. The rules it holds: the last good staple stays until it ends; nothing older
//! replaces it; disk and HAProxy do not wait for each other; one certificate's trouble is its own.

mod disk;
mod event;
mod failure;
mod inventory;
mod order;
mod placement;
mod requests;
mod served;
mod state;
mod status;
mod timers;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use event::{
    Answered, Delivered, DeliveryFailure, DeliveryRetry, Event, Notice, RequestFailure,
};
pub use failure::Failure;
pub use inventory::{
    CacheValidators, CertificateId, FileContent, FoundFile, Identity, IssuedCertificate,
    Recollection, StapleFile, TargetId,
};
pub use order::{Action, ClearOrder, DeliveryOrder, RequestOrder, StapleReader, WriteOrder};
pub use state::{Exclusion, Outdated, State};
pub use status::{CertificateSummary, FileStatus, PlaceSummary};

use self::inventory::{FileEntry, FileState, Inventory};
use self::served::Served;
use self::timers::{Timer, Timers};
use crate::ocsp::Staple;
use crate::ocsp::verify::CLOCK_SKEW;
use crate::schedule;
use crate::time::{Now, Timestamp};

/// What the operator decides.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// When responses are renewed.
    pub schedule: schedule::Settings,
    /// Staples found on disk are used, not renewed at once (stapled's default; `--no-recycle`
    /// turns it off).
    pub recycle: bool,
    /// A certificate whose staple has less life left is reported as expiring; less than this for
    /// responses that live so short (see [`schedule::alarm`]).
    pub expiring_within: Duration,
    /// Only what is due by this rule is asked for, and nothing later: for a single run.
    pub single_run: Option<schedule::SingleRun>,
}

/// Numbers of things that the agent keeps in mind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Footprint {
    /// Certificates looked after.
    pub certificates: usize,
    /// Files, those included that are not stapled for.
    pub files: usize,
    /// Alarms that are set.
    pub timers: usize,
    /// Certificates that have gone, of which something is remembered.
    pub remembered: usize,
}

/// The state of everything, and the decisions over it.
#[derive(Debug)]
pub struct Agent {
    settings: Settings,
    inventory: Inventory,
    connected: BTreeSet<TargetId>,
    served: Served,
    timers: Timers,
    random: fastrand::Rng,
    actions: Vec<Action>,
    /// What the wall clock showed last.
    last_wall: Timestamp,
}

impl Agent {
    /// An agent that knows nothing yet; `seed` decides its jitter.
    pub fn new(settings: Settings, seed: u64) -> Self {
        Agent {
            settings,
            inventory: Inventory::default(),
            connected: BTreeSet::new(),
            served: Served::default(),
            timers: Timers::default(),
            random: fastrand::Rng::with_seed(seed),
            actions: Vec::new(),
            last_wall: Timestamp::from_unix(i64::MIN),
        }
    }

    /// Takes in what an earlier process has remembered ([`Action::Remember`]), before anything
    /// else.
    pub fn recall(&mut self, known: Recollection, now: Timestamp) {
        if known.not_after > now {
            self.inventory.recall(known);
        } else {
            self.actions.push(Action::Forget(known.identity));
        }
    }

    /// Takes in what happened and says what to do about it.
    #[must_use = "orders that are not carried out leave the agent waiting for their answers"]
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Action> {
        let before = std::mem::replace(&mut self.last_wall, now.wall);
        if before > now.wall.saturating_add(CLOCK_SKEW) {
            self.clock_set_back(now);
        }
        match event {
            Event::FileFound(found) => self.file_found(found, now),
            Event::FileGone(path) => self.file_gone(&path),
            Event::StapleFileFound {
                path,
                staple_path,
                staple,
            } => self.staple_file_found(&path, staple_path, &staple, now),
            Event::Answered {
                certificate,
                result,
            } => self.answered(certificate, result, now),
            Event::Written {
                certificate,
                path,
                result,
            } => self.written(certificate, path, result, now),
            Event::Cleared { path, result } => self.cleared(path, result, now),
            Event::Connected(target) => self.connected(target, now),
            Event::Disconnected(target) => {
                self.disconnected(target);
                self.lose(target, now);
            }
            Event::Serves {
                target,
                certificates,
            } => self.serves(target, certificates, now),
            Event::StoreChanged {
                target,
                certificate,
            } => self.store_changed(target, &certificate, now),
            Event::StapleUnseen {
                target,
                certificate,
            } => self.repeat(target, &certificate, now),
            Event::Delivered {
                target,
                certificate,
                result,
            } => self.delivered(target, certificate, result, now),
            Event::HeldNewer {
                target,
                certificate,
                assessment,
            } => self.held_newer(target, certificate, *assessment, now),
            Event::RenewAll => self.renew_all(now),
            Event::Renew(path) => self.renew_file(&path, now),
            Event::Reconfigured(settings) => self.reconfigured(settings, now),
            Event::WaysChanged => self.ways_changed(now),
            Event::Scanned { .. } | Event::Wakeup => {}
        }
        self.ring(now);
        std::mem::take(&mut self.actions)
    }

    /// How long from `now` until [`Event::Wakeup`] should be handed in, if anything waits.
    pub fn next_wakeup(&self, now: Now) -> Option<Duration> {
        self.timers.next(now)
    }

    /// How it stands with every certificate file at `now`, in no order.
    pub fn states(&self, now: Timestamp) -> impl Iterator<Item = (&Path, State)> {
        self.inventory.files().filter_map(move |(path, state)| {
            let state = match state {
                FileState::Excluded(exclusion) => State::Excluded(exclusion.clone()),
                FileState::Holds(id) => self.inventory.entries.get(id)?.state(&self.settings, now),
            };
            Some((path, state))
        })
    }

    /// How much is kept in memory: bounded by the files that were found, for any length of time and
    /// any events.
    pub fn footprint(&self) -> Footprint {
        Footprint {
            certificates: self.inventory.entries.len(),
            files: self.inventory.files().len(),
            timers: self.timers.len(),
            remembered: self.inventory.remembered(),
        }
    }

    /// How many staples are held, those on their way included, and their bytes; each once.
    pub fn staples_held(&self) -> (usize, usize) {
        let staples: HashMap<*const Staple, usize> = self
            .inventory
            .staples()
            .map(|staple| (Arc::as_ptr(staple), staple.der().len()))
            .collect();
        (staples.len(), staples.values().sum())
    }

    fn ring(&mut self, now: Now) {
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                Timer::Request(id) => self.request(id, false, now),
                Timer::Expiry(id) => self.expired(id, now),
                Timer::Write(path) => self.place_file(&path, now),
                Timer::Deliver(id, target) => self.deliver(id, target, now),
                Timer::OutOfReach(target) => self.give_up(target, now),
            }
        }
    }

    fn report(&mut self, report: Notice) {
        self.actions.push(Action::Report(report));
    }

    fn file_found(&mut self, found: FoundFile, now: Now) {
        match found.content {
            FileContent::Excluded(exclusion) => {
                let state = FileState::Excluded(exclusion.clone());
                if self.inventory.file(&found.path) == Some(&state) {
                    return;
                }
                self.detach(&found.path);
                self.inventory.set_file(found.path.clone(), state);
                self.report(Notice::Excluded {
                    path: found.path,
                    exclusion,
                });
            }
            FileContent::Certificate {
                ref subject,
                ref staple,
            } => {
                let random = &mut self.random;
                let id = self.inventory.number_of(subject, now, || random.f64());
                let state = FileState::Holds(id);
                let known = self.inventory.file(&found.path) == Some(&state);
                if !known {
                    self.detach(&found.path);
                    self.inventory.set_file(found.path.clone(), state);
                    self.report(Notice::Adopted {
                        path: found.path.clone(),
                        staple_until: match staple {
                            StapleFile::Staple { staple, .. } => Some(staple.expires()),
                            StapleFile::Missing | StapleFile::Useless => None,
                        },
                    });
                }
                let subject = Arc::clone(subject);
                self.attach(id, subject, &found, staple, now);
            }
        }
    }

    /// Joins a file to its certificate and takes over the staple found beside it.
    fn attach(
        &mut self,
        id: CertificateId,
        subject: Arc<IssuedCertificate>,
        found: &FoundFile,
        staple: &StapleFile,
        now: Now,
    ) {
        let Some(entry) = self.inventory.entries.get_mut(&id) else {
            return;
        };
        // Who did not answer may not be asked any more: the next one is asked at once.
        if entry.subject.responders != subject.responders && entry.failures > 0 {
            self.timers.cancel(&Timer::Request(id));
        }
        entry.subject = subject;
        let staple = &staple.shared(entry.staple.as_ref());
        let file = entry
            .files
            .entry(found.path.clone())
            .or_insert_with(|| FileEntry::new(found));
        if file.staple_path != found.staple_path {
            file.staple_path = found.staple_path.clone();
            file.disk.last_failure = None;
        }
        file.targets = Arc::clone(&found.targets);
        file.found_beside(staple);
        entry.update_targets();
        self.take_over_from_disk(id, staple, now);
        self.plan_first_request(id, now);
        self.place(id, now);
        self.watch_expiry(id, now);
    }

    fn file_gone(&mut self, path: &Path) {
        let known = self.inventory.file(path);
        let is_known = known.is_some();
        if let Some(FileState::Holds(id)) = known
            && let Some(entry) = self.inventory.entries.get(id)
            && let Some(file) = entry.files.get(path)
        {
            let staple_path = file.staple_path.clone();
            self.clear_for_nobody(path.to_owned(), staple_path, StapleReader::Gone);
        }
        self.detach(path);
        if is_known {
            self.report(Notice::Forgotten {
                path: path.to_owned(),
            });
        }
    }

    /// Forgets what this file held; the certificate goes with its last file, unless it is served.
    fn detach(&mut self, path: &Path) {
        self.timers.cancel(&Timer::Write(path.to_owned()));
        let Some((id, is_last)) = self.inventory.remove_file(path) else {
            return;
        };
        if is_last {
            self.lost_last_file(id, path);
        }
        self.cancel_retries(id);
    }

    /// Takes back the alarms for deliveries to processes that are not the certificate's any more.
    fn cancel_retries(&mut self, id: CertificateId) {
        let live = self.inventory.entries.get(&id).map(|entry| &entry.live);
        for target in &self.connected {
            if !live.is_some_and(|live| live.contains_key(target)) {
                self.timers.cancel(&Timer::Deliver(id, *target));
            }
        }
    }
}
