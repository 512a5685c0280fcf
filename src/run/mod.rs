//! The daemon: the only place that knows all tasks.
//!
//! It opens the channels, starts a task for each room that does I/O, and turns their results into
//! events for the agent and the agent's actions into their orders. It decides nothing. A stop
//! request ends it within two seconds: what is being written is finished, what hangs is left. Only
//! the end of a transaction in HAProxy is waited for longer.
//!
//! Results come back through one bounded channel. Orders go out through unbounded ones, so that
//! the loop never waits for a room (two full queues could wait for each other): what bounds them is
//! that the agent has at most one order of a kind open for each certificate, file and process.

mod accounts;
mod beside;
mod commands;
mod deliverer;
mod differences;
mod finder;
mod found;
mod haproxy_files;
mod intent;
mod off_limits;
mod once;
mod plan;
mod recollections;
mod requester;
mod rooms;
mod snapshot;
mod testimonies;
mod unreadable;
mod writer;

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use jiff::Zoned;
use jiff::civil::DateTime;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub use intent::{IntendedPlace, Intent, intent};
pub use once::{Extent, Once, Summary, once};
pub(crate) use requester::settings as fetch_settings;

use self::accounts::Accounts;
use self::commands::Commands;
use self::plan::{Ids, Plan, World};
use self::rooms::Rooms;
use self::snapshot::ConnectionSnapshot;
use self::testimonies::Testimonies;
use crate::agent::{self, Action, Agent, Event, Failure, Notice, TargetId};
use crate::background;
use crate::config::{self, Config, Origin};
use crate::discovery::source::Source;
use crate::haproxy::{self, Quarantine};
use crate::haproxy_config::{self, HaproxyConfig, Lack, OneSided, Testimony};
use crate::hooks;
use crate::schedule::SingleRun;
use crate::signals::{SignalRequest, Signals};
use crate::store::UnknownGroup;
use crate::systemd;
use crate::telemetry::{self, LogNames, Outlook};
use crate::text::Printable;
use crate::time::{Now, Timestamp};

/// Results of other rooms that may wait for the agent.
const EVENTS: usize = 1024;
/// The agent looks at the clock at least this often, so that a jump of it is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// How long the tasks get to finish what they have in hand.
const GRACE: Duration = Duration::from_millis(1200);
/// How long a transaction in HAProxy is waited for. A commit that rebuilds tens of thousands of
/// places takes a minute; one in a HAProxy that was stopped takes for ever.
const TRANSACTION_GRACE: Duration = Duration::from_secs(300);
/// How long threads that hang in system calls are waited for.
const LAST_GRACE: Duration = Duration::from_millis(200);

/// Why the daemon could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No threads to run on.
    #[error("the runtime cannot be started: {0}")]
    Runtime(io::Error),
    /// No signals.
    #[error("signal handlers cannot be installed: {0}")]
    Signals(io::Error),
    /// A group that does not exist.
    #[error(transparent)]
    Group(#[from] UnknownGroup),
    /// A HAProxy configuration that says what to look after cannot be read.
    #[error(transparent)]
    HaproxyConfig(#[from] haproxy_config::Error),
}

/// The system's clock; the only place that reads it.
pub fn wall_clock() -> Timestamp {
    SystemTime::now().into()
}

/// What the clocks on the walls here show: for names that people read.
pub fn local_time() -> DateTime {
    Zoned::now().datetime()
}

/// Reads the configuration anew, as it was read at the start.
pub type Reload = Box<dyn FnMut() -> Result<Config, Vec<config::Error>>>;

/// Runs the daemon until a signal ends it; `reload` is asked at SIGHUP.
///
/// # Errors
/// [`Error`] when it cannot start; once it runs, trouble is dealt with or logged.
pub fn run(config: Config, reload: Reload) -> Result<(), Error> {
    in_runtime(async {
        Daemon::start(config, None)?.work(reload).await;
        Ok(())
    })
}

fn in_runtime<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(LAST_GRACE);
    result
}

/// The warnings about the configuration that was gone over to, or what is wrong with it.
type Reloading = Result<Vec<String>, Vec<String>>;

/// What other rooms tell the daemon that is not the agent's business.
#[derive(Debug)]
enum RoomNews {
    /// These certificate stores of a HAProxy process are left alone.
    Quarantined {
        target: TargetId,
        stores: BTreeMap<String, Quarantine>,
    },
    /// A HAProxy process has these certificate stores loaded.
    Loaded {
        target: TargetId,
        stores: Vec<String>,
    },
    /// So the HAProxy process was built and started.
    Circumstances {
        target: TargetId,
        circumstances: haproxy::Circumstances,
    },
    /// This process answers now.
    Connected {
        target: TargetId,
        process: haproxy::Process,
        /// What it does not let us do.
        problem: Option<Failure>,
    },
    /// This is worth knowing about the process that answers.
    Noticed {
        target: TargetId,
        notices: Vec<haproxy::ProcessNotice>,
    },
    /// No process answers.
    Disconnected { target: TargetId, problem: Failure },
    /// These directories cannot be used as they should be.
    Directories(BTreeMap<PathBuf, Failure>),
    /// The HAProxy configurations are others than before.
    HaproxyConfigured {
        configs: Arc<Vec<HaproxyConfig>>,
        /// The watch that has read them. What one has read that was ended since is overtaken.
        watch: CancellationToken,
    },
}

struct Daemon {
    agent: Agent,
    started: Instant,
    config: Config,
    numbers: Ids,
    names: LogNames,
    world: World,
    /// How it stands with the connections to them.
    connections: BTreeMap<TargetId, ConnectionSnapshot>,
    /// The directories that cannot be used as they should be.
    directories: BTreeMap<PathBuf, Failure>,
    accounts: Accounts,
    testimonies: watch::Sender<Testimonies>,
    commands: Commands,
    signals: Signals,
    events: mpsc::Receiver<Event>,
    news: mpsc::UnboundedReceiver<RoomNews>,
    rooms: Rooms,
    notifier: systemd::Notifier,
    /// What lies beside certificates and is being cleared away.
    clearing: usize,
    has_scanned: bool,
    is_ready: bool,
}

impl Daemon {
    /// Opens the channels and starts a task for each room.
    fn start(config: Config, single_run: Option<SingleRun>) -> Result<Self, Error> {
        let signals = Signals::new().map_err(Error::Signals)?;
        let (event_sender, events) = mpsc::channel(EVENTS);
        let (news_sender, news) = mpsc::unbounded_channel();
        let mut numbers = Ids::default();
        let world = World {
            haproxy_configs: Arc::new(haproxy_files::read(&config, &Testimonies::default())?),
            loaded: BTreeMap::new(),
        };
        haproxy_files::log_notices(&world.haproxy_configs, &[]);
        let plan = Plan::new(&config, &world, &mut numbers);
        let memory = recollections::open(config.state_directory.as_deref());
        let settings = agent::Settings {
            single_run,
            ..agent_settings(&config)
        };
        let mut agent = Agent::new(settings, fastrand::u64(..));
        recollections::recall(&memory, &mut agent, wall_clock());
        let rooms = Rooms::start(&config, plan, &numbers, memory, event_sender, news_sender)?;
        rooms.keep_off(&config, &world.haproxy_configs);
        let mut daemon = Daemon {
            agent,
            started: Instant::now(),
            config,
            numbers,
            names: LogNames::default(),
            world,
            connections: BTreeMap::new(),
            directories: BTreeMap::new(),
            accounts: Accounts::default(),
            testimonies: watch::Sender::default(),
            commands: Commands::new(),
            signals,
            events,
            news,
            rooms,
            notifier: systemd::Notifier::default(),
            clearing: 0,
            has_scanned: false,
            is_ready: false,
        };
        daemon.learn_names();
        daemon.watch_haproxy_files();
        Ok(daemon)
    }

    fn now(&self) -> Now {
        Now {
            wall: wall_clock(),
            monotonic: self.started.elapsed(),
        }
    }

    /// Feeds the agent and hands out its orders until a signal says stop.
    async fn work(mut self, mut reload: Reload) {
        let watchdog = systemd::watchdog_interval();
        let longest_sleep = watchdog.map_or(LONGEST_SLEEP, |limit| limit.min(LONGEST_SLEEP));
        self.listen().await;
        loop {
            self.tell_systemd(watchdog);
            telemetry::tell_held_back(false);
            self.tell_differences();
            let wakeup = self.next_wakeup().unwrap_or(longest_sleep);
            tokio::select! {
                biased;
                request = self.signals.next() => match request {
                    SignalRequest::Stop => break,
                    SignalRequest::Reload => {
                        // It has been logged.
                        let _ = self.reload(reload());
                        self.listen().await;
                    }
                    SignalRequest::RenewAll => self.renew_all(),
                },
                Some(news) = self.news.recv() => self.learn(news),
                event = self.events.recv() => match event {
                    Some(event) => self.handle(event),
                    None => break,
                },
                () = tokio::time::sleep(wakeup.min(longest_sleep)) => self.handle(Event::Wakeup),
                // Last: the work goes on under any number of questions.
                Some(question) = self.commands.next() => {
                    self.answer(question, &mut reload);
                    self.listen().await;
                }
            }
        }
        telemetry::tell_held_back(true);
        tracing::info!("stopping");
        systemd::stopping();
        self.commands.stop().await;
        self.finish().await;
    }

    /// When the loop has something to do even if nothing comes in.
    fn next_wakeup(&self) -> Option<Duration> {
        let agent = self.agent.next_wakeup(self.now());
        let account = self.accounts.next(Instant::now());
        let due = match self.is_ready {
            true => self.notifier.due_in(Instant::now()),
            false => None,
        };
        agent.into_iter().chain(due).chain(account).min()
    }

    /// Keeps what `systemctl status` shows up to date, and the watchdog quiet.
    fn tell_systemd(&mut self, watchdog: Option<Duration>) {
        let now = Instant::now();
        if let Some(interval) = watchdog {
            self.notifier.alive(interval, now);
        }
        if self.is_ready && self.notifier.due_in(now) == Some(Duration::ZERO) {
            let status = telemetry::status_line(self.agent.states(wall_clock()));
            self.notifier.tell(status, now);
        }
    }

    fn handle(&mut self, event: Event) {
        self.notifier.stale();
        let is_scan = matches!(event, Event::Scanned { .. });
        if is_scan {
            tracing::trace!("everything has been looked at");
        }
        self.has_scanned |= is_scan;
        if matches!(event, Event::Cleared { .. }) {
            self.clearing = self.clearing.saturating_sub(1);
        }
        for action in self.decide(event) {
            match action {
                Action::Report(report) => self.tell(&report),
                order => {
                    self.clearing += usize::from(matches!(order, Action::Clear(..)));
                    self.rooms.carry_out(order);
                }
            }
        }
        if is_scan || (!self.is_ready && self.has_scanned && self.clearing == 0) {
            self.scanned();
        }
    }

    /// Has the operator told: in the log, and by a hook.
    fn tell(&self, report: &Notice) {
        telemetry::log_report(report, &self.names, Outlook::GoesOn);
        let status = |path: &Path| self.agent.status_of(path, wall_clock());
        if let Some(order) = hooks::order(&self.config.hooks, report, status) {
            self.rooms.run_hook(order);
        }
    }

    fn decide(&mut self, event: Event) -> Vec<Action> {
        let now = self.now();
        self.agent.handle(event, now)
    }

    /// Everything on disk has been looked at. After the first time the program is ready, as soon as
    /// nothing lies there any more that would keep HAProxy from starting.
    fn scanned(&mut self) {
        if !self.is_ready && self.clearing == 0 {
            self.is_ready = true;
            let status = telemetry::status_line(self.agent.states(wall_clock()));
            tracing::info!("ready, {status}");
            background::ready();
        }
    }

    /// Goes over to the configuration as it is now, whose warnings are returned, or stays with the
    /// one there is and returns what is wrong.
    fn reload(&mut self, read: Result<Config, Vec<config::Error>>) -> Reloading {
        let mistakes =
            |mistakes: Vec<config::Error>| mistakes.iter().map(ToString::to_string).collect();
        let changed = read.map_err(mistakes).and_then(|config| {
            let warnings = config.warnings.iter().map(ToString::to_string).collect();
            let changed = self.change(config).map(|()| warnings);
            changed.map_err(|error| vec![error.to_string()])
        });
        match &changed {
            Ok(_) => tracing::info!("configuration read again"),
            Err(mistakes) => {
                let reason = "configuration_refused";
                for mistake in mistakes {
                    // A record is a line: the line of the file goes to the client that asked for
                    // the reload.
                    let line = mistake.lines().next().unwrap_or_default();
                    tracing::error!(reason, "{line}");
                }
                tracing::error!(reason, "the configuration there was goes on");
            }
        }
        self.rooms.rescan();
        changed
    }

    fn change(&mut self, config: Config) -> Result<(), Error> {
        let haproxy_configs = haproxy_files::read(&config, &self.testimonies.borrow())?;
        let are_ways_changed = self.rooms.change(&self.config, &config)?;
        if config.state_directory != self.config.state_directory {
            tracing::warn!(
                reason = "needs_a_restart",
                "state_directory: the one there was stays in use until the next start"
            );
        }
        self.config = config;
        self.handle(Event::Reconfigured(agent_settings(&self.config)));
        if are_ways_changed {
            self.handle(Event::WaysChanged);
        }
        self.haproxy_configured(Arc::new(haproxy_configs));
        self.watch_haproxy_files();
        Ok(())
    }

    fn watch_haproxy_files(&mut self) {
        let testimonies = self.testimonies.subscribe();
        self.rooms
            .watch_haproxy_files(&self.config, &self.world.haproxy_configs, testimonies);
    }

    fn learn(&mut self, news: RoomNews) {
        match news {
            RoomNews::Circumstances {
                target,
                circumstances,
            } => self.hear(target, |testimony| {
                testimony.features = circumstances.features;
                testimony.library = circumstances.library;
                testimony.environment = circumstances.environment;
            }),
            RoomNews::Loaded { target, stores } => {
                self.hear(target, |testimony| {
                    testimony.loaded = Some(stores.iter().cloned().collect());
                });
                self.world.loaded.insert(target, stores);
                self.account();
                if self.config.origin() == Origin::Processes {
                    self.replan();
                }
            }
            RoomNews::Quarantined { target, stores } => {
                self.connections.entry(target).or_default().quarantined = stores;
            }
            RoomNews::Connected {
                target,
                process,
                problem,
            } => {
                self.hear(target, |testimony| {
                    testimony.version = Some(process.release.text().to_owned());
                });
                let connection = ConnectionSnapshot {
                    process: Some(process),
                    problem,
                    notices: Vec::new(),
                    quarantined: BTreeMap::new(),
                };
                self.connections.insert(target, connection);
                self.account();
            }
            RoomNews::Noticed { target, notices } => {
                let connection = self.connections.entry(target).or_default();
                connection.notices = notices;
            }
            RoomNews::Disconnected { target, problem } => {
                self.accounts.forget(target);
                let connection = ConnectionSnapshot {
                    process: None,
                    problem: Some(problem),
                    notices: Vec::new(),
                    quarantined: BTreeMap::new(),
                };
                self.connections.insert(target, connection);
            }
            RoomNews::Directories(directories) => self.directories = directories,
            RoomNews::HaproxyConfigured { configs, watch } => {
                if !watch.is_cancelled() {
                    self.haproxy_configured(configs);
                }
            }
        }
    }

    /// Takes in what a process says of itself; its configuration is read with that in mind.
    fn hear(&self, target: TargetId, note: impl FnOnce(&mut Testimony)) {
        if let Some(socket) = self.numbers.sockets().get(&target) {
            self.testimonies
                .send_if_modified(|testimonies| testimonies.note(&socket.address, note));
        }
    }

    /// Goes over to what the HAProxy configurations say now.
    fn haproxy_configured(&mut self, configs: Arc<Vec<HaproxyConfig>>) {
        haproxy_files::log_notices(&configs, &self.world.haproxy_configs);
        self.world.haproxy_configs = configs;
        self.replan();
        self.account();
    }

    /// Compares what the processes have loaded with what their configurations say.
    fn account(&mut self) {
        for (target, differences, changed) in self.differences() {
            let process = self.connections.get(&target);
            let process = process.and_then(|it| it.process.as_ref());
            let by_uptime = process.and_then(|it| it.uptime);
            let by_uptime = by_uptime
                .and_then(|uptime| SystemTime::now().checked_sub(Duration::from_secs(uptime)));
            let started = process.and_then(|it| it.started);
            let started = started.and_then(|it| {
                let seconds = u64::try_from(it.unix()).ok()?;
                SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
            });
            let started = started.or(by_uptime);
            let now = Instant::now();
            self.accounts
                .put(target, differences, changed, started, now);
        }
    }

    /// The names on one side only, for each connected process, and when its configuration was
    /// changed.
    fn differences(&self) -> Vec<(TargetId, Vec<OneSided>, Option<SystemTime>)> {
        let of_process = |(target, configs): (TargetId, Vec<&HaproxyConfig>)| {
            self.connections.get(&target)?.process.as_ref()?;
            let loaded = self.world.loaded.get(&target)?;
            let changed = configs.iter().filter_map(|it| it.changed).max();
            Some((target, self.one_sided(&configs, loaded), changed))
        };
        let processes = self.configs_of_processes().into_iter();
        processes.filter_map(of_process).collect()
    }

    /// The configurations that the process behind each control socket may have been started with.
    fn configs_of_processes(&self) -> BTreeMap<TargetId, Vec<&HaproxyConfig>> {
        let mut processes: BTreeMap<TargetId, Vec<&HaproxyConfig>> = BTreeMap::new();
        for process in self.world.haproxy_configs.iter() {
            let sockets = plan::sockets_of(process, &self.config);
            let targets = self.names.sockets.iter();
            let own = targets.filter(|(_, address)| sockets.contains(address));
            for (target, _) in own {
                processes.entry(*target).or_default().push(process);
            }
        }
        processes
    }

    /// Of several configurations that share a control socket each explains a part.
    fn one_sided(&self, configs: &[&HaproxyConfig], loaded: &[String]) -> Vec<OneSided> {
        let Some((first, others)) = configs.split_first() else {
            return Vec::new();
        };
        let mut differences = first.one_sided(loaded);
        for other in others {
            let unnamed: HashSet<String> = other
                .one_sided(loaded)
                .into_iter()
                .filter(|it| it.lack == Lack::NotNamed)
                .map(|it| it.name)
                .collect();
            differences.retain(|it| it.lack == Lack::NotNamed && unnamed.contains(&it.name));
        }
        let folders: Vec<&Path> = self
            .config
            .sources
            .iter()
            .map(|it| it.source.folder())
            .collect();
        let is_elsewhere = |name: &str| folders.iter().any(|it| Path::new(name).starts_with(it));
        differences.retain(|it| it.lack == Lack::NotLoaded || !is_elsewhere(&it.name));
        differences
    }

    /// Logs the differences that have lasted, each once.
    fn tell_differences(&mut self) {
        for (target, difference) in self.accounts.due(Instant::now()) {
            let socket = self.names.sockets.get(&target).map(ToString::to_string);
            let (socket, store) = (socket.unwrap_or_default(), difference.name.printable());
            let reason = difference.lack.kind();
            tracing::warn!(%socket, %store, reason, "{}", difference.message());
        }
    }

    /// Makes the sources and sessions what the configuration and the processes say.
    fn replan(&mut self) {
        let plan = Plan::new(&self.config, &self.world, &mut self.numbers);
        for target in self.rooms.meet(&self.numbers) {
            self.world.loaded.remove(&target);
            self.connections.remove(&target);
            self.handle(Event::Disconnected(target));
        }
        self.learn_names();
        self.rooms
            .keep_off(&self.config, &self.world.haproxy_configs);
        self.rooms.plan(plan);
    }

    fn learn_names(&mut self) {
        let sockets = self.numbers.sockets().iter();
        let certificates = self.config.sources.iter().filter_map(|configured| {
            let Source::File(file) = &configured.source else {
                return None;
            };
            Some((file.path.clone(), configured.name.clone()?))
        });
        self.names = LogNames {
            sockets: sockets
                .map(|(target, socket)| (*target, socket.address.clone()))
                .collect(),
            certificates: certificates.collect(),
        };
    }

    /// Listens for commands where the configuration says.
    async fn listen(&mut self) {
        let path = self.config.control_socket.as_deref();
        self.commands.listen(path).await;
    }

    /// Lets the tasks finish what they have in hand.
    async fn finish(self) {
        // The tasks that send results are not held up by a full channel.
        drop(self.events);
        if !self.rooms.finish().await {
            tracing::warn!("some tasks did not end in time and are left");
        }
    }
}

fn agent_settings(config: &Config) -> agent::Settings {
    agent::Settings {
        schedule: config.schedule,
        recycle: config.recycle,
        expiring_within: config.hooks.expiring_within,
        single_run: None,
    }
}
