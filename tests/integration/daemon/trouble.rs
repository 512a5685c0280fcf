//! Bad input: each with one clear line, and the rest of the work goes on.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use super::Daemon;
use super::authority::{OpensslAuthority, Signer};
use crate::skip::skipped;
use crate::support::haproxy::{Haproxy, Setup, installations, wait_for};

#[test]
fn every_bad_file_and_directory_gets_one_line_and_the_good_certificate_its_staple() {
    let Some(mut authority) = OpensslAuthority::new("bad files") else {
        return;
    };
    authority.issue("good", "prime256v1");
    authority.start_responder(Signer::Delegate);
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let bundle = authority.bundle("good");
    fs::write(path("good.pem"), &bundle).unwrap();
    fs::write(path("text.pem"), "hello").unwrap();
    fs::write(path("empty.pem"), "").unwrap();
    fs::write(path("half.pem"), &bundle[..200]).unwrap();
    fs::write(path("key.pem"), authority.read("good.key")).unwrap();
    fs::write(path("bare.pem"), authority.read("good.pem")).unwrap();
    fs::write(path("random.pem"), [0xff; 1000]).unwrap();
    fs::create_dir(path("folder.pem")).unwrap();
    symlink("/nowhere", path("link.pem")).unwrap();
    let missing = path("missing");
    let file = path("text.pem");
    let daemon = Daemon::start(&[
        "-d",
        directory.path().to_str().unwrap(),
        missing.to_str().unwrap(),
        file.to_str().unwrap(),
        "--allow-addresses",
        "loopback",
        "-r",
        "1",
    ]);
    wait_for("the good certificate's staple", || {
        fs::exists(path("good.pem.ocsp")).unwrap()
    });
    for (name, reason) in [
        ("text.pem", "unreadable"),
        ("empty.pem", "unreadable"),
        ("half.pem", "unreadable"),
        ("key.pem", "unreadable"),
        ("random.pem", "unreadable"),
        ("link.pem", "unreadable"),
        ("bare.pem", "no_issuer"),
    ] {
        let line = daemon.wait_for_line(&["certificate=", name, &format!("reason=\"{reason}\"")]);
        assert!(line.contains("WARN"), "{line}");
    }
    daemon.wait_for_line(&["directory does not exist", missing.to_str().unwrap()]);
    daemon.wait_for_line(&["directory is not a directory"]);

    // The scans go on every second; nothing is said twice.
    fs::write(path("late.pem"), &bundle).unwrap();
    wait_for("the late certificate's staple", || {
        fs::exists(path("late.pem.ocsp")).unwrap()
    });
    fs::remove_file(path("late.pem")).unwrap();
    daemon.wait_for_line(&["late.pem", "gone"]);
    assert_eq!(
        daemon.count_lines(&["text.pem", "reason=\"unreadable\""]),
        1
    );
    assert_eq!(daemon.count_lines(&["directory does not exist"]), 1);

    // The half one becomes whole.
    fs::write(path("half.pem"), &bundle).unwrap();
    wait_for("the completed certificate's staple", || {
        fs::exists(path("half.pem.ocsp")).unwrap()
    });
}

#[test]
fn a_directory_that_empties_says_so_and_is_watched_on() {
    let Some(mut authority) = OpensslAuthority::new("emptied directory") else {
        return;
    };
    authority.issue("site", "prime256v1");
    authority.start_responder(Signer::Delegate);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("site.pem");
    fs::write(&path, authority.bundle("site")).unwrap();
    let daemon = Daemon::start(&[
        directory.path().to_str().unwrap(),
        "--allow-addresses",
        "loopback",
    ]);
    let staple = directory.path().join("site.pem.ocsp");
    wait_for("the staple", || fs::exists(&staple).unwrap());
    fs::remove_file(&path).unwrap();
    daemon.wait_for_line(&["WARN", "no certificates any more"]);
    wait_for("the staple to go as well", || !fs::exists(&staple).unwrap());
    fs::write(&path, authority.bundle("site")).unwrap();
    wait_for("the staple again", || fs::exists(&staple).unwrap());
}

#[test]
fn addresses_that_certificates_may_not_point_to_are_refused_with_the_way_to_allow_them() {
    let Some(mut authority) = OpensslAuthority::new("refused addresses") else {
        return;
    };
    authority.issue_independent("site", "prime256v1");
    authority.start_independent_responder(Signer::Delegate);
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("site.pem"), authority.bundle("site")).unwrap();
    let daemon = Daemon::start(&[directory.path().to_str().unwrap()]);
    daemon.wait_for_line(&[
        "reason=\"address_refused\"",
        "127.0.0.1 is a loopback address",
        "--allow-addresses loopback",
    ]);
    assert!(
        !authority
            .read("independent.log")
            .contains("Received request")
    );
}

#[test]
fn responders_that_are_down_or_talk_nonsense_cost_their_own_certificates_only() {
    let (Some(mut down), Some(mut nonsense), Some(mut well)) = (
        OpensslAuthority::new("bad responders"),
        OpensslAuthority::new("bad responders"),
        OpensslAuthority::new("bad responders"),
    ) else {
        return;
    };
    let port: u16 = nonsense.url().rsplit(':').next().unwrap().parse().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(100) {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let page = "<html>welcome</html>";
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
                page.len()
            );
        }
    });
    let directory = tempfile::tempdir().unwrap();
    for (name, authority) in [
        ("down", &mut down),
        ("nonsense", &mut nonsense),
        ("well", &mut well),
    ] {
        authority.issue(name, "prime256v1");
        fs::write(
            directory.path().join(format!("{name}.pem")),
            authority.bundle(name),
        )
        .unwrap();
    }
    well.start_responder(Signer::Delegate);
    let daemon = Daemon::start(&[
        directory.path().to_str().unwrap(),
        "--allow-addresses",
        "127.0.0.0/8",
    ]);
    let staple = directory.path().join("well.pem.ocsp");
    wait_for("the staple", || fs::exists(&staple).unwrap());
    daemon.wait_for_line(&["down.pem", "reason=\"connect_refused\"", "next attempt in"]);
    daemon.wait_for_line(&["nonsense.pem", "no response", "next attempt in"]);
}

#[test]
fn sockets_that_are_no_haproxys_do_not_stop_the_files() {
    let Some(mut authority) = OpensslAuthority::new("bad sockets") else {
        return;
    };
    authority.issue("site", "prime256v1");
    authority.start_responder(Signer::Delegate);
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let text = |name: &str| path(name).to_str().unwrap().to_owned();
    for name in ["a", "b", "c"] {
        fs::create_dir(path(name)).unwrap();
        fs::write(path(name).join("site.pem"), authority.bundle("site")).unwrap();
    }
    // One is missing, one refuses (bound once, closed again), one belongs to an HTTP server.
    drop(UnixListener::bind(path("refusing.sock")).unwrap());
    let other = UnixListener::bind(path("other.sock")).unwrap();
    std::thread::spawn(move || {
        for stream in other.incoming().take(20) {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\nI speak HTTP\n\n");
        }
    });
    let daemon = Daemon::start(&[
        "-d",
        &text("a"),
        &text("b"),
        &text("c"),
        "-s",
        &text("missing.sock"),
        &text("refusing.sock"),
        &text("other.sock"),
        "--allow-addresses",
        "loopback",
    ]);
    for name in ["a", "b", "c"] {
        let staple = path(name).join("site.pem.ocsp");
        wait_for("the staple", || fs::exists(&staple).unwrap());
    }
    daemon.wait_for_line(&["missing.sock", "no_such_socket"]);
    daemon.wait_for_line(&["refusing.sock", "reason=\"refused\""]);
    daemon.wait_for_line(&["other.sock", "no connection to HAProxy"]);
}

#[test]
fn a_stats_socket_that_a_certificate_names_is_never_asked() {
    let Some(installation) = installations("a stats socket as responder").pop() else {
        return;
    };
    let Some(mut authority) = OpensslAuthority::new("a stats socket as responder") else {
        return;
    };
    authority.issue("good", "prime256v1");
    let setup = Setup {
        global: "stats socket ipv4@{other_tls} level admin".to_owned(),
        ..Setup::default()
    };
    let files = [("good.pem", authority.bundle("good"))];
    let files = files.each_ref().map(|(name, pem)| (*name, pem.as_bytes()));
    let haproxy = Haproxy::start(&installation, setup, &files);
    let socket = haproxy.other_tls;
    authority.issue_naming("evil", "prime256v1", 'V', &format!("http://{socket}"));
    haproxy.write("evil.pem", authority.bundle("evil").as_bytes());
    let (certificates, address) = (haproxy.path("certs"), format!("tcp://{socket}"));
    let configuration = haproxy.path("haproxy.cfg");
    let by_option = ["-d", certificates.as_str(), "-s", address.as_str()];
    let by_haproxy = ["--haproxy-config", configuration.as_str()];
    for places in [&by_option[..], &by_haproxy] {
        let daemon = Daemon::start(&[places, &["--allow-addresses", "loopback"]].concat());
        daemon.wait_for_line(&[
            "evil.pem",
            "reason=\"address_refused\"",
            "is a control socket of HAProxy, which is never asked",
        ]);
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_noticed_at_the_start() {
    let authority = crate::support::pki::Authority::new();
    let site = authority.issue("site", Some("http://127.0.0.1:9/")).pem();
    let directory = tempfile::tempdir().unwrap();
    let certificates = directory.path().join("certs");
    fs::create_dir(&certificates).unwrap();
    fs::write(certificates.join("site.pem"), site).unwrap();
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(directory.path(), open.clone()).unwrap();
    fs::set_permissions(&certificates, open).unwrap();
    let log = directory.path().join("log");
    // Another user than the directory's owner; this machine may have no other.
    let mut child = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(env!("CARGO_BIN_EXE_staplerd"))
        .args(["--control-socket", "null", "-d"])
        .arg(&certificates)
        .env_remove("JOURNAL_STREAM")
        .stdin(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn();
    let Ok(child) = &mut child else {
        return skipped("a directory that cannot be written: there is no setpriv");
    };
    let mut text = String::new();
    wait_for("its first words", || {
        text = fs::read_to_string(&log).unwrap();
        text.contains("ready, ") || child.try_wait().unwrap().is_some()
    });
    let _ = child.kill();
    let _ = child.wait();
    if text.contains("setpriv: ") || text.is_empty() {
        return skipped("a directory that cannot be written: no other user to be had");
    }
    let line = text.lines().find(|line| line.contains("not_writable"));
    let line = line.unwrap_or_else(|| panic!("{text}"));
    for words in [
        "staples cannot be written",
        "certs",
        "Permission denied",
        "let the user",
    ] {
        assert!(line.contains(words), "{line}");
    }
}
