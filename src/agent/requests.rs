//! Asking: when a responder is asked, what its answer changes, when to ask again.
//!
//! Succession is decided here (never an older response, RFC 6960 §4.2.2.1; a certificate that was
//! revoked stays so). It knows nothing of URLs and HTTP: one request is one order, however many
//! attempts the fetch room makes of it.

use std::sync::Arc;
use std::time::Duration;

use super::state::Condition;
use super::timers::{Deadline, Timer};
use super::{
    Action, Agent, Answer, CertificateNumber, Failure, Report, RequestFailure, SHORTEST_LIFE,
    Validators,
};
use crate::ocsp::{self, CertificateStatus, Standing, Staple};
use crate::schedule::{self, Life};
use crate::time::{Now, Timestamp};

/// How long to wait before asking again about a certificate that is revoked.
const REVOKED_REPEAT: Duration = schedule::LONGEST_RETRY;

impl Agent {
    /// Takes a staple as the one that is held from now on.
    pub(super) fn hold(&mut self, number: CertificateNumber, staple: Arc<Staple>) {
        let Some(entry) = self.inventory.entries.get_mut(&number) else {
            return;
        };
        let expiry = staple
            .expires()
            .saturating_sub(SHORTEST_LIFE)
            .min(entry.not_after());
        entry.condition = Condition::of(staple.status());
        entry.standing = Some(staple.standing());
        entry.staple = Some(staple);
        self.timers
            .set(Timer::Expiry(number), Deadline::Wall(expiry));
    }

    /// Plans the first request for a certificate that has none planned or under way.
    pub(super) fn plan_first_request(&mut self, number: CertificateNumber, now: Now) {
        let Some(entry) = self.inventory.entries.get_mut(&number) else {
            return;
        };
        if entry.requesting || self.timers.get(&Timer::Request(number)).is_some() {
            return;
        }
        let at = match &entry.staple {
            Some(staple) if self.settings.recycle => {
                schedule::renewal(life(staple), entry.jitter, self.settings.schedule)
            }
            _ => now.wall,
        };
        self.timers.set(Timer::Request(number), Deadline::Wall(at));
        if self.timers.get(&Timer::Expiry(number)).is_none() {
            let end = Deadline::Wall(entry.not_after());
            self.timers.set(Timer::Expiry(number), end);
        }
    }

    /// Orders a request, unless one is under way or the certificate has ended.
    pub(super) fn request(&mut self, number: CertificateNumber, now: Now) {
        let Some(entry) = self.inventory.entries.get_mut(&number) else {
            return;
        };
        if entry.requesting || entry.not_after() <= now.wall {
            return;
        }
        entry.requesting = true;
        let action = Action::Request {
            certificate: number,
            subject: Arc::clone(&entry.subject),
            must_staple: entry.subject.certificate.must_staple(),
            held: entry.standing,
            validators: entry.validators.clone(),
        };
        self.actions.push(action);
    }

    pub(super) fn renew_all(&mut self, now: Now) {
        let numbers: Vec<CertificateNumber> = self.inventory.entries.keys().copied().collect();
        for number in numbers {
            self.timers.cancel(&Timer::Request(number));
            self.request(number, now);
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
        if let Some(held) = &entry.standing
            && let Err(setback) = ocsp::check_succession(held, &standing, now.wall)
        {
            let failure = Failure {
                kind: setback.kind(),
                message: setback.to_string(),
            };
            return self.request_failed(number, failure.into(), now);
        }
        if let CertificateStatus::Revoked { at, reason } = assessment.status {
            let report = Report::Revoked {
                path: entry.name().to_owned(),
                at,
                reason,
                staple_until: entry.staple.as_ref().map(|staple| staple.expires()),
                repeated: entry
                    .standing
                    .is_some_and(|held| held.status == assessment.status),
            };
            self.report(report);
        }
        match assessment.stapling {
            Ok(staple) => self.accepted(number, Arc::new(staple), answer.fresh_for, now),
            Err(_) if matches!(assessment.status, CertificateStatus::Revoked { .. }) => {
                self.revoked(number, standing, now);
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
        let next_request = schedule::next_request(
            life(&staple),
            now.wall,
            entry.jitter,
            self.settings.schedule,
        );
        let report = Report::Renewed {
            path: entry.name().to_owned(),
            this_update: staple.this_update(),
            until: staple.expires(),
            next_request,
        };
        let at = Deadline::Wall(next_request);
        self.timers.set(Timer::Request(number), at);
        self.report(report);
        self.hold(number, staple);
        self.place(number, now);
    }

    /// The responder has nothing newer than what is held: no failure, but nothing gained.
    fn unchanged(&mut self, number: CertificateNumber, fresh_for: Option<Duration>, now: Now) {
        let Some(entry) = self.inventory.entries.get_mut(&number) else {
            return;
        };
        let Some(staple) = &entry.staple else {
            // It came to its end while the responder was asked whether it is still current.
            entry.validators = Validators::default();
            return self.request(number, now);
        };
        entry.failures = 0;
        entry.condition = Condition::of(staple.status());
        let next_request = schedule::repeated_request(
            life(staple),
            now.wall,
            entry.jitter,
            self.settings.schedule,
            fresh_for,
        );
        let report = Report::Unchanged {
            path: entry.name().to_owned(),
            next_request,
        };
        let at = Deadline::Wall(next_request);
        self.timers.set(Timer::Request(number), at);
        self.report(report);
    }

    /// The certificate is revoked and the response that says so is not to be stapled: what is held
    /// runs out, and the responder is asked on in case the revocation was a hold.
    fn revoked(&mut self, number: CertificateNumber, standing: Standing, now: Now) {
        let Some(entry) = self.inventory.entries.get_mut(&number) else {
            return;
        };
        entry.condition = Condition::of(standing.status);
        entry.standing = Some(standing);
        entry.failures = 0;
        let at = Deadline::Steady(now.steady.saturating_add(REVOKED_REPEAT));
        self.timers.set(Timer::Request(number), at);
    }

    fn request_failed(&mut self, number: CertificateNumber, failed: RequestFailure, now: Now) {
        let Some(entry) = self.inventory.entries.get_mut(&number) else {
            return;
        };
        entry.failures = entry.failures.saturating_add(1);
        let staple_until = entry.staple.as_ref().map(|staple| staple.expires());
        let remaining = staple_until.map(|end| end.since(now.wall));
        let mut retry_in = schedule::retry(entry.failures, remaining, self.random.f64());
        if let Some(asked) = failed.retry_after {
            // The responder's wish counts, but not beyond the point where the staple would end.
            let latest = remaining.map_or(asked, |remaining| remaining / 2);
            retry_in = retry_in.max(asked.min(latest));
        }
        entry.condition = Condition::Failing {
            kind: failed.failure.kind,
            message: failed.failure.message.clone(),
        };
        let report = Report::RequestFailed {
            path: entry.name().to_owned(),
            failure: failed.failure,
            failures: entry.failures,
            retry_in,
            staple_until,
        };
        let at = Deadline::Steady(now.steady.saturating_add(retry_in));
        self.timers.set(Timer::Request(number), at);
        self.report(report);
    }

    /// The staple, or the certificate itself, has come to its end.
    pub(super) fn expired(&mut self, number: CertificateNumber, now: Now) {
        let Some(entry) = self.inventory.entries.get_mut(&number) else {
            return;
        };
        let path = entry.name().to_owned();
        let not_after = entry.not_after();
        let lost = entry.staple.take().is_some();
        if not_after <= now.wall {
            entry.condition = Condition::Expired;
            self.timers.cancel(&Timer::Request(number));
            return self.report(Report::CertificateExpired { path, not_after });
        }
        self.timers
            .set(Timer::Expiry(number), Deadline::Wall(not_after));
        if lost {
            self.report(Report::StapleExpired { path });
        }
    }
}

fn life(staple: &Staple) -> Life {
    Life {
        start: staple.this_update(),
        end: staple.expires(),
    }
}

/// Whether a staple has enough life left to be written or delivered.
pub(super) fn is_fit(staple: &Staple, now: Timestamp) -> bool {
    staple.expires().since(now) >= SHORTEST_LIFE
}
