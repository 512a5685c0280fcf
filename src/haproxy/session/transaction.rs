//! The one `set ssl cert` transaction of a process: opened, committed, ended.
//!
//! All clients of a process share it. Another client's is never written into, committed or aborted;
//! one of this program's never stays behind: until HAProxy has said that it is over, it counts as
//! open, and an answer that certificates are locked says nothing about it. A commit rebuilds every
//! place the certificate is used in and can take a minute, with a dot for every ten of them; when
//! its end is not seen nothing is sent that could touch it again ([`Processes`]).
//!
//! [`Processes`]: crate::haproxy::Processes

use std::time::Duration;

use tokio::time::Instant;

use super::descriptions::leaf;
use super::{CommandFailure, Conversation, Offer, Session};
use crate::haproxy::command::{self, Command};
use crate::haproxy::error::{DeliveryError, Error};
use crate::haproxy::level::Level;
use crate::haproxy::notice::ProcessNotice;
use crate::haproxy::processes::{ProcessIdentity, Unfinished};
use crate::haproxy::reply::{self, StoreDetails};
use crate::haproxy::versions::{KEEPS_TRANSACTIONS_APART, SURVIVES_FAILED_COMMIT};
use crate::time::Timestamp;
use crate::x509::{Certificate, CertificateReference};

/// A commit is given up when HAProxy has been silent for so long. It yields between ten instances,
/// each of which takes milliseconds; what is silent for longer is stopped, not busy.
const COMMIT_SILENCE: Duration = Duration::from_secs(180);

/// After this time another client's open transaction is reported.
const STUCK_AFTER: Duration = Duration::from_secs(180);

/// The interval of looks at another client's open transaction.
const WATCH_SPACING: Duration = Duration::from_secs(5);

/// Another client's transaction, as far as it has been watched.
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
        delivery: &Offer,
    ) -> Result<(), CommandFailure> {
        if conversation.process.level < Level::Admin {
            return Err(DeliveryError::PermissionDenied.into());
        }
        self.end_own_transaction(conversation).await?;
        match self.processes.unfinished(&conversation.identity) {
            None => {}
            // It could not be ended.
            Some(Unfinished::Transaction(_) | Unfinished::Unchecked(..)) => {
                return Err(DeliveryError::Locked.into());
            }
            Some(Unfinished::Commit(..)) => return Err(DeliveryError::CommitUnseen.into()),
            Some(Unfinished::FailedCommit(_)) => return Err(DeliveryError::CommitFailed.into()),
        }
        // 2.3 to 3.0 would write the response into any transaction that is open.
        if conversation.look_for_transaction().await?.is_some() {
            return Err(DeliveryError::ForeignTransaction.into());
        }
        conversation
            .check_store(store, &delivery.certificate)
            .await?;
        let _held = self.processes.transaction();
        self.begin(conversation, store, delivery).await?;
        self.commit(conversation, store, &delivery.certificate)
            .await
    }

    /// Opens the transaction and puts the issuer and the response into it.
    async fn begin(
        &mut self,
        conversation: &mut Conversation,
        store: &str,
        delivery: &Offer,
    ) -> Result<(), CommandFailure> {
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
        certificate: &Certificate,
    ) -> Result<(), CommandFailure> {
        let identity = conversation.identity.clone();
        let may_mix = conversation.process.version < KEEPS_TRANSACTIONS_APART;
        let kept = may_mix.then(|| CertificateReference::all(certificate).to_vec());
        let kept = kept.unwrap_or_default();
        let sent = Unfinished::Commit(store.to_owned(), kept.clone());
        self.processes.remember(&identity, sent).await;
        if may_mix && conversation.leaves_certificate(store).await? != Some(true) {
            let unsent = Unfinished::Transaction(store.to_owned());
            self.processes.remember(&identity, unsent).await;
            self.end_own_transaction(conversation).await?;
            return Err(DeliveryError::TransactionLost.into());
        }
        let mut commands = vec![command::commit_certificate(store)];
        // In one piece: another client can hardly deploy a certificate between the two.
        commands.extend(may_mix.then(|| command::show_certificate(store)));
        let connection = &mut conversation.connection;
        let answers = connection
            .exchange_patiently(commands, COMMIT_SILENCE)
            .await?;
        let mut answers = answers.into_iter();
        let answer = answers.next().map(|answer| answer.text).unwrap_or_default();
        let checked = answers.next().map_or(Ok(()), |shown| {
            let shown = reply::certificate(&shown, conversation.connection.buffer_size());
            self.check_committed(conversation, store, &kept, shown)
        });
        let Err(error) = reply::committed(&answer) else {
            if self.processes.unfinished(&identity).is_some() {
                self.note_committed(&identity, store.to_owned(), kept).await;
            }
            return Ok(checked?);
        };
        let survives = conversation.process.version >= SURVIVES_FAILED_COMMIT;
        let left = if reply::commit_failed(&answer) && !survives {
            Unfinished::FailedCommit(store.to_owned())
        } else {
            Unfinished::Transaction(store.to_owned())
        };
        self.processes.remember(&identity, left).await;
        self.end_own_transaction(conversation).await?;
        Err(match checked {
            Err(foreign @ DeliveryError::ForeignCertificate) => foreign.into(),
            _ => error.into(),
        })
    }

    /// A commit for this store came to its end.
    async fn note_committed(
        &self,
        identity: &ProcessIdentity,
        store: String,
        certificate: Vec<CertificateReference>,
    ) {
        if certificate.is_empty() {
            self.processes.forget(identity);
        } else {
            let unchecked = Unfinished::Unchecked(store, certificate);
            self.processes.remember(identity, unchecked).await;
        }
    }

    /// Compares what a store holds after a commit with the certificate that is to be there.
    ///
    /// # Errors
    /// The store holds another one, or it is not seen now, and has to be looked at again.
    fn check_committed(
        &mut self,
        conversation: &mut Conversation,
        store: &str,
        kept: &[CertificateReference],
        shown: Result<StoreDetails, DeliveryError>,
    ) -> Result<(), DeliveryError> {
        if let Ok(_) | Err(DeliveryError::StoreGone) = &shown {
            self.processes.forget(&conversation.identity);
        }
        match shown?.certificate {
            Some(other) if !kept.contains(&other) => {
                if lies_in_file(store, &other) {
                    return Err(DeliveryError::OtherCertificate);
                }
                self.quarantined.taken_over(store, other);
                conversation.stores.forget(store);
                Err(DeliveryError::ForeignCertificate)
            }
            _ => Ok(()),
        }
    }

    /// Whether a store holds the certificate of another client that came into it with a commit of
    /// this program's, and which its file has not had since.
    pub(super) fn is_foreign(&self, store: &str, details: &StoreDetails) -> bool {
        details
            .certificate
            .as_ref()
            .is_some_and(|it| self.quarantined.is_foreign(store, it) && !lies_in_file(store, it))
    }

    /// Looks at a store that was committed, where that could not be done at once.
    async fn look_after_commit(
        &mut self,
        conversation: &mut Conversation,
        store: &str,
        kept: &[CertificateReference],
    ) -> Result<(), Error> {
        let shown = conversation.show_store(store).await?;
        // What is wrong is quarantined; what is not seen now is looked at again.
        let _ = self.check_committed(conversation, store, kept, shown);
        Ok(())
    }

    /// Aborts a transaction of this program's that could not be committed, if HAProxy lets it; else
    /// it is tried again.
    pub(super) async fn end_own_transaction(
        &mut self,
        conversation: &mut Conversation,
    ) -> Result<(), Error> {
        let identity = conversation.identity.clone();
        let unfinished = self.processes.unfinished(&identity);
        if let Some(Unfinished::Unchecked(store, kept)) = &unfinished {
            return self.look_after_commit(conversation, store, kept).await;
        }
        if let Some(Unfinished::Transaction(store)) = unfinished {
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
    /// end was not seen has come to its end, and whether another client has one open.
    pub(super) async fn note_listed_transaction(
        &self,
        conversation: &mut Conversation,
        listing: &str,
    ) {
        let open = reply::listed_transaction(listing);
        let identity = &conversation.identity;
        let own = self.processes.unfinished(identity);
        match &own {
            Some(Unfinished::Commit(store, kept)) if open != Some(store) => {
                self.note_committed(identity, store.clone(), kept.clone())
                    .await;
            }
            _ => {}
        }
        conversation.note_foreign(open.filter(|_| own.is_none()));
    }

    /// What is to be said about transactions in this process.
    pub(super) fn transaction_notices(&self, conversation: &Conversation) -> Vec<ProcessNotice> {
        let mut notices = Vec::new();
        if let Some(Unfinished::Commit(store, _) | Unfinished::FailedCommit(store)) =
            self.processes.unfinished(&conversation.identity)
        {
            notices.push(ProcessNotice::CommitUnseen { store });
        }
        if let Some(foreign) = &conversation.foreign
            && foreign.since.elapsed() >= STUCK_AFTER
        {
            notices.push(ProcessNotice::TransactionStuck {
                store: foreign.store.clone(),
                after: STUCK_AFTER,
            });
        }
        notices
    }
}

impl Conversation {
    /// Which transaction is open.
    async fn look_for_transaction(&mut self) -> Result<Option<String>, CommandFailure> {
        let answer = self.exchange(command::ask_for_transaction()).await?;
        let open = reply::open_transaction(&answer)?.map(str::to_owned);
        self.note_foreign(open.as_deref());
        Ok(open)
    }

    /// Looks again at another client's transaction, once it has been seen.
    pub(super) async fn watch_foreign_transaction(&mut self) -> Result<(), CommandFailure> {
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
    async fn check_store(
        &mut self,
        store: &str,
        wanted: &Certificate,
    ) -> Result<(), CommandFailure> {
        let shown = self.show_store(store).await??.certificate;
        if shown.is_some_and(|shown| shown.fits(wanted)) {
            Ok(())
        } else {
            Err(DeliveryError::OtherCertificate.into())
        }
    }

    /// Whether the open transaction leaves the certificate of `store` as it is, as all of this
    /// program's do. None while that cannot be seen.
    async fn leaves_certificate(&mut self, store: &str) -> Result<Option<bool>, Error> {
        let questions = [
            command::show_certificate(store),
            // Last: what comes into it from here on is not seen before the commit.
            command::show_transaction(store),
        ];
        let answers = self.connection.exchange_all(questions.into()).await?;
        let buffer_size = self.connection.buffer_size();
        let mut shown = answers
            .iter()
            .map(|answer| reply::certificate(answer, buffer_size));
        let (Some(loaded), Some(begun)) = (shown.next(), shown.next()) else {
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

/// Whether this certificate lies in the file that has the name of a store: then it was deployed
/// there.
fn lies_in_file(store: &str, certificate: &CertificateReference) -> bool {
    leaf(store).is_some_and(|leaf| certificate.fits(&leaf))
}
