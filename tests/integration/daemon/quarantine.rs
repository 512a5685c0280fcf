//! A certificate over which HAProxy ends costs two processes, and nobody but itself a staple.

use std::fs;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use staplerd::x509::Bundle;

use super::Daemon;
use super::authority::{OpensslAuthority, Signer};
use crate::strange_haproxy::{Dialect, Process, Store, listen};
use crate::support::haproxy::wait_for;

/// HAProxy 3.0 by its stats socket, with its usual buffer.
const DIALECT: u8 = 4;
const BUFFER: usize = 16_384;

fn quarantined(daemon: &Daemon) -> Vec<Value> {
    let status = daemon.status();
    let stores = status["sockets"][0]["quarantined"].as_array();
    stores.cloned().unwrap_or_default()
}

#[test]
fn a_certificate_over_which_haproxy_ends_is_named_and_left_alone_until_its_file_is_another() {
    let Some(mut authority) = OpensslAuthority::new("quarantine") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| {
        let path = directory.path().join(format!("{name}.pem"));
        path.to_str().unwrap().to_owned()
    };
    let names = ["a", "bad", "z"];
    let stores = names.map(|name| {
        authority.issue(name, "prime256v1");
        let pem = authority.bundle(name);
        fs::write(path(name), &pem).unwrap();
        let bundle = Bundle::from_pem(pem.as_bytes()).unwrap();
        Store::holding(&path(name), bundle.leaf(), &bundle.chain()[0])
    });
    authority.start_responder(Signer::Delegate);
    let process = Process::new(Dialect::of(DIALECT), BUFFER, stores.into());
    let process = Arc::new(Mutex::new(process));
    let first_pid = process.lock().unwrap().pid;
    process.lock().unwrap().ends_over(&path("bad"), true);
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let _haproxy = listen(&socket, &process);
    let daemon = Daemon::start(&[
        "-d",
        directory.path().to_str().unwrap(),
        "-s",
        socket.to_str().unwrap(),
        "--allow-addresses",
        "loopback",
    ]);
    let is_stapled = |name: &str| !process.lock().unwrap().held(&path(name)).is_empty();

    let line = daemon.wait_for_line(&["quarantined", &path("bad"), "reason=\"connection_lost\""]);
    assert!(line.contains("WARN"), "{line}");
    wait_for("the others' staples", || is_stapled("a") && is_stapled("z"));
    wait_for("the status to name it", || {
        let stores = quarantined(&daemon);
        stores.len() == 1
            && stores[0]["store"] == path("bad")
            && stores[0]["reason"] == "connection_lost"
    });
    assert_eq!(
        process.lock().unwrap().pid - first_pid,
        2,
        "processes ended"
    );

    // Another process of which it is not known that it could answer: it is not asked.
    process.lock().unwrap().end();
    wait_for("the others' staples again", || {
        let restarted = process.lock().unwrap().pid - first_pid == 3;
        restarted && is_stapled("a") && is_stapled("z")
    });
    assert_eq!(
        process.lock().unwrap().pid - first_pid,
        3,
        "processes ended"
    );
    assert_eq!(quarantined(&daemon).len(), 1);

    fs::write(path("bad"), authority.bundle("bad")).unwrap();
    process.lock().unwrap().ends_over(&path("bad"), false);
    process.lock().unwrap().end();
    wait_for("its staple, too", || {
        names.iter().all(|name| is_stapled(name))
    });
    daemon.wait_for_line(&["no longer quarantined", &path("bad")]);
    assert_eq!(quarantined(&daemon), Vec::<Value>::new());
}
