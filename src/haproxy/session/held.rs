//! What a process holds, beside what it is to be given.
//!
//! Asked for a whole batch at once, before anything is pushed: a reload comes with ten thousand
//! staples most of which the new process has read from disk. What it holds are foreign bytes, and
//! HAProxy checks no signature: a response counts as a newer one only when it is verified. Versions
//! from 2.5 to 2.7 show text that cannot be verified; there the dates have to do, and the wrong
//! that a forged one can do ends with the next renewal.

use std::collections::VecDeque;

use super::{Conversation, Offer, PendingOffer, STORES_LEVEL};
use crate::haproxy::command::{self, Command};
use crate::haproxy::connection::QUESTIONS_AT_ONCE;
use crate::haproxy::error::Error;
use crate::haproxy::reply::{self, Slot};
use crate::haproxy::versions::{SHOWS_BASE64, SHOWS_TEXT};
use crate::ocsp::verify::{CLOCK_SKEW, SHORTEST_LIFE};
use crate::ocsp::{self, Assessment, CertificateStatus, Staple, response};
use crate::time::Timestamp;

/// What a process holds of a certificate, as far as it matters to a delivery.
#[derive(Debug)]
pub(super) enum Held {
    /// Nothing, something else, or it is not known: the delivery goes its way.
    Other,
    /// The staple itself, in every slot it belongs in: nothing is to be done.
    Same,
    /// A newer response, verified: not to be replaced by an older one.
    Newer(Box<Assessment>),
    /// What by its dates is a newer response.
    SeeminglyNewer,
}

impl Conversation {
    /// What this process holds in place of each of the deliveries in `batch`.
    pub(super) async fn compare(
        &mut self,
        batch: &VecDeque<PendingOffer>,
        now: Timestamp,
    ) -> Result<VecDeque<Held>, Error> {
        let mut held: VecDeque<Held> = batch.iter().map(|_| Held::Other).collect();
        let mut asked: Vec<(&mut Held, &Offer, Command)> = held
            .iter_mut()
            .zip(batch.iter().map(|order| &order.delivery))
            .filter(|(_, delivery)| self.may_hold_a_response(delivery))
            .filter_map(|(held, delivery)| {
                Some((held, delivery, self.read_back(&delivery.staple)?))
            })
            .collect();
        for some in asked.chunks_mut(QUESTIONS_AT_ONCE) {
            let questions = some.iter().map(|(_, _, question)| question.clone());
            let questions = questions.collect();
            let answers = self.connection.exchange_all(questions).await?;
            for ((held, delivery, _), answer) in some.iter_mut().zip(answers) {
                **held = self.judge(&answer.text, delivery, now);
            }
        }
        Ok(held)
    }

    fn may_hold_a_response(&self, delivery: &Offer) -> bool {
        let stores = self.stores.holding(&delivery.certificate);
        let has_a_slot = stores.iter().any(|(_, slot)| *slot != Slot::Absent);
        // Below that level it is not known which certificates are loaded.
        has_a_slot || self.process.level < STORES_LEVEL || (stores.is_empty() && self.hides_stores)
    }

    fn judge(&self, answer: &str, delivery: &Offer, now: Timestamp) -> Held {
        let staple = &*delivery.staple;
        if self.shows(answer, staple) {
            let stores = self.stores.holding(&delivery.certificate);
            // It lies in some store's slot; if only one store can be meant, in that store's.
            let is_everywhere = match stores.as_slice() {
                [(_, slot)] => *slot != Slot::Absent,
                stores => stores.iter().all(|(_, slot)| *slot == Slot::Present),
            };
            return if is_everywhere {
                Held::Same
            } else {
                Held::Other
            };
        }
        if self.process.version >= SHOWS_BASE64 {
            let response = reply::ocsp_response_base64(answer);
            let newer = response.and_then(|response| newer_response(&response, delivery, now));
            return newer.map_or(Held::Other, |newer| Held::Newer(Box::new(newer)));
        }
        match reply::ocsp_response_period(answer) {
            Some((this_update, next_update))
                if this_update > staple.this_update()
                    && this_update <= now.saturating_add(CLOCK_SKEW)
                    && next_update.since(now) >= SHORTEST_LIFE =>
            {
                Held::SeeminglyNewer
            }
            _ => Held::Other,
        }
    }

    /// What to ask for the response held in place of `staple`. Before 2.5 HAProxy does not show its
    /// responses, and its replies have to be trusted.
    pub(super) fn read_back(&self, staple: &Staple) -> Option<Command> {
        let cert_id = staple.cert_id().der();
        if self.process.version >= SHOWS_BASE64 {
            Some(command::show_ocsp_response_base64(cert_id))
        } else if self.process.version >= SHOWS_TEXT {
            Some(command::show_ocsp_response_text(cert_id))
        } else {
            None
        }
    }

    /// Whether the answer to [`read_back`](Self::read_back) shows `staple`.
    pub(super) fn shows(&self, answer: &str, staple: &Staple) -> bool {
        if self.process.version >= SHOWS_BASE64 {
            reply::ocsp_response_base64(answer).is_some_and(|held| held == staple.der())
        } else {
            reply::ocsp_response_signature(answer)
                .is_some_and(|held| staple.der().windows(held.len()).any(|part| part == held))
        }
    }
}

/// What a response says, if it is valid, may follow the staple of the delivery, and is newer; of
/// use to a client, or a revocation.
fn newer_response(bytes: &[u8], delivery: &Offer, now: Timestamp) -> Option<Assessment> {
    let held = delivery.staple.standing();
    // Before its signature is checked, which takes longer: most that differ are older.
    let decoded = response::decode(bytes).ok()?;
    let mut updates = decoded.single_responses.iter().map(|it| it.this_update);
    if updates.all(|this_update| this_update <= held.this_update) {
        return None;
    }
    let subject = ocsp::Subject {
        certificate: &delivery.certificate,
        issuer: &delivery.issuer,
    };
    let assessment = ocsp::verify(bytes, subject, None, now, delivery.policy).ok()?;
    let is_of_use = assessment.stapling.is_ok()
        || matches!(assessment.status, CertificateStatus::Revoked { .. });
    let is_newer = assessment.this_update > held.this_update
        && ocsp::check_succession(&held, &assessment.standing(), now).is_ok();
    (is_of_use && is_newer).then_some(assessment)
}
