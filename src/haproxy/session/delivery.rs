//! The procedure of one delivery: push, or attach, and read back.
//!
//! HAProxy's word is not enough: `Success!` of a commit comes also where the response was ignored,
//! and `OCSP Response updated!` where a certificate under a second name stays without. So what
//! HAProxy holds is compared with what it was given, where the version can show it.

use super::{Conversation, Delivery, Failure, Parting, STORES_LEVEL, Session, unless_lost};
use crate::haproxy::command;
use crate::haproxy::outcome::{Delivered, DeliveryError};
use crate::haproxy::reply::{self, Slot};
use crate::ocsp::Staple;
use crate::ocsp::verify::MIN_STAPLE_LIFE;
use crate::time::Timestamp;

impl<Now: Fn() -> Timestamp> Session<Now> {
    /// Makes `staple` live, or says why it is not.
    pub(super) async fn deliver(
        &mut self,
        conversation: &mut Conversation,
        delivery: &Delivery,
    ) -> Result<Result<Delivered, DeliveryError>, Parting> {
        let staple = &delivery.staple;
        // It was long enough when it was verified; that can have been a while ago.
        if staple.expires().since((self.now)()) < MIN_STAPLE_LIFE {
            return Ok(Err(DeliveryError::ShortLived));
        }
        unless_lost(self.make_live(conversation, delivery).await)
    }

    async fn make_live(
        &mut self,
        conversation: &mut Conversation,
        delivery: &Delivery,
    ) -> Result<Delivered, Failure> {
        let staple = &delivery.staple;
        let mut stores = conversation.stores.holding(&delivery.certificate);
        // Below that level staples can still be pushed blindly into slots that exist.
        let knows_stores = conversation.process.level >= STORES_LEVEL;
        if stores.is_empty() && knows_stores {
            // Perhaps it has been added since: new stores are read at once, replaced ones in turn.
            self.look_for_new_stores(conversation).await?;
            stores = conversation.stores.holding(&delivery.certificate);
            // One of those that cannot be asked about may hold it: its slot can be pushed into.
            if stores.is_empty() && self.quarantined.undescribed().next().is_none() {
                return Err(DeliveryError::NotLoaded.into());
            }
        }
        // Where HAProxy does not tell, the push tells for a single store; of several, one with a
        // slot makes the push succeed while the others stay without.
        let without_slot: Vec<String> = stores
            .iter()
            .filter(|(_, slot)| {
                *slot == Slot::Absent || (*slot == Slot::Unknown && stores.len() > 1)
            })
            .map(|(name, _)| name.clone())
            .collect();
        if without_slot.is_empty() && staple.matches_by_cert_id() {
            match conversation.push(staple).await {
                Err(Failure::Delivery(DeliveryError::NoSlot)) if knows_stores => {}
                Err(failure) => return Err(failure),
                Ok(()) => return Ok(Delivered::Pushed),
            }
        }
        let to_attach: Vec<String> = if without_slot.is_empty() {
            stores.into_iter().map(|(name, _)| name).collect()
        } else {
            without_slot
        };
        if to_attach.is_empty() {
            return Err(DeliveryError::NotLoaded.into());
        }
        for store in to_attach {
            self.attach(conversation, &store, delivery).await?;
            conversation.stores.slot_made(&store);
        }
        conversation.verify(staple).await?;
        Ok(Delivered::Attached)
    }
}

impl Conversation {
    async fn push(&mut self, staple: &Staple) -> Result<(), Failure> {
        let answer = self
            .exchange(command::set_ocsp_response(staple.der()))
            .await?;
        reply::updated(&answer)?;
        self.verify(staple).await
    }

    /// Reads back what HAProxy holds after it said yes.
    async fn verify(&mut self, staple: &Staple) -> Result<(), Failure> {
        let Some(question) = self.read_back(staple) else {
            return Ok(());
        };
        let answer = self.exchange(question).await?;
        if self.shows(&answer, staple) {
            return Ok(());
        }
        if reply::locked(&answer) {
            return Err(DeliveryError::Locked.into());
        }
        Err(DeliveryError::NotHeld.into())
    }
}
