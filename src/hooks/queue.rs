//! Which hook runs when: one at a time for each certificate file, a bounded number over all, the
//! others in the order in which they came.
//!
//! Pure. If a hook of a kind waits for a certificate already, the newer facts replace the older
//! ones: a hook is told how it stands, not how it stood.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::{HookEvent, HookRun};

/// Hooks that run at once.
const AT_ONCE: usize = 8;
/// Hooks that wait at most.
pub(super) const LONGEST: usize = 16_384;

/// The hooks that wait, and the certificate files for which one runs.
#[derive(Default, Debug)]
pub(super) struct Queue {
    waiting: BTreeMap<u64, HookRun>,
    places: HashMap<(PathBuf, HookEvent), u64>,
    running: BTreeSet<PathBuf>,
    next_place: u64,
}

impl Queue {
    /// Lets a hook wait for its turn; false where too many wait.
    pub(super) fn push(&mut self, order: HookRun) -> bool {
        let key = (order.facts.certificate.clone(), order.facts.event);
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None if self.waiting.len() >= LONGEST => return false,
            None => {
                self.next_place += 1;
                self.places.insert(key, self.next_place);
                self.next_place
            }
        };
        self.waiting.insert(place, order);
        true
    }

    /// The hook to be run now, if there is one.
    pub(super) fn next(&mut self) -> Option<HookRun> {
        if self.running.len() >= AT_ONCE {
            return None;
        }
        let mut waiting = self.waiting.iter();
        let (place, _) =
            waiting.find(|(_, order)| !self.running.contains(&order.facts.certificate))?;
        let place = *place;
        let order = self.waiting.remove(&place)?;
        let certificate = order.facts.certificate.clone();
        self.running.insert(certificate.clone());
        self.places.remove(&(certificate, order.facts.event));
        Some(order)
    }

    /// The hook that ran for this certificate file has ended.
    pub(super) fn finished(&mut self, certificate: &Path) {
        self.running.remove(certificate);
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
