//! What HAProxy processes serve, independently of the files on disk.
//!
//! A certificate whose file was replaced, removed or cannot be read for a moment is served on until
//! HAProxy is reloaded. Until then it is asked for and delivered as before, and nothing of it is
//! written. A certificate that is served but was never found in a file is not looked after, because
//! its issuer is not known.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use super::timers::Timer;
use super::{Action, Agent, CertificateId, Notice, TargetId};
use crate::time::Now;
use crate::x509::{Certificate, CertificateReference};

/// A process that has been out of reach for so long is taken to be gone, with what it served.
const OUT_OF_REACH: Duration = Duration::from_secs(600);

/// The certificates that processes have loaded.
#[derive(Default, Debug)]
pub(super) struct Served(HashMap<TargetId, HashSet<CertificateReference>>);

impl Served {
    /// Whether anything is known of what this process serves.
    pub(super) fn knows(&self, target: TargetId) -> bool {
        self.0.contains_key(&target)
    }

    /// The processes that have this certificate loaded.
    fn by(&self, certificate: &Certificate) -> BTreeSet<TargetId> {
        let references = CertificateReference::all(certificate);
        let is_in = |loaded: &HashSet<_>| references.iter().any(|it| loaded.contains(it));
        let serving = self.0.iter().filter(|(_, loaded)| is_in(loaded));
        serving.map(|(target, _)| *target).collect()
    }
}

impl Agent {
    /// A process has these certificates loaded, and no others.
    pub(super) fn serves(
        &mut self,
        target: TargetId,
        certificates: Vec<CertificateReference>,
        now: Now,
    ) {
        let certificates = certificates.into_iter().collect();
        self.served.0.insert(target, certificates);
        self.look_after_what_is_served(now);
    }

    /// A process is out of reach: it may come back, with what it serves.
    pub(super) fn lose(&mut self, target: TargetId, now: Now) {
        if self.served.knows(target) {
            let timer = Timer::OutOfReach(target);
            self.timers.set(timer, OUT_OF_REACH, now);
        }
    }

    /// A process has not come back.
    pub(super) fn give_up(&mut self, target: TargetId, now: Now) {
        self.served.0.remove(&target);
        self.look_after_what_is_served(now);
    }

    /// A certificate has lost its last file, this one: it is looked after as long as it is served.
    pub(super) fn lost_last_file(&mut self, id: CertificateId, path: &Path) {
        let Some(entry) = self.inventory.entries.get_mut(&id) else {
            return;
        };
        let serving = self.served.by(&entry.subject.certificate);
        if serving.is_empty() || self.settings.single_run.is_some() {
            return self.drop_certificate(id);
        }
        entry.served_by = serving;
        entry.update_targets();
        entry.former = path.to_owned();
        entry.former.as_mut_os_string().push(" (as loaded)");
        self.report(Notice::StillServed {
            path: path.to_owned(),
        });
    }

    /// Sees to it that what has no file goes where it is served, and ends where it is not.
    fn look_after_what_is_served(&mut self, now: Now) {
        let entries = self.inventory.entries.iter();
        let without_file: Vec<(CertificateId, BTreeSet<TargetId>)> = entries
            .filter(|(_, entry)| entry.files.is_empty())
            .map(|(id, entry)| (*id, self.served.by(&entry.subject.certificate)))
            .collect();
        for (id, serving) in without_file {
            if serving.is_empty() {
                self.drop_certificate(id);
            } else if let Some(entry) = self.inventory.entries.get_mut(&id) {
                entry.served_by = serving;
                entry.update_targets();
                self.place(id, now);
            }
            self.cancel_retries(id);
        }
    }

    fn drop_certificate(&mut self, id: CertificateId) {
        self.timers.cancel(&Timer::Request(id));
        self.timers.cancel(&Timer::Expiry(id));
        let mut forgotten = Vec::new();
        self.inventory.remove(id, &mut forgotten);
        self.actions
            .extend(forgotten.into_iter().map(Action::Forget));
    }
}
