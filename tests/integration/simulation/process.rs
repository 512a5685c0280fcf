//! A HAProxy process with its own rules: what it loads at start, what it takes, what it staples.
//!
//! The session's part of a delivery (push, else attach) is played here too: the outcome is what
//! `haproxy::run` would report. Rules from HAProxy's source, as `src/haproxy` documents them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use staplerd::agent::{CertificateId, Delivered, DeliveryFailure, DeliveryRetry, Failure};
use staplerd::ocsp::Staple;
use staplerd::time::Timestamp;

use super::swarm::Peculiarity;

/// HAProxy stops stapling so long before nextUpdate, and refuses what is so far in the future.
const MARGIN: Duration = Duration::from_secs(300);

/// A certificate as the process loaded it from a file.
#[derive(Clone, Copy, Debug)]
pub struct Store {
    pub case: usize,
    /// It has a place for a staple.
    pub slot: bool,
}

/// One delivery that waits for its turn.
pub struct Order {
    pub certificate: CertificateId,
    pub case: usize,
    pub staple: Arc<Staple>,
}

#[derive(Default)]
pub struct Process {
    pub up: bool,
    /// Counts processes: what was begun with one does not end with the next.
    pub generation: u64,
    /// Certificates by file.
    pub stores: HashMap<usize, Store>,
    /// The files of each certificate.
    files_of: HashMap<usize, Vec<usize>>,
    /// Staples by CertID: all stores of one certificate share one.
    staples: HashMap<usize, Arc<Staple>>,
    /// Somebody else's transaction is open until then.
    pub locked_until: Duration,
    /// The last time something was wrong with it.
    pub troubled_at: Duration,
    pub queue: VecDeque<Order>,
    pub is_delivering: bool,
    /// It is reached by the master CLI.
    pub is_behind_master: bool,
    /// HAProxy's own updater looks after some of its certificates.
    owns_some: bool,
    pub peculiarity: Peculiarity,
    /// Files whose slot is gone without a sign of it.
    pub lost_unseen: HashSet<usize>,
}

impl Process {
    /// The first is reached by its stats socket, the second by its master, the third updates some
    /// staples itself.
    pub fn new(number: usize, peculiarity: Peculiarity) -> Self {
        Process {
            peculiarity,
            is_behind_master: number == 1,
            owns_some: number == 2,
            ..Process::default()
        }
    }

    /// A new process with what it found on disk: file, certificate, and the staple beside it.
    pub fn load<'a>(
        &mut self,
        files: impl Iterator<Item = (usize, usize, Option<&'a (usize, Arc<Staple>)>)>,
        wall: Timestamp,
    ) {
        self.up = true;
        self.stores.clear();
        self.files_of.clear();
        self.staples.clear();
        self.lost_unseen.clear();
        for (file, case, staple) in files {
            // A `.ocsp` of whatever content makes a place; only a matching, current one fills it.
            let slot = staple.is_some();
            self.stores.insert(file, Store { case, slot });
            self.files_of.entry(case).or_default().push(file);
            if let Some((of, staple)) = staple
                && *of == case
                && is_current(staple, wall)
            {
                self.staples.insert(case, Arc::clone(staple));
            }
        }
    }

    /// Something is wrong with it until then, whatever else was or is.
    pub fn trouble(&mut self, until: Duration) {
        self.troubled_at = self.troubled_at.max(until);
    }

    /// The process ends; whoever waited for an answer gets none.
    pub fn end(&mut self) -> VecDeque<Order> {
        self.up = false;
        self.locked_until = Duration::ZERO;
        self.lose_connection()
    }

    /// The connection ends; whoever waited for an answer gets none.
    pub fn lose_connection(&mut self) -> VecDeque<Order> {
        self.generation += 1;
        self.is_delivering = false;
        std::mem::take(&mut self.queue)
    }

    /// The staple it holds in place of the one it is to be given, if that is older.
    pub fn newer_than(&self, order: &Order) -> Option<&Arc<Staple>> {
        if self.peculiarity.shows_nothing {
            return None;
        }
        let files = self.files_of.get(&order.case)?;
        let has_place = |file: &usize| self.stores.get(file).is_some_and(|store| store.slot);
        self.staples
            .get(&order.case)
            .filter(|_| files.iter().any(has_place) && !self.staples_itself(order.case))
            .filter(|held| held.this_update() > order.staple.this_update())
    }

    /// Whether its own updater looks after this certificate.
    pub fn staples_itself(&self, case: usize) -> bool {
        self.owns_some && case % 50 == 7
    }

    /// Another tool gives a file another certificate: the new one has no place for a staple, and
    /// the old one's place goes with the last store that has it.
    pub fn replace(&mut self, file: usize, case: usize) {
        let replaced = self.stores.insert(file, Store { case, slot: false });
        if let Some(files) = replaced.and_then(|store| self.files_of.get_mut(&store.case)) {
            files.retain(|other| *other != file);
        }
        self.files_of.entry(case).or_default().push(file);
        if self.stores_of(case).all(|store| !store.slot) {
            self.staples.remove(&case);
        }
    }

    fn stores_of(&self, case: usize) -> impl Iterator<Item = &Store> {
        let files = self.files_of.get(&case).into_iter().flatten();
        files.filter_map(|file| self.stores.get(file))
    }

    /// Whether a delivery for this certificate takes a commit.
    pub fn lacks_slot(&self, case: usize) -> bool {
        self.stores_of(case).any(|store| !store.slot)
    }

    /// What the session reports of a delivery.
    pub fn deliver(
        &mut self,
        order: &Order,
        is_locked: bool,
        wall: Timestamp,
    ) -> Result<Delivered, DeliveryFailure> {
        let (case, staple) = (order.case, &order.staple);
        assert!(
            staple.expires().since(wall) > MARGIN,
            "would take the good staple away"
        );
        let files = self.files_of.get(&case).cloned().unwrap_or_default();
        if files.is_empty() {
            return Err(failure("not_loaded", DeliveryRetry::NextChange));
        }
        if self.staples_itself(case) {
            return Err(failure("owned_by_haproxy", DeliveryRetry::NextChange));
        }
        let has_place = |file: &usize| self.stores.get(file).is_some_and(|store| store.slot);
        let lacking: Vec<usize> = files.into_iter().filter(|file| !has_place(file)).collect();
        if !lacking.is_empty() && is_locked {
            return Err(failure("locked", DeliveryRetry::Soon));
        }
        if staple.this_update() > wall.saturating_add(MARGIN) {
            return Err(failure("expired", DeliveryRetry::Later));
        }
        let shows = !self.peculiarity.shows_nothing;
        for file in &lacking {
            self.lost_unseen.remove(file);
            self.stores.insert(*file, Store { case, slot: true });
        }
        let held = self.staples.insert(case, Arc::clone(staple));
        Ok(match held {
            Some(held) if shows && held.der() == staple.der() && lacking.is_empty() => {
                Delivered::AlreadyHeld
            }
            _ if lacking.is_empty() => Delivered::Pushed,
            _ => Delivered::Attached,
        })
    }

    /// Whether this file was loaded with this certificate.
    pub fn has_loaded(&self, file: usize, case: usize) -> bool {
        self.stores
            .get(&file)
            .is_some_and(|store| store.case == case)
    }

    /// Whether a client that connects now gets a valid staple of this file's certificate.
    pub fn staples(&self, file: usize, case: usize, wall: Timestamp) -> bool {
        let has_place = self
            .stores
            .get(&file)
            .is_some_and(|store| store.case == case && store.slot);
        has_place
            && self
                .staples
                .get(&case)
                .is_some_and(|staple| is_current(staple, wall))
    }
}

fn is_current(staple: &Staple, wall: Timestamp) -> bool {
    staple.expires().since(wall) > MARGIN && staple.this_update() <= wall.saturating_add(MARGIN)
}

pub fn failure(kind: &'static str, retry: DeliveryRetry) -> DeliveryFailure {
    DeliveryFailure {
        failure: Failure {
            kind,
            message: kind.to_owned(),
        },
        retry,
    }
}
