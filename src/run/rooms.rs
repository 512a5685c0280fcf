//! The rooms around the agent: a task for each, and the ways to them.
//!
//! A change of the configuration starts anew what has to be another and leaves everything else as
//! it is. A replaced room finishes the orders it has, so every order gets an answer.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::beside::Beside;
use super::plan::{Ids, Plan, Socket};
use super::testimonies::Testimonies;
use super::writer::WriterOrder;
use super::{
    GRACE, RoomNews, TRANSACTION_GRACE, deliverer, finder, haproxy_files, off_limits,
    recollections, requester, writer,
};
use crate::agent::{Action, DeliveryOrder, Event, RequestOrder, TargetId};
use crate::config::Config;
use crate::fetch::{self, OffLimits, Pauses};
use crate::haproxy::Processes;
use crate::haproxy_config::HaproxyConfig;
use crate::hooks;
use crate::memory::Memory;
use crate::store::{Claims, Ownership, UnknownGroup};
use crate::systemd;

/// The rooms that carry out the agent's orders, and what they are told.
pub(super) struct Rooms {
    requester: Requester,
    writes: mpsc::UnboundedSender<WriterOrder>,
    hooks: mpsc::UnboundedSender<hooks::HookRun>,
    sessions: BTreeMap<TargetId, SessionRoom>,
    plans: watch::Sender<Arc<Plan>>,
    rescan: Arc<finder::Rescan>,
    /// Ends the watch over the HAProxy configurations.
    haproxy_watch: CancellationToken,
    results: Results,
}

/// Where the rooms' results go, and how they are stopped.
#[derive(Clone)]
struct Results {
    events: mpsc::Sender<Event>,
    news: mpsc::UnboundedSender<RoomNews>,
    memory: Memory,
    beside: Arc<Beside>,
    claims: Arc<Claims>,
    processes: Arc<Processes>,
    off_limits: OffLimits,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// The room that asks the responders.
struct Requester {
    orders: mpsc::UnboundedSender<RequestOrder>,
    pauses: Pauses,
}

/// The session of one control socket.
struct SessionRoom {
    orders: mpsc::UnboundedSender<DeliveryOrder>,
    stop: CancellationToken,
}

impl Rooms {
    /// Starts a task for each room.
    pub(super) fn start(
        config: &Config,
        plan: Plan,
        numbers: &Ids,
        memory: Memory,
        events: mpsc::Sender<Event>,
        news: mpsc::UnboundedSender<RoomNews>,
    ) -> Result<Self, UnknownGroup> {
        let ownership = ownership(config)?;
        let processes = Processes::new(memory.clone());
        let results = Results {
            events,
            news,
            memory,
            beside: Arc::new(Beside::new(ownership)),
            claims: Arc::default(),
            processes: Arc::new(processes),
            off_limits: OffLimits::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let (plans, planned) = watch::channel(Arc::new(plan));
        let rescan = Arc::new(finder::Rescan::default());
        results.tasks.spawn(finder::run(
            planned,
            Arc::clone(&results.claims),
            Arc::clone(&results.beside),
            Arc::clone(&rescan),
            results.events.clone(),
            results.news.clone(),
            results.stop.clone(),
        ));
        let mut rooms = Rooms {
            requester: results.requester(config),
            writes: results.writer(ownership, config),
            hooks: results.hooks(),
            sessions: BTreeMap::new(),
            plans,
            rescan,
            haproxy_watch: results.stop.child_token(),
            results,
        };
        rooms.meet(numbers);
        Ok(rooms)
    }

    /// Goes over to another configuration, as far as it does not say what to look after. Whether
    /// requests take another way from now on.
    pub(super) fn change(
        &mut self,
        before: &Config,
        config: &Config,
    ) -> Result<bool, UnknownGroup> {
        let ownership = ownership(config)?;
        if !writes_alike(before, config) {
            self.writes = self.results.writer(ownership, config);
            self.results.beside.change(ownership);
        }
        let is_asking_alike = asks_alike(before, config);
        if !is_asking_alike {
            self.requester = self.results.requester(config);
        }
        Ok(!is_asking_alike)
    }

    /// Has no request sent to the listeners that these configurations name.
    pub(super) fn keep_off(&self, config: &Config, haproxy: &[HaproxyConfig]) {
        let listeners = off_limits::listeners(config, haproxy);
        self.results.off_limits.replace(listeners);
    }

    /// In how many places the staple of this certificate file is.
    pub(super) fn staples_of(&self, path: &Path) -> usize {
        1 + self.results.beside.further_places(path).len()
    }

    /// Has this looked after from now on.
    pub(super) fn plan(&self, plan: Plan) {
        self.plans.send_replace(Arc::new(plan));
    }

    /// Starts the sessions that are missing and ends those that are not planned any more, which are
    /// returned.
    pub(super) fn meet(&mut self, numbers: &Ids) -> Vec<TargetId> {
        let planned = numbers.sockets();
        let ended: Vec<TargetId> = self
            .sessions
            .keys()
            .filter(|target| !planned.contains_key(target))
            .copied()
            .collect();
        for target in &ended {
            if let Some(session) = self.sessions.remove(target) {
                session.stop.cancel();
            }
        }
        for (target, socket) in planned {
            self.sessions
                .entry(*target)
                .or_insert_with(|| self.results.session(*target, socket));
        }
        ended
    }

    /// Has a hook run; one that is ordered while the program stops is not.
    pub(super) fn run_hook(&self, order: hooks::HookRun) {
        let _ = self.hooks.send(order);
    }

    /// Watches these HAProxy configurations, in place of those watched before.
    pub(super) fn watch_haproxy_files(
        &mut self,
        config: &Config,
        known: &Arc<Vec<HaproxyConfig>>,
        testimonies: watch::Receiver<Testimonies>,
    ) {
        self.haproxy_watch.cancel();
        self.haproxy_watch = self.results.stop.child_token();
        if !config.haproxy_config.is_empty() {
            self.results.tasks.spawn(haproxy_files::watch(
                config.clone(),
                Arc::clone(known),
                testimonies,
                self.results.news.clone(),
                self.haproxy_watch.clone(),
            ));
        }
    }

    /// Which responders are being left alone.
    pub(super) fn pauses(&self) -> &Pauses {
        &self.requester.pauses
    }

    /// Has everything on disk looked at, now.
    pub(super) fn rescan(&self) {
        self.rescan.changes();
    }

    /// Lets the tasks finish what they have in hand; whether they did in time. A transaction in
    /// HAProxy gets more of it: cut off, it would block HAProxy or even end it later.
    pub(super) async fn finish(self) -> bool {
        let memory = self.results.memory.clone();
        let have_ended = self.end_tasks().await;
        if memory.is_lasting() {
            memory.synced().await;
        }
        have_ended
    }

    async fn end_tasks(self) -> bool {
        self.results.stop.cancel();
        self.results.tasks.close();
        let (tasks, processes) = (
            self.results.tasks.clone(),
            Arc::clone(&self.results.processes),
        );
        // The rooms see their last order.
        drop(self);
        if timeout(GRACE, tasks.wait()).await.is_ok() {
            return true;
        }
        if processes.is_in_transaction() {
            tracing::info!("waiting for the end of a 'commit ssl cert' in HAProxy");
        }
        let begun = Instant::now();
        while processes.is_in_transaction() && begun.elapsed() < TRANSACTION_GRACE {
            systemd::stopping_takes(2 * GRACE);
            if timeout(GRACE, tasks.wait()).await.is_ok() {
                return true;
            }
        }
        false
    }

    /// Turns an order into one for its room. A closed channel means that the room was told to stop;
    /// the order is dropped.
    pub(super) fn carry_out(&self, action: Action) {
        match action {
            Action::Report(_) => {}
            Action::Remember(known) => recollections::remember(&self.results.memory, known),
            Action::Forget(identity) => recollections::forget(&self.results.memory, identity),
            Action::Request(order) => {
                let _ = self.requester.orders.send(order);
            }
            Action::LookAgain => self.rescan.everything(),
            Action::Write(order) => {
                let _ = self.writes.send(WriterOrder::Write(order));
            }
            Action::Clear(order) => {
                let _ = self.writes.send(WriterOrder::Clear(order));
            }
            Action::Deliver(order) => {
                if let Some(session) = self.sessions.get(&order.target) {
                    let _ = session.orders.send(order);
                }
            }
        }
    }
}

impl Results {
    fn requester(&self, config: &Config) -> Requester {
        let settings = fetch::Settings {
            off_limits: self.off_limits.clone(),
            ..requester::settings(config)
        };
        let pauses = settings.pauses.clone();
        let (sender, orders) = mpsc::unbounded_channel();
        let (events, stop) = (self.events.clone(), self.stop.clone());
        self.tasks
            .spawn(requester::run(settings, orders, events, stop));
        Requester {
            orders: sender,
            pauses,
        }
    }

    fn writer(&self, ownership: Ownership, config: &Config) -> mpsc::UnboundedSender<WriterOrder> {
        let places = writer::Places {
            claims: Arc::clone(&self.claims),
            ownership,
            backups: config.backups,
            beside: Arc::clone(&self.beside),
            memory: self.memory.clone(),
        };
        let (sender, orders) = mpsc::unbounded_channel();
        let (events, stop) = (self.events.clone(), self.stop.clone());
        self.tasks.spawn(writer::run(places, orders, events, stop));
        sender
    }

    fn hooks(&self) -> mpsc::UnboundedSender<hooks::HookRun> {
        let (sender, orders) = mpsc::unbounded_channel();
        self.tasks.spawn(hooks::run(orders, self.stop.clone()));
        sender
    }

    fn session(&self, target: TargetId, socket: &Socket) -> SessionRoom {
        let (sender, orders) = mpsc::unbounded_channel();
        let stop = self.stop.child_token();
        self.tasks.spawn(deliverer::run(
            target,
            socket.clone(),
            Arc::clone(&self.processes),
            orders,
            self.events.clone(),
            self.news.clone(),
            stop.clone(),
        ));
        SessionRoom {
            orders: sender,
            stop,
        }
    }
}

fn ownership(config: &Config) -> Result<Ownership, UnknownGroup> {
    Ownership::new(config.file_mode, config.file_group.as_deref())
}

/// Whether both write staples in the same way.
fn writes_alike(one: &Config, other: &Config) -> bool {
    one.file_mode == other.file_mode
        && one.file_group == other.file_group
        && one.backups == other.backups
}

/// Whether both ask responders in the same way.
fn asks_alike(one: &Config, other: &Config) -> bool {
    one.renewal_threads == other.renewal_threads
        && one.connect_timeout == other.connect_timeout
        && one.request_timeout == other.request_timeout
        && one.address_rules == other.address_rules
        && one.proxies == other.proxies
        && one.responder_urls() == other.responder_urls()
}
