//! What happens in the world without the agent's doing, drawn at random from the seed.

use std::time::Duration;

use staplerd::agent::Event;
use staplerd::ocsp::verify::CLOCK_SKEW;
use staplerd::time::Timestamp;
use staplerd::x509::CertificateReference;

use super::responder::Mode;
use super::world::{Happening, Hidden, LONGEST_SLEEP, Weather, World};
use crate::pki::{DAY, HOUR};

pub const MINUTE: Duration = Duration::from_secs(60);
/// No faults any more so long before the end.
const CALM: Duration = Duration::from_secs(5 * 3600);
/// A certificate is replaced when it is so old, in days.
const ROTATED_AFTER: std::ops::Range<u64> = 40..75;
/// A certificate is valid for so long.
const VALIDITY: Duration = Duration::from_secs(80 * 86_400);

impl World {
    /// Plans the first of everything.
    pub fn start(&mut self) {
        for target in 0..self.processes.len() {
            self.process_starts(target);
            self.plan_within(12 * HOUR, Happening::ReloadBegins(target));
            self.plan_within(3 * DAY, Happening::Locked(target));
        }
        for file in 0..self.files.len() {
            self.find(file);
            self.plan_within(60 * DAY, Happening::FileChanges(file));
            let age = self.random.u64(0..ROTATED_AFTER.end);
            self.plan_rotation(file, age);
        }
        for responder in 0..self.responders.len() {
            self.plan_within(4 * DAY, Happening::Mode(responder));
        }
        self.plan_within(5 * DAY, Happening::Disk);
        if self.scale.weather != Weather::HourlyOutages {
            self.plan_within(12 * DAY, Happening::Clock);
        }
        self.plan_within(8 * DAY, Happening::Suspension);
        self.plan_within(20 * DAY, Happening::AgentRestarts);
        self.plan_within(10 * DAY, Happening::RenewAll);
        self.plan(HOUR, Happening::Hour);
        self.start_swarm();
    }

    pub fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::ExchangeEnds(number) => self.exchange_ends(number),
            Happening::WriteEnds(number) => self.write_ends(number),
            Happening::ClearEnds(file) => self.clear_ends(file),
            Happening::DeliveryEnds { target, generation } => {
                self.delivery_ends(target, generation);
            }
            Happening::Look => self.event(Event::Wakeup),
            Happening::LookedAgain => {
                for file in 0..self.files.len() {
                    self.look_at(file);
                }
            }
            Happening::Lapses(number) => self.lapses(number),
            Happening::Hour => self.hour(),
            Happening::Minute => self.minute(),
            Happening::LeftAloneNoMore(_) => self.observe(),
            Happening::FileFound(file) => {
                self.files[file].hidden = None;
                self.find(file);
            }
            Happening::ReloadEnds(target) => self.process_starts(target),
            Happening::OtherWorker(target) => self.other_worker(target),
            Happening::ReplacedLive { target, file } => self.replaced_live(target, file),
            Happening::SlotMissed { target, file } => self.slot_missed(target, file),
            // What has begun comes to its end also when no more faults begin.
            Happening::Disk if self.disk_is_full || !self.is_calm => self.disk(),
            Happening::Clock if self.clock_error != 0 || !self.is_calm => self.clock(),
            Happening::Mode(responder)
                if self.responders[responder].mode != Mode::Healthy || !self.is_calm =>
            {
                self.mode(responder);
            }
            _ if self.is_calm => {}
            Happening::ReloadBegins(target) => self.reload(target),
            Happening::Locked(target) => self.lock(target),
            Happening::OtherSocket => self.other_socket(),
            Happening::DeployedAgain(file) => self.deployed_again(file),
            Happening::FileChanges(file) => self.file_changes(file),
            Happening::FileRotates(file) => self.rotate(file),
            Happening::Suspension => self.suspend(),
            Happening::AgentRestarts => {
                self.fault("agent restarts");
                match self.random.u8(0..10) {
                    0 => {
                        self.fault("memory lost");
                        self.memory.clear();
                    }
                    1 => {
                        self.fault("memory torn");
                        let random = &mut self.random;
                        self.memory.retain(|_, _| random.bool());
                    }
                    _ => {}
                }
                self.restart_agent();
                self.observe();
                self.plan_within(40 * DAY, Happening::AgentRestarts);
            }
            Happening::RenewAll => {
                self.event(Event::RenewAll);
                self.plan_within(20 * DAY, Happening::RenewAll);
            }
            Happening::Disk | Happening::Clock | Happening::Mode(_) => {}
        }
    }

    /// From now on whatever is wrong is mended, and nothing new goes wrong.
    fn calm_down(&mut self) {
        self.is_calm = true;
        self.calm_since = Some(self.time);
        self.disk_is_full = false;
        if self.clock_error != 0 {
            self.clock();
        }
        for responder in 0..self.responders.len() {
            if self.responders[responder].mode != Mode::Healthy {
                self.mode(responder);
            }
        }
    }

    fn hour(&mut self) {
        self.check_hour();
        self.plan(HOUR, Happening::Hour);
        if !self.is_calm && self.time + CALM >= self.end() {
            self.calm_down();
            self.plan(MINUTE, Happening::Minute);
        }
    }

    /// Once a minute after the last fault: whether everything has converged.
    fn minute(&mut self) {
        self.watch_convergence();
        self.plan(MINUTE, Happening::Minute);
    }

    /// A certificate for this place in the directory, some of them to be revoked some day.
    pub fn new_case(&mut self, number: usize) -> usize {
        let responders = self.responders.len();
        // The last responder is the one with short-lived responses.
        let asked = match number % 400 {
            399 => vec![responders - 1],
            // Some certificates name two.
            _ if number % 5 == 1 => {
                let first = number % (responders - 1);
                vec![first, (first + 1) % (responders - 1)]
            }
            _ => vec![number % (responders - 1)],
        };
        let now = self.true_wall();
        let not_after = now.saturating_add(VALIDITY);
        let revocation = (self.random.u8(0..100) == 0).then(|| {
            let from = now.saturating_add(self.within(60 * DAY));
            let is_hold = self.random.bool();
            let until = match is_hold {
                true => from.saturating_add(self.within(10 * DAY)),
                false => Timestamp::from_unix(i64::MAX),
            };
            (from, until)
        });
        self.authority.issue(asked, now, not_after, revocation)
    }

    pub fn plan_within(&mut self, longest: Duration, happening: Happening) {
        let wait = self.within(longest / self.nature.haste);
        self.plan(wait, happening);
    }

    fn within(&mut self, longest: Duration) -> Duration {
        longest.mul_f64(self.random.f64())
    }

    /// Minutes or days: as likely to be between one and ten minutes as between one and ten days.
    fn outage(&mut self, longest: Duration) -> Duration {
        let factor = longest.as_secs_f64() / 120.0;
        Duration::from_secs_f64(120.0 * factor.powf(self.random.f64()))
    }

    pub fn fault(&mut self, kind: &'static str) {
        *self.figures.faults.entry(kind).or_default() += 1;
    }

    /// Takes note, for every responder, of whether it can be reached from now on.
    pub fn observe(&mut self) {
        let (now, machine_is_well) = (self.time, self.clock_error == 0);
        for responder in &mut self.responders {
            responder.observe(now, machine_is_well);
        }
    }

    fn mode(&mut self, responder: usize) {
        let is_hourly = self.scale.weather == Weather::HourlyOutages;
        let mode = match self.responders[responder].mode {
            Mode::Healthy if is_hourly => Mode::outage(&mut self.random),
            Mode::Healthy => Mode::drawn(&mut self.random),
            _ => Mode::Healthy,
        };
        self.responders[responder].mode = mode;
        self.responders[responder].hour.was_plain &= mode.is_plain();
        self.observe();
        if mode == Mode::Healthy {
            let longest = if is_hourly { 80 * MINUTE } else { 8 * DAY };
            self.plan_within(longest, Happening::Mode(responder));
        } else {
            self.fault(match mode {
                Mode::Lying => "responder lies",
                Mode::Slow => "responder is slow",
                Mode::Busy { .. } => "responder is busy",
                Mode::InTrouble { .. } => "responder in trouble",
                _ => "responder is out",
            });
            let wait = self.outage(if is_hourly { HOUR / 2 } else { 3 * DAY });
            self.plan(wait, Happening::Mode(responder));
        }
    }

    /// A responder asked for a pause; it is taken at its word, and up to a quarter longer.
    pub fn left_alone(&mut self, responder: usize, retry_after: Duration) {
        let until = self.time + retry_after.mul_f64(1.25) + MINUTE;
        let state = &mut self.responders[responder];
        if until > state.left_alone_until {
            state.left_alone_until = until;
            self.plan(until - self.time, Happening::LeftAloneNoMore(responder));
            self.observe();
        }
    }

    fn reload(&mut self, target: usize) {
        let is_restart = self.random.u8(0..10) == 0;
        self.fault(if is_restart {
            "HAProxy is down"
        } else {
            "HAProxy reloads"
        });
        let down = match is_restart {
            true => self.outage(6 * HOUR),
            false => Duration::from_millis(self.random.u64(100..3000)),
        };
        if self.processes[target].up {
            self.process_ends(target, !is_restart);
            self.plan(down, Happening::ReloadEnds(target));
        }
        self.plan_within(DAY, Happening::ReloadBegins(target));
    }

    fn lock(&mut self, target: usize) {
        if self.processes[target].up {
            self.fault("foreign transaction");
            let until = self.time + self.outage(2 * HOUR);
            self.processes[target].locked_until = until;
            self.processes[target].trouble(until);
        }
        self.plan_within(6 * DAY, Happening::Locked(target));
    }

    fn file_changes(&mut self, number: usize) {
        let (kind, hidden, longest) = match self.random.u8(0..5) {
            0 => (".ocsp deleted", None, HOUR),
            3 => (".ocsp truncated", None, HOUR),
            4 => (".ocsp overwritten", None, HOUR),
            1 => ("certificate deleted", Some(Hidden::Deleted), 2 * DAY),
            _ => ("certificate half-written", Some(Hidden::HalfWritten), HOUR),
        };
        self.fault(kind);
        if hidden.is_some() {
            self.files[number].hidden = hidden;
            self.find(number);
            let wait = self.outage(longest);
            self.plan(wait, Happening::FileFound(number));
        } else {
            let other = self.files[(number + 1) % self.files.len()].staple.clone();
            let file = &mut self.files[number];
            match kind {
                ".ocsp deleted" => file.staple = None,
                // No certificate's.
                ".ocsp truncated" => {
                    file.staple = file.staple.take().map(|(_, staple)| (usize::MAX, staple));
                }
                _ => {
                    file.staple = other;
                    file.is_foreign = true;
                }
            }
            self.find_beside(number);
        }
        self.plan_within(120 * DAY, Happening::FileChanges(number));
    }

    /// Discovery sees what lies beside a certificate.
    fn find_beside(&mut self, number: usize) {
        let file = &mut self.files[number];
        file.beside_changed_at = self.time;
        let path = file.path.clone();
        self.event(Event::StapleFileFound {
            staple_path: path.with_extension("pem.ocsp"),
            path,
            staple: self.lying_beside(number),
        });
    }

    /// Plans the replacement of a certificate that is so many days old; few are forgotten.
    fn plan_rotation(&mut self, file: usize, age: u64) {
        let days = self.random.u64(ROTATED_AFTER).saturating_sub(age);
        let is_forgotten = self.random.u8(0..30) == 0;
        let wait = days as u32 * DAY + self.within(DAY);
        let wait = if is_forgotten { wait + 60 * DAY } else { wait };
        self.plan(wait, Happening::FileRotates(file));
    }

    fn rotate(&mut self, number: usize) {
        self.fault("certificate replaced");
        let case = self.new_case(number);
        self.files[number].case = case;
        self.files_of.entry(case).or_default().push(number);
        self.files[number].hidden = None;
        self.find(number);
        for target in 0..self.processes.len() {
            // Live, as a deployment tool does, or by the next reload.
            let is_loaded = self.is_loaded_by(number, target);
            if is_loaded && self.processes[target].up && self.random.bool() {
                self.processes[target].replace(number, case);
                let happening = Happening::ReplacedLive {
                    target,
                    file: number,
                };
                self.plan(Duration::from_secs(2), happening);
            }
        }
        self.plan_rotation(number, 0);
    }

    /// The session notices that a file's certificate is another one in the process.
    fn replaced_live(&mut self, target: usize, file: usize) {
        if !self.processes[target].up {
            return;
        }
        let Some(store) = self.processes[target].stores.get(&file) else {
            return;
        };
        let certificate = &self.authority.cases[store.case].subject.certificate;
        let fingerprint = CertificateReference::Fingerprint(certificate.sha1_fingerprint());
        self.event(Event::StoreChanged {
            target: staplerd::agent::TargetId(target),
            certificate: fingerprint,
        });
    }

    fn disk(&mut self) {
        self.disk_is_full = !self.disk_is_full;
        let wait = match self.disk_is_full {
            true => {
                self.fault("disk full");
                self.outage(2 * DAY)
            }
            false => self.within(10 * DAY),
        };
        self.plan(wait, Happening::Disk);
    }

    /// The clock is set wrong, or right again.
    fn clock(&mut self) {
        let wait = if self.clock_error == 0 {
            let wrong = self.outage(20 * DAY).as_secs() as i64;
            let is_ahead = self.random.bool();
            self.fault(if is_ahead {
                "clock set forward"
            } else {
                "clock set back"
            });
            self.clock_error = if is_ahead { wrong } else { -wrong };
            self.outage(2 * DAY)
        } else {
            self.clock_error = 0;
            self.within(24 * DAY)
        };
        self.machine_troubled_at = self.time;
        // What is from the future by this clock is no measure of what is older.
        let latest = self.wall().saturating_add(CLOCK_SKEW);
        self.newest.retain(|_, newest| newest.0 <= latest);
        for responder in &mut self.responders {
            responder.hour.was_plain = false;
        }
        self.observe();
        self.plan(LONGEST_SLEEP, Happening::Look);
        self.plan(wait, Happening::Clock);
    }

    /// True time goes on, nothing on the machine does.
    fn suspend(&mut self) {
        self.fault("machine suspended");
        for responder in &mut self.responders {
            responder.observe(self.time, false);
        }
        let until_calm = self.end().saturating_sub(CALM + self.time);
        let pause = self.outage(DAY).min(until_calm);
        self.time += pause;
        self.suspended += pause;
        self.machine_troubled_at = self.time;
        self.observe();
        self.plan(LONGEST_SLEEP, Happening::Look);
        self.plan_within(16 * DAY, Happening::Suspension);
    }
}
