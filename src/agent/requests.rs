//! Asking: when a responder is asked, what its answer changes, when to ask again.
//!
//! Succession is decided here (never an older response, RFC 6960 §4.2.2.1; a certificate that was
//! revoked stays so). It knows nothing of URLs and HTTP: one request is one order, however many
//! attempts the fetch room makes of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::inventory::{CertificateEntry, FileState, is_from_the_future};
use super::order::RequestOrder;
use super::timers::Timer;
use super::{
    Action, Agent, Answered, CacheValidators, CertificateId, Failure, Notice, Outdated,
    Recollection, RequestFailure, Settings,
};
use crate::ocsp::verify::SHORTEST_LIFE;
use crate::ocsp::{self, Assessment, CertificateStatus, Standing, Staple};
use crate::schedule;
use crate::time::{Now, Timestamp};

/// How long to wait before asking again about a certificate that is revoked.
const REVOKED_REPEAT: Duration = schedule::LONGEST_RETRY;
/// The longest wait between two requests for a certificate that its responder does not know yet.
const NEW_REPEAT: Duration = Duration::from_secs(300);
/// What responders say of a certificate that has not reached them yet.
const NOT_KNOWN: [&str; 2] = ["unknown", "unauthorized"];
/// How often a certificate that has ended is looked at again, should the clock have been wrong.
const EXPIRED_REPEAT: Duration = schedule::LONGEST_RETRY;

impl Agent {
    /// Takes a staple as the one that is held from now on.
    pub(super) fn hold(&mut self, id: CertificateId, staple: Arc<Staple>, now: Now) {
        let Some(entry) = self.inventory.entries.get_mut(&id) else {
            return;
        };
        let standing = staple.standing();
        entry.staple = Some(staple);
        entry.lapsed = false;
        // What is known of the one before says nothing of this one.
        entry.validators = CacheValidators::default();
        entry.has_nothing_newer = false;
        entry.is_overdue_told = false;
        self.learn(id, standing);
        self.watch_expiry(id, now);
    }

    /// The same for a staple that was found on disk or in a process: the request that was planned
    /// is for what was held before.
    pub(super) fn hold_found(&mut self, id: CertificateId, staple: Arc<Staple>, now: Now) {
        self.hold(id, staple, now);
        let settings = self.settings;
        let Some(entry) = self.inventory.entries.get_mut(&id) else {
            return;
        };
        let timer = Timer::Request(id);
        let Some(staple) = entry.fit_staple(now.wall).cloned() else {
            return;
        };
        let life = entry.life(&staple);
        let renewal = schedule::renewal(life, entry.jitter, settings.schedule).since(now.wall);
        if entry.requesting || renewal.is_zero() || !self.timers.is_set(&timer) {
            return;
        }
        entry.failures = 0;
        entry.failure = None;
        entry.postponed = None;
        self.timers.set(timer, renewal, now);
    }

    /// Takes what a response says as what the next one is judged by, also by a later process.
    fn learn(&mut self, id: CertificateId, standing: Standing) {
        let Some(entry) = self.inventory.entries.get_mut(&id) else {
            return;
        };
        if entry.standing.replace(standing) != Some(standing) {
            self.actions.push(Action::Remember(Recollection {
                identity: entry.subject.identity(),
                not_after: entry.not_after(),
                standing,
            }));
        }
    }

    /// Plans the first request for a certificate that has none planned or under way.
    pub(super) fn plan_first_request(&mut self, id: CertificateId, now: Now) {
        let Some(entry) = self.inventory.entries.get_mut(&id) else {
            return;
        };
        if entry.requesting || self.timers.is_set(&Timer::Request(id)) {
            return;
        }
        let wait = match (entry.fit_staple(now.wall), self.settings.single_run) {
            (Some(staple), None) if self.settings.recycle => {
                let life = entry.life(staple);
                let renewal = schedule::renewal(life, entry.jitter, self.settings.schedule);
                Some(renewal.since(now.wall))
            }
            (Some(staple), Some(rule)) if self.settings.recycle => rule
                .is_due(entry.life(staple), now.wall)
                .then_some(Duration::ZERO),
            _ => Some(Duration::ZERO),
        };
        if let Some(wait) = wait {
            self.timers.set(Timer::Request(id), wait, now);
        }
        self.watch_expiry(id, now);
    }

    /// Orders a request, unless one is under way or the certificate has ended; `is_wanted_now` by
    /// the operator, even where the responder is being left alone.
    pub(super) fn request(&mut self, id: CertificateId, is_wanted_now: bool, now: Now) {
        let settings = self.settings;
        let Some(entry) = self.inventory.entries.get_mut(&id) else {
            return;
        };
        if entry.requesting {
            return;
        }
        if entry.not_after() <= now.wall {
            return self.timers.set(Timer::Request(id), EXPIRED_REPEAT, now);
        }
        entry.requesting = true;
        let is_overdue = entry.overdue_staple(&settings, now.wall).is_some();
        let action = Action::Request(RequestOrder {
            certificate: id,
            subject: Arc::clone(&entry.subject),
            must_staple: entry.subject.certificate.must_staple(),
            held: entry.predecessor(now.wall),
            is_overdue,
            lasts: entry
                .fit_staple(now.wall)
                .map(|staple| staple.expires().since(now.wall)),
            is_wanted_now,
            validators: match is_overdue {
                // "Not modified" would be no help.
                true => CacheValidators::default(),
                false => entry.validators.clone(),
            },
        });
        self.actions.push(action);
        if !self.timers.is_set(&Timer::Expiry(id)) {
            // The clock was ahead when the certificate was taken to have ended.
            self.watch_expiry(id, now);
        }
    }

    pub(super) fn renew_all(&mut self, now: Now) {
        let ids: Vec<CertificateId> = self.inventory.entries.keys().copied().collect();
        for id in ids {
            self.timers.cancel(&Timer::Request(id));
            self.request(id, true, now);
        }
    }

    pub(super) fn renew_file(&mut self, path: &Path, now: Now) {
        if let Some(FileState::Holds(id)) = self.inventory.file(path) {
            let id = *id;
            self.timers.cancel(&Timer::Request(id));
            self.request(id, true, now);
        }
    }

    /// Asks again now for every response that failed. Requests under way keep their old way, and
    /// are sent once more if they fail.
    pub(super) fn ways_changed(&mut self, now: Now) {
        let ids: Vec<CertificateId> = self.inventory.entries.keys().copied().collect();
        for id in ids {
            let Some(entry) = self.inventory.entries.get_mut(&id) else {
                continue;
            };
            if entry.failure.is_some() || entry.postponed.is_some() || entry.requesting {
                self.ask_at_once(id, now);
            }
        }
    }

    /// Asks now; where a request is under way, as soon as it has failed.
    fn ask_at_once(&mut self, id: CertificateId, now: Now) {
        let Some(entry) = self.inventory.entries.get_mut(&id) else {
            return;
        };
        if entry.requesting {
            entry.ask_again = true;
        } else {
            self.timers.cancel(&Timer::Request(id));
            self.request(id, false, now);
        }
    }

    /// Plans the requests anew. Those whose last request failed stay as they are.
    pub(super) fn reconfigured(&mut self, settings: Settings, now: Now) {
        self.settings = settings;
        for (id, entry) in &self.inventory.entries {
            if let Some(staple) = entry.fit_staple(now.wall)
                && !entry.requesting
                && entry.failures == 0
            {
                let wait = entry.next_request(staple, &settings, None, now.wall);
                self.timers.set(Timer::Request(*id), wait, now);
            }
        }
        let ids: Vec<CertificateId> = self.inventory.entries.keys().copied().collect();
        for id in ids {
            // Without an alarm, the end of the certificate was reported already.
            if self.timers.is_set(&Timer::Expiry(id)) {
                self.watch_expiry(id, now);
            }
        }
    }

    /// The clock was ahead. A response that was accepted then and is not valid yet is useless, and
    /// its renewal is far away: those certificates are asked for now, and so are those that have
    /// none, because every answer may have seemed to be over. What was taken to have ended has not,
    /// and goes where it was withheld from meanwhile; what lies on disk is looked at once more.
    pub(super) fn clock_set_back(&mut self, now: Now) {
        let ids: Vec<CertificateId> = self.inventory.entries.keys().copied().collect();
        for id in ids {
            let Some(entry) = self.inventory.entries.get_mut(&id) else {
                continue;
            };
            entry.lapsed = false;
            if entry.fit_staple(now.wall).is_none() {
                // "Not modified" would be no help.
                entry.validators = CacheValidators::default();
                self.ask_at_once(id, now);
            } else {
                self.place(id, now);
            }
            self.watch_expiry(id, now);
        }
        self.actions.push(Action::LookAgain);
    }

    /// The responder answered, or did not.
    pub(super) fn answered(
        &mut self,
        id: CertificateId,
        result: Result<Answered, RequestFailure>,
        now: Now,
    ) {
        let Some(entry) = self.inventory.entries.get_mut(&id) else {
            return;
        };
        entry.requesting = false;
        entry.postponed = None;
        let answer = match result {
            Ok(answer) => answer,
            Err(failure) => return self.request_failed(id, failure, now),
        };
        let Some(assessment) = answer.assessment else {
            return self.unchanged(id, answer.fresh_for, now);
        };
        let standing = assessment.standing();
        if is_from_the_future(standing.this_update, now.wall) {
            // It was judged by a clock that was ahead and has been set right since.
            return self.request(id, false, now);
        }
        if let Some(held) = entry.predecessor(now.wall)
            && let Err(error) = ocsp::check_succession(&held, &standing, now.wall)
        {
            let failure = Failure {
                kind: error.kind(),
                message: error.to_string(),
            };
            return self.request_failed(id, failure.into(), now);
        }
        self.tell_of_revocation(id, assessment.status);
        match assessment.stapling {
            Ok(staple) => {
                self.accepted(id, Arc::new(staple), answer.fresh_for, now);
                if let Some(entry) = self.inventory.entries.get_mut(&id) {
                    entry.validators = answer.validators;
                }
            }
            Err(_) if matches!(assessment.status, CertificateStatus::Revoked { .. }) => {
                self.withhold(id, standing, now);
            }
            Err(reason) => {
                let failure = Failure {
                    kind: reason.kind(),
                    message: reason.to_string(),
                };
                self.request_failed(id, failure.into(), now);
            }
        }
    }

    /// The responder gave a validated staple that may follow the one held.
    fn accepted(
        &mut self,
        id: CertificateId,
        staple: Arc<Staple>,
        fresh_for: Option<Duration>,
        now: Now,
    ) {
        let Some(entry) = self.inventory.entries.get_mut(&id) else {
            return;
        };
        let held = entry.fit_staple(now.wall);
        if held.is_some_and(|held| !has_more(&staple, held)) {
            return self.unchanged(id, fresh_for, now);
        }
        entry.succeeded();
        let wait = entry.next_request(&staple, &self.settings, None, now.wall);
        let report = Notice::Renewed {
            path: entry.name().to_owned(),
            this_update: staple.this_update(),
            until: staple.expires(),
            next_request: now.wall.saturating_add(wait),
        };
        self.timers.set(Timer::Request(id), wait, now);
        self.report(report);
        self.hold(id, staple, now);
        self.place(id, now);
    }

    /// The responder has nothing newer than what is held: no failure, but nothing gained.
    fn unchanged(&mut self, id: CertificateId, fresh_for: Option<Duration>, now: Now) {
        let settings = self.settings;
        let Some(entry) = self.inventory.entries.get_mut(&id) else {
            return;
        };
        let Some(staple) = entry.fit_staple(now.wall).cloned() else {
            // It came to its end while the responder was asked whether it is still current.
            entry.validators = CacheValidators::default();
            return self.request(id, false, now);
        };
        let wait = entry.next_request(&staple, &settings, fresh_for, now.wall);
        entry.succeeded();
        entry.has_nothing_newer = true;
        let was_lapsed = std::mem::take(&mut entry.lapsed);
        let path = entry.name().to_owned();
        let next_request = now.wall.saturating_add(wait);
        let report = match entry.outdated(&settings, now.wall) {
            Some(outdated) => Notice::Outdated {
                path,
                outdated,
                staple_until: staple.expires(),
                next_request,
                repeated: std::mem::replace(&mut entry.is_overdue_told, true),
            },
            None => Notice::Unchanged { path, next_request },
        };
        self.timers.set(Timer::Request(id), wait, now);
        self.report(report);
        if was_lapsed {
            // The clock was ahead when the staple was taken to have ended.
            self.watch_expiry(id, now);
            self.place(id, now);
        }
    }

    /// Says that the certificate is revoked, if that is what a response says; for the first time,
    /// or once more.
    pub(super) fn tell_of_revocation(&mut self, id: CertificateId, status: CertificateStatus) {
        let (Some(entry), CertificateStatus::Revoked { at, reason }) =
            (self.inventory.entries.get(&id), status)
        else {
            return;
        };
        let report = Notice::Revoked {
            path: entry.name().to_owned(),
            at,
            reason,
            staple_until: entry.staple.as_ref().map(|staple| staple.expires()),
            repeated: entry.standing.is_some_and(|held| held.status == status),
        };
        self.report(report);
    }

    /// Takes over a validated response that was found in a HAProxy process.
    pub(super) fn take_over(&mut self, id: CertificateId, found: Assessment, now: Now) {
        self.tell_of_revocation(id, found.status);
        let standing = found.standing();
        match found.stapling {
            Ok(staple) => self.hold_found(id, Arc::new(staple), now),
            Err(_) if matches!(found.status, CertificateStatus::Revoked { .. }) => {
                self.withhold(id, standing, now);
            }
            Err(_) => {}
        }
    }

    /// The certificate is revoked and the response that says so is not to be stapled. The last good
    /// staple is let go: it runs out where it lies, but is not delivered any more. The responder is
    /// asked on in case the revocation was a hold.
    fn withhold(&mut self, id: CertificateId, standing: Standing, now: Now) {
        let Some(entry) = self.inventory.entries.get_mut(&id) else {
            return;
        };
        entry.staple = None;
        entry.validators = CacheValidators::default();
        entry.succeeded();
        if !entry.requesting {
            self.timers.set(Timer::Request(id), REVOKED_REPEAT, now);
        }
        self.learn(id, standing);
        self.place_files(id, now);
    }

    fn request_failed(&mut self, id: CertificateId, failed: RequestFailure, now: Now) {
        let Some(entry) = self.inventory.entries.get_mut(&id) else {
            return;
        };
        if std::mem::take(&mut entry.ask_again) {
            return self.request(id, false, now);
        }
        let staple_until = entry.fit_staple(now.wall).map(|staple| staple.expires());
        let remaining = staple_until.map(|end| end.since(now.wall));
        // The responder's wish counts, but not beyond the point where the staple would end.
        let asked = failed.retry_after.unwrap_or_default();
        let asked = remaining.map_or(asked, |remaining| asked.min(remaining / 2));
        let jitter = self.random.f64();
        let (retry_in, report) = if failed.postponed {
            let retry_in = schedule::comeback(asked, remaining, jitter);
            (retry_in, entry.was_postponed(failed.failure, retry_in))
        } else {
            let retry_in =
                schedule::retry(entry.failures.saturating_add(1), remaining, jitter).max(asked);
            entry.has_failed(failed.failure, retry_in, now)
        };
        self.timers.set(Timer::Request(id), retry_in, now);
        self.report(report);
    }

    /// Sets the alarm for the next end that is to be told of: of the time that the staple should
    /// last, of the staple, or of the certificate where none is held; and for the beginning of a
    /// staple from the future, which then goes where it was withheld from.
    pub(super) fn watch_expiry(&mut self, id: CertificateId, now: Now) {
        let Some(entry) = self.inventory.entries.get_mut(&id) else {
            return;
        };
        let expiring_in = entry.expiring_in(self.settings.expiring_within, now);
        entry.is_expiring &= expiring_in == Some(Duration::ZERO);
        let not_after = entry.not_after();
        // What lies on disk may be another one, which could not be replaced.
        let files = entry.files.values();
        let on_disk = files.filter_map(|file| file.unfit_from());
        let on_disk = on_disk.map(|from| from.saturating_add(Duration::from_secs(1)));
        let on_disk = on_disk.filter(|from| *from > now.wall).min();
        let end = match &entry.staple {
            Some(staple) if !entry.lapsed => {
                // The last second in which it is fit has to pass.
                let unfit = staple.expires().saturating_sub(SHORTEST_LIFE);
                unfit.saturating_add(Duration::from_secs(1)).min(not_after)
            }
            _ => not_after,
        };
        let end = on_disk.map_or(end, |from| end.min(from));
        let wait = match expiring_in {
            Some(wait) if !entry.is_expiring => wait.min(end.since(now.wall)),
            _ => end.since(now.wall),
        };
        let wait = entry
            .begins_in(now.wall)
            .map_or(wait, |begin| wait.min(begin));
        self.timers.set(Timer::Expiry(id), wait, now);
    }

    /// The staple, or the certificate itself, may have come to its end, or the staple to its
    /// beginning.
    pub(super) fn expired(&mut self, id: CertificateId, now: Now) {
        let Some(entry) = self.inventory.entries.get_mut(&id) else {
            return;
        };
        let path = entry.name().to_owned();
        let not_after = entry.not_after();
        if not_after <= now.wall {
            // Looked at again only when the clock turns out to have been wrong.
            self.report(Notice::CertificateExpired { path, not_after });
            return self.place_files(id, now);
        }
        let expiring_in = entry.expiring_in(self.settings.expiring_within, now);
        if expiring_in == Some(Duration::ZERO) && !entry.is_expiring {
            entry.is_expiring = true;
            // It is not new any more.
            entry.is_not_known_yet = false;
            let report = Notice::Expiring {
                path: path.clone(),
                staple_until: entry.fit_staple(now.wall).map(|staple| staple.expires()),
                failure: entry.why_none(&self.settings, now.wall),
            };
            self.actions.push(Action::Report(report));
        }
        let staple = entry.staple.as_ref().filter(|_| !entry.lapsed);
        if staple.is_some_and(|staple| staple.expires().since(now.wall) < SHORTEST_LIFE) {
            entry.lapsed = true;
            self.report(Notice::StapleExpired { path });
        }
        self.place(id, now);
        self.watch_expiry(id, now);
    }
}

impl CertificateEntry {
    /// The responder has answered, and there is nothing to be said against its answer.
    fn succeeded(&mut self) {
        self.failures = 0;
        self.failure = None;
        self.is_not_known_yet = false;
        self.ask_again = false;
    }

    /// No request was sent.
    fn was_postponed(&mut self, failure: Failure, retry_in: Duration) -> Notice {
        self.postponed = Some(failure.clone());
        Notice::RequestPostponed {
            path: self.name().to_owned(),
            failure,
            retry_in,
        }
    }

    /// The responder gave no usable answer. Returns the wait until the next attempt: `retry_in`, or
    /// less if the certificate is very new.
    fn has_failed(&mut self, failure: Failure, retry_in: Duration, now: Now) -> (Duration, Notice) {
        let path = self.name().to_owned();
        let before = self.failure.replace(failure.clone());
        let was_pardoned = std::mem::take(&mut self.is_not_known_yet);
        self.failures = self.failures.saturating_add(1);
        if self.is_new(now) && NOT_KNOWN.contains(&failure.kind) {
            self.is_not_known_yet = true;
            let retry_in = retry_in.min(NEW_REPEAT);
            let report = Notice::NotKnownYet {
                path,
                failure,
                retry_in,
            };
            return (retry_in, report);
        }
        let report = Notice::RequestFailed {
            path,
            failures: self.failures,
            retry_in,
            staple_until: self.fit_staple(now.wall).map(|staple| staple.expires()),
            repeated: !was_pardoned && before.is_some_and(|before| before.kind == failure.kind),
            failure,
        };
        (retry_in, report)
    }

    /// Why there is no successor to the staple, or none at all, as far as it is known.
    fn why_none(&self, settings: &Settings, now: Timestamp) -> Option<Failure> {
        let known = self.failure.clone().or_else(|| self.postponed.clone());
        known.or_else(|| {
            let outdated = self.outdated(settings, now)?;
            Some(Failure {
                kind: Outdated::KIND,
                message: outdated.to_string(),
            })
        })
    }
}

/// Whether the response offered says more than the one held: something newer, or for longer. One
/// that was only signed again does not.
fn has_more(offered: &Staple, held: &Staple) -> bool {
    offered.der() != held.der()
        && (offered.status() != held.status()
            || offered.this_update() != held.this_update()
            || offered.expires() > held.expires())
}
