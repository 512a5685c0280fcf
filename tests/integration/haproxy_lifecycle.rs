//! Whatever happens to HAProxy, the session finds its way back and the staples are live again.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use staplerd::haproxy::{Arrival, DeliveryError, Error};

use crate::support::handshake;
use crate::support::haproxy::{
    Haproxy, Installation, Setup, children, installations, is_alive, send_signal, wait_for,
};
use crate::support::pki::{Authority, Issued, Response, StapleOffer};
use crate::support::session::Session;

/// How often a HAProxy is reloaded in a row.
const RELOADS: usize = 100;

/// How often it is reloaded under traffic.
const RELOADS_UNDER_TRAFFIC: usize = 5;

/// Handshakes that must have been made under traffic for the test to mean something.
const HANDSHAKES: usize = 100;

fn master() -> Setup {
    Setup {
        master: true,
        ..Setup::default()
    }
}

/// A HAProxy with one certificate for `a.example`, and a session that made its staple live.
struct Stapled {
    haproxy: Haproxy,
    session: Session,
    staple: StapleOffer,
}

async fn stapled(installation: &Installation, setup: Setup, target: &str) -> Stapled {
    let authority = Authority::new();
    let issued = authority.issue("a.example", None);
    let staple = authority.staple(&issued, Response::default());
    let haproxy = Haproxy::start(installation, setup, &[("a.pem", issued.pem().as_bytes())]);
    let mut session = Session::start(&target.replace("{dir}", &haproxy.path("")));
    session.connected().await;
    assert_eq!(session.deliver(&staple).await, Ok(Arrival::Attached));
    Stapled {
        haproxy,
        session,
        staple,
    }
}

impl Stapled {
    /// The process that answers now is reported, lacks the staple and gets it.
    async fn recovers(&mut self) {
        let what = &self.haproxy.installation;
        self.session.connected_to(self.haproxy.worker()).await;
        assert!(self.haproxy.staple("a.example").is_empty(), "{what:?}");
        let delivered = self.session.deliver(&self.staple).await;
        assert_eq!(delivered, Ok(Arrival::Attached), "{what:?}");
        assert_eq!(self.haproxy.staple("a.example"), self.staple.der());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_reload_the_new_worker_is_served_and_the_old_one_let_go() {
    for installation in installations("reload") {
        for target in ["{dir}admin.sock", "master:{dir}master.sock"] {
            let mut stapled = stapled(&installation, master(), target).await;
            let old = stapled.haproxy.worker();
            stapled.haproxy.reload();
            stapled.recovers().await;
            wait_for("the old worker's end", || !is_alive(old));
            stapled.session.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_stop_and_start_and_after_a_crash_staples_are_delivered_again() {
    for installation in installations("restart") {
        let mut stapled = stapled(&installation, Setup::default(), "{dir}admin.sock").await;
        stapled.haproxy.stop();
        let error = stapled.session.disconnected().await;
        assert!(
            matches!(error, Error::NoSuchSocket | Error::Refused),
            "{error:?}"
        );
        assert_eq!(
            stapled.session.deliver(&stapled.staple).await,
            Err(DeliveryError::Disconnected)
        );
        stapled.haproxy.start_again();
        stapled.recovers().await;

        stapled.haproxy.kill();
        stapled.haproxy.start_again();
        stapled.recovers().await;
        stapled.session.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_comes_late_or_comes_back_is_found() {
    for installation in installations("late socket") {
        let authority = Authority::new();
        let issued = authority.issue("a.example", None);
        let staple = authority.staple(&issued, Response::default());
        let mut haproxy = Haproxy::start(
            &installation,
            Setup::default(),
            &[("a.pem", issued.pem().as_bytes())],
        );
        haproxy.stop();
        fs::remove_file(haproxy.path("admin.sock")).unwrap();
        let mut session = Session::start(&haproxy.path("admin.sock"));
        assert_eq!(session.disconnected().await, Error::NoSuchSocket);
        haproxy.start_again();
        session.connected().await;
        // The name goes, the connection stays: staples are still delivered over it.
        fs::remove_file(haproxy.path("admin.sock")).unwrap();
        assert_eq!(session.deliver(&staple).await, Ok(Arrival::Attached));
        haproxy.stop();
        assert_eq!(session.disconnected().await, Error::NoSuchSocket);
        haproxy.start_again();
        session.connected().await;
        assert_eq!(session.deliver(&staple).await, Ok(Arrival::Attached));
        session.stop().await;
    }
}

/// An old worker that is still there after this has not been told to go.
const SIGNAL_LOST_AFTER: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_reloads_lose_nothing_and_leak_nothing() {
    for installation in installations("a hundred reloads") {
        let mut stapled = stapled(&installation, master(), "{dir}admin.sock").await;
        let mut workers = HashSet::from([stapled.haproxy.worker()]);
        for _ in 0..RELOADS {
            stapled.haproxy.reload();
            workers.insert(stapled.haproxy.worker());
        }
        assert_eq!(workers.len(), RELOADS + 1);
        let current = stapled.haproxy.worker();
        workers.remove(&current);
        // It may have met some of the workers in between.
        stapled.session.connected_to(current).await;
        let delivered = stapled.session.deliver(&stapled.staple).await;
        assert_eq!(delivered, Ok(Arrival::Attached), "{installation:?}");
        assert_eq!(stapled.haproxy.staple("a.example"), stapled.staple.der());
        // When reloads come this fast a worker can miss the master's signal. Another one ends it,
        // unless a connection keeps it alive, which is what must not be.
        let mut patience = Instant::now() + SIGNAL_LOST_AFTER;
        wait_for("all old workers' ends", || {
            let alive: Vec<&u32> = workers.iter().filter(|worker| is_alive(**worker)).collect();
            if Instant::now() > patience {
                patience += SIGNAL_LOST_AFTER;
                alive
                    .iter()
                    .for_each(|worker| send_signal(**worker, "USR1"));
            }
            alive.is_empty()
        });
        assert!(children(stapled.haproxy.pid()).contains(&current));
        // The kernel lists a connection to a unix socket by the socket's path.
        let socket = stapled.haproxy.path("admin.sock");
        wait_for("one connection to be left", || connections(&socket) == 1);
        stapled.session.stop().await;
        wait_for("no connection to be left", || connections(&socket) == 0);
    }
}

/// Connections that were accepted on a unix socket and are open still.
fn connections(socket: &str) -> usize {
    /// `SS_CONNECTED` in the column St of `/proc/net/unix`.
    const CONNECTED: &str = "03";
    fs::read_to_string("/proc/net/unix")
        .unwrap()
        .lines()
        .filter(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields.get(5) == Some(&CONNECTED)
                && fields.get(7).is_some_and(|path| path.starts_with(socket))
        })
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn under_reloads_no_handshake_goes_without_a_staple() {
    for installation in installations("reloads under traffic") {
        let authority = Authority::new();
        let issued = authority.issue("a.example", None);
        let staple = authority.staple(&issued, Response::default());
        let haproxy = Haproxy::start(
            &installation,
            master(),
            &[
                ("a.pem", issued.pem().as_bytes()),
                ("a.pem.ocsp", staple.der()),
            ],
        );
        let mut session = Session::start(&format!("master:{}", haproxy.path("master.sock")));
        session.connected().await;
        let stop = AtomicBool::new(false);
        let with_staple = AtomicUsize::new(0);
        let without = AtomicUsize::new(0);
        tokio::task::block_in_place(|| {
            thread::scope(|scope| {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        // A connection that a reload cuts off is HAProxy's business, not a
                        // staple's.
                        match handshake::staple(haproxy.tls, "a.example") {
                            Ok(got) if got.is_empty() => &without,
                            Ok(_) => &with_staple,
                            Err(_) => continue,
                        }
                        .fetch_add(1, Ordering::Relaxed);
                    }
                });
                let _stop = SetWhenDropped(&stop);
                let runtime = tokio::runtime::Handle::current();
                for _ in 0..RELOADS_UNDER_TRAFFIC {
                    haproxy.reload();
                    runtime.block_on(async {
                        session.connected().await;
                        session.deliver_again(&staple).await.unwrap();
                    });
                }
                wait_for("enough handshakes", || {
                    with_staple.load(Ordering::Relaxed) >= HANDSHAKES
                });
            });
        });
        assert_eq!(without.load(Ordering::Relaxed), 0, "{installation:?}");
        session.stop().await;
    }
}

/// Ends the traffic also where a test fails in the middle of it.
struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_haproxy_delays_nobody_and_gets_everything_when_it_wakes_up() {
    let Some(installation) = installations("SIGSTOP").pop() else {
        return;
    };
    let mut asleep = stapled(&installation, Setup::default(), "{dir}admin.sock").await;
    let mut awake = stapled(&installation, Setup::default(), "{dir}admin.sock").await;
    asleep.haproxy.signal("STOP");
    let error = asleep.session.disconnected().await;
    assert!(matches!(error, Error::ReplyTimedOut { .. }), "{error:?}");
    assert_eq!(
        asleep.session.deliver(&asleep.staple).await,
        Err(DeliveryError::Disconnected)
    );
    assert_eq!(
        awake.session.deliver(&awake.staple).await,
        Ok(Arrival::AlreadyHeld)
    );
    asleep.haproxy.signal("CONT");
    asleep.session.connected().await;
    assert_eq!(
        asleep.session.deliver(&asleep.staple).await,
        Ok(Arrival::AlreadyHeld)
    );
    asleep.session.stop().await;
    awake.session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_whose_connections_are_all_taken_is_told_apart() {
    let Some(installation) = installations("stats maxconn").pop() else {
        return;
    };
    let haproxy = Haproxy::start(
        &installation,
        Setup {
            global: "stats maxconn 1\n  stats timeout 60s".into(),
            ..Setup::default()
        },
        &[("a.pem", Authority::new().issue("a", None).pem().as_bytes())],
    );
    let mut taken = UnixStream::connect(haproxy.path("admin.sock")).unwrap();
    taken.write_all(b"prompt\n").unwrap();
    let mut session = Session::start(&haproxy.path("admin.sock"));
    let error = session.disconnected().await;
    assert!(matches!(error, Error::NoAnswer(_)), "{error:?}");
    assert!(error.to_string().contains("stats maxconn"), "{error}");
    drop(taken);
    session.connected().await;
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn staples_of_several_processes_and_certificates_do_not_mix() {
    for installation in installations("several processes") {
        let authority = Authority::new();
        let names: Vec<String> = (0..50).map(|number| format!("n{number}.example")).collect();
        let issued: Vec<Issued> = names
            .iter()
            .map(|name| authority.issue(name, None))
            .collect();
        let pems: Vec<(String, String)> = issued
            .iter()
            .map(|issued| (format!("{}.pem", issued.name), issued.pem()))
            .collect();
        let files: Vec<(&str, &[u8])> = pems
            .iter()
            .map(|(name, pem)| (name.as_str(), pem.as_bytes()))
            .collect();
        let first = Haproxy::start(&installation, Setup::default(), &files);
        let bind = format!("crt {}", first.path("certs"));
        let second = Haproxy::start(
            &installation,
            Setup {
                bind: Some(bind),
                ..Setup::default()
            },
            &[],
        );
        let staples: Vec<StapleOffer> = issued
            .iter()
            .map(|issued| authority.staple(issued, Response::default()))
            .collect();
        for haproxy in [&first, &second] {
            let mut session = Session::start(&haproxy.path("admin.sock"));
            session.connected().await;
            for staple in &staples {
                session.send(staple);
            }
            for staple in &staples {
                assert_eq!(session.outcome(staple).await, Ok(Arrival::Attached));
            }
            session.stop().await;
        }
        for haproxy in [&first, &second] {
            for (name, staple) in names.iter().zip(&staples) {
                assert_eq!(haproxy.staple(name), staple.der());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_is_replaced_by_nothing_of_ours() {
    let Some(installation) = installations("killed worker").pop() else {
        return;
    };
    let mut stapled = stapled(&installation, master(), "master:{dir}master.sock").await;
    let worker = stapled.haproxy.worker();
    // A master ends with its worker (unless told otherwise), and with it the master CLI.
    send_signal(worker, "KILL");
    // One that is busy with its end can be silent for a while, or close what it has accepted.
    let mut error = stapled.session.disconnected().await;
    while !matches!(error, Error::NoSuchSocket | Error::Refused) {
        let is_passing = matches!(
            error,
            Error::Closed | Error::NoAnswer(_) | Error::ReplyTimedOut { .. } | Error::Transport(_)
        );
        assert!(is_passing, "{error:?}");
        error = stapled.session.disconnected().await;
    }
    stapled.haproxy.kill();
    stapled.haproxy.start_again();
    stapled.recovers().await;
    stapled.session.stop().await;
}
