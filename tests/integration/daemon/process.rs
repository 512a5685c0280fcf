//! The process as an operator and systemd see it: exit codes, signals, notifications, the unit.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

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
fn systemd_is_told_ready_and_how_it_stands_also_where_it_could_not_be_told_at_first() {
    let Some(mut authority) = OpensslAuthority::new("notification") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let certificates = directory.path().join("certs");
    fs::create_dir(&certificates).unwrap();
    let path = directory.path().join("notify");
    let daemon = Daemon::start_with(
        &[certificates.to_str().unwrap()],
        &[("NOTIFY_SOCKET", path.to_str().unwrap())],
    );
    daemon.wait_for_line(&["ready"]);
    let mut notifications = Notifications::bind(&path);
    notifications.wait_for("READY=1");
    notifications.wait_for("STATUS=0 certificate files");
    // Told as soon as it is another, not at the next look at the directories.
    authority.issue("site", "prime256v1");
    fs::write(certificates.join("site.pem"), authority.bundle("site")).unwrap();
    notifications.wait_for("STATUS=1 certificate file: 1 failing");
    assert!(!notifications.seen.contains("READY=1\nREADY=1"));
}

#[test]
fn without_file_descriptors_it_waits_and_says_nothing_about_certificates() {
    let Some(mut authority) = OpensslAuthority::new("file descriptors") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let certificates = directory.path().join("certs");
    fs::create_dir(&certificates).unwrap();
    let daemon = Daemon::start(&[certificates.to_str().unwrap(), "-r", "1"]);
    daemon.wait_for_line(&["ready"]);
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap());
    let limit = |soft: u64| {
        let limit = Rlimit {
            current: Some(soft),
            ..getrlimit(Resource::Nofile)
        };
        prlimit(pid, Resource::Nofile, limit).unwrap();
    };
    authority.issue("site", "prime256v1");
    limit(3);
    fs::write(certificates.join("site.pem"), authority.bundle("site")).unwrap();
    daemon.wait_for_line(&["WARN", "not read yet", "shortage", "LimitNOFILE"]);
    limit(1024);
    daemon.wait_for_line(&["found", "site.pem"]);
    for words in ["passed over", "emptied", "gone"] {
        assert_eq!(daemon.count_lines(&[words]), 0, "{words}");
    }
}

#[test]
fn it_may_open_as_many_files_as_the_system_lets_it() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&[directory.path().to_str().unwrap()]);
    daemon.wait_for_line(&["ready"]);
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let words: Vec<&str> = line.unwrap().split_whitespace().collect();
    assert_eq!(words[3], words[4], "soft and hard");
}

#[test]
fn a_default_place_that_cannot_be_looked_at_is_passed_over_with_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    // Not a directory: also root cannot look into it.
    let home = directory.path().join("home");
    fs::write(&home, "").unwrap();
    let daemon = Daemon::start_with(
        &[directory.path().to_str().unwrap()],
        &[("HOME", home.to_str().unwrap())],
    );
    daemon.wait_for_line(&["ready"]);
    if Path::new("/etc/staplerd/staplerd.yaml").exists() {
        skipped("default places: this machine has a configuration of its own");
        return;
    }
    daemon.wait_for_line(&[
        "WARN",
        "home/.staplerd.yaml",
        "Not a directory",
        "passed over",
    ]);
}

#[test]
fn under_systemd_it_stays_the_process_that_systemd_started() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let mut notifications = Notifications::bind(&path);
    let mut daemon = Daemon::start_with(
        &["-D", directory.path().to_str().unwrap()],
        &[("NOTIFY_SOCKET", path.to_str().unwrap())],
    );
    notifications.wait_for("READY=1");
    daemon.wait_for_line(&["WARN", "-D has no effect"]);
    daemon.signal("TERM");
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
