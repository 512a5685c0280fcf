//! The one transaction of a real HAProxy, of every version: slow commits, commits cut off, other
//! clients, connections that end anywhere, several sockets. Nothing ends the process, nothing stays
//! open, every staple arrives.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use staplerd::haproxy::versions::Replacing;
use staplerd::haproxy::{Arrival, DeliveryError, ProcessNotice, Processes, Push, Quarantine};
use staplerd::memory::Memory;

use crate::support::cutter::{Cut, Cutter};
use crate::support::haproxy::{Haproxy, Installation, Setup, ask, installations, wait_for};
use crate::support::intruder::Intruder;
use crate::support::pki::{Authority, Issued, Response, StapleOffer};
use crate::support::session::{Session, settings};

/// Places that one certificate is used in: its commit takes seconds.
const PLACES: usize = 6_000;

/// A HAProxy whose certificates are locked for longer than any commit here takes stays so.
const LOCKED_FOR_GOOD: Duration = Duration::from_secs(10);

/// No delivery is waited for longer than this.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two readings of all stores.
const REFRESH: Duration = Duration::from_secs(2);

/// A HAProxy whose only certificate is used in so many places, and that certificate's first staple.
fn with_places(installation: &Installation, places: usize) -> (Haproxy, StapleOffer) {
    let authority = Authority::new();
    let issued = authority.issue("a.example", None);
    let list: String = (0..places)
        .map(|number| format!("certs/a.pem n{number}.example\n"))
        .collect();
    let haproxy = Haproxy::start(
        installation,
        Setup {
            bind: Some("crt-list {dir}/list".into()),
            ..Setup::default()
        },
        &[
            ("a.pem", issued.pem().as_bytes()),
            ("../list", list.as_bytes()),
        ],
    );
    let staple = authority.staple(&issued, Response::default());
    (haproxy, staple)
}

/// The list of stores, as soon as nobody else has them locked.
fn listing(haproxy: &Haproxy) -> String {
    let mut listing = String::new();
    wait_for("certificates to be unlocked", || {
        listing = haproxy.cli("show ssl cert");
        !listing.contains("currently locked")
    });
    listing
}

/// What is remembered in this directory, as soon as nobody else has it.
fn memory(directory: &Path) -> Memory {
    let mut memory = None;
    wait_for("the memory", || {
        memory = Memory::open(directory).ok();
        memory.is_some()
    });
    memory.unwrap()
}

/// Whether HAProxy is at a commit.
fn is_committing(haproxy: &Haproxy) -> bool {
    haproxy.cli("show ssl cert").contains("currently locked")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_waited_for_even_when_the_program_stops() {
    for installation in installations("slow commits") {
        let (haproxy, staple) = with_places(&installation, PLACES);
        let processes = Arc::new(Processes::default());
        let socket = haproxy.path("admin.sock");
        let settings = settings(REFRESH, Push::Always);
        let mut session = Session::with(&socket, settings, Arc::clone(&processes));
        session.connected().await;
        session.send(&staple);
        tokio::task::block_in_place(|| {
            wait_for("the commit", || {
                processes.is_in_transaction() && is_committing(&haproxy)
            });
        });
        session.stop().await;
        assert!(!processes.is_in_transaction());
        assert!(!listing(&haproxy).contains('*'), "{installation:?}");
        assert_eq!(haproxy.staple("n7.example"), staple.der());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_cut_off_is_never_touched_again() {
    for installation in installations("commits cut off") {
        let (haproxy, staple) = with_places(&installation, PLACES);
        let pid = haproxy.worker();
        let socket = haproxy.path("admin.sock");
        let state = tempfile::tempdir().unwrap();
        // Each time as another process of the program.
        let start = || {
            let settings = settings(REFRESH, Push::Always);
            let processes = Arc::new(Processes::new(memory(state.path())));
            let session = Session::with(&socket, settings, Arc::clone(&processes));
            (session, processes)
        };
        let (mut session, processes) = start();
        session.connected().await;
        session.send(&staple);
        tokio::task::block_in_place(|| {
            wait_for("the commit", || {
                processes.is_in_transaction() && is_committing(&haproxy)
            });
        });
        session.kill().await;
        drop(processes);

        let (mut session, _processes) = start();
        session.connected().await;
        session
            .noticed(|notice| matches!(notice, ProcessNotice::CommitUnseen { .. }))
            .await;
        // The commit may be under way still; and where its connection ended between two of its
        // steps, HAProxy (3.0 was seen to) never unlocks its certificates again.
        let begun = Instant::now();
        let mut outcome = session.deliver(&staple).await;
        while outcome == Err(DeliveryError::Locked) && begun.elapsed() < LOCKED_FOR_GOOD {
            tokio::time::sleep(Duration::from_millis(50)).await;
            outcome = session.deliver(&staple).await;
        }
        let is_open = || listing(&haproxy).contains('*');
        match outcome {
            Err(DeliveryError::Locked) => eprintln!("{installation:?} stays locked"),
            Err(DeliveryError::CommitUnseen) => assert!(is_open(), "{installation:?}"),
            outcome => panic!("{installation:?}: {outcome:?}"),
        }
        session.stop().await;
        assert_eq!(haproxy.worker(), pid);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_ends_anywhere_leaves_no_transaction_and_loses_no_staple() {
    for installation in installations("connections cut") {
        let authority = Authority::new();
        let issued = authority.issue("a.example", None);
        let haproxy = Haproxy::start(
            &installation,
            Setup::default(),
            &[("a.pem", issued.pem().as_bytes())],
        );
        let pid = haproxy.worker();
        let staple = authority.staple(&issued, Response::default());
        let mut number = 0;
        // The bytes from the first command of the attachment on, either way.
        for cut in cuts() {
            deploy_again(&haproxy, &issued);
            let cutter = Cutter::start(&haproxy.path("admin.sock"), cut);
            let processes = Arc::new(Processes::default());
            let settings = settings(REFRESH, Push::Always);
            let mut session = Session::with(cutter.socket(), settings, processes);
            session.connected().await;
            let begun = Instant::now();
            let mut outcome = session.deliver(&staple).await;
            while outcome.is_err() {
                assert!(
                    begun.elapsed() < PATIENCE,
                    "{installation:?} {cut:?}: {outcome:?}"
                );
                if outcome == Err(DeliveryError::Disconnected) {
                    session.connected().await;
                }
                if outcome == Err(DeliveryError::CommitUnseen) {
                    // Half of the command arrived: only here it is known that it did nothing.
                    abort(&haproxy);
                }
                outcome = session.deliver(&staple).await;
            }
            session.stop().await;
            number += usize::from(cutter.has_cut());
            assert!(!listing(&haproxy).contains('*'), "{installation:?} {cut:?}");
            assert_eq!(haproxy.staple("a.example"), staple.der());
        }
        assert!(number > 20, "{installation:?}: {number} connections cut");
        assert_eq!(haproxy.worker(), pid, "{installation:?}");
    }
}

/// Ends the transaction by hand.
fn abort(haproxy: &Haproxy) {
    let store = haproxy.certificate("a.pem");
    haproxy.cli(&format!("abort ssl cert {store}"));
}

/// Every byte of the short commands and replies, and some of the long ones.
fn cuts() -> Vec<Cut> {
    let sent = (0..60).chain((60..3_000).step_by(293)).map(Cut::Sent);
    let received = (0..160).step_by(7).map(Cut::Received);
    sent.step_by(5).chain(received).collect()
}

/// Replaces the certificate by itself, so that its place for a staple is gone.
fn deploy_again(haproxy: &Haproxy, issued: &Issued) {
    let store = haproxy.certificate("a.pem");
    let set = haproxy.cli(&format!("set ssl cert {store} <<\n{}\n", issued.pem()));
    assert!(set.contains("Transaction created"), "{set}");
    let committed = haproxy.cli(&format!("commit ssl cert {store}"));
    assert!(committed.contains("Success!"), "{committed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_client_that_deploys_all_the_time_every_staple_arrives() {
    const CERTIFICATES: usize = 15;
    for installation in installations("another client") {
        let authority = Authority::new();
        let issued: Vec<Issued> = (0..CERTIFICATES)
            .map(|number| authority.issue(&format!("n{number}.example"), None))
            .collect();
        let deployed = authority.issue("deployed.example", None);
        let pems: Vec<(String, String)> = issued
            .iter()
            .map(|issued| (format!("{}.pem", issued.name), issued.pem()))
            .chain([("deployed.pem".to_owned(), deployed.pem())])
            .collect();
        let files: Vec<(&str, &[u8])> = pems
            .iter()
            .map(|(name, pem)| (name.as_str(), pem.as_bytes()))
            .collect();
        let haproxy = Haproxy::start(&installation, Setup::default(), &files);
        let pid = haproxy.worker();
        let other = Deployer::start(&haproxy, &deployed);
        let mut session = Session::refreshing(&haproxy.path("admin.sock"), REFRESH);
        session.connected().await;
        let mut taken_over = Vec::new();
        for issued in &issued {
            let staple = authority.staple(issued, Response::default());
            let begun = Instant::now();
            let mut outcome = session.deliver(&staple).await;
            while outcome.is_err() && outcome != Err(DeliveryError::ForeignCertificate) {
                assert!(begun.elapsed() < PATIENCE, "{installation:?}: {outcome:?}");
                tokio::time::sleep(Duration::from_millis(5)).await;
                outcome = session.deliver(&staple).await;
            }
            if outcome.is_ok() {
                assert_eq!(haproxy.staple(&issued.name), staple.der());
            } else {
                // It came into the one round trip in which nobody looks.
                assert!(installation.version < (3, 1), "{installation:?}");
                taken_over.push(&issued.name);
            }
        }
        let deployments = tokio::task::block_in_place(|| other.stop());
        session.stop().await;
        assert!(deployments > 0, "{installation:?}");
        for issued in &issued {
            let store = haproxy.certificate(&format!("{}.pem", issued.name));
            let shown = haproxy.cli(&format!("show ssl cert {store}"));
            let is_its_own = shown.contains(&format!("/CN={}", issued.name));
            assert_eq!(is_its_own, !taken_over.contains(&&issued.name), "{shown}");
        }
        assert!(!listing(&haproxy).contains('*'), "{installation:?}");
        assert_eq!(haproxy.worker(), pid);
    }
}

/// Without a pause nobody else would ever find HAProxy without a transaction.
const BETWEEN_DEPLOYMENTS: Duration = Duration::from_millis(20);

/// A client that does as the Data Plane API does: every command over a connection of its own.
struct Deployer {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<usize>,
}

impl Deployer {
    fn start(haproxy: &Haproxy, issued: &Issued) -> Deployer {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, socket) = (Arc::clone(&stop), haproxy.path("admin.sock"));
        let (store, pem) = (haproxy.certificate("deployed.pem"), issued.pem());
        let thread = std::thread::spawn(move || {
            let mut deployments = 0;
            let give = |command: &str| ask(&socket, command).unwrap_or_default();
            while !stopped.load(Ordering::Relaxed) {
                let set = give(&format!("set ssl cert {store} <<\n{pem}\n"));
                give("show ssl cert");
                if !set.contains("Transaction created") {
                    std::thread::sleep(BETWEEN_DEPLOYMENTS);
                    continue;
                }
                loop {
                    let committed = give(&format!("commit ssl cert {store}"));
                    // The second: it was done before, and that was not heard.
                    if ["Success!", "No ongoing transaction"]
                        .iter()
                        .any(|end| committed.contains(end))
                    {
                        break;
                    }
                    assert!(!stopped.load(Ordering::Relaxed), "in vain: {committed}");
                }
                deployments += 1;
                std::thread::sleep(BETWEEN_DEPLOYMENTS);
            }
            deployments
        });
        Deployer { stop, thread }
    }

    /// Ends after the deployment under way; how many there were.
    fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Whether these stores in quarantine have one that another client's certificate came into.
fn taken_over(quarantined: &std::collections::BTreeMap<String, Quarantine>, store: &str) -> bool {
    matches!(quarantined.get(store), Some(why @ Quarantine::ForeignCertificate(_)) if why.needs_attention())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_client_sets_right_before_a_commit_is_not_served_unsaid() {
    for installation in installations("a client right before a commit") {
        let authority = Authority::new();
        let [a, b, new] =
            ["a", "b", "new"].map(|it| authority.issue(&format!("{it}.example"), None));
        let haproxy = Haproxy::start(
            &installation,
            Setup::default(),
            &[("a.pem", a.pem().as_bytes()), ("b.pem", b.pem().as_bytes())],
        );
        let [store, other] = ["a.pem", "b.pem"].map(|name| haproxy.certificate(name));
        let set = format!("set ssl cert {other} <<\n{}\n", new.pem());
        let said = Arc::new(Mutex::new(String::new()));
        let (socket, heard) = (haproxy.path("admin.sock"), Arc::clone(&said));
        let intruder = Intruder::start(&socket.clone(), move || {
            *heard.lock().unwrap() = ask(&socket, &set).unwrap();
        });
        let mut session = Session::refreshing(intruder.socket(), REFRESH);
        session.connected().await;
        let staple = authority.staple(&a, Response::default());
        let outcome = session.deliver(&staple).await;
        if !said.lock().unwrap().contains("Transaction updated") {
            assert_eq!(outcome, Ok(Arrival::Attached), "{installation:?}: {said:?}");
            session.stop().await;
            continue;
        }
        assert_eq!(
            outcome,
            Err(DeliveryError::ForeignCertificate),
            "{installation:?}"
        );
        while !taken_over(&session.quarantined().await, &store) {}
        // Nothing is built upon it, and it is forgotten as soon as it is put right.
        let foreign = authority.staple(&new, Response::default());
        assert_eq!(
            session.deliver(&foreign).await,
            Err(DeliveryError::NotLoaded)
        );
        deploy_again(&haproxy, &a);
        while taken_over(&session.quarantined().await, &store) {}
        assert_eq!(session.deliver(&staple).await, Ok(Arrival::Attached));
        assert_eq!(haproxy.staple("a.example"), staple.der());
        session.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sockets_of_one_process_are_served_by_one_session() {
    for installation in installations("two sockets") {
        let authority = Authority::new();
        let [a, b] = ["a", "b"].map(|name| authority.issue(&format!("{name}.example"), None));
        let mut haproxy = Haproxy::start(
            &installation,
            Setup {
                global: "stats socket {dir}/second.sock mode 600 level admin".into(),
                ..Setup::default()
            },
            &[("a.pem", a.pem().as_bytes()), ("b.pem", b.pem().as_bytes())],
        );
        let processes = Arc::new(Processes::default());
        let start = |socket: &str| {
            let settings = settings(REFRESH, Push::Always);
            Session::with(socket, settings, Arc::clone(&processes))
        };
        let mut first = start(&haproxy.path("admin.sock"));
        first.connected().await;
        let mut second = start(&haproxy.path("second.sock"));
        second.connected().await;
        let notice = second
            .noticed(|notice| matches!(notice, ProcessNotice::SecondSocket { .. }))
            .await;
        assert!(!notice.needs_attention());
        assert!(notice.to_string().contains("admin.sock"), "{notice}");
        for (session, issued) in [(&mut first, &a), (&mut second, &b)] {
            let staple = authority.staple(issued, Response::default());
            let outcome = session.deliver(&staple).await;
            assert_eq!(outcome, Ok(Arrival::Attached), "{installation:?}");
            assert_eq!(haproxy.staple(&issued.name), staple.der());
        }
        // Whoever is left serves the process, and the next process is served again.
        first.stop().await;
        second.connected().await;
        haproxy.stop();
        haproxy.start_again();
        second.connected_to(haproxy.pid()).await;
        let staple = authority.staple(&b, Response::default());
        assert_eq!(second.deliver_again(&staple).await, Ok(Arrival::Attached));
        second.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn staples_are_replaced_only_where_that_is_wanted() {
    for installation in installations("push") {
        for push in [Push::Always, Push::Fixed, Push::Never] {
            let authority = Authority::new();
            let [bare, stapled] =
                ["bare", "stapled"].map(|name| authority.issue(&format!("{name}.example"), None));
            let old = authority.staple(&stapled, Response::from_seconds_ago(120));
            let haproxy = Haproxy::start(
                &installation,
                Setup {
                    global: "nbthread 2".into(),
                    ..Setup::default()
                },
                &[
                    ("bare.pem", bare.pem().as_bytes()),
                    ("stapled.pem", stapled.pem().as_bytes()),
                    ("stapled.pem.ocsp", old.der()),
                ],
            );
            let mut session = Session::pushing(&haproxy.path("admin.sock"), push);
            let process = session.connected().await;
            let tears = process.release.replacing(process.threads) != Replacing::Safe;
            let withheld = Err(DeliveryError::PushWithheld);
            let first = authority.staple(&bare, Response::default());
            let expected = match push {
                Push::Never => withheld.clone(),
                // It does not say whether there is a staple that would be replaced.
                Push::Fixed if installation.version < (2, 5) => withheld.clone(),
                _ => Ok(Arrival::Attached),
            };
            assert_eq!(session.deliver(&first).await, expected, "{installation:?}");
            let new = authority.staple(&stapled, Response::from_seconds_ago(60));
            let expected = match push {
                Push::Always => Ok(Arrival::Pushed),
                Push::Fixed if !tears => Ok(Arrival::Pushed),
                _ => withheld,
            };
            let held = if expected.is_ok() { &new } else { &old };
            assert_eq!(
                session.deliver(&new).await,
                expected,
                "{installation:?} {push:?}"
            );
            assert_eq!(haproxy.staple("stapled.example"), held.der());
            if tears {
                let torn =
                    |notice: &ProcessNotice| matches!(notice, ProcessNotice::TornStaples { .. });
                let notice = session.noticed(torn).await;
                assert!(notice.to_string().contains("update HAProxy"), "{notice}");
            }
            session.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_servers_only_is_left_alone() {
    for installation in installations("certificates of servers") {
        if installation.version < (2, 5) {
            let version = installation.version;
            eprintln!("SKIPPED: certificates of servers with HAProxy {version:?}: not shown");
            continue;
        }
        let authority = Authority::new();
        let [site, client] =
            ["site", "client"].map(|name| authority.issue(&format!("{name}.example"), None));
        let haproxy = Haproxy::start(
            &installation,
            Setup {
                bind: Some(
                    "crt {dir}/certs/site.pem\n  default_backend b\nbackend b\n  \
                     server s 127.0.0.1:9 ssl verify none crt {dir}/certs/client.pem\n\
                     frontend none\n  bind {other_tls}"
                        .into(),
                ),
                ..Setup::default()
            },
            &[
                ("site.pem", site.pem().as_bytes()),
                ("client.pem", client.pem().as_bytes()),
            ],
        );
        let mut session = Session::refreshing(&haproxy.path("admin.sock"), REFRESH);
        session.connected().await;
        let staple = authority.staple(&client, Response::default());
        let begun = Instant::now();
        let mut outcome = session.deliver(&staple).await;
        while outcome == Err(DeliveryError::NotHeld) && begun.elapsed() < PATIENCE {
            outcome = session.deliver(&staple).await;
        }
        assert_eq!(
            outcome,
            Err(DeliveryError::ClientCertificate),
            "{installation:?}"
        );
        let staple = authority.staple(&site, Response::default());
        assert_eq!(session.deliver(&staple).await, Ok(Arrival::Attached));
        session.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relative_name_that_begins_with_a_star_is_served_as_far_as_haproxy_shows_it() {
    for installation in installations("names with a star") {
        let authority = Authority::new();
        let [stapled, bare] =
            ["stapled", "bare"].map(|name| authority.issue(&format!("{name}.example"), None));
        let old = authority.staple(&stapled, Response::from_seconds_ago(120));
        let haproxy = Haproxy::start(
            &installation,
            Setup {
                bind: Some("crt *stapled.pem crt *bare.pem".into()),
                ..Setup::default()
            },
            &[
                ("../*stapled.pem", stapled.pem().as_bytes()),
                ("../*stapled.pem.ocsp", old.der()),
                ("../*bare.pem", bare.pem().as_bytes()),
            ],
        );
        let mut session = Session::start(&haproxy.path("admin.sock"));
        session.connected().await;
        let new = authority.staple(&stapled, Response::from_seconds_ago(60));
        assert_eq!(
            session.deliver(&new).await,
            Ok(Arrival::Pushed),
            "{installation:?}"
        );
        assert_eq!(haproxy.staple("stapled.example"), new.der());
        let first = authority.staple(&bare, Response::default());
        let expected = match installation.version < (3, 2) {
            true => Err(DeliveryError::NotShown),
            false => Ok(Arrival::Attached),
        };
        assert_eq!(session.deliver(&first).await, expected, "{installation:?}");
        if expected.is_ok() {
            assert_eq!(haproxy.staple("bare.example"), first.der());
        }
        session.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn that_haproxy_answers_no_second_connection_is_said() {
    for installation in installations("stats maxconn") {
        let authority = Authority::new();
        let issued = authority.issue("a.example", None);
        let haproxy = Haproxy::start(
            &installation,
            Setup {
                global: "stats maxconn 1".into(),
                ..Setup::default()
            },
            &[("a.pem", issued.pem().as_bytes())],
        );
        let mut session = Session::start(&haproxy.path("admin.sock"));
        session.connected().await;
        let only = |notice: &ProcessNotice| *notice == ProcessNotice::OneConnection;
        let notice = session.noticed(only).await;
        assert!(notice.to_string().contains("stats maxconn"), "{notice}");
        let staple = authority.staple(&issued, Response::default());
        assert_eq!(session.deliver(&staple).await, Ok(Arrival::Attached));
        session.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_haproxy_does_not_describe_are_said_to_be_those() {
    for installation in installations("names that are no text, and bundles") {
        let authority = Authority::new();
        let [stapled, bare, other] = ["stapled.example", "bare.example", "other.example"]
            .map(|name| authority.issue(name, None));
        let old = authority.staple(&stapled, Response::from_seconds_ago(3600));
        let setup = Setup {
            bind: Some("crt {dir}/certs crt {dir}/bundle".into()),
            ..Setup::default()
        };
        let (folder, file) = ("certs", OsStr::from_bytes(b"bare\xff.pem"));
        let haproxy = Haproxy::start(
            &installation,
            setup,
            &[
                ("other.pem", other.pem().as_bytes()),
                ("../bundle.ecdsa", stapled.pem().as_bytes()),
                ("../bundle.ecdsa.ocsp", old.der()),
            ],
        );
        let mut haproxy = haproxy;
        fs::write(haproxy.dir.path().join(folder).join(file), bare.pem()).unwrap();
        haproxy.stop();
        haproxy.start_again();
        let mut session = Session::start(&haproxy.path("admin.sock"));
        session.connected().await;
        let new = authority.staple(&stapled, Response::from_seconds_ago(60));
        let delivered = session.deliver(&new).await;
        assert_eq!(delivered, Ok(Arrival::Pushed), "{installation:?}");
        assert_eq!(haproxy.staple("stapled.example"), new.der());
        let first = authority.staple(&bare, Response::default());
        let delivered = session.deliver(&first).await;
        assert_eq!(
            delivered,
            Err(DeliveryError::NotDescribed),
            "{installation:?}"
        );
        let first = authority.staple(&other, Response::default());
        assert_eq!(session.deliver(&first).await, Ok(Arrival::Attached));
        session.stop().await;
    }
}
