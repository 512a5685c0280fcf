//! The daemon: the only place that knows all tasks.
//!
//! It opens the channels, starts a task for each room that does I/O, and turns their results into
//! events for the agent and the agent's actions into their orders. It decides nothing. A stop
//! request ends it within two seconds: what is being written is finished, what hangs is left.
//!
//! Results come back through one bounded channel. Orders go out through unbounded ones, so that
//! the loop never waits for a room (two full queues could wait for each other): what bounds them is
//! that the agent has at most one order of a kind open for each certificate, file and process.

mod deliverer;
mod finder;
mod requester;
mod writer;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use requester::settings as fetch_settings;

use crate::agent::{self, Action, Agent, Event, TargetId};
use crate::background;
use crate::config::Config;
use crate::haproxy::{self, Address};
use crate::signals::{Request, Signals};
use crate::store::{Claims, Ownership, UnknownGroup};
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

/// Runs the daemon until a signal ends it.
///
/// # Errors
/// [`Error`] when it cannot start; once it runs, trouble is dealt with or logged.
pub fn run(config: Config) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    let result = runtime.block_on(async {
        Daemon::start(config)?.work().await;
        Ok(())
    });
    runtime.shutdown_timeout(LAST_GRACE);
    result
}

struct Daemon {
    agent: Agent,
    started: Instant,
    sockets: Vec<Address>,
    signals: Signals,
    events: mpsc::Receiver<Event>,
    rooms: Rooms,
    rescan: Arc<Notify>,
    tasks: TaskTracker,
    stop: CancellationToken,
    is_ready: bool,
}

/// The ways to the rooms that carry out the agent's orders.
struct Rooms {
    requests: mpsc::UnboundedSender<requester::Order>,
    writes: mpsc::UnboundedSender<writer::Order>,
    deliveries: Vec<mpsc::UnboundedSender<deliverer::Order>>,
}

impl Daemon {
    /// Opens the channels and starts a task for each room.
    fn start(config: Config) -> Result<Self, Error> {
        let signals = Signals::new().map_err(Error::Signals)?;
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let (sender, events) = mpsc::channel(EVENTS);

        let (requests, orders) = mpsc::unbounded_channel();
        let requester = requester::run(&config, orders, sender.clone(), stop.clone());
        tasks.spawn(requester);

        let (writes, orders) = mpsc::unbounded_channel();
        let claims = Arc::new(Claims::default());
        let ownership = Ownership::new(config.file_mode, config.file_group.as_deref())?;
        let places = writer::Places {
            claims: Arc::clone(&claims),
            ownership,
        };
        tasks.spawn(writer::run(places, orders, sender.clone(), stop.clone()));

        let mut deliveries = Vec::new();
        for (index, address) in config.sockets.iter().enumerate() {
            let (order_sender, orders) = mpsc::unbounded_channel();
            deliveries.push(order_sender);
            tasks.spawn(deliverer::run(
                TargetId(index),
                address.clone(),
                haproxy::Settings {
                    refresh_interval: config.refresh_interval,
                },
                config.policies.clone(),
                orders,
                sender.clone(),
                stop.clone(),
            ));
        }

        let rescan = Arc::new(Notify::new());
        let finder = finder::run(&config, claims, Arc::clone(&rescan), sender, stop.clone());
        tasks.spawn(finder);
        tasks.close();

        let settings = agent::Settings {
            schedule: config.schedule,
            recycle: config.recycle,
        };
        Ok(Daemon {
            agent: Agent::new(settings, fastrand::u64(..)),
            started: Instant::now(),
            sockets: config.sockets,
            signals,
            events,
            rooms: Rooms {
                requests,
                writes,
                deliveries,
            },
            rescan,
            tasks,
            stop,
            is_ready: false,
        })
    }

    fn now(&self) -> Now {
        Now {
            wall: wall_clock(),
            steady: self.started.elapsed(),
        }
    }

    /// Feeds the agent and hands out its orders until a signal says stop.
    async fn work(mut self) {
        let watchdog = systemd::watchdog_interval();
        let longest_sleep = watchdog.map_or(LONGEST_SLEEP, |limit| limit.min(LONGEST_SLEEP));
        let mut alive_at = Instant::now();
        loop {
            let wakeup = self.agent.next_wakeup(self.now()).unwrap_or(longest_sleep);
            tokio::select! {
                biased;
                request = self.signals.next() => match request {
                    Request::Stop => break,
                    Request::Rescan => self.rescan.notify_one(),
                    Request::RenewAll => self.handle(Event::RenewAll),
                },
                event = self.events.recv() => match event {
                    Some(event) => self.handle(event),
                    None => break,
                },
                () = tokio::time::sleep(wakeup.min(longest_sleep)) => self.handle(Event::Wakeup),
            }
            if let Some(interval) = watchdog
                && alive_at.elapsed() >= interval / 2
            {
                systemd::alive();
                alive_at = Instant::now();
            }
        }
        self.finish().await;
    }

    fn handle(&mut self, event: Event) {
        if matches!(event, Event::Scanned) {
            self.scanned();
        }
        let now = self.now();
        for action in self.agent.handle(event, now) {
            self.rooms.carry_out(action, &self.sockets);
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

    /// Lets the tasks finish what they have in hand.
    async fn finish(self) {
        tracing::info!("stopping");
        systemd::stopping();
        self.stop.cancel();
        // The rooms see their last order, the tasks that send results are not held up by a full
        // channel.
        drop(self.rooms);
        drop(self.events);
        if timeout(GRACE, self.tasks.wait()).await.is_err() {
            tracing::warn!("some tasks did not end in time and are left");
        }
    }
}

impl Rooms {
    /// Turns an action into an order for its room. A room that is gone is one that has been told
    /// to stop: its orders are void.
    fn carry_out(&self, action: Action, sockets: &[Address]) {
        match action {
            Action::Report(report) => telemetry::log_report(&report, sockets),
            Action::Request {
                certificate,
                subject,
                must_staple,
                held,
                validators,
            } => {
                let _ = self.requests.send(requester::Order {
                    certificate,
                    subject,
                    must_staple,
                    held,
                    validators,
                });
            }
            Action::Write {
                certificate,
                path,
                staple_path,
                staple,
            } => {
                let _ = self.writes.send(writer::Order {
                    certificate,
                    path,
                    staple_path,
                    staple,
                });
            }
            Action::Deliver {
                target,
                certificate,
                subject,
                staple,
            } => {
                if let Some(room) = self.deliveries.get(target.0) {
                    let _ = room.send(deliverer::Order {
                        certificate,
                        subject,
                        staple,
                    });
                }
            }
        }
    }
}
