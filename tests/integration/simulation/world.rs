//! The simulated world around the agent: clocks, orders under way, and what they lead to.
//!
//! Everything happens at a moment of true time. The agent's monotonic clock stands still while its
//! machine is suspended, its wall clock may be set wrong. What happens at random is in `faults`,
//! what must hold in `promises`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use staplerd::agent::{
    Action, Agent, CertificateId, ClearOrder, DeliveryOrder, Event, Exclusion, Failure,
    FileContent, FoundFile, Identity, Notice, Recollection, RequestOrder, StapleFile, TargetId,
    WriteOrder,
};
use staplerd::fetch::{Limits, Need, RENEWAL_THREADS};
use staplerd::ocsp::{Policy, Staple, verify};
use staplerd::schedule;
use staplerd::time::{Now, Timestamp};

use super::authority::Authority;
use super::exchanges::{Exchange, Request};
use super::places::{WRITE_TAKES, Write};
use super::process::{Order, Process};
use super::promises::{EXPIRING_WITHIN, Figures};
use super::responder::Responder;
use super::swarm::{Nature, Promise};
use crate::pki::{DAY, HOUR, NOW};

/// The program looks at the clock at least this often.
pub const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// What may happen next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Happening {
    ExchangeEnds(u64),
    WriteEnds(u64),
    ClearEnds(usize),
    DeliveryEnds {
        target: usize,
        generation: u64,
    },
    /// The program's loop looks at the clock.
    Look,
    Mode(usize),
    LeftAloneNoMore(usize),
    ReloadBegins(usize),
    ReloadEnds(usize),
    /// The master CLI leads to another worker.
    OtherWorker(usize),
    Locked(usize),
    FileChanges(usize),
    FileRotates(usize),
    FileFound(usize),
    ReplacedLive {
        target: usize,
        file: usize,
    },
    Disk,
    Clock,
    Suspension,
    AgentRestarts,
    RenewAll,
    /// Discovery has looked at everything once more.
    LookedAgain,
    /// The socket over which a process is served is lost; another one leads to it.
    OtherSocket,
    /// Another tool deploys the certificate that is there.
    DeployedAgain(usize),
    /// The session reads a store that has lost its slot.
    SlotMissed {
        target: usize,
        file: usize,
    },
    /// A staple that was accepted stops being stapled.
    Lapses(u64),
    Hour,
    Minute,
}

/// A certificate file, and what lies beside it.
pub struct File {
    pub path: PathBuf,
    pub targets: Arc<[TargetId]>,
    /// The certificate in it.
    pub case: usize,
    /// Deleted, or not written to its end yet.
    pub hidden: Option<Hidden>,
    /// The staple beside it, and whose it is.
    pub staple: Option<(usize, Arc<Staple>)>,
    /// Somebody else put it there.
    pub is_foreign: bool,
    /// Since when that has been as it is.
    pub beside_changed_at: Duration,
    /// Since when everything about it has been as it is.
    pub changed_at: Duration,
}

/// Why a certificate file cannot be read for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hidden {
    Deleted,
    HalfWritten,
}

/// What at most one order may be under way for.
#[derive(PartialEq, Eq, Hash, Debug)]
pub enum Open {
    Request(CertificateId),
    Write(CertificateId, usize),
    Delivery(CertificateId, usize),
}

/// How large the world is and how long it lasts.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub certificates: usize,
    pub days: u32,
    pub seed: u64,
    /// Which faults there are.
    pub weather: Weather,
}

/// How much goes wrong in a world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weather {
    /// Everything that can, from time to time.
    Mixed,
    /// The same, ten times as often, so that much goes wrong at once.
    Foul,
    /// Every responder goes away within every hour, or nearly.
    HourlyOutages,
    /// Everything, as often as the seed says, and peculiar processes and responders besides.
    Swarm,
}

pub struct World {
    pub scale: Scale,
    pub nature: Nature,
    pub random: fastrand::Rng,
    pub time: Duration,
    pub suspended: Duration,
    /// How far the wall clock is wrong, in seconds.
    pub clock_error: i64,
    /// When the machine was last not well: clock wrong, suspended, program restarted.
    pub machine_troubled_at: Duration,
    pub agent: Agent,
    pub limits: Limits<Request>,
    pub authority: Authority,
    pub responders: Vec<Responder>,
    pub processes: Vec<Process>,
    pub files: Vec<File>,
    pub file_of: HashMap<PathBuf, usize>,
    /// The files that a certificate was ever put into.
    pub files_of: HashMap<usize, Vec<usize>>,
    pub disk_is_full: bool,
    /// When the last fault was mended, and when everything was as it should be after it.
    pub calm_since: Option<Duration>,
    pub converged_at: Option<Duration>,
    /// Faults come to an end before the end, to see that everything converges.
    pub is_calm: bool,
    happenings: BinaryHeap<Reverse<(Duration, u64, Happening)>>,
    pub counter: u64,
    pub exchanges: BTreeMap<u64, Exchange>,
    pub writes: BTreeMap<u64, Write>,
    pub lapsing_number: u64,
    pub lapsing: BTreeMap<u64, (usize, Timestamp, Timestamp)>,
    pub open: HashSet<Open>,
    /// What outlives the program.
    pub memory: BTreeMap<Identity, Recollection>,
    /// The newest order for each certificate since its memory was lost: thisUpdate and end.
    pub newest: HashMap<usize, (Timestamp, Timestamp)>,
    /// Certificates that the agent was told are revoked.
    pub told_revoked: BTreeSet<usize>,
    /// When a certificate's responder last told the future, and a clock set forward believed it.
    pub misled_at: HashMap<usize, Duration>,
    pub asked: HashMap<usize, u32>,
    /// The certificates that the agent said are expiring, since their last renewal.
    pub told_expiring: BTreeSet<usize>,
    pub figures: Figures,
}

impl World {
    pub fn new(scale: Scale) -> Self {
        let mut random = fastrand::Rng::with_seed(scale.seed.rotate_left(32));
        let lives = [4 * DAY, 7 * DAY, 10 * DAY, 10 * DAY];
        let count = (scale.certificates / 800).clamp(4, 12);
        let mut promise = |number| Promise::of(scale.weather, number, &mut random);
        let mut responders: Vec<Responder> = (0..count)
            .map(|number| Responder::new(number, lives[number % lives.len()], promise(number)))
            .collect();
        // The last one answers for few, and for short.
        responders.push(Responder::new(count, 3 * HOUR, promise(count)));
        let nature = Nature::of(scale);
        let mut world = World {
            scale,
            nature,
            random: fastrand::Rng::with_seed(scale.seed),
            time: Duration::ZERO,
            suspended: Duration::ZERO,
            clock_error: 0,
            machine_troubled_at: Duration::ZERO,
            agent: agent(scale.seed),
            limits: Limits::new(RENEWAL_THREADS),
            authority: Authority::new(),
            responders,
            processes: (0..3)
                .map(|number| Process::new(number, nature.processes[number]))
                .collect(),
            files: Vec::new(),
            file_of: HashMap::new(),
            files_of: HashMap::new(),
            disk_is_full: false,
            calm_since: None,
            converged_at: None,
            is_calm: false,
            happenings: BinaryHeap::new(),
            counter: 0,
            exchanges: BTreeMap::new(),
            writes: BTreeMap::new(),
            lapsing_number: 0,
            lapsing: BTreeMap::new(),
            open: HashSet::new(),
            memory: BTreeMap::new(),
            newest: HashMap::new(),
            told_revoked: BTreeSet::new(),
            misled_at: HashMap::new(),
            asked: HashMap::new(),
            told_expiring: BTreeSet::new(),
            figures: Figures::default(),
        };
        world.furnish();
        world
    }

    /// Lays the files out, one in twenty of them a second time in another directory.
    fn furnish(&mut self) {
        let certificates = self.scale.certificates;
        for number in 0..certificates + certificates / 20 {
            let case = match number < certificates {
                true => self.new_case(number),
                false => number - certificates,
            };
            let targets: Arc<[TargetId]> = match (number + number / certificates) % 3 {
                0 => [TargetId(0)].into(),
                1 => [TargetId(1)].into(),
                _ => [TargetId(1), TargetId(2)].into(),
            };
            let path = PathBuf::from(format!("/{number:05}.pem"));
            self.file_of.insert(path.clone(), number);
            self.files_of.entry(case).or_default().push(number);
            self.files.push(File {
                path,
                targets,
                case,
                hidden: None,
                staple: None,
                is_foreign: false,
                beside_changed_at: Duration::ZERO,
                changed_at: Duration::ZERO,
            });
        }
    }

    pub fn wall(&self) -> Timestamp {
        let truth = self.true_wall();
        Timestamp::from_unix(truth.unix() + self.clock_error)
    }

    pub fn true_wall(&self) -> Timestamp {
        NOW.saturating_add(self.time)
    }

    pub fn now(&self) -> Now {
        Now {
            wall: self.wall(),
            monotonic: self.time - self.suspended,
        }
    }

    pub fn end(&self) -> Duration {
        self.scale.days * DAY
    }

    pub fn plan(&mut self, wait: Duration, happening: Happening) {
        self.counter += 1;
        self.happenings
            .push(Reverse((self.time + wait, self.counter, happening)));
    }

    /// Lets everything happen until the end.
    pub fn run(&mut self) {
        self.start();
        loop {
            let happening = self.happenings.peek().map(|Reverse((at, ..))| *at);
            let wakeup = self.agent.next_wakeup(self.now());
            let wakeup = wakeup.map(|wait| self.time + wait.max(Duration::from_millis(1)));
            let Some(at) = [happening, wakeup].into_iter().flatten().min() else {
                return;
            };
            if at > self.end() {
                return;
            }
            self.time = self.time.max(at);
            if happening.is_some_and(|happening| happening <= self.time) {
                if let Some(Reverse((_, _, happening))) = self.happenings.pop() {
                    self.happen(happening);
                }
            } else {
                self.event(Event::Wakeup);
            }
        }
    }

    /// Hands an event to the agent and starts what it orders.
    pub fn event(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let now = self.now();
            self.figures.events += 1;
            for action in self.agent.handle(event, now) {
                self.carry_out(action, &mut events);
            }
        }
        self.start_exchanges();
        self.check_burden();
    }

    fn carry_out(&mut self, action: Action, events: &mut Vec<Event>) {
        match action {
            Action::Request(RequestOrder {
                certificate,
                subject,
                must_staple,
                held,
                is_overdue,
                lasts,
                is_wanted_now,
                validators,
            }) => {
                let case = self.authority.place_of(&subject);
                self.opened(Open::Request(certificate));
                let request = Request {
                    certificate,
                    case,
                    need: Need {
                        certificate: certificate.as_u64(),
                        is_urgent: must_staple,
                        lasts,
                        is_wanted_now,
                    },
                    held,
                    is_overdue,
                    etag: validators.etag,
                    place: 0,
                    so_far: None,
                };
                events.extend(self.ask(request));
            }
            Action::Write(WriteOrder {
                certificate,
                path,
                staple,
                ..
            }) => {
                let file = self.file_of[&path];
                self.opened(Open::Write(certificate, file));
                self.check_order(&staple);
                self.write(certificate, file, staple);
            }
            Action::Clear(ClearOrder { path, .. }) => {
                self.plan(WRITE_TAKES, Happening::ClearEnds(self.file_of[&path]));
            }
            Action::Deliver(DeliveryOrder {
                target,
                certificate,
                subject,
                staple,
            }) => {
                self.opened(Open::Delivery(certificate, target.0));
                self.check_order(&staple);
                let case = self.authority.place_of(&subject);
                let order = Order {
                    certificate,
                    case,
                    staple,
                };
                self.deliver(target.0, order);
            }
            Action::LookAgain => self.plan(Duration::ZERO, Happening::LookedAgain),
            Action::Remember(known) => {
                self.memory.insert(known.identity, known);
            }
            Action::Forget(identity) => {
                self.memory.remove(&identity);
            }
            Action::Report(report) => self.reported(&report),
        }
    }

    fn reported(&mut self, report: &Notice) {
        match report {
            Notice::Renewed {
                path,
                this_update,
                until,
                ..
            } => self.renewed(path, *this_update, *until),
            Notice::Expiring { path, .. } => self.expires_soon(path),
            Notice::RequestFailed { .. } => self.figures.failures += 1,
            Notice::RequestPostponed { .. } => self.figures.postponed += 1,
            Notice::StapleExpired { path } => self.staple_expired(path),
            _ => {}
        }
    }

    /// Discovery looks at a file and says what it finds.
    pub fn find(&mut self, number: usize) {
        self.files[number].changed_at = self.time;
        self.look_at(number);
    }

    /// The same, for a file that need not have changed.
    pub fn look_at(&mut self, number: usize) {
        let file = &self.files[number];
        let path = file.path.clone();
        let content = match file.hidden {
            Some(Hidden::Deleted) => return self.event(Event::FileGone(path)),
            Some(Hidden::HalfWritten) => FileContent::Excluded(Exclusion::Unreadable {
                reason: "no END".to_owned(),
            }),
            None => {
                let subject = Arc::clone(&self.authority.cases[file.case].subject);
                let staple = self.lying_beside(number);
                FileContent::Certificate { subject, staple }
            }
        };
        let file = &self.files[number];
        let found = FoundFile {
            staple_path: path.with_extension("pem.ocsp"),
            path,
            targets: Arc::clone(&file.targets),
            content,
        };
        self.event(Event::FileFound(found));
    }

    /// What discovery makes of what lies beside a certificate.
    pub fn lying_beside(&self, number: usize) -> StapleFile {
        let file = &self.files[number];
        let Some((case, staple)) = &file.staple else {
            return StapleFile::Missing;
        };
        let subject = &self.authority.cases[file.case].subject;
        let policy = Policy::default();
        let judged = verify(staple.der(), subject.as_ocsp(), None, self.wall(), policy);
        let valid = judged.ok().and_then(|judged| judged.stapling.ok());
        match valid.filter(|_| *case == file.case) {
            Some(staple) => Some(Arc::new(staple)).into(),
            None => StapleFile::Useless,
        }
    }

    /// The program ends and starts again: it knows what it has remembered and what lies on disk,
    /// and nothing else.
    pub fn restart_agent(&mut self) {
        self.agent = agent(self.random.u64(..));
        let wall = self.wall();
        for known in self.memory.values() {
            self.agent.recall(*known, wall);
        }
        self.limits = Limits::new(RENEWAL_THREADS);
        self.exchanges.clear();
        self.writes.clear();
        self.open.clear();
        self.keep_promises_of_the_remembered();
        self.machine_troubled_at = self.time;
        for target in 0..self.processes.len() {
            let process = &mut self.processes[target];
            process.queue.clear();
            process.is_delivering = false;
            process.generation += 1;
            process.trouble(self.time);
            if process.up {
                self.event(Event::Connected(TargetId(target)));
            }
        }
        for file in 0..self.files.len() {
            self.find(file);
        }
    }

    pub fn case_of(&self, staple: &Staple) -> usize {
        // The last four bytes of the serial, which end the CertID.
        let id = staple.cert_id().der();
        let number: [u8; 4] = id[id.len() - 4..].try_into().unwrap();
        u32::from_be_bytes(number) as usize
    }

    pub fn states(&self) -> BTreeMap<PathBuf, &'static str> {
        self.agent
            .states(self.wall())
            .map(|(path, state)| (path.to_owned(), state.kind()))
            .collect()
    }

    /// What the agent takes to be live of this file's certificate.
    pub fn belief(&self, path: &Path) -> String {
        let status = self.agent.status_of(path, self.wall());
        let certificate = status.and_then(|status| status.certificate);
        format!("live {:?}", certificate.map(|certificate| certificate.live))
    }

    pub fn has_next_step(&self) -> bool {
        self.agent.next_wakeup(self.now()).is_some() || !self.open.is_empty()
    }
}

fn agent(seed: u64) -> Agent {
    let settings = staplerd::agent::Settings {
        schedule: schedule::Settings::default(),
        recycle: true,
        expiring_within: EXPIRING_WITHIN,
        single_run: None,
    };
    Agent::new(settings, seed)
}

pub fn words(kind: &'static str) -> Failure {
    Failure {
        kind,
        message: kind.to_owned(),
    }
}
