//! How long after a reload every staple is live in the new worker, and how long the old one lives.
//!
//!     cargo bench --bench haproxy [-- CERTIFICATES...]      (default: 1000 10000)
//!
//! For every HAProxy version that `tests/haproxy-versions` unpacked. The clock starts when the new
//! worker's socket answers for the first time; it is as if the agent had every staple at hand.
//! `held`: the `.ocsp` files are current, every staple is compared. `pushed`: each was renewed and
//! not written. `attached`: there are no files at all, so each needs `set ssl cert` and a commit.
#![allow(clippy::unwrap_used, missing_docs)]

#[allow(dead_code)]
#[path = "../tests/integration/skip.rs"]
mod skip;
#[allow(dead_code)]
#[path = "../tests/integration/support/mod.rs"]
mod support;

use std::time::Duration;

use support::haproxy::{Haproxy, Installation, Setup, installations, is_alive};
use support::pki::{Authority, Issued, Response, StapleOffer};
use support::session::Session;

/// The number of certificates where none is given.
const CERTIFICATES: [usize; 2] = [1_000, 10_000];

/// What this program promises, from the first answer of the new worker's socket.
const PROMISE: Duration = Duration::from_secs(3);

/// Handshakes that are made afterwards to see that it is true.
const SAMPLES: usize = 20;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Files {
    Current,
    Older,
    None,
}

#[tokio::main]
async fn main() {
    let numbers: Vec<usize> = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let numbers = if numbers.is_empty() {
        CERTIFICATES.to_vec()
    } else {
        numbers
    };
    println!("HAProxy  certificates  staples   connected  all live  old worker gone");
    for installation in installations("the benchmark") {
        for certificates in &numbers {
            let authority = Authority::new();
            let issued: Vec<Issued> = (0..*certificates)
                .map(|number| authority.issue(&format!("n{number}.example"), None))
                .collect();
            for files in [Files::Current, Files::Older, Files::None] {
                measure(&installation, &authority, &issued, files).await;
            }
        }
    }
}

async fn measure(
    installation: &Installation,
    authority: &Authority,
    issued: &[Issued],
    files: Files,
) {
    let staples = |age| -> Vec<StapleOffer> {
        issued
            .iter()
            .map(|issued| authority.staple(issued, Response::from_seconds_ago(age)))
            .collect()
    };
    let older = staples(120);
    let staples = if files == Files::Older {
        staples(60)
    } else {
        older.clone()
    };
    let mut contents: Vec<(String, Vec<u8>)> = issued
        .iter()
        .map(|issued| (format!("{}.pem", issued.name), issued.pem().into_bytes()))
        .collect();
    if files != Files::None {
        contents.extend(
            issued.iter().zip(&older).map(|(issued, staple)| {
                (format!("{}.pem.ocsp", issued.name), staple.der().to_vec())
            }),
        );
    }
    let contents: Vec<(&str, &[u8])> = contents
        .iter()
        .map(|(name, content)| (name.as_str(), content.as_slice()))
        .collect();
    let setup = Setup {
        master: true,
        ..Setup::default()
    };
    let haproxy = Haproxy::start(installation, setup, &contents);
    let mut session = Session::start(&haproxy.path("admin.sock"));
    session.connected().await;
    deliver(&mut session, &staples).await;

    let old = haproxy.worker();
    let answered = tokio::task::block_in_place(|| haproxy.reload_noting_first_answer());
    session.connected_to(haproxy.worker()).await;
    let connected = answered.elapsed();
    deliver(&mut session, &staples).await;
    let live = answered.elapsed();
    while is_alive(old) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let old_worker = answered.elapsed();
    for _ in 0..SAMPLES {
        let number = fastrand::usize(..issued.len());
        assert_eq!(haproxy.staple(&issued[number].name), staples[number].der());
    }
    session.stop().await;
    let (major, minor) = installation.version;
    println!(
        "{:7}  {:12}  {:8}  {:8.2}s  {:7.2}s  {:14.2}s{}",
        format!("{major}.{minor}"),
        issued.len(),
        match files {
            Files::Current => "held",
            Files::Older => "pushed",
            Files::None => "attached",
        },
        connected.as_secs_f64(),
        live.as_secs_f64(),
        old_worker.as_secs_f64(),
        if live > PROMISE { "  (over 3 s)" } else { "" }
    );
}

/// Hands over everything at once, as the agent does, and waits until all is live.
async fn deliver(session: &mut Session, staples: &[StapleOffer]) {
    for staple in staples {
        session.send(staple);
    }
    for staple in staples {
        session.outcome(staple).await.unwrap();
    }
}
