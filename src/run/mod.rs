//! The daemon: the only place that knows all tasks.
//!
//! It opens the channels, starts a task for each room that does I/O, and turns their results into
//! events for the agent and the agent's actions into their orders. It decides nothing. A stop
//! request ends it within two seconds: what is being written is finished, what hangs is left.
//!
//! Results come back through one bounded channel. Orders go out through unbounded ones, so that
//! the loop never waits for a room (two full queues could wait for each other): what bounds them is
//! that the agent has at most one order of a kind open for each certificate, file and process.

mod commands;
mod deliverer;
mod differences;
mod finder;
mod plan;
mod requester;
mod rooms;
mod snapshot;
mod writer;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;

pub(crate) use requester::settings as fetch_settings;

use self::commands::Commands;
use self::plan::{Numbers, Plan};
use self::rooms::Rooms;
use self::snapshot::Connection;
use crate::agent::{self, Action, Agent, Event, Failure, TargetId};
use crate::background;
use crate::config::{self, Config, Origin};
use crate::haproxy::{self, Address};
use crate::signals::{Request, Signals};
use crate::store::UnknownGroup;
use crate::systemd;
use crate::telemetry;
use crate::time::{Now, Timestamp};

/// Results of other rooms that may wait for the agent.
const EVENTS: usize = 1024;
/// The agent looks at the clock at least this often, so that a jump of it is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// How long the tasks get to finish what they have in hand.
const GRACE: Duration = Duration::from_millis(1200);
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
}

/// The system's clock; the only place that reads it.
pub fn wall_clock() -> Timestamp {
    SystemTime::now().into()
}

/// Reads the configuration anew, as it was read at the start.
pub type Reload = Box<dyn FnMut() -> Result<Config, Vec<config::Error>>>;

/// Runs the daemon until a signal ends it; `reload` is asked at SIGHUP.
///
/// # Errors
/// [`Error`] when it cannot start; once it runs, trouble is dealt with or logged.
pub fn run(config: Config, reload: Reload) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    let result = runtime.block_on(async {
        Daemon::start(config)?.work(reload).await;
        Ok(())
    });
    runtime.shutdown_timeout(LAST_GRACE);
    result
}

/// What other rooms tell the daemon that is not the agent's business.
#[derive(Debug)]
enum News {
    /// A HAProxy process has these certificate stores loaded.
    Loaded {
        target: TargetId,
        stores: Vec<String>,
    },
    /// This process answers now.
    Connected {
        target: TargetId,
        process: haproxy::Process,
        /// What it does not let us do.
        problem: Option<Failure>,
    },
    /// No process answers.
    Disconnected { target: TargetId, problem: Failure },
    /// These directories cannot be used as they should be.
    Directories(BTreeMap<PathBuf, Failure>),
}

struct Daemon {
    agent: Agent,
    started: Instant,
    config: Config,
    numbers: Numbers,
    /// The addresses behind the numbers, for the log.
    sockets: BTreeMap<TargetId, Address>,
    /// What each HAProxy process says that it has loaded.
    loaded: BTreeMap<TargetId, Vec<String>>,
    /// How it stands with the connections to them.
    connections: BTreeMap<TargetId, Connection>,
    /// The directories that cannot be used as they should be.
    directories: BTreeMap<PathBuf, Failure>,
    commands: Commands,
    signals: Signals,
    events: mpsc::Receiver<Event>,
    news: mpsc::UnboundedReceiver<News>,
    rooms: Rooms,
    is_ready: bool,
}

impl Daemon {
    /// Opens the channels and starts a task for each room.
    fn start(config: Config) -> Result<Self, Error> {
        let signals = Signals::new().map_err(Error::Signals)?;
        let (event_sender, events) = mpsc::channel(EVENTS);
        let (news_sender, news) = mpsc::unbounded_channel();
        let mut numbers = Numbers::default();
        let plan = Plan::new(&config, &BTreeMap::new(), &mut numbers);
        let rooms = Rooms::start(&config, plan, &numbers, event_sender, news_sender)?;
        let agent = Agent::new(agent_settings(&config), fastrand::u64(..));
        let mut daemon = Daemon {
            agent,
            started: Instant::now(),
            config,
            numbers,
            sockets: BTreeMap::new(),
            loaded: BTreeMap::new(),
            connections: BTreeMap::new(),
            directories: BTreeMap::new(),
            commands: Commands::new(),
            signals,
            events,
            news,
            rooms,
            is_ready: false,
        };
        daemon.learn_addresses();
        Ok(daemon)
    }

    fn now(&self) -> Now {
        Now {
            wall: wall_clock(),
            steady: self.started.elapsed(),
        }
    }

    /// Feeds the agent and hands out its orders until a signal says stop.
    async fn work(mut self, mut reload: Reload) {
        let watchdog = systemd::watchdog_interval();
        let longest_sleep = watchdog.map_or(LONGEST_SLEEP, |limit| limit.min(LONGEST_SLEEP));
        let mut alive_at = Instant::now();
        self.listen().await;
        loop {
            let wakeup = self.agent.next_wakeup(self.now()).unwrap_or(longest_sleep);
            tokio::select! {
                biased;
                request = self.signals.next() => match request {
                    Request::Stop => break,
                    Request::Reload => {
                        self.reload(reload());
                        self.listen().await;
                    }
                    Request::RenewAll => self.handle(Event::RenewAll),
                },
                Some(news) = self.news.recv() => self.learn(news),
                event = self.events.recv() => match event {
                    Some(event) => self.handle(event),
                    None => break,
                },
                () = tokio::time::sleep(wakeup.min(longest_sleep)) => self.handle(Event::Wakeup),
                // Last: however often somebody asks, the work goes on.
                Some(question) = self.commands.next() => self.answer(question),
            }
            if let Some(interval) = watchdog
                && alive_at.elapsed() >= interval / 2
            {
                systemd::alive();
                alive_at = Instant::now();
            }
        }
        self.commands.stop().await;
        self.finish().await;
    }

    fn handle(&mut self, event: Event) {
        if matches!(event, Event::Scanned) {
            self.scanned();
        }
        let now = self.now();
        for action in self.agent.handle(event, now) {
            match action {
                Action::Report(report) => telemetry::log_report(&report, &self.sockets),
                order => self.rooms.carry_out(order),
            }
        }
    }

    /// Everything on disk has been looked at: after the first time, the program is ready.
    fn scanned(&mut self) {
        let status = telemetry::status_line(self.agent.states(wall_clock()));
        if self.is_ready {
            systemd::status(&status);
        } else {
            self.is_ready = true;
            tracing::info!("ready, {status}");
            systemd::ready(&status);
            background::ready();
        }
    }

    /// Goes over to the configuration as it is now, or stays with the one there is.
    fn reload(&mut self, read: Result<Config, Vec<config::Error>>) {
        let reason = "configuration_refused";
        let config = match read {
            Ok(config) => config,
            Err(mistakes) => {
                for mistake in mistakes {
                    tracing::error!(reason, "{mistake}");
                }
                tracing::error!(reason, "the configuration there was goes on");
                return self.rooms.rescan();
            }
        };
        let before = std::mem::replace(&mut self.config, config);
        if let Err(error) = self.rooms.change(&before, &self.config) {
            self.config = before;
            tracing::error!(reason, "{error}; the configuration there was goes on");
            return self.rooms.rescan();
        }
        self.handle(Event::Reconfigured(agent_settings(&self.config)));
        self.replan();
        tracing::info!("configuration read again");
        self.rooms.rescan();
    }

    fn learn(&mut self, news: News) {
        match news {
            News::Loaded { target, stores } => {
                self.loaded.insert(target, stores);
                if self.config.origin() == Origin::Processes {
                    self.replan();
                }
            }
            News::Connected {
                target,
                process,
                problem,
            } => {
                let process = Some(process);
                let connection = Connection { process, problem };
                self.connections.insert(target, connection);
            }
            News::Disconnected { target, problem } => {
                let connection = Connection {
                    process: None,
                    problem: Some(problem),
                };
                self.connections.insert(target, connection);
            }
            News::Directories(directories) => self.directories = directories,
        }
    }

    /// Makes the sources and sessions what the configuration and the processes say.
    fn replan(&mut self) {
        let plan = Plan::new(&self.config, &self.loaded, &mut self.numbers);
        for target in self.rooms.meet(&self.numbers) {
            self.loaded.remove(&target);
            self.connections.remove(&target);
            self.handle(Event::Disconnected(target));
        }
        self.learn_addresses();
        self.rooms.plan(plan);
    }

    fn learn_addresses(&mut self) {
        let sockets = self.numbers.sockets().iter();
        self.sockets = sockets
            .map(|(target, socket)| (*target, socket.address.clone()))
            .collect();
    }

    /// Listens for commands where the configuration says.
    async fn listen(&mut self) {
        let path = self.config.control_socket.as_deref();
        self.commands.listen(path).await;
    }

    /// Lets the tasks finish what they have in hand.
    async fn finish(self) {
        tracing::info!("stopping");
        systemd::stopping();
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
    }
}
