//! The one `set ssl cert` transaction of a process: opened, committed, ended.
//!
//! All clients of a process share it. Somebody else's is never written into, committed or aborted;
//! one of this program's never stays behind: until HAProxy has said that it is over, it counts as
//! open, and an answer that certificates are locked says nothing about it. A commit rebuilds every
//! place the certificate is used in and can take a minute, with a dot for every ten of them; when
//! its end is not seen nothing is sent that could touch it again ([`Processes`]).
//!
//! [`Processes`]: crate::haproxy::Processes

use std::time::Duration;

use tokio::time::Instant;

use super::{Conversation, Delivery, Failure, Session};
use crate::haproxy::command::{self, Command};
use crate::haproxy::notice::Notice;
use crate::haproxy::outcome::{DeliveryError, Error};
use crate::haproxy::processes::Unfinished;
use crate::haproxy::reply::{self, Level, StoreDetails};
use crate::haproxy::versions::{KEEPS_TRANSACTIONS_APART, SURVIVES_FAILED_COMMIT};
use crate::time::Timestamp;
use crate::x509::Certificate;

/// A commit is given up when HAProxy has been silent for so long. It yields between ten instances,
/// each of which takes milliseconds; what is silent for longer is stopped, not busy.
const COMMIT_SILENCE: Duration = Duration::from_secs(180);

/// Somebody else's transaction that is open for so long is told of.
const STUCK_AFTER: Duration = Duration::from_secs(180);

/// How often it is looked whether somebody else's transaction is still open.
const WATCH_SPACING: Duration = Duration::from_secs(5);

/// Somebody else's transaction, as far as it has been watched.
#[derive(Clone, Debug)]
pub(super) struct ForeignTransaction {
    store: String,
    since: Instant,
    looked: Instant,
}

impl<Now: Fn() -> Timestamp> Session<Now> {
    /// Gives `store` its slot, with the staple in it.
    ///
    /// The issuer goes along: HAProxy reads a `.issuer` file only where it found a `.ocsp` at its
    /// start, and a commit that fails for want of it must not be risked
    /// ([`SURVIVES_FAILED_COMMIT`]).
    pub(super) async fn attach(
        &mut self,
        conversation: &mut Conversation,
        store: &str,
        delivery: &Delivery,
    ) -> Result<(), Failure> {
        if conversation.process.level < Level::Admin {
            return Err(DeliveryError::PermissionDenied.into());
        }
        self.end_own_transaction(conversation).await?;
        match self.processes.unfinished(&conversation.identity) {
            None => {}
            // It could not be ended.
            Some(Unfinished::Transaction(_)) => return Err(DeliveryError::Locked.into()),
            Some(Unfinished::Commit(_)) => return Err(DeliveryError::CommitUnseen.into()),
            Some(Unfinished::FailedCommit(_)) => return Err(DeliveryError::CommitFailed.into()),
        }
        // 2.3 to 3.0 would write the response into whatever transaction is open.
        if conversation.look_for_transaction().await?.is_some() {
            return Err(DeliveryError::ForeignTransaction.into());
        }
        conversation
            .check_store(store, &delivery.certificate)
            .await?;
        let _held = self.processes.transaction();
        self.begin(conversation, store, delivery).await?;
        self.commit(conversation, store).await
    }

    /// Opens the transaction and puts the issuer and the response into it.
    async fn begin(
        &mut self,
        conversation: &mut Conversation,
        store: &str,
        delivery: &Delivery,
    ) -> Result<(), Failure> {
        let begun = Unfinished::Transaction(store.to_owned());
        self.processes.remember(&conversation.identity, begun).await;
        let issuer = command::set_certificate_issuer(store, &delivery.issuer);
        let answer = conversation.exchange(issuer).await?;
        if let Err(error) = reply::transaction_created(&answer, store) {
            if !reply::mentions_creation(&answer, store) {
                self.processes.forget(&conversation.identity);
            }
            self.end_own_transaction(conversation).await?;
            return Err(error.into());
        }
        let staple = command::set_certificate_ocsp(store, delivery.staple.der());
        let answer = conversation.exchange(staple).await?;
        if let Err(error) = reply::transaction_updated(&answer, store) {
            self.end_own_transaction(conversation).await?;
            return Err(error.into());
        }
        Ok(())
    }

    async fn commit(
        &mut self,
        conversation: &mut Conversation,
        store: &str,
    ) -> Result<(), Failure> {
        let identity = conversation.identity.clone();
        let sent = Unfinished::Commit(store.to_owned());
        self.processes.remember(&identity, sent).await;
        if conversation.process.version < KEEPS_TRANSACTIONS_APART
            && conversation.leaves_certificate(store).await? != Some(true)
        {
            let unsent = Unfinished::Transaction(store.to_owned());
            self.processes.remember(&identity, unsent).await;
            self.end_own_transaction(conversation).await?;
            return Err(DeliveryError::TransactionLost.into());
        }
        let commit = command::commit_certificate(store);
        let connection = &mut conversation.connection;
        let answer = connection
            .exchange_patiently(commit, COMMIT_SILENCE)
            .await?;
        match reply::committed(&answer) {
            Ok(()) => {
                self.processes.forget(&identity);
                Ok(())
            }
            Err(error) => {
                let failed = reply::commit_failed(&answer);
                let survives = conversation.process.version >= SURVIVES_FAILED_COMMIT;
                let left = if failed && !survives {
                    Unfinished::FailedCommit(store.to_owned())
                } else {
                    Unfinished::Transaction(store.to_owned())
                };
                self.processes.remember(&identity, left).await;
                self.end_own_transaction(conversation).await?;
                Err(error.into())
            }
        }
    }

    /// Aborts a transaction of this program's that could not be committed, if HAProxy lets it; else
    /// it is tried again.
    pub(super) async fn end_own_transaction(
        &mut self,
        conversation: &mut Conversation,
    ) -> Result<(), Error> {
        let identity = conversation.identity.clone();
        if let Some(Unfinished::Transaction(store)) = self.processes.unfinished(&identity) {
            if self.processes.is_recalled(&identity) {
                match conversation.leaves_certificate(&store).await? {
                    Some(true) => {}
                    Some(false) => {
                        self.processes.forget(&identity);
                        return Ok(());
                    }
                    None => return Ok(()),
                }
            }
            let _held = self.processes.transaction();
            let abort = command::abort_certificate(&store);
            let answer = conversation.exchange(abort).await?;
            if reply::transaction_is_over(&answer, &store) {
                self.processes.forget(&identity);
            }
        }
        Ok(())
    }

    /// Learns from the list of all stores, which names the open transaction, whether a commit whose
    /// end was not seen has come to its end, and whether somebody else has one open.
    pub(super) fn note_listed_transaction(&self, conversation: &mut Conversation, listing: &str) {
        let open = reply::listed_transaction(listing);
        let identity = &conversation.identity;
        let own = self.processes.unfinished(identity);
        match &own {
            Some(Unfinished::Commit(store)) if open != Some(store) => {
                self.processes.forget(identity);
            }
            _ => {}
        }
        conversation.note_foreign(open.filter(|_| own.is_none()));
    }

    /// What is to be said about transactions in this process.
    pub(super) fn transaction_notices(&self, conversation: &Conversation) -> Vec<Notice> {
        let mut notices = Vec::new();
        if let Some(Unfinished::Commit(store) | Unfinished::FailedCommit(store)) =
            self.processes.unfinished(&conversation.identity)
        {
            notices.push(Notice::CommitUnseen { store });
        }
        if let Some(foreign) = &conversation.foreign
            && foreign.since.elapsed() >= STUCK_AFTER
        {
            notices.push(Notice::TransactionStuck {
                store: foreign.store.clone(),
                after: STUCK_AFTER,
            });
        }
        notices
    }
}

impl Conversation {
    /// Which transaction is open.
    async fn look_for_transaction(&mut self) -> Result<Option<String>, Failure> {
        let answer = self.exchange(command::ask_for_transaction()).await?;
        let open = reply::open_transaction(&answer)?.map(str::to_owned);
        self.note_foreign(open.as_deref());
        Ok(open)
    }

    /// Looks again at somebody else's transaction, once it has been seen.
    pub(super) async fn watch_foreign_transaction(&mut self) -> Result<(), Failure> {
        let due = |foreign: &ForeignTransaction| foreign.looked.elapsed() >= WATCH_SPACING;
        if self.process.level == Level::Admin && self.foreign.as_ref().is_some_and(due) {
            self.look_for_transaction().await?;
        }
        Ok(())
    }

    fn note_foreign(&mut self, open: Option<&str>) {
        let now = Instant::now();
        let known = self.foreign.take();
        self.foreign = open.map(|store| ForeignTransaction {
            since: match known {
                Some(known) if known.store == store => known.since,
                _ => now,
            },
            store: store.to_owned(),
            looked: now,
        });
    }

    /// The certificate may have been replaced since the store was read.
    async fn check_store(&mut self, store: &str, wanted: &Certificate) -> Result<(), Failure> {
        let shown = self.show_store(store).await??.certificate;
        if shown.is_some_and(|shown| shown.fits(wanted)) {
            Ok(())
        } else {
            Err(DeliveryError::OtherCertificate.into())
        }
    }

    /// Whether the open transaction leaves the certificate of `store` as it is, as all of this program's
    /// do. None while that cannot be seen.
    async fn leaves_certificate(&mut self, store: &str) -> Result<Option<bool>, Error> {
        let questions = [
            command::show_transaction(store),
            command::show_certificate(store),
        ];
        let answers = self.connection.exchange_all(questions.into()).await?;
        let buffer_size = self.connection.buffer_size();
        let mut shown = answers
            .iter()
            .map(|answer| reply::certificate(answer, buffer_size));
        let (Some(begun), Some(loaded)) = (shown.next(), shown.next()) else {
            return Ok(None);
        };
        Ok(match (begun, loaded) {
            (Err(DeliveryError::Locked), _) | (_, Err(DeliveryError::Locked)) => None,
            (Ok(begun), Ok(loaded)) => Some(begun.certificate == loaded.certificate),
            (Err(_), _) | (_, Err(_)) => Some(false),
        })
    }

    /// What a store holds now.
    pub(super) async fn show_store(
        &mut self,
        store: &str,
    ) -> Result<Result<StoreDetails, DeliveryError>, Error> {
        let question = vec![command::show_certificate(store)];
        let replies = self.connection.exchange_all(question).await?;
        let buffer_size = self.connection.buffer_size();
        let reply = replies.first().ok_or(DeliveryError::StoreGone);
        Ok(reply.and_then(|reply| reply::certificate(reply, buffer_size)))
    }

    pub(super) async fn exchange(&mut self, command: Command) -> Result<String, Error> {
        self.connection.exchange(command).await
    }
}
