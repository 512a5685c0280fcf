//! Asking: when a responder is asked, what its answer changes, when to ask again.
//!
//! Succession is decided here (never an older response, RFC 6960 §4.2.2.1; a certificate that was
//! revoked stays so). It knows nothing of URLs and HTTP: one request is one order, however many
//! attempts the fetch room makes of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::inventory::FileState;
use super::timers::Timer;
use super::{
    Action, Agent, Answer, CertificateNumber, Failure, Report, RequestFailure, SHORTEST_LIFE,
    Settings, Validators,
};
use crate::ocsp::verify::CLOCK_SKEW;
use crate::ocsp::{self, Assessment, CertificateStatus, Standing, Staple};
use crate::schedule;
use crate::time::Now;

/// How long to wait before asking again about a certificate that is revoked.
const REVOKED_REPEAT: Duration = schedule::LONGEST_RETRY;
/// How often a certificate that has ended is looked at again, should the clock have been wrong.
const EXPIRED_REPEAT: Duration = schedule::LONGEST_RETRY;

impl Agent {
    /// Takes a staple as the one that is held from now on.
    pub(super) fn hold(&mut self, number: CertificateNumber, staple: Arc<Staple>, now: Now) {
        let Some(entry) = self.inventory.entries.get_mut(&number) else {
            return;
        };
        entry.standing = Some(staple.standing());
        entry.staple = Some(staple);
        entry.lapsed = false;
        self.watch_expiry(number, now);
    }

    /// Plans the first request for a certificate that has none planned or under way.
    pub(super) fn plan_first_request(&mut self, number: CertificateNumber, now: Now) {
        let Some(entry) = self.inventory.entries.get_mut(&number) else {
            return;
        };
        if entry.requesting || self.timers.is_set(&Timer::Request(number)) {
            return;
        }
        let wait = match (&entry.staple, self.settings.single_run) {
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
            self.timers.set(Timer::Request(number), wait, now);
        }
        self.watch_expiry(number, now);
    }

    /// Orders a request, unless one is under way or the certificate has ended.
    pub(super) fn request(&mut self, number: CertificateNumber, now: Now) {
        let Some(entry) = self.inventory.entries.get_mut(&number) else {
            return;
        };
        if entry.requesting {
            return;
        }
        if entry.not_after() <= now.wall {
            return self.timers.set(Timer::Request(number), EXPIRED_REPEAT, now);
        }
        entry.requesting = true;
        let action = Action::Request {
            certificate: number,
            subject: Arc::clone(&entry.subject),
            must_staple: entry.subject.certificate.must_staple(),
            held: entry.predecessor(now.wall),
            validators: entry.validators.clone(),
        };
        self.actions.push(action);
        if !self.timers.is_set(&Timer::Expiry(number)) {
            // The clock was ahead when the certificate was taken to have ended.
            self.watch_expiry(number, now);
        }
    }

    pub(super) fn renew_all(&mut self, now: Now) {
        let numbers: Vec<CertificateNumber> = self.inventory.entries.keys().copied().collect();
        for number in numbers {
            self.timers.cancel(&Timer::Request(number));
            self.request(number, now);
        }
    }

    pub(super) fn renew_file(&mut self, path: &Path, now: Now) {
        if let Some(FileState::Holds(number)) = self.inventory.file(path) {
            let number = *number;
            self.timers.cancel(&Timer::Request(number));
            self.request(number, now);
        }
    }

    /// Plans the requests anew. Those for what could not be had last time stay as they are.
    pub(super) fn reconfigured(&mut self, settings: Settings, now: Now) {
        self.settings = settings;
        for (number, entry) in &self.inventory.entries {
            if let Some(staple) = entry.fit_staple(now.wall)
                && !entry.requesting
                && entry.failures == 0
            {
                let life = entry.life(staple);
                let wait =
                    schedule::next_request(life, now.wall, entry.jitter, settings.schedule, None);
                self.timers.set(Timer::Request(*number), wait, now);
            }
        }
        let numbers: Vec<CertificateNumber> = self.inventory.entries.keys().copied().collect();
        for number in numbers {
            // Without an alarm, the end of the certificate was reported already.
            if self.timers.is_set(&Timer::Expiry(number)) {
                self.watch_expiry(number, now);
            }
        }
    }

    /// The clock was ahead. What was accepted then and is not valid yet is of no use to anybody, and
    /// its renewal is far away: those certificates are asked for now. What was taken to have ended has
    /// not, and goes where it was withheld from meanwhile.
    pub(super) fn clock_set_back(&mut self, now: Now) {
        let latest = now.wall.saturating_add(CLOCK_SKEW);
        let numbers: Vec<CertificateNumber> = self.inventory.entries.keys().copied().collect();
        for number in numbers {
            let Some(entry) = self.inventory.entries.get_mut(&number) else {
                continue;
            };
            entry.lapsed = false;
            let staple = entry.staple.as_ref();
            let is_early = staple.is_some_and(|staple| staple.this_update() > latest);
            if is_early {
                // "Not modified" would be no help.
                entry.validators = Validators::default();
                self.timers.cancel(&Timer::Request(number));
                self.request(number, now);
            } else {
                self.place(number, now);
            }
            self.watch_expiry(number, now);
        }
    }

    /// The responder answered, or did not.
    pub(super) fn answered(
        &mut self,
        number: CertificateNumber,
        result: Result<Answer, RequestFailure>,
        now: Now,
    ) {
        let Some(entry) = self.inventory.entries.get_mut(&number) else {
            return;
        };
        entry.requesting = false;
        let answer = match result {
            Ok(answer) => answer,
            Err(failure) => return self.request_failed(number, failure, now),
        };
        let Some(assessment) = answer.assessment else {
            return self.unchanged(number, answer.fresh_for, now);
        };
        entry.validators = match assessment.stapling {
            Ok(_) => answer.validators,
            Err(_) => Validators::default(),
        };
        let standing = assessment.standing();
        if let Some(held) = entry.predecessor(now.wall)
            && let Err(setback) = ocsp::check_succession(&held, &standing, now.wall)
        {
            let failure = Failure {
                kind: setback.kind(),
                message: setback.to_string(),
            };
            return self.request_failed(number, failure.into(), now);
        }
        self.tell_of_revocation(number, assessment.status);
        match assessment.stapling {
            Ok(staple) => self.accepted(number, Arc::new(staple), answer.fresh_for, now),
            Err(_) if matches!(assessment.status, CertificateStatus::Revoked { .. }) => {
                self.withhold(number, standing, now);
            }
            Err(reason) => {
                let failure = Failure {
                    kind: reason.kind(),
                    message: reason.to_string(),
                };
                self.request_failed(number, failure.into(), now);
            }
        }
    }

    /// The responder gave a validated staple that may follow the one held.
    fn accepted(
        &mut self,
        number: CertificateNumber,
        staple: Arc<Staple>,
        fresh_for: Option<Duration>,
        now: Now,
    ) {
        let Some(entry) = self.inventory.entries.get_mut(&number) else {
            return;
        };
        let held = entry.staple.as_ref();
        if held.is_some_and(|held| held.der() == staple.der()) {
            return self.unchanged(number, fresh_for, now);
        }
        entry.failures = 0;
        entry.failure = None;
        let wait = schedule::next_request(
            entry.life(&staple),
            now.wall,
            entry.jitter,
            self.settings.schedule,
            None,
        );
        let report = Report::Renewed {
            path: entry.name().to_owned(),
            this_update: staple.this_update(),
            until: staple.expires(),
            next_request: now.wall.saturating_add(wait),
        };
        self.timers.set(Timer::Request(number), wait, now);
        self.report(report);
        self.hold(number, staple, now);
        self.place(number, now);
    }

    /// The responder has nothing newer than what is held: no failure, but nothing gained.
    fn unchanged(&mut self, number: CertificateNumber, fresh_for: Option<Duration>, now: Now) {
        let Some(entry) = self.inventory.entries.get_mut(&number) else {
            return;
        };
        let Some(staple) = entry.fit_staple(now.wall) else {
            // It came to its end while the responder was asked whether it is still current.
            entry.validators = Validators::default();
            return self.request(number, now);
        };
        let wait = schedule::next_request(
            entry.life(staple),
            now.wall,
            entry.jitter,
            self.settings.schedule,
            fresh_for,
        );
        entry.failures = 0;
        entry.failure = None;
        let was_lapsed = std::mem::take(&mut entry.lapsed);
        let report = Report::Unchanged {
            path: entry.name().to_owned(),
            next_request: now.wall.saturating_add(wait),
        };
        self.timers.set(Timer::Request(number), wait, now);
        self.report(report);
        if was_lapsed {
            // The clock was ahead when the staple was taken to have ended.
            self.watch_expiry(number, now);
            self.place(number, now);
        }
    }

    /// Says that the certificate is revoked, if that is what a response says; for the first time,
    /// or once more.
    pub(super) fn tell_of_revocation(
        &mut self,
        number: CertificateNumber,
        status: CertificateStatus,
    ) {
        let (Some(entry), CertificateStatus::Revoked { at, reason }) =
            (self.inventory.entries.get(&number), status)
        else {
            return;
        };
        let report = Report::Revoked {
            path: entry.name().to_owned(),
            at,
            reason,
            staple_until: entry.staple.as_ref().map(|staple| staple.expires()),
            repeated: entry.standing.is_some_and(|held| held.status == status),
        };
        self.report(report);
    }

    /// Takes over a validated response that was found in a HAProxy process.
    pub(super) fn take_over(&mut self, number: CertificateNumber, found: Assessment, now: Now) {
        self.tell_of_revocation(number, found.status);
        let standing = found.standing();
        match found.stapling {
            Ok(staple) => self.hold(number, Arc::new(staple), now),
            Err(_) if matches!(found.status, CertificateStatus::Revoked { .. }) => {
                self.withhold(number, standing, now);
            }
            Err(_) => {}
        }
    }

    /// The certificate is revoked and the response that says so is not to be stapled. The last good
    /// staple is let go: where it lies it runs out, but it is not handed to anybody any more. The
    /// responder is asked on in case the revocation was a hold.
    fn withhold(&mut self, number: CertificateNumber, standing: Standing, now: Now) {
        let Some(entry) = self.inventory.entries.get_mut(&number) else {
            return;
        };
        entry.staple = None;
        entry.standing = Some(standing);
        entry.failures = 0;
        entry.failure = None;
        if !entry.requesting {
            self.timers.set(Timer::Request(number), REVOKED_REPEAT, now);
        }
    }

    fn request_failed(&mut self, number: CertificateNumber, failed: RequestFailure, now: Now) {
        let Some(entry) = self.inventory.entries.get_mut(&number) else {
            return;
        };
        let path = entry.name().to_owned();
        let RequestFailure {
            failure,
            retry_after,
            postponed,
        } = failed;
        let staple_until = entry.fit_staple(now.wall).map(|staple| staple.expires());
        let remaining = staple_until.map(|end| end.since(now.wall));
        // The responder's wish counts, but not beyond the point where the staple would end.
        let asked = retry_after.unwrap_or_default();
        let asked = remaining.map_or(asked, |remaining| asked.min(remaining / 2));
        let jitter = self.random.f64();
        let (retry_in, report) = if postponed {
            // Whoever waits for the same responder comes back at about, not at the same moment.
            let retry_in = asked.max(schedule::FIRST_RETRY).mul_f64(1.0 + jitter / 4.0);
            let report = Report::RequestPostponed {
                path,
                failure,
                retry_in,
            };
            (retry_in, report)
        } else {
            entry.failures = entry.failures.saturating_add(1);
            let before = entry.failure.replace(failure.clone());
            let repeated = before.is_some_and(|before| before.kind == failure.kind);
            let retry_in = schedule::retry(entry.failures, remaining, jitter).max(asked);
            let report = Report::RequestFailed {
                path,
                failure,
                failures: entry.failures,
                retry_in,
                staple_until,
                repeated,
            };
            (retry_in, report)
        };
        self.timers.set(Timer::Request(number), retry_in, now);
        self.report(report);
    }

    /// Sets the alarm for the next end that is to be told of: of the time that the staple should
    /// last, of the staple, or of the certificate where none is held.
    fn watch_expiry(&mut self, number: CertificateNumber, now: Now) {
        let Some(entry) = self.inventory.entries.get_mut(&number) else {
            return;
        };
        let expiring_in = entry.expiring_in(self.settings.expiring_within, now);
        entry.is_expiring &= expiring_in == Some(Duration::ZERO);
        let not_after = entry.not_after();
        let end = match &entry.staple {
            Some(staple) if !entry.lapsed => {
                // The last second in which it is fit has to pass.
                let unfit = staple.expires().saturating_sub(SHORTEST_LIFE);
                unfit.saturating_add(Duration::from_secs(1)).min(not_after)
            }
            _ => not_after,
        };
        let wait = match expiring_in {
            Some(wait) if !entry.is_expiring => wait.min(end.since(now.wall)),
            _ => end.since(now.wall),
        };
        self.timers.set(Timer::Expiry(number), wait, now);
    }

    /// The staple, or the certificate itself, may have come to its end.
    pub(super) fn expired(&mut self, number: CertificateNumber, now: Now) {
        let Some(entry) = self.inventory.entries.get_mut(&number) else {
            return;
        };
        let path = entry.name().to_owned();
        let not_after = entry.not_after();
        if not_after <= now.wall {
            // Looked at again only when the clock turns out to have been wrong.
            return self.report(Report::CertificateExpired { path, not_after });
        }
        let expiring_in = entry.expiring_in(self.settings.expiring_within, now);
        if expiring_in == Some(Duration::ZERO) && !entry.is_expiring {
            entry.is_expiring = true;
            let report = Report::Expiring {
                path: path.clone(),
                staple_until: entry.fit_staple(now.wall).map(|staple| staple.expires()),
                failure: entry.failure.clone(),
            };
            self.actions.push(Action::Report(report));
        }
        let lost = entry.staple.is_some() && !entry.lapsed && entry.fit_staple(now.wall).is_none();
        if lost {
            entry.lapsed = true;
            self.report(Report::StapleExpired { path });
        }
        self.watch_expiry(number, now);
    }
}
