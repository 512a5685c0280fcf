//! What lies beside the certificate files: the staple that is held, or else nothing that keeps
//! HAProxy from starting.
//!
//! Under `zero-warning` HAProxy refuses to start with a `.ocsp` that has less than 300 seconds left
//! (3.2 and later; ended 300 seconds ago, before), is another certificate's or is no response. So
//! what is written is cleared away before it comes to that, whether or not there is a successor. A
//! file that this program has not written is left; the writer sees the bytes and decides.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::inventory::{CertificateEntry, FileEntry, FileState, StapleFile};
use super::order::{ClearOrder, WriteOrder};
use super::timers::Timer;
use super::{Action, Agent, CertificateId, Exclusion, Failure, Notice, StapleReader};
use crate::ocsp::verify::SHORTEST_LIFE;
use crate::ocsp::{CertificateStatus, Staple};
use crate::schedule;
use crate::time::{Now, Timestamp};

impl FileEntry {
    /// Takes what was found in the staple's place as what lies there.
    pub(super) fn found_beside(&mut self, found: &StapleFile) {
        self.is_in_doubt = self.disk.underway.is_some();
        self.disk.holds = None;
        self.to_be_mended = None;
        self.is_littered = false;
        match found {
            StapleFile::Missing => {}
            StapleFile::Useless => self.is_littered = true,
            StapleFile::Staple { staple, is_right } if *is_right => {
                self.disk.holds = Some(Arc::clone(staple));
            }
            StapleFile::Staple { staple, .. } => self.to_be_mended = Some(Arc::clone(staple)),
        }
    }

    /// The staple that lies there, in the right way or not.
    fn lying(&self) -> Option<&Arc<Staple>> {
        self.disk.holds.as_ref().or(self.to_be_mended.as_ref())
    }

    /// When what lies there has so little life left that it has to go, if a staple does.
    pub(super) fn unfit_from(&self) -> Option<Timestamp> {
        let staple = self.lying()?;
        Some(staple.expires().saturating_sub(SHORTEST_LIFE))
    }
}

impl CertificateEntry {
    /// Whether the file beside this certificate would keep HAProxy from starting, or must not be
    /// stapled.
    fn is_to_be_cleared(&self, file: &FileEntry, now: Timestamp) -> bool {
        let status = self.standing.map(|standing| standing.status);
        let is_revoked = matches!(status, Some(CertificateStatus::Revoked { .. }));
        let is_harmful = |staple: &Arc<Staple>| {
            let is_unfit = staple.expires().since(now) < SHORTEST_LIFE;
            is_unfit || (is_revoked && staple.status() == CertificateStatus::Good)
        };
        file.is_littered || file.lying().is_some_and(is_harmful)
    }
}

impl Agent {
    /// Orders a write of the held staple beside this file, unless it is there or on its way;
    /// without one, that what lies there is cleared away if it has come to its end.
    pub(super) fn place_file(&mut self, path: &Path, now: Now) {
        let Some(FileState::Holds(id)) = self.inventory.file(path) else {
            return;
        };
        let id = *id;
        let Some(entry) = self.inventory.entries.get(&id) else {
            return;
        };
        let fit = entry.fit_staple(now.wall).cloned();
        let Some(file) = entry.files.get(path).filter(|file| !file.is_being_cleared) else {
            return;
        };
        if file.disk.underway.is_some() {
            return;
        }
        // What cannot be replaced can often be removed: the disk may be full.
        let cannot_be_replaced = fit.is_none() || file.disk.failures > 0;
        if cannot_be_replaced && entry.is_to_be_cleared(file, now.wall) {
            self.clear_file(id, path);
        } else if let Some(staple) = fit.filter(|staple| file.disk.lacks(staple)) {
            self.write(id, path, staple);
        }
    }

    fn write(&mut self, id: CertificateId, path: &Path, staple: Arc<Staple>) {
        let entry = self.inventory.entries.get_mut(&id);
        let Some(file) = entry.and_then(|entry| entry.files.get_mut(path)) else {
            return;
        };
        file.disk.underway = Some(Arc::clone(&staple));
        file.is_in_doubt = false;
        let action = Action::Write(WriteOrder {
            certificate: id,
            path: path.to_owned(),
            staple_path: file.staple_path.clone(),
            staple,
        });
        self.timers.cancel(&Timer::Write(path.to_owned()));
        self.actions.push(action);
    }

    fn clear_file(&mut self, id: CertificateId, path: &Path) {
        let Some(entry) = self.inventory.entries.get_mut(&id) else {
            return;
        };
        let (subject, held) = (Arc::clone(&entry.subject), entry.standing);
        let Some(file) = entry.files.get_mut(path) else {
            return;
        };
        file.is_being_cleared = true;
        let action = Action::Clear(ClearOrder {
            path: path.to_owned(),
            staple_path: file.staple_path.clone(),
            reader: StapleReader::Certificate { subject, held },
        });
        self.timers.cancel(&Timer::Write(path.to_owned()));
        self.actions.push(action);
    }

    /// A write ended.
    pub(super) fn written(
        &mut self,
        id: CertificateId,
        path: PathBuf,
        result: Result<(), Failure>,
        now: Now,
    ) {
        let entry = self.inventory.entries.get_mut(&id);
        let Some(file) = entry.and_then(|entry| entry.files.get_mut(&path)) else {
            return self.written_for_another(&path, result.is_ok(), now);
        };
        let staple_path = file.staple_path.clone();
        match result {
            Ok(()) => {
                file.disk.arrived();
                file.is_littered = false;
                let mended = file.to_be_mended.take();
                let is_news = mended.is_none() || mended != file.disk.holds;
                // Written once more, which costs little where it lies there as it should.
                if file.is_in_doubt {
                    file.disk.holds = None;
                } else if is_news {
                    self.report(Notice::Written {
                        path: path.clone(),
                        staple_path,
                    });
                }
                // A newer staple may have come while this one was being written.
                self.place_file(&path, now);
                self.watch_expiry(id, now);
            }
            Err(failure) => {
                self.place_again_later(id, path.clone(), &failure, now);
                self.clear_what_stays(id, &path, now);
            }
        }
    }

    /// A write failed: what it was to replace goes at once, where it may not stay.
    fn clear_what_stays(&mut self, id: CertificateId, path: &Path, now: Now) {
        let entry = self.inventory.entries.get(&id);
        let is_harmful = entry.is_some_and(|entry| {
            let file = entry.files.get(path);
            file.is_some_and(|file| entry.is_to_be_cleared(file, now.wall))
        });
        if is_harmful {
            self.clear_file(id, path);
        }
    }

    /// Ordered for the certificate that the file held before: what lies there now is not what was
    /// found there.
    fn written_for_another(&mut self, path: &Path, is_written: bool, now: Now) {
        let Some(FileState::Holds(id)) = self.inventory.file(path) else {
            return;
        };
        let id = *id;
        let entry = self.inventory.entries.get_mut(&id);
        if let Some(file) = entry.and_then(|entry| entry.files.get_mut(path))
            && is_written
        {
            file.found_beside(&StapleFile::Useless);
        }
        self.place_file(path, now);
    }

    /// What lay beside a file was cleared away, or was not this program's to be cleared.
    pub(super) fn cleared(&mut self, path: PathBuf, result: Result<bool, Failure>, now: Now) {
        let Some(FileState::Holds(id)) = self.inventory.file(&path) else {
            return;
        };
        let id = *id;
        let entry = self.inventory.entries.get_mut(&id);
        let Some(file) = entry.and_then(|entry| entry.files.get_mut(&path)) else {
            return;
        };
        let staple_path = file.staple_path.clone();
        if !std::mem::take(&mut file.is_being_cleared) {
            return self.place_file(&path, now);
        }
        match result {
            Ok(is_cleared) => {
                file.found_beside(&StapleFile::Missing);
                file.disk.succeeded();
                if is_cleared {
                    self.report(Notice::Cleared {
                        path: path.clone(),
                        staple_path,
                    });
                }
                self.place_file(&path, now);
            }
            Err(failure) => self.place_again_later(id, path, &failure, now),
        }
    }

    fn place_again_later(&mut self, id: CertificateId, path: PathBuf, failure: &Failure, now: Now) {
        let entry = self.inventory.entries.get_mut(&id);
        let Some(file) = entry.and_then(|entry| entry.files.get_mut(&path)) else {
            return;
        };
        let repeated = file.disk.failed(failure, true);
        let staple_path = file.staple_path.clone();
        let retry_in = schedule::retry(file.disk.failures, None, self.random.f64());
        self.timers.set(Timer::Write(path.clone()), retry_in, now);
        self.report(Notice::WriteFailed {
            path,
            staple_path,
            failure: failure.clone(),
            retry_in,
            repeated,
        });
    }

    /// Something else lies in a staple's place than was believed.
    pub(super) fn staple_file_found(
        &mut self,
        path: &Path,
        staple_path: PathBuf,
        found: &StapleFile,
        now: Now,
    ) {
        let id = match self.inventory.file(path) {
            None => return,
            Some(FileState::Excluded(exclusion)) => {
                // Half a certificate is whole again soon.
                let is_lasting = !matches!(exclusion, Exclusion::Unreadable { .. });
                if is_lasting && !matches!(found, StapleFile::Missing) {
                    self.clear_for_nobody(path.to_owned(), staple_path, StapleReader::Excluded);
                }
                return;
            }
            Some(FileState::Holds(id)) => *id,
        };
        let Some(entry) = self.inventory.entries.get_mut(&id) else {
            return;
        };
        let found = found.shared(entry.staple.as_ref());
        if let Some(file) = entry.files.get_mut(path) {
            file.found_beside(&found);
        }
        self.take_over_from_disk(id, &found, now);
        self.place(id, now);
        self.watch_expiry(id, now);
    }

    /// A staple found on disk is taken over if it is better than what is held.
    pub(super) fn take_over_from_disk(&mut self, id: CertificateId, found: &StapleFile, now: Now) {
        let StapleFile::Staple { staple, .. } = found else {
            return;
        };
        let entry = self.inventory.entries.get(&id);
        if entry.is_some_and(|entry| entry.may_take_over(&staple.standing(), now.wall)) {
            self.tell_of_revocation(id, staple.status());
            self.hold_found(id, Arc::clone(staple), now);
        }
    }

    /// No certificate is there that the staple could be for.
    pub(super) fn clear_for_nobody(
        &mut self,
        path: PathBuf,
        staple_path: PathBuf,
        reader: StapleReader,
    ) {
        self.actions.push(Action::Clear(ClearOrder {
            path,
            staple_path,
            reader,
        }));
    }
}
