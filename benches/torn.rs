//! Which HAProxys tear a staple that is replaced while clients ask for it.
//!
//!     cargo bench --bench torn [-- REPLACEMENTS]      (default: 10000)
//!
//! For every version that `tests/haproxy-versions` unpacked: one certificate's staple is replaced
//! by the other of two of different sizes, again and again, while four clients make handshakes and
//! compare what they get. Bytes that are neither of the two are torn. What this program believes of
//! the version stands beside it. That none is torn proves little; that some are proves it.
#![allow(clippy::unwrap_used, missing_docs)]

#[allow(dead_code)]
#[path = "../tests/integration/skip.rs"]
mod skip;
#[allow(dead_code)]
#[path = "../tests/integration/support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use staplerd::haproxy::reply;
use support::handshake;
use support::haproxy::{Haproxy, Installation, Setup, ask, installations};
use support::pki::{Authority, Response};

/// How often the staple is replaced where no number is given.
const REPLACEMENTS: usize = 10_000;

/// Clients that make one handshake after the other.
const CLIENTS: usize = 4;

/// No longer than this for one version.
const LONGEST: Duration = Duration::from_secs(300);

fn main() {
    let given = std::env::args().find_map(|argument| argument.parse().ok());
    let replacements = given.unwrap_or(REPLACEMENTS);
    println!("HAProxy              believed     replaced  handshakes  torn  none  per second");
    for installation in installations("the benchmark") {
        measure(&installation, replacements);
    }
}

#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    handshakes: AtomicUsize,
    torn: AtomicUsize,
    none: AtomicUsize,
}

fn measure(installation: &Installation, replacements: usize) {
    let authority = Authority::new();
    let issued = authority.issue("a.example", None);
    let [small, large] = [0, 6_000].map(|padding| {
        let response = Response {
            padding,
            ..Response::default()
        };
        authority.staple(&issued, response).der().to_vec()
    });
    let haproxy = Haproxy::start(
        installation,
        Setup {
            global: "nbthread 2".into(),
            ..Setup::default()
        },
        &[("a.pem", issued.pem().as_bytes()), ("a.pem.ocsp", &small)],
    );
    let seen = Arc::new(Seen::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (seen, address) = (Arc::clone(&seen), haproxy.tls);
            let known = [small.clone(), large.clone()];
            thread::spawn(move || visit(address, &known, &seen))
        })
        .collect();
    let begun = Instant::now();
    let replaced = replace(&haproxy.path("admin.sock"), [&large, &small], replacements);
    let took = begun.elapsed();
    seen.stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    let info = ask(&haproxy.path("admin.sock"), "show info").unwrap();
    let release = reply::info(&info).unwrap().release;
    let count = |number: &AtomicUsize| number.load(Ordering::Relaxed);
    println!(
        "{:20} {:11}  {replaced:8}  {:10}  {:4}  {:4}  {:10.0}",
        release.text(),
        format!("{:?}", release.replacing(Some(2))),
        count(&seen.handshakes),
        count(&seen.torn),
        count(&seen.none),
        count(&seen.handshakes) as f64 / took.as_secs_f64(),
    );
}

/// Makes handshakes until it is told to stop.
fn visit(address: std::net::SocketAddr, known: &[Vec<u8>; 2], seen: &Seen) {
    while !seen.stop.load(Ordering::Relaxed) {
        let Ok(staple) = handshake::staple(address, "a.example") else {
            continue;
        };
        seen.handshakes.fetch_add(1, Ordering::Relaxed);
        if staple.is_empty() {
            seen.none.fetch_add(1, Ordering::Relaxed);
        } else if !known.contains(&staple) {
            seen.torn.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Replaces the staple by each of the two in turn; how often it could be done in the time there is.
fn replace(socket: &str, staples: [&Vec<u8>; 2], replacements: usize) -> usize {
    let begun = Instant::now();
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(b"prompt\n").unwrap();
    let commands = staples.map(|der| format!("set ssl ocsp-response {}\n", STANDARD.encode(der)));
    let mut prompts = 1;
    for (number, command) in commands.iter().cycle().take(replacements).enumerate() {
        if begun.elapsed() > LONGEST {
            return number;
        }
        stream.write_all(command.as_bytes()).unwrap();
        prompts += 1;
        while prompts > 0 {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "HAProxy closed the connection");
            let received = buffer.get(..count).unwrap_or_default();
            prompts -= received.iter().filter(|byte| **byte == b'>').count();
        }
    }
    replacements
}
