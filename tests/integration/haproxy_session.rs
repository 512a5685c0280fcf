//! A session delivers staples to every real HAProxy version there is, and knows what it did.

use std::net::TcpListener;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use staplerd::haproxy::{Address, Arrival, DeliveryError, Level, SessionReport};
use staplerd::x509::CertificateReference;

use crate::skip::skipped;
use crate::support::handshake;
use crate::support::haproxy::{Haproxy, Installation, Setup, installations, wait_for};
use crate::support::pki::{Authority, Issued, Response};
use crate::support::session::Session;

/// From this version on HAProxy shows what it holds.
const SHOWS_RESPONSES: (u16, u16) = (2, 5);

/// What a delivery of bytes that are held already comes to: before 2.5 that cannot be known.
fn held(installation: &Installation) -> Result<Arrival, DeliveryError> {
    if installation.version >= SHOWS_RESPONSES {
        Ok(Arrival::AlreadyHeld)
    } else {
        Ok(Arrival::Pushed)
    }
}

/// A HAProxy with one certificate, `a.pem`, for `a.example`.
fn with_one_certificate(installation: &Installation, setup: Setup) -> (Haproxy, Authority, Issued) {
    let authority = Authority::new();
    let issued = authority.issue("a.example", None);
    let haproxy = Haproxy::start(installation, setup, &[("a.pem", issued.pem().as_bytes())]);
    (haproxy, authority, issued)
}

/// Gives a command about certificates as an operator does: again while HAProxy says that another
/// command works on certificates, such as this program's looking at them.
fn operator(haproxy: &Haproxy, command: &str) -> String {
    let mut reply = String::new();
    wait_for("certificates to be unlocked", || {
        reply = haproxy.cli(command);
        !reply.contains("currently locked")
    });
    reply
}

/// How HAProxy shows this certificate.
fn reference(issued: &Issued) -> CertificateReference {
    let [fingerprint, _] = CertificateReference::all(&issued.certificate);
    fingerprint
}

/// Opens a `set ssl cert` transaction by hand.
fn open_transaction(haproxy: &Haproxy, file: &str, pem: &str) {
    let store = haproxy.certificate(file);
    let reply = operator(haproxy, &format!("set ssl cert {store} <<\n{pem}\n"));
    assert!(reply.contains("Transaction created"), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_staple_is_attached_and_later_ones_are_pushed() {
    for installation in installations("first staple") {
        let (haproxy, authority, issued) = with_one_certificate(&installation, Setup::default());
        let mut session = Session::start(&haproxy.path("admin.sock"));
        let process = session.connected().await;
        assert_eq!(process.pid, haproxy.pid(), "{installation:?}");
        assert_eq!(
            (process.version.major, process.version.minor),
            installation.version
        );

        let first = authority.staple(&issued, Response::from_seconds_ago(120));
        assert!(haproxy.staple("a.example").is_empty());
        assert_eq!(session.deliver(&first).await, Ok(Arrival::Attached));
        assert_eq!(haproxy.staple("a.example"), first.der());

        assert_eq!(session.deliver(&first).await, held(&installation));
        let second = authority.staple(&issued, Response::from_seconds_ago(60));
        assert_eq!(session.deliver(&second).await, Ok(Arrival::Pushed));
        assert_eq!(haproxy.staple("a.example"), second.der());
        session.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staple_that_was_on_disk_at_the_start_is_not_pushed_again() {
    for installation in installations("staple on disk") {
        let authority = Authority::new();
        let issued = authority.issue("a.example", None);
        let staple = authority.staple(&issued, Response::default());
        let haproxy = Haproxy::start(
            &installation,
            Setup::default(),
            &[
                ("a.pem", issued.pem().as_bytes()),
                ("a.pem.ocsp", staple.der()),
            ],
        );
        let mut session = Session::start(&haproxy.path("admin.sock"));
        session.connected().await;
        assert_eq!(session.deliver(&staple).await, held(&installation));
        assert_eq!(haproxy.staple("a.example"), staple.der());
        session.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_response_that_is_valid_is_left_in_place_and_handed_back() {
    for installation in installations("newer response") {
        if installation.version < SHOWS_RESPONSES {
            let version = installation.version;
            eprintln!("SKIPPED: newer responses with HAProxy {version:?}: it does not show any");
            continue;
        }
        let authority = Authority::new();
        let issued = authority.issue("a.example", None);
        let older = authority.staple(&issued, Response::from_seconds_ago(3600));
        let newer = authority.staple(&issued, Response::from_seconds_ago(60));
        let haproxy = Haproxy::start(
            &installation,
            Setup::default(),
            &[
                ("a.pem", issued.pem().as_bytes()),
                ("a.pem.ocsp", newer.der()),
            ],
        );
        let mut session = Session::start(&haproxy.path("admin.sock"));
        session.connected().await;
        match session.deliver(&older).await {
            // From 2.8 on HAProxy shows the bytes, before only what they say.
            Err(DeliveryError::NewerHeld(found)) if installation.version >= (2, 8) => {
                let found = found.unwrap();
                assert_eq!(found.stapling.unwrap().der(), newer.der());
            }
            outcome => assert_eq!(outcome, Err(DeliveryError::NewerHeld(None))),
        }
        assert_eq!(haproxy.staple("a.example"), newer.der());

        let newest = authority.staple(&issued, Response::from_seconds_ago(10));
        assert_eq!(session.deliver(&newest).await, Ok(Arrival::Pushed));
        assert_eq!(haproxy.staple("a.example"), newest.der());
        session.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_response_that_is_forged_is_replaced() {
    for installation in installations("forged response") {
        if installation.version < (2, 8) {
            let version = installation.version;
            eprintln!("SKIPPED: forged responses with HAProxy {version:?}: it shows no bytes");
            continue;
        }
        let authority = Authority::new();
        let issued = authority.issue("a.example", None);
        let staple = authority.staple(&issued, Response::from_seconds_ago(3600));
        let forged = Authority::new().respond(&issued, Response::from_seconds_ago(60));
        let haproxy = Haproxy::start(
            &installation,
            Setup::default(),
            &[("a.pem", issued.pem().as_bytes()), ("a.pem.ocsp", &forged)],
        );
        assert_eq!(haproxy.staple("a.example"), forged);
        let mut session = Session::start(&haproxy.path("admin.sock"));
        session.connected().await;
        assert_eq!(session.deliver(&staple).await, Ok(Arrival::Pushed));
        assert_eq!(haproxy.staple("a.example"), staple.der());
        session.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_from_an_empty_file_is_filled() {
    for installation in installations("empty file") {
        let authority = Authority::new();
        let issued = authority.issue("a.example", None);
        let staple = authority.staple(&issued, Response::default());
        let haproxy = Haproxy::start(
            &installation,
            Setup::default(),
            &[("a.pem", issued.pem().as_bytes()), ("a.pem.ocsp", b"")],
        );
        let mut session = Session::start(&haproxy.path("admin.sock"));
        session.connected().await;
        let delivered = session.deliver(&staple).await;
        assert!(delivered.is_ok(), "{installation:?}: {delivered:?}");
        assert_eq!(haproxy.staple("a.example"), staple.der());
        session.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_under_two_names_gets_its_slot_under_both() {
    for installation in installations("two names") {
        let authority = Authority::new();
        let issued = authority.issue("a.example", None);
        let staple = authority.staple(&issued, Response::from_seconds_ago(120));
        // One name has a slot from its file, the other has none, and both the same CertID: a push
        // alone would be answered with success although the second name sends nothing.
        let haproxy = Haproxy::start(
            &installation,
            two_addresses(),
            &[
                ("a.pem", issued.pem().as_bytes()),
                ("a.pem.ocsp", staple.der()),
                ("b.pem", issued.pem().as_bytes()),
            ],
        );
        let other = || handshake::staple(haproxy.other_tls, "a.example").unwrap();
        assert!(other().is_empty());
        let mut session = Session::start(&haproxy.path("admin.sock"));
        session.connected().await;
        assert_eq!(session.deliver(&staple).await, Ok(Arrival::Attached));
        assert_eq!(haproxy.staple("a.example"), staple.der());
        assert_eq!(other(), staple.der(), "{installation:?}");

        let newer = authority.staple(&issued, Response::from_seconds_ago(60));
        assert_eq!(session.deliver(&newer).await, Ok(Arrival::Pushed));
        assert_eq!(haproxy.staple("a.example"), newer.der());
        assert_eq!(other(), newer.der(), "{installation:?}");
        session.stop().await;
    }
}

/// a.pem at one address, b.pem at another.
fn two_addresses() -> Setup {
    let bind = "crt {dir}/certs/a.pem\n  bind {other_tls} ssl crt {dir}/certs/b.pem";
    Setup {
        bind: Some(bind.into()),
        ..Setup::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_shows_it_a_staple_lost_by_one_of_two_stores_comes_back() {
    for installation in installations("two stores, nothing shown") {
        let authority = Authority::new();
        let issued = authority.issue("a.example", None);
        let haproxy = Haproxy::start(
            &installation,
            two_addresses(),
            &[
                ("a.pem", issued.pem().as_bytes()),
                ("b.pem", issued.pem().as_bytes()),
            ],
        );
        let other = || handshake::staple(haproxy.other_tls, "a.example").unwrap();
        let mut session = Session::refreshing(&haproxy.path("admin.sock"), Duration::from_secs(1));
        if session.connected().await.release.shows_slots() {
            session.stop().await;
            continue;
        }
        let staple = authority.staple(&issued, Response::default());
        assert_eq!(session.deliver(&staple).await, Ok(Arrival::Attached));
        assert_eq!(other(), staple.der(), "{installation:?}");
        open_transaction(&haproxy, "b.pem", &issued.pem());
        let store = haproxy.certificate("b.pem");
        operator(&haproxy, &format!("commit ssl cert {store}"));
        assert!(other().is_empty());
        wait_until_asked(&mut session).await;
        assert_eq!(session.deliver(&staple).await, Ok(Arrival::Attached));
        assert_eq!(other(), staple.der(), "{installation:?}");
        assert_eq!(haproxy.staple("a.example"), staple.der());
        session.stop().await;
    }
}

/// Waits until a staple is to be given once more, since nothing shows whether it is there.
async fn wait_until_asked(session: &mut Session) {
    let is_asked = |report: &SessionReport| matches!(report, SessionReport::StapleUnseen { .. });
    let wanted = |report: &SessionReport| is_asked(report).then_some(());
    session.report("that a staple may be gone", wanted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_with_special_characters_and_relative_names_are_found() {
    for installation in installations("special names") {
        let authority = Authority::new();
        let names = [
            "sp ace.pem",
            "back\\slash.pem",
            "semi;colon.pem",
            "*star.pem",
        ];
        let issued: Vec<Issued> = (0..names.len())
            .map(|number| authority.issue(&format!("n{number}.example"), None))
            .collect();
        let relative = authority.issue("relative.example", None);
        let pems: Vec<String> = issued.iter().map(Issued::pem).collect();
        let relative_pem = relative.pem();
        let mut files: Vec<(&str, &[u8])> = names
            .iter()
            .zip(&pems)
            .map(|(name, pem)| (*name, pem.as_bytes()))
            .collect();
        files.push(("../relative.pem", relative_pem.as_bytes()));
        let haproxy = Haproxy::start(
            &installation,
            Setup {
                bind: Some("crt {dir}/certs crt relative.pem".into()),
                ..Setup::default()
            },
            &files,
        );
        let mut session = Session::start(&haproxy.path("admin.sock"));
        session.connected().await;
        for issued in issued.iter().chain([&relative]) {
            let staple = authority.staple(issued, Response::default());
            assert_eq!(
                session.deliver(&staple).await,
                Ok(Arrival::Attached),
                "{installation:?} {}",
                issued.name
            );
            assert_eq!(haproxy.staple(&issued.name), staple.der());
        }
        session.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn aliases_of_a_crt_store_are_found() {
    for installation in installations("crt-store") {
        if installation.version < (3, 0) {
            eprintln!(
                "SKIPPED: crt-store with HAProxy {:?}: it has none",
                installation.version
            );
            continue;
        }
        let (haproxy, authority, issued) = with_one_certificate(
            &installation,
            Setup {
                global: "crt-store web\n  load crt {dir}/certs/a.pem alias site\n".into(),
                bind: Some("crt @web/site".into()),
                ..Setup::default()
            },
        );
        let mut session = Session::start(&haproxy.path("admin.sock"));
        session.connected().await;
        let staple = authority.staple(&issued, Response::default());
        assert_eq!(session.deliver(&staple).await, Ok(Arrival::Attached));
        assert_eq!(haproxy.staple("a.example"), staple.der());
        session.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certid_without_null_goes_by_set_ssl_cert() {
    for installation in installations("CertID without NULL") {
        let (haproxy, authority, issued) = with_one_certificate(&installation, Setup::default());
        let mut session = Session::start(&haproxy.path("admin.sock"));
        session.connected().await;
        for age in [120, 60] {
            let staple = authority.staple(
                &issued,
                Response {
                    this_update: -age,
                    null_parameters: false,
                    ..Response::default()
                },
            );
            assert!(!staple.matches_by_cert_id());
            assert_eq!(session.deliver(&staple).await, Ok(Arrival::Attached));
            assert_eq!(
                haproxy.staple("a.example"),
                staple.der(),
                "{installation:?}"
            );
        }
        session.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_staple_fits_every_version() {
    for installation in installations("largest staple") {
        let (haproxy, authority, issued) = with_one_certificate(&installation, Setup::default());
        let mut session = Session::start(&haproxy.path("admin.sock"));
        session.connected().await;
        for (age, how) in [(120, Arrival::Attached), (60, Arrival::Pushed)] {
            let mut response = Response::from_seconds_ago(age);
            let plain = authority.respond(&issued, response).len();
            // The rest is the extension's own headers and what the signature's length varies by.
            response.padding = 11 * 1024 - plain - 48;
            let staple = authority.staple(&issued, response);
            assert!(staple.der().len() > 11 * 1024 - 64);
            assert_eq!(session.deliver(&staple).await, Ok(how), "{installation:?}");
            assert_eq!(haproxy.staple("a.example"), staple.der());
        }
        session.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staple_about_to_end_is_never_given_to_haproxy() {
    for installation in installations("short life") {
        let (haproxy, authority, issued) = with_one_certificate(&installation, Setup::default());
        let mut session = Session::start(&haproxy.path("admin.sock"));
        session.connected().await;
        let good = authority.staple(&issued, Response::from_seconds_ago(25 * 3600));
        assert_eq!(session.deliver(&good).await, Ok(Arrival::Attached));
        let ending = authority.staple(
            &issued,
            Response {
                this_update: -24 * 3600,
                next_update: 590,
                ..Response::default()
            },
        );
        assert_eq!(
            session.deliver(&ending).await,
            Err(DeliveryError::ShortLived)
        );
        assert_eq!(haproxy.staple("a.example"), good.der());
        session.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_transaction_is_left_alone() {
    for installation in installations("foreign transaction") {
        let authority = Authority::new();
        let a = authority.issue("a.example", None);
        let b = authority.issue("b.example", None);
        let haproxy = Haproxy::start(
            &installation,
            Setup::default(),
            &[("a.pem", a.pem().as_bytes()), ("b.pem", b.pem().as_bytes())],
        );
        let staple = authority.staple(&a, Response::default());
        for foreign in ["b.pem", "a.pem"] {
            // Before anybody looks: HAProxy 3.4 stays locked for ever where `set ssl cert` finds
            // its certificates locked.
            let renewed = authority.issue("renewed.example", None);
            open_transaction(&haproxy, foreign, &renewed.pem());
            let mut session = Session::start(&haproxy.path("admin.sock"));
            session.connected().await;
            assert_eq!(
                session.deliver(&staple).await,
                Err(DeliveryError::ForeignTransaction),
                "{installation:?}"
            );
            session.stop().await;
            let store = haproxy.certificate(foreign);
            let listing = operator(&haproxy, "show ssl cert");
            assert!(listing.contains(&format!("*{store}\n")), "{listing}");
            let aborted = operator(&haproxy, &format!("abort ssl cert {store}"));
            assert!(aborted.contains("Transaction aborted"), "{aborted}");
        }
        let mut session = Session::start(&haproxy.path("admin.sock"));
        session.connected().await;
        assert_eq!(session.deliver(&staple).await, Ok(Arrival::Attached));
        // What it left behind is no transaction of its own.
        assert!(!operator(&haproxy, "show ssl cert").contains('*'));
        session.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_replaced_over_the_socket_is_noticed_and_stapled_again() {
    for installation in installations("PEM replaced") {
        let (haproxy, authority, issued) = with_one_certificate(&installation, Setup::default());
        let mut session = Session::refreshing(&haproxy.path("admin.sock"), Duration::from_secs(2));
        if session.connected().await.release.keeps_cert_ids() {
            skipped("a certificate in another's place with a HAProxy that cannot staple it then");
            session.stop().await;
            continue;
        }
        let staple = authority.staple(&issued, Response::default());
        assert_eq!(session.deliver(&staple).await, Ok(Arrival::Attached));

        let renewed = authority.issue("a.example", None);
        let renewed_staple = authority.staple(&renewed, Response::default());
        assert_eq!(
            session.deliver(&renewed_staple).await,
            Err(DeliveryError::NotLoaded)
        );
        open_transaction(&haproxy, "a.pem", &renewed.pem());
        let store = haproxy.certificate("a.pem");
        let committed = operator(&haproxy, &format!("commit ssl cert {store}"));
        assert!(committed.contains("Success!"), "{committed}");
        assert!(haproxy.staple("a.example").is_empty());

        let changed = session.store_changed().await;
        assert_eq!(changed, (store, reference(&renewed)));
        assert_eq!(
            session.deliver(&staple).await,
            Err(DeliveryError::NotLoaded),
            "the old certificate is gone"
        );
        assert_eq!(
            session.deliver(&renewed_staple).await,
            Ok(Arrival::Attached)
        );
        assert_eq!(haproxy.staple("a.example"), renewed_staple.der());
        session.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_added_over_the_socket_is_noticed_and_stapled() {
    for installation in installations("PEM added") {
        let authority = Authority::new();
        let [loaded, added] =
            ["a", "b"].map(|name| authority.issue(&format!("{name}.example"), None));
        let haproxy = Haproxy::start(
            &installation,
            Setup {
                bind: Some("crt-list {dir}/list".into()),
                ..Setup::default()
            },
            &[
                ("a.pem", loaded.pem().as_bytes()),
                ("../list", b"certs/a.pem\n"),
            ],
        );
        let mut session = Session::refreshing(&haproxy.path("admin.sock"), Duration::from_secs(2));
        session.connected().await;
        let staple = authority.staple(&added, Response::default());
        let outcome = session.deliver(&staple).await;
        assert_eq!(outcome, Err(DeliveryError::NotLoaded), "{installation:?}");

        let store = haproxy.certificate("b.pem");
        operator(&haproxy, &format!("new ssl cert {store}"));
        open_transaction(&haproxy, "b.pem", &added.pem());
        let committed = operator(&haproxy, &format!("commit ssl cert {store}"));
        assert!(committed.contains("Success!"), "{committed}");
        let list = haproxy.path("list");
        let listed = operator(&haproxy, &format!("add ssl crt-list {list} {store}"));
        assert!(listed.contains("Success!"), "{listed}");
        let changed = session.store_changed().await;
        assert_eq!(changed, (store, reference(&added)));
        let outcome = session.deliver(&staple).await;
        assert_eq!(outcome, Ok(Arrival::Attached), "{installation:?}");
        assert_eq!(haproxy.staple("b.example"), staple.der());
        session.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_certificate_deployed_again_loses_its_slot_and_gets_it_back() {
    for installation in installations("same PEM again") {
        if installation.version < SHOWS_RESPONSES {
            eprintln!(
                "SKIPPED: slots with HAProxy {:?}: it does not show them",
                installation.version
            );
            continue;
        }
        let (haproxy, authority, issued) = with_one_certificate(&installation, Setup::default());
        let mut session = Session::refreshing(&haproxy.path("admin.sock"), Duration::from_secs(2));
        if !session.connected().await.release.shows_slots() {
            skipped("slots with a HAProxy that does not show when one is gone");
            session.stop().await;
            continue;
        }
        let staple = authority.staple(&issued, Response::default());
        assert_eq!(session.deliver(&staple).await, Ok(Arrival::Attached));
        open_transaction(&haproxy, "a.pem", &issued.pem());
        let store = haproxy.certificate("a.pem");
        operator(&haproxy, &format!("commit ssl cert {store}"));
        assert!(haproxy.staple("a.example").is_empty());
        let changed = session.store_changed().await;
        assert_eq!(changed, (store, reference(&issued)));
        assert_eq!(session.deliver(&staple).await, Ok(Arrival::Attached));
        assert_eq!(
            haproxy.staple("a.example"),
            staple.der(),
            "{installation:?}"
        );
        session.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_that_is_too_low_is_said_and_pushes_still_work_where_they_can() {
    for installation in installations("levels") {
        for level in ["user", "operator"] {
            let authority = Authority::new();
            let stapled = authority.issue("a.example", None);
            let bare = authority.issue("b.example", None);
            let old = authority.staple(&stapled, Response::from_seconds_ago(120));
            let haproxy = Haproxy::start(
                &installation,
                Setup {
                    level: Some(level),
                    ..Setup::default()
                },
                &[
                    ("a.pem", stapled.pem().as_bytes()),
                    ("a.pem.ocsp", old.der()),
                    ("b.pem", bare.pem().as_bytes()),
                ],
            );
            let socket = haproxy.path("admin.sock");
            let mut session = Session::start(&socket);
            let process = session.connected().await;
            let address: Address = socket.parse().unwrap();
            let complaint = process.check_level(&address).unwrap_err().to_string();
            assert!(complaint.contains(&socket), "{complaint}");
            assert!(complaint.contains(&format!("'{level}'")), "{complaint}");
            assert!(complaint.contains("level admin"), "{complaint}");

            let new = authority.staple(&stapled, Response::from_seconds_ago(60));
            let pushed = session.deliver(&new).await;
            if process.release.level_for_pushes() < Level::Admin {
                assert_eq!(pushed, Ok(Arrival::Pushed), "{installation:?} {level}");
                assert_eq!(haproxy.staple("a.example"), new.der());
            } else {
                assert_eq!(pushed, Err(DeliveryError::PermissionDenied));
            }
            let first = authority.staple(&bare, Response::default());
            let attached = session.deliver(&first).await;
            assert!(
                matches!(
                    attached,
                    Err(DeliveryError::PermissionDenied | DeliveryError::NoSlot)
                ),
                "{installation:?} {level}: {attached:?}"
            );
            session.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_control_socket_serves() {
    let six = TcpListener::bind("[::1]:0").map(|listener| listener.local_addr().unwrap());
    if six.is_err() {
        eprintln!("SKIPPED: control sockets on [::1]: this machine has none");
    }
    for installation in installations("control sockets") {
        let abstract_name = format!("staplerd-{}", fastrand::u64(..));
        let mut global = format!(
            "stats socket ipv4@{{other_tls}} level admin\n  \
             stats socket abns@{abstract_name} level admin"
        );
        if let Ok(six) = six {
            global += &format!("\n  stats socket ipv6@::1:{} level admin", six.port());
        }
        let (haproxy, authority, issued) = with_one_certificate(
            &installation,
            Setup {
                global,
                master: true,
                ..Setup::default()
            },
        );
        let mut targets = vec![
            haproxy.path("admin.sock"),
            format!("unix@{}", haproxy.path("admin.sock")),
            format!("tcp://{}", haproxy.other_tls),
            format!("abns@{abstract_name}"),
            format!("master:{}", haproxy.path("master.sock")),
        ];
        targets.extend(six.as_ref().ok().map(|six| format!("tcp://{six}")));
        for (age, target) in (1..).zip(targets) {
            let mut session = Session::start(&target);
            let process = session.connected().await;
            assert_eq!(process.pid, haproxy.worker(), "{target}");
            let staple = authority.staple(&issued, Response::from_seconds_ago(600 - age));
            let expected = match age {
                1 => Arrival::Attached,
                _ => Arrival::Pushed,
            };
            assert_eq!(
                session.deliver(&staple).await,
                Ok(expected),
                "{installation:?} {target}"
            );
            assert_eq!(haproxy.staple("a.example"), staple.der());
            assert_eq!(session.deliver(&staple).await, held(&installation));
            session.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_attaches_too() {
    for installation in installations("attach by master") {
        let (haproxy, authority, issued) = with_one_certificate(
            &installation,
            Setup {
                master: true,
                ..Setup::default()
            },
        );
        let mut session = Session::start(&format!("master:{}", haproxy.path("master.sock")));
        session.connected().await;
        let staple = authority.staple(&issued, Response::default());
        assert_eq!(session.deliver(&staple).await, Ok(Arrival::Attached));
        assert_eq!(
            haproxy.staple("a.example"),
            staple.der(),
            "{installation:?}"
        );
        session.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxys_own_updater_is_helped_out_until_it_holds_a_newer_response() {
    for installation in installations("native ocsp-update") {
        if installation.version < (2, 8) {
            eprintln!(
                "SKIPPED: native ocsp-update with HAProxy {:?}: it has none",
                installation.version
            );
            continue;
        }
        let authority = Authority::new();
        let native = authority.issue("native.example", Some("http://127.0.0.1:9/"));
        let ours = authority.issue("ours.example", None);
        let haproxy = Haproxy::start(
            &installation,
            Setup {
                bind: Some("crt-list {dir}/list".into()),
                ..Setup::default()
            },
            &[
                ("native.pem", native.pem().as_bytes()),
                ("ours.pem", ours.pem().as_bytes()),
                (
                    "../list",
                    b"certs/native.pem [ocsp-update on]\ncerts/ours.pem\n",
                ),
            ],
        );
        let mut session = Session::start(&haproxy.path("admin.sock"));
        session.connected().await;
        // Nobody answers its updater.
        let staple = authority.staple(&native, Response::from_seconds_ago(600));
        assert_eq!(session.deliver(&staple).await, Ok(Arrival::Pushed));
        assert_eq!(haproxy.staple("native.example"), staple.der());
        assert_eq!(session.deliver(&staple).await, Ok(Arrival::AlreadyHeld));
        // What its updater does when somebody does.
        let newer = authority.staple(&native, Response::from_seconds_ago(60));
        let base64 = STANDARD.encode(newer.der());
        let updated = haproxy.cli(&format!("set ssl ocsp-response {base64}"));
        assert!(updated.contains("updated"), "{updated}");
        let outcome = session.deliver(&staple).await;
        assert!(matches!(outcome, Err(DeliveryError::NewerHeld(Some(_)))));
        assert_eq!(haproxy.staple("native.example"), newer.der());
        let staple = authority.staple(&ours, Response::default());
        assert_eq!(session.deliver(&staple).await, Ok(Arrival::Attached));
        session.stop().await;
    }
}
