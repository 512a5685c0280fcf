//! Staples on their way to the disk and into HAProxy processes, and the comings and goings of
//! these.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use staplerd::agent::{CertificateId, DeliveryRetry, Event, TargetId};
use staplerd::ocsp::verify::CLOCK_SKEW;
use staplerd::ocsp::verify::SHORTEST_LIFE;
use staplerd::ocsp::{Assessment, Policy, Staple, check_succession, verify};

use super::process::{Order, failure};
use super::world::{Happening, Hidden, Open, World, words};

/// How long a batch of writes takes.
pub const WRITE_TAKES: Duration = Duration::from_millis(50);
/// How long one delivery takes.
pub const DELIVERY_TAKES: Duration = Duration::from_micros(300);

/// A staple on its way to the disk.
pub struct Write {
    certificate: CertificateId,
    file: usize,
    staple: Arc<Staple>,
}

impl World {
    pub fn write(&mut self, certificate: CertificateId, file: usize, staple: Arc<Staple>) {
        self.counter += 1;
        let write = Write {
            certificate,
            file,
            staple,
        };
        self.writes.insert(self.counter, write);
        self.plan(WRITE_TAKES, Happening::WriteEnds(self.counter));
    }

    pub fn write_ends(&mut self, number: u64) {
        let Some(write) = self.writes.remove(&number) else {
            return;
        };
        self.open
            .remove(&Open::Write(write.certificate, write.file));
        let result = match self.disk_is_full {
            true => Err(words("no_space")),
            false => {
                let case = self.case_of(&write.staple);
                self.figures.writes += 1;
                self.files[write.file].staple = Some((case, write.staple));
                self.files[write.file].is_foreign = false;
                Ok(())
            }
        };
        let path = self.files[write.file].path.clone();
        self.event(Event::Written {
            certificate: write.certificate,
            path,
            result,
        });
    }

    /// What lies beside a certificate is removed, unless somebody else put it there or it is fit.
    pub fn clear_ends(&mut self, number: usize) {
        let wall = self.wall();
        let file = &mut self.files[number];
        let told_revoked = self.told_revoked.contains(&file.case);
        let is_to_go = file.staple.as_ref().is_some_and(|(case, staple)| {
            let is_useless =
                *case != file.case || told_revoked || staple.expires().since(wall) < SHORTEST_LIFE;
            let is_early = staple.this_update() > wall.saturating_add(CLOCK_SKEW);
            let is_read = file.hidden.is_none();
            is_read && !file.is_foreign && (is_useless || is_early)
        });
        let is_orphan = file.hidden == Some(Hidden::Deleted) && !file.is_foreign;
        let is_cleared = (is_to_go || is_orphan) && file.staple.take().is_some();
        self.figures.cleared += u64::from(is_cleared);
        let path = file.path.clone();
        self.event(Event::Cleared {
            path,
            result: Ok(is_cleared),
        });
    }

    pub fn deliver(&mut self, target: usize, order: Order) {
        self.processes[target].queue.push_back(order);
        self.deliver_next(target);
    }

    fn deliver_next(&mut self, target: usize) {
        let process = &mut self.processes[target];
        if process.is_delivering || process.queue.is_empty() {
            return;
        }
        process.is_delivering = true;
        let generation = process.generation;
        let takes = self.delivery_takes(target);
        if takes > DELIVERY_TAKES {
            // Whoever waits behind a long commit waits for it.
            let process = &mut self.processes[target];
            process.trouble(self.time + takes);
        }
        self.plan(takes, Happening::DeliveryEnds { target, generation });
    }

    pub fn delivery_ends(&mut self, target: usize, generation: u64) {
        let wall = self.wall();
        if self.processes[target].generation != generation {
            return;
        }
        let is_locked =
            self.time < self.processes[target].locked_until || self.finds_locked(target);
        let process = &mut self.processes[target];
        process.is_delivering = false;
        let Some(order) = process.queue.pop_front() else {
            return;
        };
        let newer = process.newer_than(&order).filter(|_| process.up).cloned();
        let certificate = order.certificate;
        self.open.remove(&Open::Delivery(certificate, target));
        let event = match newer.and_then(|newer| self.verified(&order, &newer)) {
            Some(assessment) => {
                self.figures.taken_over += 1;
                Event::HeldNewer {
                    target: TargetId(target),
                    certificate,
                    assessment: Box::new(assessment),
                }
            }
            None => {
                let process = &mut self.processes[target];
                let result = match process.up {
                    // The session has seen the process go, the agent has not yet.
                    false => Err(failure("disconnected", DeliveryRetry::NextConnection)),
                    true if order.staple.expires().since(wall) <= SHORTEST_LIFE => {
                        // The session looks at the clock once more.
                        Err(failure("short_lived", DeliveryRetry::Later))
                    }
                    true => process.deliver(&order, is_locked, wall),
                };
                self.figures.deliveries += u64::from(result.is_ok());
                Event::Delivered {
                    target: TargetId(target),
                    certificate,
                    result,
                }
            }
        };
        self.event(event);
        self.deliver_next(target);
    }

    /// What a process holds, if the session finds it valid.
    fn verified(&self, order: &Order, held: &Staple) -> Option<Assessment> {
        let subject = &self.authority.cases[order.case].subject;
        let policy = Policy::default();
        let judged = verify(held.der(), subject.as_ocsp(), None, self.wall(), policy);
        let offered = order.staple.standing();
        judged.ok().filter(|found| {
            found.stapling.is_ok()
                && check_succession(&offered, &found.standing(), self.wall()).is_ok()
        })
    }

    /// The process is gone: each delivery under way fails, before or after the agent hears of it.
    /// Of a reload it hears nothing but that there is another process.
    pub fn process_ends(&mut self, target: usize, is_reload: bool) {
        let orders = self.processes[target].end();
        let hears_first = !is_reload && self.random.bool();
        if hears_first {
            self.event(Event::Disconnected(TargetId(target)));
        }
        self.deliveries_fail(target, orders);
        if !is_reload && !hears_first {
            self.event(Event::Disconnected(TargetId(target)));
        }
    }

    /// The master CLI leads to another worker than before: to the new one at last.
    pub fn other_worker(&mut self, target: usize) {
        if self.processes[target].up {
            let orders = self.processes[target].lose_connection();
            self.processes[target].trouble(self.time);
            self.deliveries_fail(target, orders);
            self.event(Event::Connected(TargetId(target)));
        }
    }

    pub fn deliveries_fail(&mut self, target: usize, orders: VecDeque<Order>) {
        for order in orders {
            let certificate = order.certificate;
            self.open.remove(&Open::Delivery(certificate, target));
            self.event(Event::Delivered {
                target: TargetId(target),
                certificate,
                result: Err(failure("disconnected", DeliveryRetry::NextConnection)),
            });
        }
    }

    pub fn process_starts(&mut self, target: usize) {
        if !self.is_served(target) {
            return;
        }
        let wall = self.wall();
        self.check_start(target);
        let served: Vec<bool> = (0..self.files.len())
            .map(|file| self.is_loaded_by(file, target))
            .collect();
        let loaded = self.files.iter().enumerate().filter_map(|(number, file)| {
            (served[number] && file.hidden.is_none()).then_some((
                number,
                file.case,
                file.staple.as_ref(),
            ))
        });
        self.processes[target].load(loaded, wall);
        self.processes[target].troubled_at = self.time;
        self.event(Event::Connected(TargetId(target)));
        if self.processes[target].is_behind_master && self.random.bool() {
            let wait = Duration::from_millis(self.random.u64(1..3000));
            self.plan(wait, Happening::OtherWorker(target));
        }
    }
}
