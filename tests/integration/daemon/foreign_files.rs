//! What strangers put beside two honest certificates: those are stapled all the same, nobody waits
//! for anything, and nothing outside the directory is read or written.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::authority::{OpensslAuthority, Signer};
use super::directories::{daemon_for, wait_until_written};
use super::names;
use crate::support::haproxy::wait_for;

fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
}

/// An authority with these certificates and a directory in which `first` is.
fn scene(test: &str, certificates: &[&str]) -> Option<(OpensslAuthority, tempfile::TempDir)> {
    let mut authority = OpensslAuthority::new(test)?;
    for name in certificates {
        authority.issue(name, "prime256v1");
    }
    authority.start_responder(Signer::Delegate);
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("certs")).unwrap();
    let first = directory.path().join("certs/first.pem");
    fs::write(first, authority.bundle("first")).unwrap();
    Some((authority, directory))
}

#[test]
fn what_is_no_file_where_one_is_expected_holds_nobody_up() {
    let names_of = ["first", "second", "third"];
    let Some((authority, directory)) = scene("strange files", &names_of) else {
        return;
    };
    let path = |name: &str| directory.path().join("certs").join(name);
    fifo(&path("first.pem.ocsp"));
    fs::write(path("second.pem"), authority.bundle("second")).unwrap();
    symlink("/dev/zero", path("second.pem.ocsp")).unwrap();
    fs::write(path("third.pem"), authority.bundle("third")).unwrap();
    fifo(&path("third.pem.issuer"));
    fifo(&path("fifo.pem"));
    symlink("/dev/zero", path("zero.pem")).unwrap();
    symlink("/proc/self/maps", path("maps.pem")).unwrap();
    let _socket = UnixListener::bind(path("socket.pem")).unwrap();
    fs::create_dir(path("folder.pem.ocsp")).unwrap();
    fs::write(path("folder.pem"), authority.bundle("third")).unwrap();
    let daemon = daemon_for(&directory.path().join("certs"), &[]);
    for name in ["first", "second"] {
        let staple = path(&format!("{name}.pem.ocsp"));
        // Until then whoever reads it waits for ever.
        wait_for("a file in its place", || {
            fs::symlink_metadata(&staple).is_ok_and(|it| it.is_file())
        });
        wait_until_written(&authority, &path(&format!("{name}.pem")), name);
    }
    daemon.wait_for_line(&["third.pem", "no_issuer", "is not the issuer"]);
    daemon.wait_for_line(&["folder.pem", "is_a_directory"]);
    daemon.wait_for_line(&["ready"]);
    // While it runs, too.
    fs::remove_file(path("fifo.pem")).unwrap();
    fs::remove_file(path("first.pem")).unwrap();
    fifo(&path("first.pem"));
    fs::write(path("fourth.pem"), authority.bundle("second")).unwrap();
    wait_until_written(&authority, &path("fourth.pem"), "second");
}

#[test]
fn a_tenants_links_lead_out_neither_for_reading_nor_for_writing() {
    let Some((authority, directory)) = scene("a tenant's links", &["first", "second"]) else {
        return;
    };
    let path = |name: &str| directory.path().join(name);
    fs::create_dir_all(path("certs/tenant")).unwrap();
    fs::create_dir_all(path("outside/deep")).unwrap();
    for name in ["outside/second.pem", "outside/deep/second.pem"] {
        fs::write(path(name), authority.bundle("second")).unwrap();
    }
    symlink("../../outside", path("certs/tenant/out")).unwrap();
    symlink(path("outside"), path("certs/tenant/absolute")).unwrap();
    symlink("..", path("certs/tenant/circle")).unwrap();
    let daemon = daemon_for(&path("certs"), &["-R"]);
    wait_until_written(&authority, &path("certs/first.pem"), "first");
    for name in ["tenant/out", "tenant/absolute"] {
        daemon.wait_for_line(&[name, "reason=\"leads_out\"", "is not followed"]);
    }
    // A folder that is swapped for a link after it was found.
    fs::create_dir(path("certs/tenant/own")).unwrap();
    fs::write(
        path("certs/tenant/own/second.pem"),
        authority.bundle("second"),
    )
    .unwrap();
    wait_until_written(&authority, &path("certs/tenant/own/second.pem"), "second");
    fs::rename(path("certs/tenant/own"), path("certs/tenant/away")).unwrap();
    symlink("../../outside/deep", path("certs/tenant/own")).unwrap();
    daemon.wait_for_line(&["tenant/own", "reason=\"leads_out\""]);
    assert_eq!(names(&path("outside")), ["deep", "second.pem"]);
    assert_eq!(names(&path("outside/deep")), ["second.pem"]);
}

#[test]
fn a_name_that_would_forge_a_line_is_one_line_in_every_log() {
    let Some((authority, directory)) = scene("forging names", &["first"]) else {
        return;
    };
    let log = tempfile::tempdir().unwrap();
    let name = "x\n2026-01-01T00:00:00Z ERROR forged \u{1b}[2K\u{202e}.pem";
    fs::write(directory.path().join("certs").join(name), "nothing").unwrap();
    let certs = directory.path().join("certs");
    let daemon = daemon_for(&certs, &["--logdir", log.path().to_str().unwrap()]);
    wait_until_written(&authority, &certs.join("first.pem"), "first");
    let shown = r"x\n2026-01-01T00:00:00Z ERROR forged \u{1b}[2K\u{202e}.pem";
    daemon.wait_for_line(&[shown, "unreadable"]);
    let file = fs::read_to_string(log.path().join("staplerd.log")).unwrap();
    for text in [daemon.log(), file] {
        assert!(text.contains(shown), "{text}");
        assert!(
            !text.lines().any(|line| line.starts_with("2026-01-01")),
            "{text}"
        );
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
    }
}

#[test]
fn clients_that_say_nothing_keep_nobody_from_the_control_socket() {
    let Some((authority, directory)) = scene("silent clients", &["first"]) else {
        return;
    };
    let certs = directory.path().join("certs");
    let daemon = daemon_for(&certs, &[]);
    wait_until_written(&authority, &certs.join("first.pem"), "first");
    wait_for("the control socket", || daemon.control_socket().exists());
    let mut silent = Vec::new();
    for _ in 0..200 {
        let mut client = UnixStream::connect(daemon.control_socket()).unwrap();
        let _ = client.write_all(b"{");
        silent.push(client);
    }
    let request = staplerd::control::ControlRequest::Status { names: Vec::new() };
    let reply = staplerd::control::ask(&daemon.control_socket(), &request);
    assert!(reply.is_ok(), "{reply:?}");
}
