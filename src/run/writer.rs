//! The agent's orders to write, carried out by the store in batches.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::agent::{CertificateNumber, Event, Failure};
use crate::ocsp::Staple;
use crate::store::{self, Ownership};

/// The most staples that share one flush.
const LARGEST_BATCH: usize = 512;

/// One staple to be written.
pub(super) struct Order {
    pub(super) certificate: CertificateNumber,
    pub(super) path: PathBuf,
    pub(super) staple_path: PathBuf,
    pub(super) staple: Arc<Staple>,
}

/// Writes what is ordered. A batch that was begun is finished even when `stop` is cancelled.
pub(super) async fn run(
    mut orders: mpsc::UnboundedReceiver<Order>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) {
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
        let Ok(results) =
            tokio::task::spawn_blocking(move || store::write(&files, Ownership::default())).await
        else {
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
