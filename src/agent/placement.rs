//! Bringing a staple to where it belongs: beside its files (`disk`) and into the HAProxy processes.
//!
//! Disk and processes are independent of each other: a full disk does not stop a delivery, a dead
//! process does not stop a write. What lies where is believed only after it was reported.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::inventory::Place;
use super::order::DeliveryOrder;
use super::timers::Timer;
use super::{
    Action, Agent, CertificateId, Delivered, DeliveryFailure, DeliveryRetry, Notice, TargetId,
};
use crate::ocsp::{Assessment, Staple};
use crate::time::Now;
use crate::x509::CertificateReference;

/// The first and the longest wait after a delivery that something passing stood in the way of; it
/// doubles from the one to the other.
const SOON: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(60)];
/// What comes and goes is told when it has lasted so long: every store of a process has been read
/// again by then (`refresh_interval` is a minute by default).
const LASTING: Duration = Duration::from_secs(90);
/// The same after a delivery that is tried again at leisure.
const LATER: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(3600)];

impl Agent {
    /// Orders everything that is missing for a certificate, on disk and live.
    pub(super) fn place(&mut self, id: CertificateId, now: Now) {
        self.place_files(id, now);
        let Some(entry) = self.inventory.entries.get(&id) else {
            return;
        };
        let targets: Vec<TargetId> = entry.live.keys().copied().collect();
        for target in targets {
            self.deliver(id, target, now);
        }
    }

    /// Orders everything that is missing for a certificate on disk, and the removal of what has
    /// ended.
    pub(super) fn place_files(&mut self, id: CertificateId, now: Now) {
        let entry = self.inventory.entries.get(&id);
        let paths: Vec<PathBuf> = entry
            .into_iter()
            .flat_map(|it| it.files.keys().cloned())
            .collect();
        for path in paths {
            self.place_file(&path, now);
        }
    }

    /// Orders a delivery of the held staple, unless the process holds it or it is on its way.
    pub(super) fn deliver(&mut self, id: CertificateId, target: TargetId, now: Now) {
        self.deliver_where(Place::lacks, id, target, now);
    }

    /// Orders the delivery of the held staple once more to a process that was given it and does not
    /// show whether it holds it still.
    pub(super) fn repeat(
        &mut self,
        target: TargetId,
        certificate: &CertificateReference,
        now: Now,
    ) {
        let was_given = |live: &Place, staple: &Staple| {
            live.underway.is_none() && live.holds.as_deref() == Some(staple)
        };
        for id in self.inventory.referred_to(certificate) {
            self.deliver_where(was_given, id, target, now);
        }
    }

    /// Orders a delivery of the held staple where the place wants it.
    fn deliver_where(
        &mut self,
        is_wanted: impl Fn(&Place, &Staple) -> bool,
        id: CertificateId,
        target: TargetId,
        now: Now,
    ) {
        if !self.connected.contains(&target) {
            return;
        }
        let Some(entry) = self.inventory.entries.get_mut(&id) else {
            return;
        };
        let Some(staple) = entry.fit_staple(now.wall).cloned() else {
            return;
        };
        let Some(live) = entry
            .live
            .get_mut(&target)
            .filter(|live| is_wanted(live, &staple))
        else {
            return;
        };
        live.underway = Some(Arc::clone(&staple));
        let subject = Arc::clone(&entry.subject);
        self.timers.cancel(&Timer::Deliver(id, target));
        self.actions.push(Action::Deliver(DeliveryOrder {
            target,
            certificate: id,
            subject,
            staple,
        }));
    }

    /// A delivery ended.
    pub(super) fn delivered(
        &mut self,
        target: TargetId,
        id: CertificateId,
        result: Result<Delivered, DeliveryFailure>,
        now: Now,
    ) {
        let Some(entry) = self.inventory.entries.get_mut(&id) else {
            return;
        };
        let path = entry.name().to_owned();
        let is_wanted = entry.is_for(target);
        let Some(live) = entry.live.get_mut(&target) else {
            return;
        };
        if !is_wanted {
            live.underway = None;
            return entry.update_targets();
        }
        match result {
            Ok(how) => {
                let is_news = live.holds != live.underway || how == Delivered::Attached;
                live.arrived();
                if is_news {
                    self.report(Notice::Live { path, target, how });
                }
                // A newer staple may have come while this one was on its way.
                self.deliver(id, target, now);
            }
            Err(DeliveryFailure { failure, retry }) => {
                let since = *live.failing_since.get_or_insert(now.monotonic);
                let lasting_in = LASTING.saturating_sub(now.monotonic.saturating_sub(since));
                let is_alarm = match retry {
                    DeliveryRetry::Passing | DeliveryRetry::Awaited => {
                        lasting_in.is_zero() || self.settings.single_run.is_some()
                    }
                    // A single run does not wait for the next connection.
                    DeliveryRetry::NextConnection => self.settings.single_run.is_some(),
                    DeliveryRetry::ByDesign => false,
                    _ => true,
                };
                // What was to be given once more is not there.
                if live.holds == live.underway {
                    live.holds = None;
                }
                let repeated = live.failed(&failure, is_alarm);
                let retry_in = match retry {
                    // The next process is offered everything anyway.
                    _ if !self.connected.contains(&target) => None,
                    // It may have answered before the loss of the old one was told.
                    DeliveryRetry::Soon
                    | DeliveryRetry::Passing
                    | DeliveryRetry::NextConnection => Some(SOON),
                    DeliveryRetry::Later => Some(LATER),
                    DeliveryRetry::Awaited if !is_alarm => Some([lasting_in; 2]),
                    DeliveryRetry::Awaited
                    | DeliveryRetry::NextChange
                    | DeliveryRetry::ByDesign => None,
                };
                let retry_in = retry_in.map(|[first, longest]| {
                    let doublings = live.failures.saturating_sub(1).min(16);
                    first.saturating_mul(1 << doublings).min(longest)
                });
                if let Some(delay) = retry_in {
                    self.timers.set(Timer::Deliver(id, target), delay, now);
                }
                if is_alarm && retry != DeliveryRetry::NextConnection {
                    self.report(Notice::DeliveryFailed {
                        path,
                        target,
                        failure,
                        retry_in,
                        repeated,
                    });
                }
            }
        }
    }

    /// A process held a newer response than the one it was to be given, as after a restart with an
    /// old file on disk: it is taken over, unless something newer still has come meanwhile.
    pub(super) fn held_newer(
        &mut self,
        target: TargetId,
        id: CertificateId,
        assessment: Assessment,
        now: Now,
    ) {
        let Some(entry) = self.inventory.entries.get_mut(&id) else {
            return;
        };
        let is_better = entry.may_take_over(&assessment.standing(), now.wall);
        let is_wanted = entry.is_for(target);
        let Some(live) = entry.live.get_mut(&target) else {
            return;
        };
        let offered = live.underway.take();
        if !is_wanted {
            entry.update_targets();
        }
        if is_better {
            self.take_over(id, assessment, now);
        } else if entry.staple == offered {
            // The two do not agree on what is newer: not to be argued about in a circle.
            let [wait, _] = LATER;
            return self.timers.set(Timer::Deliver(id, target), wait, now);
        }
        self.place(id, now);
    }

    /// A new process: everything is offered to it, must-staple certificates first.
    pub(super) fn connected(&mut self, target: TargetId, now: Now) {
        self.connected.insert(target);
        self.timers.cancel(&Timer::OutOfReach(target));
        let mut ids: Vec<(bool, CertificateId)> = Vec::new();
        for (id, entry) in &mut self.inventory.entries {
            if let Some(live) = entry.live.get_mut(&target) {
                live.holds = None;
                live.failures = 0;
                live.failing_since = None;
                ids.push((!entry.subject.certificate.must_staple(), *id));
            }
        }
        ids.sort_unstable();
        for (_, id) in ids {
            self.deliver(id, target, now);
        }
    }

    /// The process is gone: nothing is known of what the next one holds.
    pub(super) fn disconnected(&mut self, target: TargetId) {
        self.connected.remove(&target);
        for (id, entry) in &mut self.inventory.entries {
            if let Some(live) = entry.live.get_mut(&target) {
                live.holds = None;
                self.timers.cancel(&Timer::Deliver(*id, target));
            }
        }
    }

    /// A certificate was replaced inside the process: its staple is offered (again).
    pub(super) fn store_changed(
        &mut self,
        target: TargetId,
        certificate: &CertificateReference,
        now: Now,
    ) {
        for id in self.inventory.referred_to(certificate) {
            let entry = self.inventory.entries.get_mut(&id);
            if let Some(live) = entry.and_then(|entry| entry.live.get_mut(&target)) {
                live.holds = None;
                self.deliver(id, target, now);
            }
        }
    }
}
