//! The procedure of one delivery: push, or attach, and read back.
//!
//! HAProxy's word is not enough: `Success!` of a commit comes also where the response was ignored,
//! and `OCSP Response updated!` where a certificate under a second name stays without. So what
//! HAProxy holds is compared with what it was given, where the version can show it. Only one
//! `set ssl cert` transaction exists in a process, shared by all its clients: somebody else's is
//! never written into, committed or aborted.

use super::{Conversation, Delivery, Failure, Parting, STORES_LEVEL, Session, unless_lost};
use crate::haproxy::command::{self, Command};
use crate::haproxy::outcome::{Delivered, DeliveryError, Error};
use crate::haproxy::reply::{self, Level, Slot, Version};
use crate::ocsp::Staple;
use crate::ocsp::verify::MIN_STAPLE_LIFE;
use crate::time::Timestamp;
use crate::x509::Certificate;

/// The first version seen to survive what follows a commit that failed. 2.2 frees the transaction
/// and keeps it: whatever touches it next, be it an abort, ends the process ("double free").
const SURVIVES_SINCE: Version = Version { major: 2, minor: 6 };

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
        let cert_id = command::hex(staple.cert_id().der());
        if conversation.updated_by_haproxy.contains(&cert_id) {
            return Err(DeliveryError::OwnedByHaproxy.into());
        }
        let mut stores = conversation.stores.holding(&delivery.certificate);
        // Below that level staples can still be pushed blindly into slots that exist.
        let knows_stores = conversation.process.level >= STORES_LEVEL;
        if stores.is_empty() && knows_stores {
            // Perhaps it has been added since: new stores are read at once, replaced ones in turn.
            self.look_for_new_stores(conversation).await?;
            stores = conversation.stores.holding(&delivery.certificate);
            if stores.is_empty() {
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
        let to_attach = if without_slot.is_empty() {
            stores.into_iter().map(|(name, _)| name).collect()
        } else {
            without_slot
        };
        for store in to_attach {
            self.attach(conversation, &store, delivery).await?;
        }
        conversation.verify(staple).await?;
        Ok(Delivered::Attached)
    }

    /// Gives `store` its slot, with the staple in it.
    ///
    /// The issuer goes along: HAProxy reads a `.issuer` file only where it found a `.ocsp` at its
    /// start, and a commit that fails for want of it must not be risked ([`SURVIVES_SINCE`]).
    async fn attach(
        &mut self,
        conversation: &mut Conversation,
        store: &str,
        delivery: &Delivery,
    ) -> Result<(), Failure> {
        if conversation.commit_failed {
            return Err(DeliveryError::CommitFailed.into());
        }
        if conversation.process.level < Level::Admin {
            return Err(DeliveryError::PermissionDenied.into());
        }
        self.end_own_transaction(conversation).await?;
        // 2.3 to 3.0 would write the response into whatever transaction is open.
        let open = conversation
            .exchange(command::ask_for_transaction())
            .await?;
        if reply::open_transaction(&open).is_some() {
            return Err(DeliveryError::ForeignTransaction.into());
        }
        conversation
            .check_store(store, &delivery.certificate)
            .await?;
        self.open_transaction = Some((conversation.process.pid, store.to_owned()));
        let issuer = command::set_certificate_issuer(store, &delivery.issuer);
        let answer = conversation.exchange(issuer).await?;
        if let Err(error) = reply::transaction_created(&answer, store) {
            self.open_transaction = None;
            return Err(error.into());
        }
        let staple = command::set_certificate_ocsp(store, delivery.staple.der());
        let answer = conversation.exchange(staple).await?;
        if let Err(error) = reply::transaction_updated(&answer, store) {
            self.end_own_transaction(conversation).await?;
            return Err(error.into());
        }
        let commit = command::commit_certificate(store);
        let answer = conversation.exchange(commit).await?;
        if let Err(error) = reply::committed(&answer) {
            if conversation.process.version < SURVIVES_SINCE && reply::commit_failed(&answer) {
                conversation.commit_failed = true;
                self.open_transaction = None;
            }
            self.end_own_transaction(conversation).await?;
            return Err(error.into());
        }
        self.open_transaction = None;
        conversation.stores.slot_made(store);
        Ok(())
    }

    /// Aborts a transaction of this session's that could not be committed. One of an earlier
    /// process ended with it.
    pub(super) async fn end_own_transaction(
        &mut self,
        conversation: &mut Conversation,
    ) -> Result<(), Error> {
        let Some((pid, store)) = &self.open_transaction else {
            return Ok(());
        };
        if *pid == conversation.process.pid {
            let abort = command::abort_certificate(store);
            let answer = conversation.exchange(abort).await?;
            if reply::locked(&answer) {
                return Ok(());
            }
        }
        self.open_transaction = None;
        Ok(())
    }
}

impl Conversation {
    async fn exchange(&mut self, command: Command) -> Result<String, Error> {
        self.connection.exchange(command).await
    }

    async fn push(&mut self, staple: &Staple) -> Result<(), Failure> {
        let answer = self
            .exchange(command::set_ocsp_response(staple.der()))
            .await?;
        reply::updated(&answer)?;
        self.verify(staple).await
    }

    /// The certificate may have been replaced since the store was read.
    async fn check_store(&mut self, store: &str, wanted: &Certificate) -> Result<(), Failure> {
        let text = self.exchange(command::show_certificate(store)).await?;
        let shown = reply::certificate(&text)?.certificate;
        if shown.is_some_and(|shown| shown.fits(wanted)) {
            Ok(())
        } else {
            Err(DeliveryError::OtherCertificate.into())
        }
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
