//! stapled's command line and configuration file, run as they are.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{staplerd, stderr};
use crate::daemon::Daemon;
use crate::support::haproxy::{is_alive, send_signal, wait_for};

fn directory(below: &Path, name: &str) -> String {
    let path = below.join(name);
    fs::create_dir(&path).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The process that was started with `word` in its command line and is in the background.
fn background_process(word: &str) -> Option<u32> {
    let is_it = |pid: u32| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.starts_with("staplerd\0") && line.contains(word) && is_alive(pid)
    };
    let mut pids = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|item| item.ok()?.file_name().to_str()?.parse().ok());
    pids.find(|pid| is_it(*pid))
}

/// Ends the process in the background whatever becomes of the test.
struct Background(String);

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(pid) = background_process(&self.0) {
            send_signal(pid, "KILL");
        }
    }
}

#[test]
fn in_the_background_it_has_its_own_session_and_its_starter_leaves_when_it_is_ready() {
    let place = tempfile::tempdir().unwrap();
    let certificates = directory(place.path(), "certs");
    let log = place.path().join("log");
    let _guard = Background(certificates.clone());
    let output = Command::new(env!("CARGO_BIN_EXE_staplerd"))
        .args(["-D", "-q", &certificates, "-l", log.to_str().unwrap()])
        .env_remove("JOURNAL_STREAM")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    // The end of its output is the end of the starter: nobody else holds the streams.
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let log = fs::read_to_string(log.join("staplerd.log")).unwrap();
    assert!(log.contains("ready, 0 certificate files"), "{log}");
    let pid = background_process(&certificates).expect("a process in the background");
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(arguments.starts_with(b"staplerd\0-D\0"), "as ps shows it");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let (group, session) = (fields[2], fields[3]);
    assert_eq!([group, session], [pid.to_string().as_str(); 2]);
    for stream in [0, 1, 2] {
        let leads_to = fs::read_link(format!("/proc/{pid}/fd/{stream}")).unwrap();
        assert_eq!(leads_to, Path::new("/dev/null"));
    }
    send_signal(pid, "TERM");
    wait_for("the end in the background", || !is_alive(pid));
}

#[test]
fn what_keeps_it_from_the_background_is_said_with_its_exit_code() {
    let place = tempfile::tempdir().unwrap();
    let certificates = directory(place.path(), "certs");
    let file = place.path().join("staplerd.yaml");
    let text = format!("directories:\n- path: {certificates}\nfile_group: no-such-group\n");
    fs::write(&file, text).unwrap();
    let output = staplerd(&["run", "-D", "-c", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78), "{}", stderr(&output));
    assert!(stderr(&output).contains("no-such-group"));
    let output = staplerd(&["-D", "-d", "/a", "/b", "-s", "/1.sock"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("2 certificate directories but 1 HAProxy socket"));
}

#[test]
fn the_log_file_gets_every_record_and_is_begun_anew_when_it_was_moved() {
    let place = tempfile::tempdir().unwrap();
    let certificates = directory(place.path(), "certs");
    let log = place.path().join("log");
    let mut daemon = Daemon::start(&[&certificates, "-q", "--logdir", log.to_str().unwrap()]);
    let file = log.join("staplerd.log");
    let said =
        |file: &Path, word: &str| fs::read_to_string(file).is_ok_and(|text| text.contains(word));
    wait_for("the first record", || said(&file, "ready, "));
    fs::rename(&file, log.join("staplerd.log.1")).unwrap();
    daemon.signal("TERM");
    assert!(daemon.ended().success());
    assert!(said(&file, "stopping") && !said(&file, "ready, "));
    assert_eq!(daemon.log(), "", "-q, and nothing was wrong");
    let mut refused = Daemon::start(&[&certificates, "--logdir", "/dev/null/log"]);
    assert_eq!(refused.ended().code(), Some(78));
    refused.wait_for_line(&["/dev/null/log", "cannot write the log"]);
}

#[test]
fn stapleds_whole_command_line_is_taken() {
    let place = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| directory(place.path(), name));
    let [one, two] = ["1.sock", "2.sock"].map(|name| place.path().join(name));
    let [one, two] = [&one, &two].map(|path| path.to_str().unwrap());
    let log = place.path().join("log");
    let mut daemon = Daemon::start(&[
        "--minimum-validity",
        "7200",
        "-t",
        "2",
        "--verbosity",
        "3",
        "--interactive",
        "--file-extensions",
        "crt,pem,cer",
        "-r",
        "60",
        "-l",
        log.to_str().unwrap(),
        "--syslog",
        "--haproxy-socket-keepalive",
        "10",
        "-R",
        "--no-recycle",
        "-i",
        "*.old",
        "/x/*",
        "-d",
        &first,
        &second,
        "-s",
        one,
        two,
    ]);
    daemon.wait_for_line(&["ready"]);
    daemon.wait_for_line(&[one, "no_such_socket"]);
    daemon.wait_for_line(&[two, "no_such_socket"]);
    assert_eq!(daemon.count_lines(&["--haproxy-socket-keepalive"]), 1);
    daemon.signal("TERM");
    assert!(daemon.ended().success());
    let mut files_only = Daemon::start(&["-d", &first, "-s", one, "--no-haproxy-sockets"]);
    files_only.wait_for_line(&["ready"]);
    files_only.signal("TERM");
    assert!(files_only.ended().success());
    assert_eq!(files_only.count_lines(&[one]), 0);
}

#[test]
fn its_configuration_file_is_read_from_its_place_unless_there_is_our_own() {
    let home = tempfile::tempdir().unwrap();
    let certificates = directory(home.path(), "certs");
    let environment = [("HOME", home.path().to_str().unwrap())];
    let old = format!("# ocspd's\n[ocspd]\ndirectories = [{certificates}]\nverbosity = 3\n");
    fs::write(home.path().join(".ocspd.conf"), &old).unwrap();
    let started = |arguments: &[&str], words: &[&str]| {
        let mut daemon = Daemon::start_with(arguments, &environment);
        daemon.wait_for_line(words);
        daemon.wait_for_line(&["ready"]);
        daemon.signal("TERM");
        assert!(daemon.ended().success());
    };
    started(
        &[],
        &[".ocspd.conf is read as stapled's configuration file"],
    );
    let named = home.path().join("other.conf");
    fs::write(&named, old).unwrap();
    let named = named.to_str().unwrap();
    started(
        &["-c", named],
        &["other.conf is read as stapled's configuration file"],
    );
    let own = format!("directories:\n- path: {certificates}\n");
    fs::write(home.path().join(".staplerd.yaml"), own).unwrap();
    started(&[], &["configured by", ".staplerd.yaml"]);
    fs::write(named, "directories = []\nrenewal-threads = x\n").unwrap();
    let mut wrong = Daemon::start_with(&["-c", named], &environment);
    assert_eq!(wrong.ended().code(), Some(78));
    assert_eq!(wrong.count_lines(&["other.conf:1: directories: "]), 1);
    assert_eq!(
        wrong.count_lines(&["other.conf:2: renewal-threads: 'x'"]),
        1
    );
}

#[test]
fn a_word_that_names_nothing_is_no_directory_to_watch() {
    let place = tempfile::tempdir().unwrap();
    let config = place.path().join("staplerd.yaml");
    fs::write(&config, "").unwrap();
    let config = config.to_str().unwrap();
    for (arguments, hint) in [
        (&["stauts"][..], "did you mean 'staplerd status'?"),
        (
            &["-c", config, "status"],
            "status is a command: it comes first",
        ),
        (&["run", "certs"], "there is no such directory"),
        (&["--recursiv", "."], "--recursive"),
        (&["--haproxy-socket", "/a"], "--haproxy-sockets"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_staplerd"))
            .current_dir(place.path())
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(stderr(&output).contains(hint), "{}", stderr(&output));
    }
}
