//! What is peculiar about a world of the swarm, all of it drawn from its seed and seen from real
//! HAProxys and responders (`src/haproxy` and the tests with real ones have the evidence).

use std::time::Duration;

use staplerd::agent::{Event, TargetId};
use staplerd::x509::CertificateReference;

use super::faults::MINUTE;
use super::world::{Happening, Scale, Weather, World};
use crate::pki::{DAY, HOUR};

/// The sockets that can lead to one and the same process.
const ONE_PROCESS: [usize; 2] = [1, 2];
/// Within this time the session has read every store again.
const REFRESH: Duration = Duration::from_secs(60);

/// What is peculiar about a HAProxy process.
#[derive(Clone, Copy, Default, Debug)]
pub struct Peculiarity {
    /// The longest time a commit takes: with thousands of crt-list lines, many seconds.
    pub commit_takes: Duration,
    /// HAProxy 2.2 to 2.4: it does not say which response it holds, nor whether it has a slot.
    pub shows_nothing: bool,
    /// Somebody asks for its certificates all the time, and one command in so many finds them
    /// locked.
    pub locked_once_in: Option<u32>,
}

/// What is peculiar about a world.
#[derive(Clone, Copy, Debug)]
pub struct Nature {
    /// How much oftener than in mixed weather something goes wrong.
    pub haste: u32,
    pub processes: [Peculiarity; 3],
    /// The second and the third socket lead to one process, which is served over one of them.
    pub has_second_socket: bool,
    /// Other tools deploy the certificates that are there already again and again.
    pub is_deployed_to: bool,
}

impl Nature {
    pub fn of(scale: Scale) -> Self {
        let plain = Nature {
            haste: 1,
            processes: [Peculiarity::default(); 3],
            has_second_socket: false,
            is_deployed_to: false,
        };
        match scale.weather {
            Weather::Mixed | Weather::HourlyOutages => plain,
            Weather::Foul => Nature { haste: 10, ..plain },
            Weather::Swarm => Nature::drawn(&mut fastrand::Rng::with_seed(!scale.seed)),
        }
    }

    fn drawn(random: &mut fastrand::Rng) -> Self {
        Nature {
            haste: random.u32(1..20),
            processes: std::array::from_fn(|_| Peculiarity {
                commit_takes: Duration::from_secs([0, 0, 8, 60][random.usize(..4)]),
                shows_nothing: random.u8(..3) == 0,
                locked_once_in: [None, Some(2), Some(10)][random.usize(..3)],
            }),
            has_second_socket: random.u8(..3) == 0,
            is_deployed_to: random.bool(),
        }
    }
}

impl World {
    /// Plans the first of what only the swarm has.
    pub fn start_swarm(&mut self) {
        if self.nature.is_deployed_to {
            for file in 0..self.files.len() {
                self.plan_within(20 * DAY, Happening::DeployedAgain(file));
            }
        }
        if self.nature.has_second_socket {
            self.plan_within(5 * DAY, Happening::OtherSocket);
        }
    }

    /// Whether a process that is reached by `target` loads a file.
    pub fn is_loaded_by(&self, file: usize, target: usize) -> bool {
        let targets = &self.files[file].targets;
        let is_one = self.nature.has_second_socket && ONE_PROCESS.contains(&target);
        targets.contains(&TargetId(target))
            || is_one
                && ONE_PROCESS
                    .iter()
                    .any(|other| targets.contains(&TargetId(*other)))
    }

    /// Whether a process that starts is served over this socket: not if another one leads to it.
    pub fn is_served(&self, target: usize) -> bool {
        let is_one = self.nature.has_second_socket && ONE_PROCESS.contains(&target);
        let mut others = ONE_PROCESS.iter().filter(|other| **other != target);
        !(is_one && others.any(|other| self.processes[*other].up))
    }

    /// The socket over which a process was served is lost, and the other one takes its place.
    pub fn other_socket(&mut self) {
        let [one, other] = ONE_PROCESS;
        let (from, to) = match self.processes[one].up {
            true => (one, other),
            false => (other, one),
        };
        if self.processes[from].up && !self.processes[to].up {
            self.fault("other socket");
            let orders = self.processes[from].lose_connection();
            self.event(Event::Disconnected(TargetId(from)));
            self.deliveries_fail(from, orders);
            self.processes.swap(from, to);
            self.processes[to].trouble(self.time);
            self.event(Event::Connected(TargetId(to)));
        }
        self.plan_within(10 * DAY, Happening::OtherSocket);
    }

    /// Another tool gives a process the certificate that it has already: the staple is gone with
    /// its slot (`set ssl cert` clears the response, and the new SSL_CTX has no callback).
    pub fn deployed_again(&mut self, file: usize) {
        for target in 0..self.processes.len() {
            let process = &mut self.processes[target];
            let case = match process.stores.get(&file) {
                Some(store) if process.up && store.slot => store.case,
                _ => continue,
            };
            process.replace(file, case);
            process.trouble(self.time);
            let shows_nothing = process.peculiarity.shows_nothing;
            if shows_nothing {
                process.lost_unseen.insert(file);
            }
            self.fault("deployed again");
            if !shows_nothing {
                let wait = REFRESH.mul_f64(self.random.f64());
                self.plan(wait, Happening::SlotMissed { target, file });
            }
        }
        self.plan_within(40 * DAY, Happening::DeployedAgain(file));
    }

    /// The session reads a store whose slot is gone.
    pub fn slot_missed(&mut self, target: usize, file: usize) {
        let process = &self.processes[target];
        let Some(store) = process.stores.get(&file).filter(|_| process.up) else {
            return;
        };
        let certificate = &self.authority.cases[store.case].subject.certificate;
        let fingerprint = CertificateReference::Fingerprint(certificate.sha1_fingerprint());
        self.event(Event::StoreChanged {
            target: TargetId(target),
            certificate: fingerprint,
        });
    }

    /// How long the delivery at the head of a queue takes.
    pub fn delivery_takes(&mut self, target: usize) -> Duration {
        let process = &self.processes[target];
        let longest = process.peculiarity.commit_takes;
        let is_commit = process
            .queue
            .front()
            .is_some_and(|order| process.lacks_slot(order.case));
        match is_commit && !longest.is_zero() {
            true => longest.mul_f64(self.random.f64()),
            false => super::places::DELIVERY_TAKES,
        }
    }

    /// Whether a command just now finds the certificates locked by somebody who looks at them.
    pub fn finds_locked(&mut self, target: usize) -> bool {
        let once_in = self.processes[target].peculiarity.locked_once_in;
        once_in.is_some_and(|times| self.random.u32(..times) == 0)
    }
}

/// How truly a responder speaks of how long its answers stay the newest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Promise {
    None,
    True,
    /// So long, whatever it knows.
    Always(Duration),
}

impl Promise {
    /// That of a responder in this weather.
    pub fn of(weather: Weather, number: usize, random: &mut fastrand::Rng) -> Self {
        let is_even = number.is_multiple_of(2);
        match weather {
            Weather::Swarm => match random.u8(..4) {
                0 => Promise::None,
                1 => Promise::True,
                2 => Promise::Always(MINUTE.mul_f64(random.f64())),
                _ => Promise::Always((40 * DAY).mul_f64(random.f64()) + HOUR),
            },
            _ if is_even => Promise::True,
            _ => Promise::None,
        }
    }
}
