//! Which responders are being left alone: what the service tells others of its circuit breakers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{monotonic, responder_of};

/// The responders that are being left alone, shared between the service and its readers.
#[derive(Clone, Default, Debug)]
pub struct Pauses(Arc<Mutex<HashMap<String, Duration>>>);

impl Pauses {
    /// Whether a request for this URL would be put off: the responder, and for how long it is still
    /// left alone (zero while it is being probed).
    pub fn at(&self, url: &str) -> Option<(String, Duration)> {
        let responder = responder_of(url)?;
        let until = *self.lock().get(&responder)?;
        Some((responder, until.saturating_sub(monotonic())))
    }

    /// Takes note of how long a responder is left alone from `now` on, if it is.
    pub(super) fn tell(&self, responder: &str, pause: Option<Duration>, now: Duration) {
        match pause {
            Some(pause) => {
                self.lock().insert(responder.to_owned(), now + pause);
            }
            None => {
                self.lock().remove(responder);
            }
        }
    }

    /// A poisoned lock only means that another thread panicked between two whole updates.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Duration>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
