//! The process as an operator and systemd see it: exit codes, signals, notifications, the unit.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::authority::OpensslAuthority;
use super::{Daemon, names};
use crate::skip::skipped;
use crate::support::haproxy::wait_for;

const CONFIGURATION_ERROR: Option<i32> = Some(78);

fn arguments_refused(arguments: &[&str], words: &[&str]) {
    let mut daemon = Daemon::start(arguments);
    assert_eq!(
        daemon.ended().code(),
        CONFIGURATION_ERROR,
        "{}",
        daemon.log()
    );
    let log = daemon.log();
    assert_eq!(log.lines().count(), 1, "one clear line: {log}");
    for word in words {
        assert!(log.contains(word), "no '{word}' in {log}");
    }
}

#[test]
fn wrong_configurations_end_with_78_and_one_line_that_says_what_to_do() {
    arguments_refused(
        &["-d", "/a", "/b", "-s", "/1.sock"],
        &["2 certificate directories", "1 HAProxy socket"],
    );
    arguments_refused(
        &["/a", "-s", "/1.sock", "/2.sock"],
        &["1 certificate directory", "2 HAProxy sockets"],
    );
    let long = format!("/{}", "x".repeat(107));
    arguments_refused(&["/a", "-s", &long], &["108 bytes", "107"]);
    arguments_refused(&["/a", "--allow-addresses", "neighbours"], &["neighbours"]);
    arguments_refused(
        &["/a", "--refresh-interval", "0"],
        &["--refresh-interval: 0s", "1s and 1d"],
    );
}

#[test]
fn directories_are_taken_by_position_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let mut daemon = Daemon::start(&[path, path, "-s", "/nowhere/1.sock", "/nowhere/2.sock"]);
    daemon.wait_for_line(&["ready"]);
    daemon.wait_for_line(&["/nowhere/1.sock", "no_such_socket"]);
    daemon.wait_for_line(&["/nowhere/2.sock", "no_such_socket"]);
    daemon.signal("TERM");
    assert!(daemon.ended().success());
}

/// What arrives at systemd's socket, one datagram after the other.
struct Notifications {
    socket: UnixDatagram,
    seen: String,
}

impl Notifications {
    fn bind(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(1)))
            .unwrap();
        Notifications {
            socket,
            seen: String::new(),
        }
    }

    fn wait_for(&mut self, state: &str) {
        wait_for(state, || {
            let mut datagram = [0; 4096];
            if let Ok(length) = self.socket.recv(&mut datagram) {
                self.seen += &String::from_utf8_lossy(&datagram[..length]);
                self.seen.push('\n');
            }
            self.seen.lines().any(|line| line == state)
        });
    }
}

#[test]
fn systemd_is_told_ready_after_the_first_pass_then_alive_then_stopping() {
    let directory = tempfile::tempdir().unwrap();
    let certificates = directory.path().join("certs");
    fs::create_dir(&certificates).unwrap();
    let path = directory.path().join("notify");
    let mut notifications = Notifications::bind(&path);
    let mut daemon = Daemon::start_with(
        &[certificates.to_str().unwrap()],
        &[
            ("NOTIFY_SOCKET", path.to_str().unwrap()),
            ("WATCHDOG_USEC", "400000"),
        ],
    );
    notifications.wait_for("READY=1");
    assert!(
        daemon.log().contains("ready"),
        "READY before the first pass"
    );
    notifications.seen.clear();
    notifications.wait_for("WATCHDOG=1");
    notifications.seen.clear();
    notifications.wait_for("WATCHDOG=1");
    daemon.signal("TERM");
    notifications.wait_for("STOPPING=1");
    assert!(daemon.ended().success());
}

#[test]
fn signals_end_it_also_while_everything_around_hangs() {
    let Some(mut authority) = OpensslAuthority::new("hanging responder") else {
        return;
    };
    // Nothing accepts on the responder's port but the kernel; the control socket never answers.
    let port = authority.url().rsplit(':').next().unwrap().parse().unwrap();
    let _responder = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("silent.sock");
    let _haproxy = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let certificates = directory.path().join("certs");
    fs::create_dir(&certificates).unwrap();
    authority.issue("site", "prime256v1");
    fs::write(certificates.join("site.pem"), authority.bundle("site")).unwrap();
    for signal in ["TERM", "INT"] {
        let mut daemon = Daemon::start(&[
            certificates.to_str().unwrap(),
            "-s",
            socket.to_str().unwrap(),
            "--allow-addresses",
            "loopback",
        ]);
        daemon.wait_for_line(&["ready"]);
        let told = Instant::now();
        daemon.signal(signal);
        assert!(daemon.ended().success());
        // Two seconds are promised; the rest is for a machine that is busy with other tests.
        assert!(
            told.elapsed() < Duration::from_secs(8),
            "{:?}",
            told.elapsed()
        );
        assert_eq!(names(&certificates), ["site.pem"]);
    }
}

#[test]
fn the_signals_for_renewal_and_rescan_are_taken() {
    let Some(mut authority) = OpensslAuthority::new("signals") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    authority.issue("site", "prime256v1");
    fs::write(directory.path().join("site.pem"), authority.bundle("site")).unwrap();
    let mut daemon = Daemon::start(&[
        directory.path().to_str().unwrap(),
        "--allow-addresses",
        "loopback",
        "--refresh-interval",
        "86400",
    ]);
    daemon.wait_for_line(&["connect_refused", "failures=1"]);
    daemon.signal("USR1");
    daemon.wait_for_line(&["failures=2"]);
    daemon.signal("HUP");
    daemon.signal("TERM");
    assert!(daemon.ended().success());
}

#[test]
fn the_systemd_unit_is_one_that_systemd_accepts() {
    let unit = fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/systemd/staplerd.service"
    ))
    .unwrap();
    for setting in [
        "Type=notify",
        "Restart=on-failure",
        "WatchdogSec=",
        "User=staplerd",
        "RuntimeDirectory=staplerd",
        "RuntimeDirectoryMode=0750",
    ] {
        assert!(
            unit.lines().any(|line| line.starts_with(setting)),
            "no {setting}"
        );
    }
    // systemd-analyze wants the program to exist.
    let installed = unit.replace("/usr/local/bin/staplerd", env!("CARGO_BIN_EXE_staplerd"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("staplerd.service");
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(installed.as_bytes()).unwrap();
    match Command::new("systemd-analyze")
        .arg("verify")
        .arg(&path)
        .output()
    {
        Ok(output) => {
            let complaints = String::from_utf8_lossy(&output.stderr);
            let ours: Vec<&str> = complaints
                .lines()
                .filter(|line| line.contains("staplerd.service"))
                .collect();
            assert!(ours.is_empty(), "{ours:?}");
            assert!(output.status.success(), "{complaints}");
        }
        Err(_) => skipped("systemd unit: there is no systemd-analyze on this machine"),
    }
}
