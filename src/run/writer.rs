//! The agent's orders to write, carried out by the store in batches.
//!
//! Each file system has a writer of its own: where one hangs (a network server that is away, a
//! frozen volume), the orders for it wait, that is said, and the others go on. What belongs to a
//! directory that another staplerd looks after is not written: the order fails. Copies of what was
//! written are made here, too, where the operator wants them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::local_time;
use crate::agent::{CertificateNumber, Event, Failure};
use crate::config::Backups;
use crate::ocsp::Staple;
use crate::printable::Printable;
use crate::store::{self, Claims, Ownership};

/// The most staples that share one flush.
const LARGEST_BATCH: usize = 512;
/// How long a file system may take for a batch before it is said that it hangs.
const PATIENCE: Duration = Duration::from_secs(5);

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
        let written = store::write(&ours, &self.claims, self.ownership);
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
        let copied = store::back_up(
            staples,
            local_time(),
            backups.keep,
            &self.claims,
            self.ownership,
        );
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
    let mut writers = JoinSet::new();
    // By the number of the file system; a directory that is not claimed has none, and what is
    // ordered for it fails.
    let mut ways: BTreeMap<Option<u64>, mpsc::UnboundedSender<Order>> = BTreeMap::new();
    while let Some(Some(order)) = stop.run_until_cancelled(orders.recv()).await {
        let file_system = places.claims.file_system(&order.staple_path);
        let way = ways.entry(file_system).or_insert_with(|| {
            let (way, orders) = mpsc::unbounded_channel();
            let (places, events, stop) = (Arc::clone(&places), events.clone(), stop.clone());
            writers.spawn(write_to_one(places, orders, events, stop));
            way
        });
        // One that has ended has nobody left to tell.
        let _ = way.send(order);
    }
    drop(ways);
    while writers.join_next().await.is_some() {}
}

/// Writes what is ordered for one file system.
async fn write_to_one(
    places: Arc<Places>,
    mut orders: mpsc::UnboundedReceiver<Order>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) {
    let mut batch: Vec<Order> = Vec::new();
    loop {
        let received = stop
            .run_until_cancelled(orders.recv_many(&mut batch, LARGEST_BATCH))
            .await;
        if matches!(received, None | Some(0)) {
            return;
        }
        let Some(written) = write_batch(&places, std::mem::take(&mut batch)).await else {
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

/// Writes a batch, however long it takes; what takes long is said. Nothing where the write came to
/// no end.
async fn write_batch(
    places: &Arc<Places>,
    orders: Vec<Order>,
) -> Option<Vec<(Order, Result<(), store::Error>)>> {
    let begun = Instant::now();
    let place = orders.first()?.staple_path.clone();
    let places = Arc::clone(places);
    let mut writing = tokio::task::spawn_blocking(move || {
        let results = places.write(&orders);
        orders.into_iter().zip(results).collect()
    });
    if let Ok(written) = timeout(PATIENCE, &mut writing).await {
        return written.ok();
    }
    tracing::error!(
        staple = %place.printable(),
        reason = "file_system_hangs",
        "cannot be written: its file system has not answered for {} s; what belongs there waits, \
         what lies elsewhere goes on",
        PATIENCE.as_secs()
    );
    let written = writing.await.ok();
    tracing::info!(
        staple = %place.printable(),
        "its file system answers again, after {} s",
        begun.elapsed().as_secs()
    );
    written
}
