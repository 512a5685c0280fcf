//! The agent's orders to write, carried out by the store in batches.
//!
//! What belongs to a directory that another staplerd looks after is not written: the order fails.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::agent::{CertificateNumber, Event, Failure};
use crate::ocsp::Staple;
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

/// Where may be written, and what the files are given.
pub(super) struct Places {
    pub(super) claims: Arc<Claims>,
    pub(super) ownership: Ownership,
}

impl Places {
    /// Writes what may be written; the results are in the order of the batch.
    fn write(&self, files: Vec<(PathBuf, Arc<Staple>)>) -> Vec<Result<(), store::Error>> {
        let (ours, others): (Vec<_>, Vec<_>) = files
            .into_iter()
            .enumerate()
            .partition(|(_, (path, _))| self.claims.cover(path));
        let (places, ours): (Vec<usize>, Vec<_>) = ours.into_iter().unzip();
        let written = places.into_iter().zip(store::write(&ours, self.ownership));
        let refused = others
            .into_iter()
            .map(|(place, (path, _))| (place, Err(store::Error::InUse(path))));
        let mut results: Vec<_> = written.chain(refused).collect();
        results.sort_by_key(|(place, _)| *place);
        results.into_iter().map(|(_, result)| result).collect()
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
    let mut batch = Vec::new();
    loop {
        let received = stop
            .run_until_cancelled(orders.recv_many(&mut batch, LARGEST_BATCH))
            .await;
        if matches!(received, None | Some(0)) {
            return;
        }
        let files: Vec<(PathBuf, Arc<Staple>)> = batch
            .iter()
            .map(|order: &Order| (order.staple_path.clone(), Arc::clone(&order.staple)))
            .collect();
        let places = Arc::clone(&places);
        let Ok(results) = tokio::task::spawn_blocking(move || places.write(files)).await else {
            return;
        };
        for (order, result) in batch.drain(..).zip(results) {
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
