//! A single run: everything that is due, once, and then the end.
//!
//! The same rooms and the same agent as the daemon's; only the end is another. What fails is not
//! waited for: the next run tries again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{Daemon, Error, News, agent_settings, in_runtime, wall_clock};
use crate::agent::{Action, Event, Report, State, TargetId};
use crate::config::{Config, Origin};
use crate::schedule::SingleRun;
use crate::signals::Request;
use crate::telemetry;

/// How long a control socket may take to answer before the run goes on without it.
const MEETING: Duration = Duration::from_secs(10);
/// What is tried again within this time is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a run is asked to do.
pub struct Once<'a> {
    /// Say what would be done, and do nothing.
    pub is_dry: bool,
    /// Is told how many requests there are and how many of them are answered.
    pub progress: &'a mut dyn FnMut(usize, usize),
}

/// What a run did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Staples that were written.
    pub renewed: usize,
    /// Certificates whose staple is good for longer.
    pub unchanged: usize,
    /// Certificates without a good staple, or with one that is not in all its places.
    pub failed: usize,
    /// Files that nothing is to be stapled for.
    pub passed_over: usize,
    /// The certificate files whose responses would have been asked for, had the run not been dry.
    pub due: Vec<String>,
    /// A signal ended the run, or the first error did.
    pub is_cut_off: bool,
}

/// Does everything that is due, and ends.
///
/// # Errors
/// [`Error`] when it cannot start. What goes wrong with a certificate is logged and counted.
pub fn once(config: Config, once: Once<'_>) -> Result<Summary, Error> {
    let rule = if config.has_ocspbots_keys() {
        config.single_run
    } else {
        SingleRun::like_the_daemon(agent_settings(&config).schedule)
    };
    in_runtime(async {
        let daemon = Daemon::start(config, Some(rule))?;
        let unmet = daemon.numbers.sockets().keys().copied().collect();
        let run = Run {
            daemon,
            once,
            begun: Instant::now(),
            unmet,
            scanned_plan: 0,
            open_requests: 0,
            open_placements: 0,
            requests: 0,
            summary: Summary::default(),
            has_failed: false,
        };
        Ok(run.work().await)
    })
}

struct Run<'a> {
    daemon: Daemon,
    once: Once<'a>,
    begun: Instant,
    /// The control sockets of which it is not known yet whether anybody answers.
    unmet: BTreeSet<TargetId>,
    scanned_plan: u64,
    open_requests: usize,
    /// Writes and deliveries under way.
    open_placements: usize,
    /// All requests so far.
    requests: usize,
    summary: Summary,
    has_failed: bool,
}

impl Run<'_> {
    async fn work(mut self) -> Summary {
        while !self.is_over() {
            let wakeup = self.daemon.agent.next_wakeup(self.daemon.now());
            let pause = wakeup.map_or(PATIENCE, |wakeup| wakeup.min(PATIENCE));
            tokio::select! {
                biased;
                request = self.daemon.signals.next() => if request == Request::Stop {
                    self.summary.is_cut_off = true;
                    break;
                },
                Some(news) = self.daemon.news.recv() => {
                    if let News::Loaded { target, .. } = &news {
                        self.unmet.remove(target);
                    }
                    self.daemon.learn(news);
                }
                event = self.daemon.events.recv() => match event {
                    Some(event) => self.handle(event),
                    None => break,
                },
                () = tokio::time::sleep(pause) => self.handle(Event::Wakeup),
            }
        }
        self.count();
        self.daemon.finish().await;
        self.summary
    }

    fn is_over(&self) -> bool {
        if self.has_failed && self.daemon.config.stop_on_error && self.open_placements == 0 {
            return true;
        }
        let is_known = self.scanned_plan == self.daemon.numbers.last_plan()
            && (self.unmet.is_empty() || self.begun.elapsed() > MEETING);
        let wakeup = self.daemon.agent.next_wakeup(self.daemon.now());
        is_known
            && self.open_requests == 0
            && self.open_placements == 0
            && (self.once.is_dry || wakeup.is_none_or(|wakeup| wakeup > PATIENCE))
    }

    fn handle(&mut self, event: Event) {
        match &event {
            Event::Scanned { plan } => self.scanned_plan = *plan,
            Event::Answered { .. } => {
                self.open_requests -= 1;
                (self.once.progress)(self.requests, self.requests - self.open_requests);
            }
            Event::Written { .. } | Event::Delivered { .. } | Event::HeldNewer { .. } => {
                self.open_placements -= 1;
            }
            // What a process has loaded is waited for where that is what there is to do.
            Event::Connected(target) if self.daemon.config.origin() != Origin::Processes => {
                self.unmet.remove(target);
            }
            Event::Disconnected(target) => {
                self.unmet.remove(target);
            }
            _ => {}
        }
        for action in self.daemon.decide(event) {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Report(report) => {
                match report {
                    Report::Written { .. } => self.summary.renewed += 1,
                    Report::RequestFailed { .. } | Report::Revoked { .. } => self.has_failed = true,
                    _ => {}
                }
                // That a file is there is news for a daemon only.
                if !matches!(report, Report::Adopted { .. }) {
                    telemetry::log_report(&report, &self.daemon.names);
                }
            }
            order if self.once.is_dry => {
                if let Action::Request { certificate, .. } = order {
                    let names = self.daemon.agent.names_of(certificate);
                    let names = names.map(|name| name.display().to_string());
                    self.summary.due.extend(names);
                }
            }
            order => {
                match order {
                    Action::Request { .. } => {
                        self.requests += 1;
                        self.open_requests += 1;
                        (self.once.progress)(self.requests, self.requests - self.open_requests);
                    }
                    Action::Write { .. } | Action::Deliver { .. } => self.open_placements += 1,
                    Action::Report(_) => {}
                }
                self.daemon.rooms.carry_out(order);
            }
        }
    }

    /// Sums up how it stands at the end.
    fn count(&mut self) {
        let summary = &mut self.summary;
        summary.is_cut_off |= self.has_failed && self.daemon.config.stop_on_error;
        summary.due.sort();
        for file in self.daemon.agent.status(wall_clock()) {
            let is_placed = file.certificate.as_ref().is_none_or(|certificate| {
                let live = certificate.live.iter().map(|(_, place)| place);
                let mut places = live.chain([&certificate.disk]);
                places.all(|place| place.failure.is_none())
            });
            match file.state {
                State::Excluded(exclusion) if exclusion.is_normal() => summary.passed_over += 1,
                State::Fresh if is_placed => summary.unchanged += 1,
                State::Waiting if self.once.is_dry => {}
                _ => summary.failed += 1,
            }
        }
        summary.unchanged = summary.unchanged.saturating_sub(summary.renewed);
    }
}
