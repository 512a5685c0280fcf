//! The agent's orders to write, carried out by the store in batches.
//!
//! What belongs to a directory that another staplerd looks after is not written: the order fails.
//! Copies of what was written are made here, too, where the operator wants them.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::local_time;
use crate::agent::{CertificateNumber, Event, Failure};
use crate::config::Backups;
use crate::ocsp::Staple;
use crate::printable::Printable;
use crate::store::{self, Claims, Ownership};

/// The most staples that share one flush.
const LARGEST_BATCH: usize = 512;

/// One staple to be written.
pub(super) struct Order {
    pub(super) certificate: CertificateNumber,
    pub(super) path: PathBuf,
    pub(super) staple_path: PathBuf,
    pub(super) staple: Arc<Staple>,
}

/// Where may be written, what the files are given, and which copies are made.
pub(super) struct Places {
    pub(super) claims: Arc<Claims>,
    pub(super) ownership: Ownership,
    pub(super) backups: Option<Backups>,
}

impl Places {
    /// Writes what may be written; the results are in the order of the batch.
    fn write(&self, orders: &[Order]) -> Vec<Result<(), store::Error>> {
        let mut results = Vec::new();
        let (mut places, mut ours) = (Vec::new(), Vec::new());
        for (place, order) in orders.iter().enumerate() {
            match self.prepare(order) {
                Ok(()) => {
                    places.push(place);
                    ours.push((order.staple_path.clone(), Arc::clone(&order.staple)));
                }
                Err(error) => results.push((place, Err(error))),
            }
        }
        let written = store::write(&ours, self.ownership);
        if let Some(backups) = self.backups {
            let written: Vec<bool> = written.iter().map(Result::is_ok).collect();
            let mut written = written.into_iter();
            ours.retain(|_| written.next() == Some(true));
            self.back_up(&ours, backups);
        }
        results.extend(places.into_iter().zip(written));
        results.sort_by_key(|(place, _)| *place);
        results.into_iter().map(|(_, result)| result).collect()
    }

    /// Sees to it that a staple may be written, and that there is a folder for it.
    fn prepare(&self, order: &Order) -> Result<(), store::Error> {
        // A certificate's own folder goes with the certificate and is not made again.
        if order.path.parent() != order.staple_path.parent() {
            self.claims.create_folder_of(&order.staple_path)?;
        }
        self.claims.check(&order.staple_path)
    }

    /// Makes copies of staples that were written. What fails here is a copy, not a staple.
    fn back_up(&self, staples: &[(PathBuf, Arc<Staple>)], backups: Backups) {
        let copied = store::back_up(staples, local_time(), backups.keep, self.ownership);
        for ((path, _), copied) in staples.iter().zip(copied) {
            if let Err(error) = copied {
                tracing::warn!(
                    staple = %path.printable(),
                    reason = error.kind(),
                    "the staple was written, but its backup was not made, or older ones not \
                     removed: {error}"
                );
            }
        }
    }
}

/// Writes what is ordered. A batch that was begun is finished even when `stop` is cancelled.
pub(super) async fn run(
    places: Places,
    mut orders: mpsc::UnboundedReceiver<Order>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) {
    let places = Arc::new(places);
    let mut batch: Vec<Order> = Vec::new();
    loop {
        let received = stop
            .run_until_cancelled(orders.recv_many(&mut batch, LARGEST_BATCH))
            .await;
        if matches!(received, None | Some(0)) {
            return;
        }
        let orders = std::mem::take(&mut batch);
        let places = Arc::clone(&places);
        let written = tokio::task::spawn_blocking(move || {
            let results = places.write(&orders);
            orders.into_iter().zip(results)
        });
        let Ok(written) = written.await else {
            return;
        };
        for (order, result) in written {
            let result = result.map_err(|error| Failure {
                kind: error.kind(),
                message: error.to_string(),
            });
            let event = Event::Written {
                certificate: order.certificate,
                path: order.path,
                result,
            };
            if events.send(event).await.is_err() {
                return;
            }
        }
    }
}
