//! `staplerd status` and `staplerd renew` with a daemon that runs: what they say, how they end, and
//! that nobody who asks holds it up.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::Daemon;
use super::authority::{OpensslAuthority, Signer};
use crate::support::haproxy::{DEADLINE, Haproxy, Setup, installations, wait_for};

/// Runs a command that speaks to the daemon behind this control socket.
fn ask(socket: &Path, command: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_staplerd"))
        .args(command)
        .arg("--control-socket")
        .arg(socket)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What `status --json` says.
pub(super) fn status(socket: &Path) -> Value {
    let output = ask(socket, &["status", "--json"]);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", text(&output.stdout), text(&output.stderr)))
}

/// What it says of the certificate file with this name.
pub(super) fn certificate(socket: &Path, name: &str) -> Value {
    let status = status(socket);
    let certificates = status["certificates"].as_array().unwrap();
    let named = certificates
        .iter()
        .find(|it| it["path"].as_str().unwrap().ends_with(name));
    named.cloned().unwrap_or_default()
}

fn listens(socket: &Path) -> bool {
    UnixStream::connect(socket).is_ok()
}

/// Says this over a connection of its own and reads the answer.
fn say(socket: &Path, words: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(words).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn status_tells_what_is_live_and_what_only_haproxy_or_only_the_directory_has() {
    let Some(installation) = installations("status").pop() else {
        return;
    };
    let Some(mut authority) = OpensslAuthority::new("status") else {
        return;
    };
    for name in ["site", "elsewhere", "late"] {
        authority.issue(name, "prime256v1");
    }
    authority.start_responder(Signer::Delegate);
    let (site, elsewhere) = (authority.bundle("site"), authority.bundle("elsewhere"));
    let other = authority.path("elsewhere-bundle.pem");
    fs::write(&other, elsewhere).unwrap();
    let setup = Setup {
        bind: Some(format!("crt {{dir}}/certs crt {}", other.display())),
        ..Setup::default()
    };
    let haproxy = Haproxy::start(&installation, setup, &[("site.pem", site.as_bytes())]);
    let admin = haproxy.path("admin.sock");
    let daemon = Daemon::start(&[
        "-d",
        &haproxy.path("certs"),
        "-s",
        &admin,
        "--allow-addresses",
        "loopback",
    ]);
    let socket = daemon.control_socket();
    daemon.wait_for_line(&["ready"]);
    wait_for("the live staple", || {
        let site = certificate(&socket, "site.pem");
        site["disk"]["current"] == true && site["live"][0]["current"] == true
    });
    let site = certificate(&socket, "site.pem");
    assert_eq!(site["state"], "fresh");
    assert_eq!(site["live"][0]["socket"], admin.as_str());
    assert_eq!(site["staple_path"], haproxy.certificate("site.pem.ocsp"));
    let said = status(&socket);
    assert_eq!(said["needs_attention"], false, "{said}");
    let [process] = &said["sockets"].as_array().unwrap()[..] else {
        panic!("{said}")
    };
    assert_eq!(process["process"]["pid"], haproxy.worker());
    assert_eq!(process["stores"], 2);
    let not_looked_after = other.to_str().unwrap();
    assert_eq!(process["not_looked_after"][0], not_looked_after);
    assert_eq!(process["not_loaded"], Value::Array(Vec::new()));

    let table = ask(&socket, &["status"]);
    assert!(table.status.success());
    let table = text(&table.stdout);
    let row = table.lines().find(|line| line.contains("site.pem"));
    let row = row.unwrap();
    assert!(row.contains("fresh") && row.ends_with("yes"), "{table}");
    let timeline = ask(&socket, &["status", "--timeline", "site.pem"]);
    assert!(text(&timeline.stdout).contains('●'));

    // A certificate that HAProxy has not loaded yet: its staple is on disk, and somebody has to
    // reload.
    let late = authority.bundle("late");
    haproxy.write("late.pem", late.as_bytes());
    wait_for("the late certificate", || {
        certificate(&socket, "late.pem")["live"][0]["error"]["reason"] == "not_loaded"
    });
    let said = status(&socket);
    let not_loaded = &said["sockets"][0]["not_loaded"];
    assert_eq!(not_loaded[0], haproxy.certificate("late.pem"));
    // Whoever deploys files first and tells HAProxy then is not alarmed at once.
    assert_eq!(ask(&socket, &["status"]).status.code(), Some(0));
    assert_eq!(ask(&socket, &["status", "site.pem"]).status.code(), Some(0));
}

#[test]
fn status_ends_with_1_and_the_reason_when_a_certificate_has_no_staple_or_a_process_is_gone() {
    let Some(mut authority) = OpensslAuthority::new("status of trouble") else {
        return;
    };
    authority.issue("site", "prime256v1");
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("site.pem"), authority.bundle("site")).unwrap();
    fs::write(
        directory.path().join("bare.pem"),
        authority.read("site.pem"),
    )
    .unwrap();
    let daemon = Daemon::start(&[
        "-d",
        directory.path().to_str().unwrap(),
        "/nowhere/certs",
        "-s",
        "/nowhere/admin.sock",
        "/nowhere/admin.sock",
        "--allow-addresses",
        "loopback",
    ]);
    daemon.wait_for_line(&["site.pem", "connect_refused"]);
    daemon.wait_for_line(&["/nowhere/certs", "missing"]);
    daemon.wait_for_line(&["/nowhere/admin.sock", "no_such_socket"]);
    // A file that may be half-written is given some time.
    daemon.wait_for_line(&["bare.pem", "no_issuer"]);
    let socket = daemon.control_socket();
    let site = certificate(&socket, "site.pem");
    assert_eq!(site["state"], "failing");
    assert_eq!(site["reason"], "connect_refused");
    assert_eq!(site["needs_attention"], true);
    assert_eq!(site["staple"], Value::Null);
    assert_eq!(certificate(&socket, "bare.pem")["state"], "no_issuer");
    let said = status(&socket);
    assert_eq!(said["sockets"][0]["error"]["reason"], "no_such_socket");
    assert_eq!(said["sockets"][0]["process"], Value::Null);
    let directory = &said["unusable_directories"][0];
    assert_eq!(directory["path"], "/nowhere/certs");
    assert_eq!(directory["error"]["reason"], "missing");

    let output = ask(&socket, &["status"]);
    assert_eq!(output.status.code(), Some(1));
    let table = text(&output.stdout);
    assert!(table.contains("refused"), "no reason in {table}");
    assert!(!table.contains('\x1b'), "colours in a file: {table:?}");
    let refused = ask(&socket, &["renew", "bare.pem"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("nothing to renew"));
}

#[test]
fn the_json_has_the_documented_keys() {
    let Some(mut authority) = OpensslAuthority::new("the form of status") else {
        return;
    };
    authority.issue("site", "prime256v1");
    authority.start_responder(Signer::Delegate);
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("site.pem"), authority.bundle("site")).unwrap();
    let daemon = Daemon::start(&[
        "-d",
        directory.path().to_str().unwrap(),
        "-s",
        "/nowhere/admin.sock",
        "--allow-addresses",
        "loopback",
    ]);
    daemon.wait_for_line(&["site.pem", "renewed"]);
    let said = status(&daemon.control_socket());
    assert_eq!(said["schema"], 1);
    assert_eq!(said["pid"], daemon.pid());
    let expected =
        "certificates needs_attention pid schema sockets time unusable_directories version";
    assert_eq!(keys(&said), expected.split(' ').collect());
    let site = &said["certificates"][0];
    let expected = "disk failures live message must_staple names needs_attention next_request \
                    not_after not_asked path reason staple staple_path state subject";
    assert_eq!(keys(site), expected.split_whitespace().collect());
    let expected = "next_update status this_update until";
    assert_eq!(keys(&site["staple"]), expected.split(' ').collect());
    assert_eq!(keys(&site["disk"]), ["current", "error"].into());
    assert_eq!(
        keys(&site["live"][0]),
        ["current", "error", "socket"].into()
    );
    let socket = &said["sockets"][0];
    let expected = "differences error needs_attention not_loaded not_looked_after notices process quarantined socket stores";
    assert_eq!(keys(socket), expected.split(' ').collect());
    assert_eq!(keys(&socket["error"]), ["message", "reason"].into());
    for time in [&said["time"], &site["not_after"], &site["staple"]["until"]] {
        let time = time.as_str().unwrap();
        assert!(time.ends_with('Z') && time.len() == 20, "{time}");
    }
}

#[test]
fn renew_asks_the_responder_at_once_for_all_or_for_those_that_are_named() {
    let Some(mut authority) = OpensslAuthority::new("renew") else {
        return;
    };
    authority.issue("one", "prime256v1");
    authority.issue("two", "prime256v1");
    authority.start_responder(Signer::Delegate);
    let directory = tempfile::tempdir().unwrap();
    for name in ["one", "two"] {
        let path = directory.path().join(format!("{name}.pem"));
        fs::write(path, authority.bundle(name)).unwrap();
    }
    let daemon = Daemon::start(&[
        directory.path().to_str().unwrap(),
        "--allow-addresses",
        "loopback",
        "-v",
    ]);
    for name in ["one.pem", "two.pem"] {
        daemon.wait_for_line(&[name, "renewed"]);
    }
    let socket = daemon.control_socket();
    // Whether the answer is a new one or not, the log says when the next request is due.
    let answered =
        || ["one.pem", "two.pem"].map(|name| daemon.count_lines(&[name, "next request"]));
    assert_eq!(answered(), [1, 1]);
    let output = ask(&socket, &["renew", "one.pem"]);
    assert!(output.status.success());
    assert!(text(&output.stdout).contains("renewing 1 certificate file;"));
    wait_for("another answer", || answered() == [2, 1]);
    let output = ask(&socket, &["renew"]);
    assert!(output.status.success());
    assert!(text(&output.stdout).contains("renewing 2 certificate files;"));
    wait_for("two more answers", || answered() == [3, 2]);

    let refused = ask(&socket, &["renew", "one.pem", "three.pem"]);
    assert_eq!(refused.status.code(), Some(1));
    let why = text(&refused.stderr);
    assert!(
        why.contains("'three.pem'") && why.lines().count() == 1,
        "{why}"
    );
    assert_eq!(daemon.count_lines(&["asked to renew"]), 2);
}

#[test]
fn renew_says_what_is_not_asked_for_and_status_why() {
    let Some(mut authority) = OpensslAuthority::new("renew without a responder") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    for number in 0..14 {
        let name = format!("site{number}");
        authority.issue(&name, "prime256v1");
        let path = directory.path().join(format!("{name}.pem"));
        fs::write(path, authority.bundle(&name)).unwrap();
    }
    let daemon = Daemon::start(&[
        directory.path().to_str().unwrap(),
        "--allow-addresses",
        "loopback",
    ]);
    let socket = daemon.control_socket();
    daemon.wait_for_line(&["ready"]);
    let mut not_asked = Value::Null;
    wait_for("a responder that is left alone", || {
        let all = status(&socket)["certificates"].as_array().unwrap().clone();
        let found = all.into_iter().find(|it| !it["not_asked"].is_null());
        not_asked = found.unwrap_or_default();
        !not_asked.is_null()
    });
    assert_eq!(not_asked["not_asked"]["reason"], "circuit_open");
    assert_eq!(not_asked["state"], "failing");
    assert_eq!(not_asked["needs_attention"], true);
    let output = ask(&socket, &["renew"]);
    assert!(output.status.success());
    let said = text(&output.stdout);
    assert!(said.contains("renewing 14 certificate files;"), "{said}");
    let responder = authority.url();
    let responder = responder.trim_end_matches('/');
    let line = format!("of them: {responder} has failed repeatedly");
    assert!(
        said.contains("not asked for 1") && said.contains(&line),
        "{said}"
    );
}

#[test]
fn a_daemon_that_is_not_there_is_one_clear_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    for command in [&["status"][..], &["status", "--json"], &["renew"]] {
        let output = ask(&path, command);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        let line = text(&output.stderr);
        assert!(line.contains(path.to_str().unwrap()) && line.lines().count() == 1);
    }
}

#[test]
fn slow_and_greedy_clients_keep_neither_the_daemon_nor_the_next_client_from_their_work() {
    let Some(mut authority) = OpensslAuthority::new("slow clients") else {
        return;
    };
    authority.issue("site", "prime256v1");
    authority.start_responder(Signer::Delegate);
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&[
        directory.path().to_str().unwrap(),
        "--allow-addresses",
        "loopback",
    ]);
    daemon.wait_for_line(&["ready"]);
    let socket = daemon.control_socket();
    // More than are served at once: some say nothing, some half of a line, some do not listen.
    let clients: Vec<UnixStream> = ["", "{\"command\":", "{\"command\":\"status\"}\n"]
        .iter()
        .cycle()
        .take(12)
        .map(|words| {
            let mut stream = UnixStream::connect(&socket).unwrap();
            stream.write_all(words.as_bytes()).unwrap();
            stream
        })
        .collect();
    fs::write(directory.path().join("site.pem"), authority.bundle("site")).unwrap();
    let staple = directory.path().join("site.pem.ocsp");
    wait_for("the staple", || fs::exists(&staple).unwrap());
    assert_eq!(certificate(&socket, "site.pem")["state"], "fresh");
    drop(clients);

    assert!(say(&socket, b"hello\n").contains("not a request"));
    // Without an end; the rest of it cannot be said any more when the answer comes.
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let _ = stream.write_all(&vec![b' '; 5 << 20]);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(
        answer.is_empty() || answer.contains("more than"),
        "{answer}"
    );
    assert_eq!(certificate(&socket, "site.pem")["state"], "fresh");
}

#[test]
fn a_reload_keeps_the_control_socket_unless_the_configuration_names_another() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("certs")).unwrap();
    let file = path("staplerd.yaml");
    let configure = |socket: &str| {
        let text = format!(
            "directories: [{}]\ncontrol_socket: {socket}\n",
            path("certs").display()
        );
        fs::write(&file, text).unwrap();
    };
    let (first, second) = (path("first.sock"), path("second.sock"));
    configure(first.to_str().unwrap());
    let mut daemon = Daemon::start_configured(&file);
    daemon.wait_for_line(&["ready"]);
    let by_file = Command::new(env!("CARGO_BIN_EXE_staplerd"))
        .args(["status", "-c", file.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(by_file.status.success(), "{by_file:?}");
    let metadata = fs::symlink_metadata(&first).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.mode() & 0o777, 0o660);
    assert_eq!(
        metadata.gid(),
        fs::metadata(directory.path()).unwrap().gid()
    );

    daemon.signal("HUP");
    daemon.wait_for_line(&["configuration read again"]);
    assert_eq!(status(&first)["pid"], daemon.pid());
    let now = fs::symlink_metadata(&first).unwrap();
    assert_eq!(now.ino(), metadata.ino());

    configure(second.to_str().unwrap());
    daemon.signal("HUP");
    wait_for("the other socket", || listens(&second));
    wait_for("the end of the first one", || !fs::exists(&first).unwrap());
    configure("null");
    daemon.signal("HUP");
    wait_for("the end of the second one", || {
        !fs::exists(&second).unwrap()
    });
    configure(first.to_str().unwrap());
    daemon.signal("HUP");
    wait_for("the first socket again", || listens(&first));
    daemon.signal("TERM");
    assert!(daemon.ended().success());
    assert!(!fs::exists(&first).unwrap(), "the socket is still there");
}

#[test]
fn the_socket_of_a_dead_daemon_is_replaced_and_that_of_a_living_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("certs")).unwrap();
    fs::create_dir(path("others")).unwrap();
    let socket = path("control.sock");
    let configure = |name: &str, certificates: &str, socket: &Path| {
        let file = path(name);
        let text = format!(
            "directories: [{}]\ncontrol_socket: {}\n",
            path(certificates).display(),
            socket.display()
        );
        fs::write(&file, text).unwrap();
        file
    };
    // Bound, and closed without being removed: as a daemon that was killed leaves it.
    drop(UnixListener::bind(&socket).unwrap());
    let first = Daemon::start_configured(&configure("1.yaml", "certs", &socket));
    first.wait_for_line(&["ready"]);
    assert_eq!(status(&socket)["pid"], first.pid());

    let mut second = Daemon::start_configured(&configure("2.yaml", "others", &socket));
    second.wait_for_line(&["ERROR", "another staplerd listens there", "in_use"]);
    second.wait_for_line(&["ready"]);
    second.signal("TERM");
    assert!(second.ended().success());
    assert_eq!(
        status(&socket)["pid"],
        first.pid(),
        "the wrong one's socket was removed"
    );

    let file = path("precious");
    fs::write(&file, "text").unwrap();
    let third = Daemon::start_configured(&configure("3.yaml", "others", &file));
    third.wait_for_line(&["ERROR", "not_a_socket", "precious"]);
    third.wait_for_line(&["ready"]);
    assert_eq!(fs::read(&file).unwrap(), b"text");
}

#[test]
fn a_reload_says_whether_the_configuration_was_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("certs")).unwrap();
    let file = path("staplerd.yaml");
    let socket = path("control.sock");
    let configure = |rest: &str| {
        let certificates = path("certs");
        let text = format!("directories: [{}]\n{rest}\n", certificates.display());
        fs::write(&file, text).unwrap();
    };
    let listening = format!("control_socket: {}", socket.display());
    configure(&listening);
    let daemon = Daemon::start_configured(&file);
    daemon.wait_for_line(&["ready"]);
    let reload = |pid: Option<u32>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_staplerd"));
        command.args(["reload", "-c", file.to_str().unwrap()]);
        command.env_remove("MAINPID");
        command.envs(pid.map(|pid| ("MAINPID", pid.to_string())));
        command.output().unwrap()
    };
    let done = reload(None);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    daemon.wait_for_line(&["configuration read again"]);

    // What the command sees itself, and what only the daemon can say.
    configure(&format!("{listening}\nrefresh_intervall: 3"));
    let refused = reload(Some(daemon.pid()));
    assert_eq!(refused.status.code(), Some(78), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("refresh_interval?"));
    configure(&format!("{listening}\nfile_group: no-such-group"));
    let refused = reload(Some(daemon.pid()));
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no-such-group"));
    daemon.wait_for_line(&["ERROR", "configuration_refused", "goes on"]);

    // Where nobody can be asked, systemd says who the daemon is.
    for elsewhere in [
        "control_socket: null".to_owned(),
        listening.replace("control.sock", "other.sock"),
    ] {
        configure(&elsewhere);
        let unknown = reload(None);
        assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
        let before = daemon.count_lines(&["configuration read again"]);
        let signalled = reload(Some(daemon.pid()));
        assert_eq!(signalled.status.code(), Some(0), "{signalled:?}");
        wait_for("the reload by signal", || {
            daemon.count_lines(&["configuration read again"]) > before
        });
    }
}
