//! What outlives the program, killed or not: revocations, what processes were given, transactions
//! that it had opened.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::Daemon;
use super::commands::{certificate, status};
use crate::scripted_responder::{ScriptedResponder, Step, ocsp_answer};
use crate::support::cutter::{Cut, Cutter};
use crate::support::haproxy::{Haproxy, Installation, Setup, installations, wait_for};
use crate::support::pki::{Authority, Issued, Response};

/// A certificate in a HAProxy, its responder, and a place where the program remembers.
struct Scene {
    authority: Authority,
    issued: Issued,
    haproxy: Haproxy,
    /// What the responder answers; nothing, and it hangs up.
    answer: Arc<Mutex<Option<Vec<u8>>>>,
    _responder: ScriptedResponder,
}

impl Scene {
    fn new(installation: &Installation) -> Self {
        let answer: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
        let shared = Arc::clone(&answer);
        let responder = ScriptedResponder::start(move |_| match &*shared.lock().unwrap() {
            Some(answer) => vec![Step::Send(ocsp_answer(answer))],
            None => vec![Step::Reset],
        });
        let authority = Authority::new();
        let issued = authority.issue("site.example", Some(&responder.url()));
        let pem = issued.pem();
        let files = [("site.pem", pem.as_bytes())];
        let haproxy = Haproxy::start(installation, Setup::default(), &files);
        Scene {
            authority,
            issued,
            haproxy,
            answer,
            _responder: responder,
        }
    }

    /// From now on the responder answers this.
    fn answer(&self, response: Response) -> Vec<u8> {
        let response = self.authority.respond(&self.issued, response);
        *self.answer.lock().unwrap() = Some(response.clone());
        response
    }

    /// From now on it does not answer.
    fn fall_silent(&self) {
        *self.answer.lock().unwrap() = None;
    }

    fn state(&self) -> PathBuf {
        self.haproxy.dir.path().join("state")
    }

    /// What is remembered.
    fn memory(&self) -> String {
        fs::read_to_string(self.state().join("memory.jsonl")).unwrap_or_default()
    }

    fn staple_path(&self) -> PathBuf {
        self.haproxy.certificate("site.pem.ocsp").into()
    }

    fn start(&self, socket: &str) -> Daemon {
        let certs = self.haproxy.path("certs");
        let arguments = [
            certs.as_str(),
            "-s",
            socket,
            "--allow-addresses",
            "loopback",
            "-v",
        ];
        let state = self.state();
        Daemon::start_with(&arguments, &[("STATE_DIRECTORY", state.to_str().unwrap())])
    }

    /// The program, when it knows what HAProxy has loaded and everything on disk.
    fn started(&self) -> Daemon {
        let daemon = self.start(&self.haproxy.path("admin.sock"));
        daemon.wait_for_line(&["ready"]);
        wait_for("the stores to be known", || {
            status(&daemon.control_socket())["sockets"][0]["stores"] == 1
        });
        daemon
    }

    fn wait_until_stapled(&self, staple: &[u8]) {
        let path = self.staple_path();
        wait_for("the staple, live and on disk", || {
            self.haproxy.staple("site.example") == staple && lies_there(&path, staple)
        });
    }
}

fn lies_there(path: &Path, staple: &[u8]) -> bool {
    fs::read(path).is_ok_and(|bytes| bytes == staple)
}

#[test]
fn a_revocation_outlives_a_kill_and_the_old_good_is_neither_kept_nor_pushed() {
    for installation in installations("a revocation over a restart") {
        let mut scene = Scene::new(&installation);
        let good = scene.answer(Response::default());
        let daemon = scene.started();
        scene.wait_until_stapled(&good);
        scene.answer(Response {
            is_revoked: true,
            ..Response::from_seconds_ago(30)
        });
        daemon.signal("USR1");
        daemon.wait_for_line(&["ERROR", "revoked this certificate"]);
        let path = scene.staple_path();
        wait_for("the good one to go", || !fs::exists(&path).unwrap());
        wait_for("the memory", || scene.memory().contains("evoked"));
        drop(daemon);

        // Another process, a backup that was played back, a responder that is away.
        scene.haproxy.kill();
        scene.haproxy.start_again();
        fs::write(&path, &good).unwrap();
        scene.fall_silent();
        let daemon = scene.started();
        assert!(!fs::exists(&path).unwrap(), "{installation:?}");
        let site = certificate(&daemon.control_socket(), "site.pem");
        assert_eq!(site["state"], "revoked", "{installation:?}: {site}");
        assert!(scene.haproxy.staple("site.example").is_empty());
        assert_eq!(daemon.count_lines(&["live:"]), 0, "{installation:?}");
    }
}

#[test]
fn a_newer_staple_that_is_live_stays_when_the_disk_lags_behind_at_a_restart() {
    for installation in installations("a disk that lags behind") {
        let scene = Scene::new(&installation);
        let old = scene.answer(Response::from_seconds_ago(3600));
        let mut daemon = scene.started();
        scene.wait_until_stapled(&old);
        let new = scene.answer(Response::default());
        daemon.signal("USR1");
        scene.wait_until_stapled(&new);
        daemon.signal("TERM");
        daemon.ended();

        fs::write(scene.staple_path(), &old).unwrap();
        scene.fall_silent();
        let daemon = scene.started();
        assert_eq!(
            scene.haproxy.staple("site.example"),
            new,
            "{installation:?}"
        );
        let pushed = ["live: pushed", "live: attached"];
        let pushed = pushed.map(|words| daemon.count_lines(&[words]));
        assert_eq!(pushed, [0, 0], "{installation:?}");
        // The responder is back with the same one.
        *scene.answer.lock().unwrap() = Some(new.clone());
        daemon.signal("USR1");
        scene.wait_until_stapled(&new);
    }
}

/// The program is killed with its transaction open; the open transaction's name in HAProxy's list.
async fn killed_in_the_middle(scene: &Scene) -> String {
    let cutter = Cutter::start(&scene.haproxy.path("admin.sock"), Cut::Silent);
    tokio::task::block_in_place(|| {
        let daemon = scene.start(cutter.socket());
        let open = || open_transaction(&scene.haproxy).is_some();
        wait_for("the transaction", open);
        drop(daemon);
    });
    drop(cutter);
    assert!(scene.memory().contains("begun"));
    open_transaction(&scene.haproxy).unwrap()
}

fn open_transaction(haproxy: &Haproxy) -> Option<String> {
    let listing = haproxy.cli("show ssl cert");
    let mut lines = listing.lines().skip_while(|line| *line != "# transaction");
    Some(lines.nth(1)?.strip_prefix('*')?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_in_which_the_program_was_killed_is_ended_at_its_next_start() {
    for installation in installations("killed in a transaction") {
        let scene = Scene::new(&installation);
        let good = scene.answer(Response::default());
        let store = killed_in_the_middle(&scene).await;
        assert_eq!(store, scene.haproxy.certificate("site.pem"));
        tokio::task::block_in_place(|| {
            let _daemon = scene.started();
            scene.wait_until_stapled(&good);
            assert_eq!(open_transaction(&scene.haproxy), None, "{installation:?}");
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_has_opened_since_is_left_to_him() {
    for installation in installations("another's transaction after a restart") {
        let scene = Scene::new(&installation);
        scene.answer(Response::default());
        let store = killed_in_the_middle(&scene).await;
        let other = scene.authority.issue("other.example", None).pem();
        let payload: String = other.lines().map(|line| format!("{line}\n")).collect();
        tokio::task::block_in_place(|| {
            scene.haproxy.cli(&format!("abort ssl cert {store}"));
            let set = scene
                .haproxy
                .cli(&format!("set ssl cert {store} <<\n{payload}"));
            assert!(set.starts_with("Transaction created"), "{set}");
            let daemon = scene.started();
            wait_for("ours to be forgotten", || {
                scene.memory().contains("\"forget\":{\"transaction\"")
            });
            let refused = || certificate(&daemon.control_socket(), "site.pem")["live"][0].clone();
            wait_for("a delivery to be refused", || {
                refused()["error"]["reason"] == "foreign_transaction"
            });
            assert_eq!(open_transaction(&scene.haproxy), Some(store));
        });
    }
}
