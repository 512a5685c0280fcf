//! The procedure of one delivery: push, or attach, and read back.
//!
//! HAProxy's word is not enough: `Success!` of a commit comes also where the response was ignored,
//! and `OCSP Response updated!` where a certificate under a second name stays without. So what
//! HAProxy holds is compared with what it was given, where the version can show it.

use std::time::Duration;

use tokio::time::Instant;

use super::{CommandFailure, Conversation, Offer, Parting, STORES_LEVEL, Session, unless_lost};
use crate::haproxy::command;
use crate::haproxy::error::DeliveryError;
use crate::haproxy::outcome::Arrival;
use crate::haproxy::reply::{self, Slot};
use crate::haproxy::versions::{Push, Replacing, SHOWS_BASE64};
use crate::ocsp::Staple;
use crate::ocsp::verify::SHORTEST_LIFE;
use crate::time::Timestamp;

/// A store that has no place for a staple after so many first staples is only for `server` lines.
const IN_VAIN: u8 = 3;

/// For so long it is then left alone: a `bind` line can come to use it.
const NOT_SERVED_FOR: Duration = Duration::from_secs(3600);

impl<Now: Fn() -> Timestamp> Session<Now> {
    /// Makes `staple` live, or says why it is not.
    pub(super) async fn deliver(
        &mut self,
        conversation: &mut Conversation,
        delivery: &Offer,
    ) -> Result<Result<Arrival, DeliveryError>, Parting> {
        let staple = &delivery.staple;
        // It was long enough when it was verified; that can have been a while ago.
        if staple.expires().since((self.now)()) < SHORTEST_LIFE {
            return Ok(Err(DeliveryError::ShortLived));
        }
        unless_lost(self.make_live(conversation, delivery).await)
    }

    async fn make_live(
        &mut self,
        conversation: &mut Conversation,
        delivery: &Offer,
    ) -> Result<Arrival, CommandFailure> {
        let staple = &delivery.staple;
        if self.settings.push == Push::Never {
            return Err(DeliveryError::PushWithheld.into());
        }
        let mut stores = conversation.stores.holding(&delivery.certificate);
        // Below that level staples can still be pushed blindly into slots that exist.
        let mut knows_stores = conversation.process.level >= STORES_LEVEL;
        if stores.is_empty() && knows_stores {
            // Perhaps it has been added since: new stores are read at once, replaced ones in turn.
            self.look_for_new_stores(conversation).await?;
            stores = conversation.stores.holding(&delivery.certificate);
            while stores.is_empty() && self.quarantined.suspect().is_some() {
                self.read_suspect(conversation).await?;
                stores = conversation.stores.holding(&delivery.certificate);
            }
            // One of those that cannot be asked about may hold it: its slot can be pushed into.
            let may_be_hidden =
                conversation.hides_stores || self.quarantined.undescribed().next().is_some();
            knows_stores = !(stores.is_empty() && conversation.hides_stores);
            if stores.is_empty() && !may_be_hidden {
                return Err(DeliveryError::NotLoaded.into());
            }
        }
        let served: Vec<(String, Slot)> = stores
            .iter()
            .filter(|(name, _)| !conversation.is_not_served(name))
            .cloned()
            .collect();
        if served.is_empty() && !stores.is_empty() {
            return Err(DeliveryError::ClientCertificate.into());
        }
        // If HAProxy does not tell, the push tells for a single store; of several, one with a slot
        // makes the push succeed while the others stay without.
        let without_slot: Vec<String> = served
            .iter()
            .filter(|(_, slot)| {
                *slot == Slot::Absent || (*slot == Slot::Unknown && served.len() > 1)
            })
            .map(|(name, _)| name.clone())
            .collect();
        if without_slot.len() < served.len() && !self.may_replace(conversation) {
            return Err(DeliveryError::PushWithheld.into());
        }
        if without_slot.is_empty() && staple.matches_by_cert_id() {
            match conversation.push(staple).await {
                Err(CommandFailure::Delivery(DeliveryError::NoSlot)) if knows_stores => {}
                Err(CommandFailure::Delivery(DeliveryError::NoSlot))
                    if conversation.hides_stores =>
                {
                    return Err(DeliveryError::NotShown.into());
                }
                Err(failure) => return Err(failure),
                Ok(()) => return Ok(Arrival::Pushed),
            }
        }
        let to_attach: Vec<String> = if without_slot.is_empty() {
            served.into_iter().map(|(name, _)| name).collect()
        } else {
            without_slot
        };
        if to_attach.is_empty() {
            // Else it would have been said before.
            return Err(DeliveryError::NotDescribed.into());
        }
        for store in &to_attach {
            self.attach(conversation, store, delivery).await?;
        }
        conversation.verify_attached(&to_attach, staple).await?;
        Ok(Arrival::Attached)
    }

    /// Whether a staple may be replaced in this process.
    pub(super) fn may_replace(&self, conversation: &Conversation) -> bool {
        let process = &conversation.process;
        match self.settings.push {
            Push::Always => true,
            Push::Fixed => process.release.replacing(process.threads) == Replacing::Safe,
            Push::Never => false,
        }
    }
}

impl Conversation {
    async fn push(&mut self, staple: &Staple) -> Result<(), CommandFailure> {
        let answer = self
            .exchange(command::set_ocsp_response(staple.der()))
            .await?;
        reply::updated(&answer)?;
        match self.verify(staple).await {
            // It has just said that it has a place.
            Err(CommandFailure::Delivery(DeliveryError::NoSlot)) => {
                Err(DeliveryError::NotHeld.into())
            }
            verified => verified,
        }
    }

    /// Reads back what HAProxy holds after a first staple, and whether there is a place for it now.
    ///
    /// A store that only `server` lines use staples nothing, even with a response in it: HAProxy
    /// staples for its own clients only. It is left alone from then on.
    async fn verify_attached(
        &mut self,
        stores: &[String],
        staple: &Staple,
    ) -> Result<(), CommandFailure> {
        let verified = self.verify(staple).await;
        let mut is_served = false;
        let now = Instant::now();
        let keeps_cert_ids = self.process.release.keeps_cert_ids();
        for store in stores {
            let has_place = match &verified {
                // It may be its predecessor's place that was looked for.
                _ if keeps_cert_ids => true,
                Err(CommandFailure::Delivery(DeliveryError::NoSlot)) => false,
                _ => self.has_place(store).await?,
            };
            if has_place {
                is_served = true;
                self.stores.slot_made(store);
                self.not_served.remove(store);
            } else {
                let (times, last) = self.not_served.entry(store.clone()).or_insert((0, now));
                (*times, *last) = (*times + 1, now);
            }
        }
        match verified {
            Err(CommandFailure::Delivery(DeliveryError::NoSlot)) => {
                Err(DeliveryError::NotHeld.into())
            }
            verified if is_served => verified,
            _ => Err(DeliveryError::NotHeld.into()),
        }
    }

    /// Whether a first staple was put into this store in vain. Once may be another client's doing
    /// that came between.
    fn is_not_served(&self, store: &str) -> bool {
        let known = self.not_served.get(store);
        known.is_some_and(|(times, last)| *times >= IN_VAIN && last.elapsed() < NOT_SERVED_FOR)
    }

    /// Whether HAProxy shows that a store has a place for a staple; true where it does not show it.
    async fn has_place(&mut self, store: &str) -> Result<bool, CommandFailure> {
        // Before, the response that was given makes it look so.
        if self.process.version < SHOWS_BASE64 {
            return Ok(true);
        }
        // Locked, or gone: it is seen when it is read again.
        let shown = self.show_store(store).await?;
        Ok(shown.map_or(true, |details| details.slot != Slot::Absent))
    }

    /// Reads back what HAProxy holds after it said yes.
    async fn verify(&mut self, staple: &Staple) -> Result<(), CommandFailure> {
        let Some(question) = self.read_back(staple) else {
            return Ok(());
        };
        let answer = self.exchange(question).await?;
        if self.shows(&answer, staple) {
            return Ok(());
        }
        Err(reply::not_held(&answer).into())
    }
}
