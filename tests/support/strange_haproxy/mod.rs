//! A session with a HAProxy whose certificate stores strangers have filled, beside two honest ones.
//!
//! What strangers choose (names of stores, subjects, alternative names, where a reply breaks off)
//! are the bytes of a fuzzer or of seeds; [`speech`] says around them what real HAProxys say. The
//! promise: the one connection lasts, every reply is taken for the answer to its own command,
//! nothing is sent that strangers have written, and the honest certificates get their staples.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    reason = "test support: used by a fuzz target and by the integration tests"
)]

mod process;
mod speech;
mod strangers;

use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use staplerd::haproxy::{self, Arrival, Offer, Processes, Push, SessionReport, Settings};
use staplerd::ocsp::{CertId, Policy, Subject, verify};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use self::process::{Process, Store};
pub use self::speech::Dialect;
use crate::pki;

/// The honest stores: one that sorts before the strangers, and one behind them.
const HONEST: [&str; 2] = ["/certs/00.pem", "/certs/zz.pem"];
/// A session that has not come so far by then is stuck.
const DEADLINE: Duration = Duration::from_secs(60);
/// Pieces of a reply; a longer one comes in longer pieces.
const PIECES: usize = 64;

/// An honest certificate and its staple.
static DELIVERIES: LazyLock<[Offer; 2]> = LazyLock::new(|| {
    let world = pki::World::new();
    let deliver = |subject: &str, serial: &[u8]| {
        let key = pki::Key::p256();
        let certificate = pki::CertificateBuilder::new("Issuer", subject, serial)
            .around(world.now)
            .sign(&key, &world.issuer_key);
        let cert_id = CertId::new(&certificate, &world.issuer);
        let response = pki::ResponseBuilder::good(&cert_id, &world.issuer).around(world.now);
        let subject = Subject {
            certificate: &certificate,
            issuer: &world.issuer,
        };
        let der = response.sign(&world.issuer_key);
        let assessment = verify(&der, subject, None, world.now, Policy::default()).unwrap();
        Offer {
            staple: Arc::new(assessment.stapling.unwrap()),
            issuer: world.issuer.clone(),
            policy: Policy::default(),
            certificate,
        }
    };
    [
        deliver("first.example", &[0x11, 0xa1, 0x01]),
        deliver("last.example", &[0x22, 0xb2, 0x02]),
    ]
});

/// Holds a session with the HAProxy that these bytes describe to the promise; panics where it is
/// broken. The first byte chooses version and command line, the second how replies are cut, and
/// what follows are the strangers.
pub fn live_through(bytes: &[u8]) {
    thread_local! {
        static RUNTIME: (Runtime, tempfile::TempDir) = (
            Builder::new_current_thread().enable_all().build().unwrap(),
            tempfile::tempdir().unwrap(),
        );
    }
    let (&[dialect, cutting], strangers) = bytes.split_first_chunk().unwrap_or((&[0, 0], &[]));
    let dialect = Dialect::of(dialect);
    let buffer = if cutting & 0x80 == 0 { 16_384 } else { 2048 };
    let mut stores: Vec<Store> = DELIVERIES
        .iter()
        .zip(HONEST)
        .map(|(delivery, name)| Store::holding(name, &delivery.certificate, &delivery.issuer))
        .collect();
    stores[0].makes_slot();
    let strangers = strangers::read(strangers, &DELIVERIES[0]);
    // No two stores have one name.
    let strangers = strangers
        .into_iter()
        .filter(|store| HONEST.iter().all(|name| store.name != name.as_bytes()));
    stores.splice(1..1, strangers.collect::<Vec<_>>());
    let process = Arc::new(Mutex::new(Process::new(dialect, buffer, stores)));
    let step = usize::from(cutting & 0x7f) + 1;
    RUNTIME.with(|(runtime, folder)| {
        runtime.block_on(converse(folder.path(), &process, step));
    });
}

/// Has a process listen at `path` for as long as the runtime lives that comes back.
pub fn listen(path: &Path, process: &Arc<Mutex<Process>>) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(async { UnixListener::bind(path).unwrap() });
    runtime.spawn(serve(listener, process.clone(), PIECES));
    runtime
}

async fn converse(folder: &Path, process: &Arc<Mutex<Process>>, step: usize) {
    let path = folder.join("cli");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let serving = tokio::spawn(serve(listener, process.clone(), step));
    let prefix = process.lock().unwrap().dialect.address_prefix();
    let target = format!("{prefix}{}", path.to_str().unwrap());
    let (deliveries, taken) = mpsc::unbounded_channel();
    let (sender, mut reports) = mpsc::channel(64);
    let stop = CancellationToken::new();
    let settings = Settings {
        refresh_interval: Duration::from_secs(60),
        push: Push::Always,
        asks_circumstances: false,
    };
    let session = tokio::spawn(haproxy::run(
        target.parse().unwrap(),
        settings,
        taken,
        sender,
        Arc::<Processes>::default(),
        || pki::NOW,
        stop.clone(),
    ));
    // Before, deliveries are turned away.
    connected(&mut reports).await;
    // Twice: what the first time does to HAProxy must leave the session in order, too.
    for round in 0..2 {
        for delivery in &*DELIVERIES {
            deliveries.send(delivery.clone()).unwrap();
        }
        for (delivery, name) in DELIVERIES.iter().zip(HONEST) {
            let outcome = outcome(&mut reports, delivery).await;
            let outcome = outcome.unwrap_or_else(|why| panic!("{name}, round {round}: {why}"));
            let process = process.lock().unwrap();
            assert_eq!(process.held(name), delivery.staple.der(), "{outcome:?}");
        }
    }
    stop.cancel();
    timeout(DEADLINE, session).await.unwrap().unwrap();
    serving.abort();
    let process = process.lock().unwrap();
    assert_eq!(process.conversations, 1, "conversations");
    assert_eq!(process.misunderstood, Vec::<String>::new());
}

async fn connected(reports: &mut mpsc::Receiver<SessionReport>) {
    match timeout(DEADLINE, reports.recv()).await {
        Ok(Some(SessionReport::Connected(_))) => {}
        other => panic!("no connection: {other:?}"),
    }
}

/// Waits for what became of a delivery. Nothing may be said meanwhile that is not true.
async fn outcome(
    reports: &mut mpsc::Receiver<SessionReport>,
    delivery: &Offer,
) -> Result<Arrival, String> {
    loop {
        let report = timeout(DEADLINE, reports.recv())
            .await
            .map_err(|_| "no outcome in time".to_owned())?
            .ok_or("the session ended")?;
        match report {
            SessionReport::Disconnected(error) => return Err(format!("disconnected: {error}")),
            SessionReport::Quarantined(stores) => {
                for name in HONEST {
                    assert!(!stores.contains_key(name), "{stores:?}");
                }
            }
            SessionReport::Loaded(names) => {
                for honest in HONEST {
                    assert!(names.iter().any(|name| name == honest), "{names:?}");
                }
            }
            SessionReport::Delivered {
                fingerprint,
                outcome,
            } if fingerprint == delivery.staple.certificate_fingerprint() => {
                return outcome.map_err(|error| error.to_string());
            }
            _ => {}
        }
    }
}

async fn serve(listener: UnixListener, process: Arc<Mutex<Process>>, step: usize) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, process.clone(), step));
    }
}

async fn answer(stream: UnixStream, process: Arc<Mutex<Process>>, step: usize) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut lines = Vec::new();
    loop {
        let mut line = Vec::new();
        if !matches!(reader.read_until(b'\n', &mut line).await, Ok(1..)) {
            return;
        }
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        lines.push(String::from_utf8_lossy(line).into_owned());
        let answer = process.lock().unwrap().answer(&mut lines);
        if process.lock().unwrap().has_ended() {
            return;
        }
        let step = step.max(answer.len() / PIECES);
        for piece in answer.chunks(step) {
            if writer.write_all(piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}
