//! The agent's orders to write, and to clear away, carried out by the store in batches.
//!
//! Each file system has a writer of its own: where one hangs (a network server that is away, a
//! frozen volume), the orders for it wait, that is said, and the others go on. What belongs to a
//! directory that another staplerd looks after is not written: the order fails. Copies of what was
//! written are made here, too, where the operator wants them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::beside::Beside;
use super::{local_time, recollections, wall_clock};
use crate::agent::{ClearOrder, Event, Failure, StapleReader, WriteOrder};
use crate::config::Backups;
use crate::memory::Memory;
use crate::ocsp::verify::SHORTEST_LIFE;
use crate::ocsp::{self, Staple};
use crate::store::{self, Claims, Ownership, Removal};
use crate::text::Printable;

/// The most staples that share one flush.
const LARGEST_BATCH: usize = 512;
/// How long a file system may take for a batch before it is said that it hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is to be done beside a certificate file.
pub(super) enum WriterOrder {
    /// To write a staple.
    Write(WriteOrder),
    /// To remove what keeps HAProxy from starting.
    Clear(ClearOrder),
}

impl WriterOrder {
    /// The file that it is about.
    fn staple_path(&self) -> &Path {
        match self {
            WriterOrder::Write(order) => &order.staple_path,
            WriterOrder::Clear(order) => &order.staple_path,
        }
    }
}

/// The directories that may be written to, the files' permissions, and the copies to make.
pub(super) struct Places {
    pub(super) claims: Arc<Claims>,
    pub(super) ownership: Ownership,
    pub(super) backups: Option<Backups>,
    pub(super) beside: Arc<Beside>,
    /// What was written where.
    pub(super) memory: Memory,
}

impl Places {
    /// Carries out a batch, whose order counts: one file may be meant twice.
    fn carry_out(&self, batch: Vec<WriterOrder>) -> Vec<Event> {
        let mut events = Vec::new();
        let mut writes = Vec::new();
        for order in batch {
            match order {
                WriterOrder::Write(order) => writes.push(order),
                WriterOrder::Clear(order) => {
                    events.extend(self.write_all(std::mem::take(&mut writes)));
                    events.push(self.clear(order));
                }
            }
        }
        events.extend(self.write_all(writes));
        events
    }

    fn write_all(&self, orders: Vec<WriteOrder>) -> Vec<Event> {
        let results = self.write(&orders);
        let written = orders.into_iter().zip(results).map(|(order, result)| {
            if result.is_ok() {
                for place in self.places(&order.path, &order.staple_path) {
                    self.beside.doubt(&place);
                    recollections::wrote(&self.memory, &place, order.staple.der());
                }
            }
            Event::Written {
                certificate: order.certificate,
                path: order.path,
                result: result.map_err(failure),
            }
        });
        written.collect()
    }

    /// All places of the staple of a certificate file, of which the first is known.
    fn places(&self, path: &Path, first: &Path) -> Vec<PathBuf> {
        let mut places = vec![first.to_owned()];
        places.extend(self.beside.further_places(path));
        places
    }

    fn clear(&self, order: ClearOrder) -> Event {
        let ClearOrder {
            path,
            staple_path,
            reader,
        } = order;
        let mut result = Ok(false);
        // Not gone after all: another source looks after it and its staple now.
        if !matches!(reader, StapleReader::Gone) || is_gone(&path) {
            for place in self.places(&path, &staple_path) {
                let cleared = self.clear_place(&place, &reader);
                result = match (result, cleared) {
                    (Ok(one), Ok(other)) => Ok(one || other),
                    (Err(error), _) | (_, Err(error)) => Err(error),
                };
            }
        }
        Event::Cleared {
            path,
            result: result.map_err(failure),
        }
    }

    /// Whether something was removed from this place.
    fn clear_place(&self, staple_path: &Path, reader: &StapleReader) -> Result<bool, store::Error> {
        self.claims.check(staple_path)?;
        // Only a regular file is a staple.
        let mut is_foreign = true;
        let removal = store::remove_if(staple_path, &self.claims, |bytes| {
            let is_harmful = !is_useful(bytes, reader);
            let is_ours = is_harmful && self.is_ours(staple_path, bytes, reader);
            is_foreign = is_harmful && !is_ours;
            is_ours
        });
        match &removal {
            Ok(Removal::Removed) => {
                self.beside.doubt(staple_path);
                recollections::unwrote(&self.memory, staple_path);
            }
            // Without a certificate to staple for, it cannot be known here what is a staple.
            Ok(Removal::Left)
                if is_foreign && matches!(reader, StapleReader::Certificate { .. }) =>
            {
                tracing::warn!(
                    staple = %staple_path.printable(),
                    reason = "foreign_staple",
                    "is no staple for the certificate beside it, and is not staplerd's: it is \
                     left; remove it, for HAProxy does not start with it under zero-warning"
                );
            }
            Ok(Removal::Left | Removal::Missing) | Err(_) => {}
        }
        removal.map(|removal| removal == Removal::Removed)
    }

    /// Whether a file is this program's: what it wrote there, or what is left of it; or a response
    /// for the certificate.
    fn is_ours(&self, staple_path: &Path, bytes: &[u8], reader: &StapleReader) -> bool {
        let response = ocsp::response::decode(bytes);
        if let (Ok(response), StapleReader::Certificate { subject, .. }) = (&response, reader) {
            let mut singles = response.single_responses.iter();
            let (certificate, issuer) = (&subject.certificate, &subject.issuer);
            if singles.any(|single| single.cert_id.check(certificate, issuer).is_ok()) {
                return true;
            }
        }
        match recollections::is_as_written(&self.memory, staple_path, bytes) {
            None => false,
            // A file that is no response at all is not put there on purpose.
            Some(is_as_written) => is_as_written || response.is_err(),
        }
    }

    /// Writes what may be written; the results are in the order of the batch.
    fn write(&self, orders: &[WriteOrder]) -> Vec<Result<(), store::Error>> {
        let mut results = Vec::new();
        let (mut ids, mut ours) = (Vec::new(), Vec::new());
        for (id, order) in orders.iter().enumerate() {
            for place in self.places(&order.path, &order.staple_path) {
                match self.prepare(&order.path, &place) {
                    Ok(()) => {
                        ids.push(id);
                        ours.push((place, Arc::clone(&order.staple)));
                    }
                    Err(error) => results.push((id, Err(error))),
                }
            }
        }
        let written = store::write(&ours, &self.claims, self.ownership);
        if let Some(backups) = self.backups {
            let written: Vec<bool> = written.iter().map(Result::is_ok).collect();
            let mut written = written.into_iter();
            ours.retain(|_| written.next() == Some(true));
            self.back_up(&ours, backups);
        }
        results.extend(ids.into_iter().zip(written));
        // An order is carried out when all of its places are written.
        let mut of_orders: Vec<Result<(), store::Error>> = orders.iter().map(|_| Ok(())).collect();
        for (id, result) in results {
            if let Some(of_order) = of_orders.get_mut(id).filter(|it| it.is_ok()) {
                *of_order = result;
            }
        }
        of_orders
    }

    /// Sees to it that a staple may be written, and that there is a folder for it.
    fn prepare(&self, path: &Path, staple_path: &Path) -> Result<(), store::Error> {
        // A certificate's own folder goes with the certificate and is not made again.
        if path.parent() != staple_path.parent() {
            self.claims.create_folder_of(staple_path)?;
        }
        self.claims.check(staple_path)
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
    mut orders: mpsc::UnboundedReceiver<WriterOrder>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) {
    let places = Arc::new(places);
    let mut writers = JoinSet::new();
    // By the number of the file system; a directory that is not claimed has none, and what is
    // ordered for it fails.
    let mut ways: BTreeMap<Option<u64>, mpsc::UnboundedSender<WriterOrder>> = BTreeMap::new();
    while let Some(Some(order)) = stop.run_until_cancelled(orders.recv()).await {
        let file_system = places.claims.file_system(order.staple_path());
        let way = ways.entry(file_system).or_insert_with(|| {
            let (way, orders) = mpsc::unbounded_channel();
            let (places, events, stop) = (Arc::clone(&places), events.clone(), stop.clone());
            writers.spawn(write_to_one(places, orders, events, stop));
            way
        });
        // After its end there is no receiver left.
        let _ = way.send(order);
    }
    drop(ways);
    while writers.join_next().await.is_some() {}
}

/// Writes what is ordered for one file system.
async fn write_to_one(
    places: Arc<Places>,
    mut orders: mpsc::UnboundedReceiver<WriterOrder>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) {
    let mut batch: Vec<WriterOrder> = Vec::new();
    loop {
        let received = stop
            .run_until_cancelled(orders.recv_many(&mut batch, LARGEST_BATCH))
            .await;
        if matches!(received, None | Some(0)) {
            return;
        }
        let Some(results) = carry_out_batch(&places, std::mem::take(&mut batch)).await else {
            return;
        };
        for event in results {
            if events.send(event).await.is_err() {
                return;
            }
        }
    }
}

/// Writes a batch, however long it takes; what takes long is said. Nothing where the write came to
/// no end.
async fn carry_out_batch(places: &Arc<Places>, orders: Vec<WriterOrder>) -> Option<Vec<Event>> {
    let begun = Instant::now();
    let place = orders.first()?.staple_path().to_owned();
    let places = Arc::clone(places);
    let mut writing = tokio::task::spawn_blocking(move || places.carry_out(orders));
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

fn failure(error: store::Error) -> Failure {
    Failure {
        kind: error.kind(),
        message: error.to_string(),
    }
}

/// Whether there is no certificate file: not only out of sight.
fn is_gone(path: &Path) -> bool {
    let there = path.symlink_metadata();
    there.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Whether these bytes are a staple that HAProxy starts with and that may follow what is held.
fn is_useful(bytes: &[u8], reader: &StapleReader) -> bool {
    let StapleReader::Certificate { subject, held } = reader else {
        return false;
    };
    let now = wall_clock();
    let judged = ocsp::verify(bytes, subject.as_ocsp(), None, now, subject.policy);
    let staple = judged.ok().and_then(|assessment| assessment.stapling.ok());
    staple.is_some_and(|staple| {
        let found = staple.standing();
        let mut held = held.iter();
        held.all(|held| ocsp::check_succession(held, &found, now).is_ok())
            && staple.expires().since(now) >= SHORTEST_LIFE
    })
}
