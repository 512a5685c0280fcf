//! A single run: everything that is due, once, and then the end.
//!
//! The same rooms and the same agent as the daemon's; only the end is another. What fails is not
//! waited for: the next run tries again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::unreadable::NOT_WRITABLE;
use super::{Daemon, Error, RoomNews, agent_settings, in_runtime, wall_clock};
use crate::agent::{Action, Event, Notice, RequestOrder, State, TargetId};
use crate::config::{Config, Origin};
use crate::discovery::source::Source;
use crate::haproxy::DeliveryError;
use crate::schedule::SingleRun;
use crate::signals::SignalRequest;
use crate::telemetry::{self, Outlook};
use crate::text::Printable;

/// How long a control socket may take to answer before the run goes on without it.
const MEETING: Duration = Duration::from_secs(10);
/// What is tried again within this time is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// How much a run does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// Everything that is due.
    Everything,
    /// What lies on disk is put in order; no responder and no HAProxy is asked.
    Disk,
    /// Nothing: it is said what would be done.
    Nothing,
}

/// What a run is asked to do.
pub struct Once<'a> {
    /// How much.
    pub extent: Extent,
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
    /// Certificates without a good staple, or with one that is not in all its places. That HAProxy
    /// has not loaded a certificate is no failure.
    pub failed: usize,
    /// Certificates that were due when the first error ended the run.
    pub not_tried: usize,
    /// Directories that cannot be read or are another staplerd's, and control sockets where no
    /// HAProxy answers.
    pub unusable: usize,
    /// Files that nothing is to be stapled for.
    pub passed_over: usize,
    /// Staples that were removed, since they would have kept HAProxy from starting.
    pub cleared: usize,
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
            waiting: VecDeque::new(),
            renewed: BTreeMap::new(),
            renewed_files: 0,
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
    /// The control sockets of which it is not known yet whether a process answers.
    unmet: BTreeSet<TargetId>,
    scanned_plan: u64,
    open_requests: usize,
    /// Writes and deliveries under way.
    open_placements: usize,
    /// All requests so far.
    requests: usize,
    /// With `stop_on_error`, the requests that are made only if nothing fails before.
    waiting: VecDeque<Action>,
    /// Renewals whose staples are not written yet.
    renewed: BTreeMap<PathBuf, Notice>,
    /// Certificate files whose staples were written.
    renewed_files: usize,
    summary: Summary,
    has_failed: bool,
}

impl Summary {
    /// Whether everything that was due is done.
    pub fn is_success(&self) -> bool {
        self.failed == 0 && self.unusable == 0 && !self.is_cut_off
    }
}

impl Run<'_> {
    async fn work(mut self) -> Summary {
        while !self.is_over() {
            let wakeup = self.daemon.agent.next_wakeup(self.daemon.now());
            let pause = wakeup.map_or(PATIENCE, |wakeup| wakeup.min(PATIENCE));
            tokio::select! {
                biased;
                request = self.daemon.signals.next() => if request == SignalRequest::Stop {
                    self.summary.is_cut_off = true;
                    break;
                },
                Some(news) = self.daemon.news.recv() => {
                    if let RoomNews::Loaded { target, .. } = &news {
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
        if self.is_stopped() && self.open_requests == 0 && self.open_placements == 0 {
            return true;
        }
        let is_known = self.scanned_plan == self.daemon.numbers.last_plan()
            && (self.unmet.is_empty() || self.begun.elapsed() > MEETING);
        let wakeup = self.daemon.agent.next_wakeup(self.daemon.now());
        is_known
            && self.waiting.is_empty()
            && self.open_requests == 0
            && self.open_placements == 0
            && (self.once.extent != Extent::Everything
                || wakeup.is_none_or(|wakeup| wakeup > PATIENCE))
    }

    /// The first error has ended the run: what is under way is finished, nothing else is begun.
    fn is_stopped(&self) -> bool {
        self.has_failed && self.daemon.config.stop_on_error
    }

    fn handle(&mut self, event: Event) {
        match &event {
            Event::Scanned { plan } => {
                self.scanned_plan = *plan;
                self.sort_waiting();
            }
            Event::Answered { .. } => {
                self.open_requests -= 1;
                (self.once.progress)(self.requests, self.requests - self.open_requests);
            }
            Event::Cleared { result, .. } => {
                self.summary.cleared += usize::from(matches!(result, Ok(true)));
                self.open_placements -= 1;
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
        self.go_on();
    }

    /// Puts the requests that wait into the order of the configuration.
    fn sort_waiting(&mut self) {
        let sources = &self.daemon.config.sources;
        let place = |action: &Action| {
            let Action::Request(RequestOrder { certificate, .. }) = action else {
                return usize::MAX;
            };
            let names = self.daemon.agent.names_of(*certificate);
            let places = names.filter_map(|name| {
                sources
                    .iter()
                    .position(|configured| match &configured.source {
                        Source::File(file) => file.path == name,
                        Source::Directory(_) | Source::Masks(_) => false,
                    })
            });
            places.min().unwrap_or(usize::MAX)
        };
        self.waiting.make_contiguous().sort_by_key(place);
    }

    /// Makes as many of the requests that wait as may be in flight at once.
    fn go_on(&mut self) {
        let is_scanned = self.scanned_plan == self.daemon.numbers.last_plan();
        while is_scanned
            && !self.is_stopped()
            && self.open_requests < self.daemon.config.renewal_threads
            && let Some(request) = self.waiting.pop_front()
        {
            self.request(request);
        }
    }

    fn request(&mut self, order: Action) {
        self.requests += 1;
        self.open_requests += 1;
        (self.once.progress)(self.requests, self.requests - self.open_requests);
        self.daemon.rooms.carry_out(order);
    }

    /// Logs a report: a renewal as soon as its staple is written, and nothing that only a daemon
    /// does.
    fn tell(&mut self, report: Notice) {
        match &report {
            Notice::Renewed { path, .. } => {
                self.renewed.insert(path.clone(), report);
                return;
            }
            Notice::Written { path, .. } => {
                self.summary.renewed += self.daemon.rooms.staples_of(path);
                self.renewed_files += 1;
                if let Some(renewed) = self.renewed.remove(path) {
                    self.log(&renewed);
                }
            }
            Notice::RequestFailed { .. } | Notice::Revoked { .. } => self.has_failed = true,
            // That a file is there is news for a daemon only.
            Notice::Adopted { .. } => return,
            Notice::Cleared { .. } => {}
            // The daemon will say it.
            _ if self.once.extent == Extent::Disk => return,
            _ => {}
        }
        self.log(&report);
    }

    fn log(&self, report: &Notice) {
        telemetry::log_report(report, &self.daemon.names, Outlook::EndsAfter(PATIENCE));
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Report(report) => self.tell(report),
            order if self.once.extent == Extent::Nothing => {
                if let Action::Request(RequestOrder { certificate, .. }) = order {
                    let names = self.daemon.agent.names_of(certificate);
                    let names = names.map(|name| name.printable().to_string());
                    self.summary.due.extend(names);
                }
            }
            Action::Request(..) if self.once.extent == Extent::Disk => {}
            request @ Action::Request(..) if self.daemon.config.stop_on_error => {
                self.waiting.push_back(request);
            }
            request @ Action::Request(..) => self.request(request),
            order => {
                let is_placement = matches!(
                    order,
                    Action::Write(..) | Action::Clear(..) | Action::Deliver(..)
                );
                self.open_placements += usize::from(is_placement);
                self.daemon.rooms.carry_out(order);
            }
        }
    }

    /// Sums up how it stands at the end.
    fn count(&mut self) {
        let is_stopped = self.is_stopped();
        let summary = &mut self.summary;
        summary.is_cut_off |= is_stopped;
        summary.not_tried = self.waiting.len();
        summary.due.sort();
        let connections = self.daemon.connections.values();
        // What cannot be written fails when there is something to write.
        let directories = self.daemon.directories.values();
        let directories = directories.filter(|failure| failure.kind != NOT_WRITABLE);
        summary.unusable =
            directories.count() + connections.filter(|it| it.process.is_none()).count();
        for file in self.daemon.agent.status(wall_clock()) {
            let is_placed = file.certificate.as_ref().is_none_or(|certificate| {
                let live = certificate.live.iter().map(|(_, place)| place);
                let mut places = live.chain([&certificate.disk]);
                places.all(|place| {
                    let failure = place.failure.as_ref();
                    let is_not_loaded =
                        failure.is_some_and(|it| it.kind == DeliveryError::NotLoaded.kind());
                    !place.is_alarm || is_not_loaded
                })
            });
            match file.state {
                State::Excluded(exclusion) if exclusion.is_normal() => summary.passed_over += 1,
                State::Fresh | State::Outdated(_) if is_placed => summary.unchanged += 1,
                State::Waiting if self.once.extent == Extent::Nothing => {}
                _ => summary.failed += 1,
            }
        }
        summary.unchanged = summary.unchanged.saturating_sub(self.renewed_files);
        summary.failed = summary.failed.saturating_sub(summary.not_tried);
    }
}
