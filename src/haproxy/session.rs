//! One task for each control socket: keeps the connection, carries out deliveries, reports.
//!
//! It owns its connection and decides nothing about staples: what to deliver and when to try again
//! is the agent's. Every [`Offer`] taken is answered by exactly one report. A process that is on
//! its way out is left at once, since the connection keeps it alive and what is pushed into it is
//! lost (management guide §4, "Stopping and restarting HAProxy"); the process that answers next is
//! reported, so that it is given everything.

mod delivery;
mod descriptions;
mod follower;
mod held;
mod postponed;
mod transaction;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;

use self::descriptions::Descriptions;
use self::held::Held;
use self::postponed::Postponed;
use self::transaction::ForeignTransaction;
use super::address::Address;
use super::command;
use super::connection::{Connection, QUESTIONS_AT_ONCE, answers_another, connect};
use super::error::{DeliveryError, Error};
use super::level::Level;
use super::notice::ProcessNotice;
use super::offer::Offer;
use super::outcome::{Arrival, SessionReport};
use super::process::{Circumstances, Process};
use super::processes::{ProcessIdentity, Processes, ServingRight};
use super::quarantine::{Quarantine, Quarantined};
use super::reply::{self, Slot};
use super::stores::Stores;
use super::versions::{Push, SHOWS_STARS};
use crate::time::Timestamp;
use crate::x509::CertificateReference;

/// How often the process is asked whether it is stopping: one short command, and what a reload
/// costs before the new process is found.
pub const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// The shortest wait before connecting again.
const SHORTEST_BACKOFF: Duration = Duration::from_millis(50);

/// The longest wait before connecting again.
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// A connection that served this long was a good one: the wait starts from the shortest again.
const GOOD_CONNECTION: Duration = Duration::from_secs(1);

/// For so long after a connection that was in order its renewal may fail without a word: a process
/// that starts itself again, as a master does, refuses or closes connections for a moment.
const RESTART: Duration = Duration::from_secs(1);

/// At most this many deliveries are carried out before the process is looked at again.
const BATCH: usize = 64;

/// At most this many stores are read before the process is looked at again.
const STORES_READ_AT_ONCE: usize = 256;

/// How often, at most, a certificate that is not loaded makes the names be asked for again.
const LIST_SPACING: Duration = Duration::from_secs(1);

/// Where nothing shows which of several stores has lost its staple, all of them get it once more at
/// every so many readings: that takes a transaction for each.
const TURNS_WITH_SEVERAL_STORES: u32 = 5;

/// The level that `show ssl cert` takes.
const STORES_LEVEL: Level = Level::Operator;

/// How a session behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Within this time every certificate store is looked at again, so that a certificate that was
    /// replaced over the socket is noticed.
    pub refresh_interval: Duration,
    /// Whether staples are pushed.
    pub push: Push,
    /// Whether the process is asked how it was built and started: its environment may hold secrets,
    /// and is read only if its configuration depends on it.
    pub asks_circumstances: bool,
}

/// Runs the session of one control socket until `stop`, or until the agent is gone.
///
/// Reports must be received while deliveries are sent: the session takes no further delivery
/// before its reports are taken.
pub async fn run(
    target: Address,
    settings: Settings,
    deliveries: mpsc::UnboundedReceiver<Offer>,
    reports: mpsc::Sender<SessionReport>,
    processes: Arc<Processes>,
    now: impl Fn() -> Timestamp,
    stop: CancellationToken,
) {
    let mut session = Session {
        target,
        settings,
        deliveries,
        reports,
        processes,
        now,
        quarantined: Quarantined::default(),
        descriptions: Descriptions::default(),
        postponed: Postponed::new(),
        lost: None,
    };
    // What ends it is a cancelled token or an agent that is gone: both are no news.
    let Ended = session.keep(&stop).await;
}

/// The session is over: it was told to stop, or its receiver is gone.
struct Ended;

struct Session<Now> {
    target: Address,
    settings: Settings,
    deliveries: mpsc::UnboundedReceiver<Offer>,
    reports: mpsc::Sender<SessionReport>,
    processes: Arc<Processes>,
    now: Now,
    /// Stores that are not asked about, or only alone.
    quarantined: Quarantined,
    /// What the stores' files say about asking for them.
    descriptions: Descriptions,
    /// Deliveries during which connections were lost.
    postponed: Postponed<PendingOffer>,
    /// When a connection ended that was in order.
    lost: Option<Instant>,
}

/// One delivery under way, and where its answer goes; to this session's own reports where it says
/// nothing else.
struct PendingOffer {
    delivery: Offer,
    answer: Option<mpsc::Sender<SessionReport>>,
}

/// What is known about the process at the other end, for as long as the connection lasts.
struct Conversation {
    connection: Connection,
    process: Process,
    identity: ProcessIdentity,
    stores: Stores,
    /// The stores have been read once, so that from now on differences are changes.
    stores_known: bool,
    /// When their names were given last.
    listed: Option<Instant>,
    /// What was told of the stores last.
    told: ToldStores,
    /// Another client's transaction that was open at the last look.
    foreign: Option<ForeignTransaction>,
    /// What has been said about the process.
    notices: Vec<ProcessNotice>,
    /// Whether HAProxy answers another connection beside this one, once that has been tried.
    answers_another: Option<bool>,
    /// Sessions whose sockets lead to the same process.
    followers: Vec<mpsc::Sender<SessionReport>>,
    /// Those that have not been told anything yet.
    new_followers: Vec<mpsc::Sender<SessionReport>>,
    /// There are stores that HAProxy does not show: to it a name that begins with `*` always means
    /// the open transaction, however it is written.
    hides_stores: bool,
    /// When the staples of certificates that several stores hold were given once more, where
    /// nothing shows whether they are there.
    repeated: HashMap<CertificateReference, Instant>,
    /// Stores that a first staple was put into in vain, how often, and when last.
    not_served: HashMap<String, (u8, Instant)>,
}

/// What the agent knows of the stores.
struct ToldStores {
    circumstances: Option<Circumstances>,
    loaded: Option<Vec<String>>,
    served: Option<HashSet<CertificateReference>>,
    quarantined: Option<BTreeMap<String, Quarantine>>,
}

/// What a command can fail by: HAProxy's answer, or the connection.
enum CommandFailure {
    Delivery(DeliveryError),
    Parting(Parting),
}

impl From<DeliveryError> for CommandFailure {
    fn from(error: DeliveryError) -> Self {
        CommandFailure::Delivery(error)
    }
}

impl<T: Into<Parting>> From<T> for CommandFailure {
    fn from(parting: T) -> Self {
        CommandFailure::Parting(parting.into())
    }
}

/// Why serving a connection ended.
enum Parting {
    Ended,
    Lost(Error),
}

impl From<Ended> for Parting {
    fn from(_: Ended) -> Self {
        Parting::Ended
    }
}

impl From<Error> for Parting {
    fn from(error: Error) -> Self {
        Parting::Lost(error)
    }
}

impl<Now: Fn() -> Timestamp> Session<Now> {
    /// Connects, serves, and connects again.
    async fn keep(&mut self, stop: &CancellationToken) -> Ended {
        let mut backoff = SHORTEST_BACKOFF;
        let mut told: Option<&'static str> = None;
        loop {
            let error = match self.meet(stop).await {
                Err(Parting::Ended) => return Ended,
                Err(Parting::Lost(error)) => error,
                Ok((connection, process)) => {
                    told = None;
                    let since = Instant::now();
                    let Parting::Lost(error) =
                        self.serve_or_follow(connection, process, stop).await
                    else {
                        return Ended;
                    };
                    if since.elapsed() >= GOOD_CONNECTION || error == Error::Stopping {
                        backoff = SHORTEST_BACKOFF;
                    }
                    if matches!(error, Error::Stopping | Error::Closed) {
                        // A reload looks like this. It is news only if no process answers now.
                        self.lost = Some(Instant::now());
                        if self.wait(backoff, stop).await.is_err() {
                            return Ended;
                        }
                        backoff = longer(backoff);
                        continue;
                    }
                    error
                }
            };
            let is_restart = matches!(error, Error::Refused | Error::NoSuchSocket | Error::Closed)
                && self.lost.is_some_and(|lost| lost.elapsed() < RESTART);
            if told != Some(error.kind()) && !is_restart {
                told = Some(error.kind());
                if self
                    .report(SessionReport::Disconnected(error))
                    .await
                    .is_err()
                {
                    return Ended;
                }
            }
            if self.wait(backoff, stop).await.is_err() {
                return Ended;
            }
            backoff = longer(backoff);
        }
    }

    /// Connects and greets, answering deliveries meanwhile.
    async fn meet(&mut self, stop: &CancellationToken) -> Result<(Connection, Process), Parting> {
        let target = self.target.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(Parting::Ended),
            met = connect(&target) => Ok(met?),
            ended = self.turn_away() => Err(ended.into()),
        }
    }

    /// Waits, answering deliveries meanwhile.
    async fn wait(&mut self, time: Duration, stop: &CancellationToken) -> Result<(), Ended> {
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(Ended),
            () = sleep(time) => Ok(()),
            ended = self.turn_away() => Err(ended),
        }
    }

    /// Answers deliveries while there is no connection.
    async fn turn_away(&mut self) -> Ended {
        while let Some(delivery) = self.deliveries.recv().await {
            let order = PendingOffer::from(delivery);
            let answer = self.answer(&order, Err(DeliveryError::Disconnected));
            if answer.await.is_err() {
                break;
            }
        }
        Ended
    }

    /// Serves a process, or leaves it to the session that serves it already.
    async fn serve_or_follow(
        &mut self,
        connection: Connection,
        process: Process,
        stop: &CancellationToken,
    ) -> Parting {
        let identity = ProcessIdentity::of(&process, (self.now)());
        let processes = Arc::clone(&self.processes);
        match processes.claim(&identity, &self.target, process.level) {
            Ok(service) => {
                self.serve(connection, process, identity, service, stop)
                    .await
            }
            Err(server) => {
                drop(connection);
                self.follow(process, server, stop).await
            }
        }
    }

    /// Serves one connection to its end.
    async fn serve(
        &mut self,
        connection: Connection,
        process: Process,
        identity: ProcessIdentity,
        mut service: ServingRight<'_>,
        stop: &CancellationToken,
    ) -> Parting {
        // What was told of the process before may not be so with this one.
        let is_told = self.quarantined.stores().is_empty();
        self.quarantined.meet(process.pid, changed);
        if self
            .report(SessionReport::Connected(process.clone()))
            .await
            .is_err()
        {
            return Parting::Ended;
        }
        let mut conversation = Conversation {
            connection,
            process,
            identity,
            stores: Stores::default(),
            stores_known: false,
            listed: None,
            told: ToldStores {
                circumstances: None,
                loaded: None,
                served: None,
                quarantined: is_told.then(BTreeMap::new),
            },
            foreign: None,
            notices: Vec::new(),
            answers_another: None,
            followers: Vec::new(),
            new_followers: Vec::new(),
            hides_stores: false,
            repeated: HashMap::new(),
            not_served: HashMap::new(),
        };
        let mut batch = VecDeque::new();
        let conversed = self.converse(&mut conversation, &mut batch, &mut service, stop);
        let parting = match conversed.await {
            Ok(never) => match never {},
            Err(parting) => parting,
        };
        // The channel of offers is closed; the offers that were taken are answered.
        service.orders.close();
        while let Ok(handed) = service.orders.try_recv() {
            batch.extend(conversation.accept(handed));
        }
        for order in batch.into_iter().chain(self.postponed.take_all()) {
            let answer = self.answer(&order, Err(DeliveryError::Disconnected));
            if answer.await.is_err() {
                return Parting::Ended;
            }
        }
        parting
    }

    async fn converse(
        &mut self,
        conversation: &mut Conversation,
        batch: &mut VecDeque<PendingOffer>,
        service: &mut ServingRight<'_>,
        stop: &CancellationToken,
    ) -> Result<std::convert::Infallible, Parting> {
        self.notice(conversation).await?;
        if self.settings.asks_circumstances {
            let circumstances = conversation.ask_circumstances().await?;
            conversation.told.circumstances = Some(circumstances.clone());
            let report = SessionReport::Circumstances(circumstances);
            self.report_to_all(conversation, report).await?;
        }
        let knows_stores = conversation.process.level >= STORES_LEVEL;
        conversation.stores_known = !knows_stores;
        let mut check = regular_check();
        let mut taken = Vec::with_capacity(BATCH);
        let mut handed = Vec::with_capacity(BATCH);
        loop {
            let first_reading = !conversation.stores_known;
            tokio::select! {
                biased;
                () = stop.cancelled() => return Err(Parting::Ended),
                () = service.step_down.cancelled() => return Err(Error::Closed.into()),
                _ = check.tick() => {
                    conversation.check_process().await?;
                    self.end_own_transaction(conversation).await?;
                    let _ = unless_lost(conversation.watch_foreign_transaction().await)?;
                    self.try_another_connection(conversation).await;
                    self.notice(conversation).await?;
                    if knows_stores && conversation.stores_known {
                        // What is refused now is read at a later check.
                        let _ = unless_lost(self.read_share_of_stores(conversation).await)?;
                        let _ = unless_lost(self.read_suspect(conversation).await)?;
                        self.tell_stores(conversation).await?;
                    }
                    if conversation.stores_known {
                        batch.extend(self.postponed.due(Instant::now()));
                        self.carry_out(conversation, batch, stop).await?;
                    }
                }
                () = std::future::ready(()), if first_reading => {
                    let read = self.read_first_stores(conversation).await;
                    // While another client works on certificates, HAProxy does not show them. They
                    // are read when they are needed, or in turn.
                    let refused = unless_lost(read)?.is_err();
                    conversation.stores_known = refused || conversation.stores.all_read();
                    if conversation.stores_known {
                        self.tell_stores(conversation).await?;
                    }
                }
                error = conversation.connection.idle() => return Err(error.into()),
                count = self.deliveries.recv_many(&mut taken, BATCH), if !first_reading => {
                    if count == 0 {
                        return Err(Parting::Ended);
                    }
                    let orders = taken.drain(..).map(PendingOffer::from).collect();
                    self.admit(orders, batch);
                    if !batch.is_empty() {
                        conversation.check_process().await?;
                    }
                    self.carry_out(conversation, batch, stop).await?;
                }
                count = service.orders.recv_many(&mut handed, BATCH), if !first_reading => {
                    if count == 0 {
                        // Another session has taken the process over.
                        return Err(Error::Closed.into());
                    }
                    let orders = handed.drain(..);
                    let orders = orders.filter_map(|handed| conversation.accept(handed));
                    let orders = orders.collect();
                    self.admit(orders, batch);
                    if !batch.is_empty() {
                        conversation.check_process().await?;
                    }
                    self.carry_out(conversation, batch, stop).await?;
                }
            }
            conversation.tell_new_followers().await;
        }
    }

    /// Puts into `batch` what has not to wait.
    fn admit(&mut self, orders: Vec<PendingOffer>, batch: &mut VecDeque<PendingOffer>) {
        for order in orders {
            let certificate = order.delivery.staple.certificate_fingerprint();
            let now = Instant::now();
            batch.extend(self.postponed.admit(certificate, order, now));
        }
    }

    /// Carries out the deliveries in `batch`; those that are left in it were not answered.
    async fn carry_out(
        &mut self,
        conversation: &mut Conversation,
        batch: &mut VecDeque<PendingOffer>,
        stop: &CancellationToken,
    ) -> Result<(), Parting> {
        let compared = conversation.compare(batch, (self.now)()).await;
        if compared.is_err() {
            // Which of them it was shows when each comes alone.
            for order in batch.iter() {
                self.postponed
                    .lost(order.delivery.staple.certificate_fingerprint());
            }
        }
        let mut held = compared?;
        while let Some(delivery) = batch.front().map(|order| order.delivery.clone()) {
            if stop.is_cancelled() {
                return Err(Parting::Ended);
            }
            let certificate = delivery.staple.certificate_fingerprint();
            let outcome = match held.pop_front().unwrap_or(Held::Other) {
                Held::Same => Ok(Arrival::AlreadyHeld),
                Held::Newer(newer) => Err(DeliveryError::NewerHeld(Some(newer))),
                Held::SeeminglyNewer => Err(DeliveryError::NewerHeld(None)),
                Held::Other => {
                    let delivered = self.deliver(conversation, &delivery).await;
                    if matches!(&delivered, Err(Parting::Lost(error)) if *error != Error::Stopping)
                    {
                        self.postponed.lost(certificate);
                    }
                    delivered?
                }
            };
            self.postponed.answered(certificate);
            if let Some(order) = batch.pop_front() {
                self.answer(&order, outcome).await?;
            }
        }
        Ok(())
    }

    /// Reads the next stores of a process that is not known yet.
    async fn read_first_stores(
        &mut self,
        conversation: &mut Conversation,
    ) -> Result<(), CommandFailure> {
        if conversation.listed.is_none() {
            self.list_stores(conversation).await?;
        }
        self.read_stores(conversation, STORES_READ_AT_ONCE).await
    }

    /// Asks for the names of all stores.
    async fn list_stores(&mut self, conversation: &mut Conversation) -> Result<(), CommandFailure> {
        let question = command::show_certificates();
        let listing = conversation.connection.exchange(question).await?;
        let names = reply::certificates(&listing)?;
        self.note_listed_transaction(conversation, &listing).await;
        conversation.hides_stores = conversation.process.version < SHOWS_STARS
            && names.iter().any(|name| name.starts_with('*'));
        let buffer_size = conversation.connection.buffer_size();
        let may_end = conversation.process.release.ends_over_descriptions();
        self.descriptions.keep(&names);
        let names = self.quarantined.list(names, buffer_size / 2, |name| {
            may_end && self.descriptions.fill(name, buffer_size)
        });
        conversation.stores.list(&names);
        conversation.listed = Some(Instant::now());
        Ok(())
    }

    /// Tells the names of the stores and which of them are left alone, if they are not what was
    /// told before. A name counts once HAProxy knows a store by it: a line of the list need not be
    /// a name, since names can contain line feeds.
    async fn tell_stores(&self, conversation: &mut Conversation) -> Result<(), Ended> {
        if conversation.listed.is_some() && !conversation.stores.some_new() {
            let hidden = self
                .quarantined
                .undescribed()
                .chain(self.quarantined.foreign());
            let names = conversation.stores.names().chain(hidden);
            let names = names.flat_map(|name| match reply::bundle(name) {
                Some(parts) => parts,
                None => vec![name.clone()],
            });
            let names = names.collect();
            if conversation.told.loaded.as_ref() != Some(&names) {
                conversation.told.loaded = Some(names.clone());
                self.report_to_all(conversation, SessionReport::Loaded(names))
                    .await?;
            }
            self.tell_served(conversation).await?;
        }
        if conversation.told.quarantined.as_ref() != Some(self.quarantined.stores()) {
            let quarantined = self.quarantined.stores().clone();
            conversation.told.quarantined = Some(quarantined.clone());
            self.report_to_all(conversation, SessionReport::Quarantined(quarantined))
                .await?;
        }
        Ok(())
    }

    /// Tells which certificates are loaded, if they are others than were told.
    async fn tell_served(&self, conversation: &mut Conversation) -> Result<(), Ended> {
        let is_told = conversation.told.served.as_ref().is_some_and(|told| {
            let mut loaded = conversation.stores.certificates();
            told.len() == loaded.len() && loaded.all(|certificate| told.contains(certificate))
        });
        if is_told {
            return Ok(());
        }
        let served: HashSet<_> = conversation.stores.certificates().cloned().collect();
        let report = SessionReport::Serves(served.iter().cloned().collect());
        conversation.told.served = Some(served);
        self.report_to_all(conversation, report).await
    }

    /// Reads a store over which a connection may have been lost.
    async fn read_suspect(
        &mut self,
        conversation: &mut Conversation,
    ) -> Result<(), CommandFailure> {
        match self.quarantined.suspect() {
            Some(name) => self.read_these_stores(conversation, vec![name]).await,
            None => Ok(()),
        }
    }

    /// Reads as many stores as are due at one check, so that all are within the refresh interval.
    async fn read_share_of_stores(
        &mut self,
        conversation: &mut Conversation,
    ) -> Result<(), CommandFailure> {
        let refresh = self.settings.refresh_interval;
        if conversation
            .listed
            .is_none_or(|listed| listed.elapsed() >= refresh)
        {
            self.list_stores(conversation).await?;
        }
        let checks = refresh.as_millis() / CHECK_INTERVAL.as_millis();
        let checks = usize::try_from(checks).unwrap_or(usize::MAX).max(1);
        let share = conversation.stores.len().div_ceil(checks);
        self.read_stores(conversation, share).await
    }

    /// Asks whether stores have been added, and reads those.
    async fn look_for_new_stores(
        &mut self,
        conversation: &mut Conversation,
    ) -> Result<(), CommandFailure> {
        if conversation
            .listed
            .is_none_or(|listed| listed.elapsed() >= LIST_SPACING)
        {
            self.list_stores(conversation).await?;
        }
        loop {
            let new = std::iter::from_fn(|| conversation.stores.take_new());
            let names: Vec<String> = new.take(QUESTIONS_AT_ONCE).collect();
            if names.is_empty() {
                return Ok(());
            }
            self.read_these_stores(conversation, names).await?;
        }
    }

    /// Reads up to `count` of the stores that are due.
    async fn read_stores(
        &mut self,
        conversation: &mut Conversation,
        mut count: usize,
    ) -> Result<(), CommandFailure> {
        loop {
            let due = std::iter::from_fn(|| conversation.stores.take_unread());
            let names: Vec<String> = due.take(count.min(QUESTIONS_AT_ONCE)).collect();
            if names.is_empty() {
                return Ok(());
            }
            count -= names.len();
            self.read_these_stores(conversation, names).await?;
        }
    }

    /// Reads stores and reports those that have changed. Those that HAProxy does not show now are
    /// put off, and the first such answer is the error.
    async fn read_these_stores(
        &mut self,
        conversation: &mut Conversation,
        names: Vec<String>,
    ) -> Result<(), CommandFailure> {
        let questions = names.iter().map(|name| command::show_certificate(name));
        let questions = questions.collect();
        let replies = match conversation.connection.exchange_all(questions).await {
            Ok(replies) => replies,
            Err(error) => {
                let answered = conversation.connection.answered();
                let unanswered = names.get(answered..).unwrap_or_default();
                self.quarantined.lost(unanswered, &error, changed);
                return Err(error.into());
            }
        };
        let buffer_size = conversation.connection.buffer_size();
        let shows_slots = conversation.process.release.shows_slots();
        let mut refused = Ok(());
        for (name, answer) in names.into_iter().zip(replies) {
            let mut read = reply::certificate(&answer, buffer_size);
            if let (Ok(details), false) = (&mut read, shows_slots) {
                details.slot = Slot::Unknown;
            }
            match read {
                Ok(details) if self.is_foreign(&name, &details) => {
                    conversation.stores.forget(&name);
                }
                Ok(details) => {
                    self.quarantined.described(&name, details.doubt);
                    let certificate = details.certificate.clone();
                    let has_changed = conversation.stores.note(&name, details).is_some();
                    if let (Some(certificate), true) = (certificate, conversation.stores_known) {
                        self.store_read(conversation, name, certificate, has_changed)
                            .await?;
                    }
                }
                Err(DeliveryError::StoreGone) => {
                    self.quarantined.described(&name, None);
                    conversation.stores.forget(&name);
                }
                Err(error) => {
                    if !self.quarantined.is_suspect(&name) {
                        conversation.stores.put_off(name);
                    }
                    refused = refused.and(Err(error));
                }
            }
        }
        Ok(refused?)
    }

    /// Reports a store that has changed, or may have changed unseen.
    async fn store_read(
        &self,
        conversation: &mut Conversation,
        store: String,
        certificate: CertificateReference,
        has_changed: bool,
    ) -> Result<(), Ended> {
        let is_unseen = !conversation.process.release.shows_slots()
            && self.may_replace(conversation)
            && conversation.is_turn_of(&certificate, self.settings.refresh_interval);
        let report = match (has_changed, is_unseen) {
            (true, _) => {
                conversation.not_served.remove(&store);
                SessionReport::StoreChanged { store, certificate }
            }
            (false, true) => SessionReport::StapleUnseen { certificate },
            (false, false) => return Ok(()),
        };
        self.report_to_all(conversation, report).await
    }

    /// Finds out, once for every connection, whether it is the only one that HAProxy answers.
    async fn try_another_connection(&self, conversation: &mut Conversation) {
        if conversation.answers_another.is_none() {
            conversation.answers_another = Some(answers_another(&self.target).await);
        }
    }

    /// Says what is worth knowing about the process, when it is something else.
    async fn notice(&self, conversation: &mut Conversation) -> Result<(), Ended> {
        let mut notices = ProcessNotice::of(&conversation.process, self.settings.push);
        if conversation.answers_another == Some(false) {
            notices.push(ProcessNotice::OneConnection);
        }
        notices.extend(self.transaction_notices(conversation));
        if notices == conversation.notices {
            return Ok(());
        }
        conversation.notices.clone_from(&notices);
        self.report(SessionReport::Noticed(notices)).await
    }

    async fn answer(
        &self,
        order: &PendingOffer,
        outcome: Result<Arrival, DeliveryError>,
    ) -> Result<(), Ended> {
        let report = SessionReport::Delivered {
            fingerprint: order.delivery.staple.certificate_fingerprint(),
            outcome,
        };
        match &order.answer {
            // The sender may be gone, which does not concern this session.
            Some(other) => {
                let _ = other.send(report).await;
                Ok(())
            }
            None => self.report(report).await,
        }
    }

    async fn report(&self, report: SessionReport) -> Result<(), Ended> {
        let sent = self.reports.send(report).await;
        sent.map_err(|_| Ended)
    }
}

impl Conversation {
    /// Whether the staple of this certificate is to be given once more, of which a store has just
    /// been read.
    fn is_turn_of(&mut self, certificate: &CertificateReference, refresh: Duration) -> bool {
        if self.stores.is_only_one(certificate) {
            self.repeated.remove(certificate);
            return true;
        }
        let now = Instant::now();
        let last = self.repeated.entry(certificate.clone()).or_insert(now);
        let is_due = last.elapsed() >= refresh * TURNS_WITH_SEVERAL_STORES;
        if is_due {
            *last = now;
        }
        is_due
    }

    /// Asks the process how it was built and started.
    async fn ask_circumstances(&mut self) -> Result<Circumstances, Error> {
        let question = command::show_environment();
        let environment = self.connection.exchange(question).await?;
        let build = self.connection.exchange(command::show_build()).await?;
        Ok(Circumstances {
            features: reply::features(&build),
            library: reply::library(&build),
            environment: reply::environment(&environment),
        })
    }

    /// Leaves a process that is stopping, or that is not the one it was.
    async fn check_process(&mut self) -> Result<(), Error> {
        let text = self.connection.exchange(command::show_info()).await?;
        let info = reply::info(&text).ok_or_else(|| Error::NotHaproxy(reply::first_line(&text)))?;
        if info.stopping || info.pid != self.process.pid {
            return Err(Error::Stopping);
        }
        Ok(())
    }
}

/// When the file was changed last that has the name of a store; for names of files only.
fn changed(store: &str) -> Option<SystemTime> {
    std::fs::metadata(store).ok()?.modified().ok()
}

/// Separates an answer of HAProxy's, which leaves the connection in order, from its loss.
fn unless_lost<T>(result: Result<T, CommandFailure>) -> Result<Result<T, DeliveryError>, Parting> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(CommandFailure::Delivery(error)) => Ok(Err(error)),
        Err(CommandFailure::Parting(parting)) => Err(parting),
    }
}

fn regular_check() -> Interval {
    let mut check = interval_at(Instant::now() + CHECK_INTERVAL, CHECK_INTERVAL);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    check
}

fn longer(backoff: Duration) -> Duration {
    (backoff * 2).min(LONGEST_BACKOFF)
}
