//! Directories as certbot and Kubernetes keep them, with another staplerd at work in them, and
//! with no room left.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::authority::{OpensslAuthority, Signer};
use super::{Daemon, names};
use crate::skip::skipped;
use crate::support::haproxy::{Haproxy, Setup, installations, wait_for};

/// A scan that comes by itself would hide that a change was not noticed.
const NO_SCAN: &str = "86400";

pub(super) fn daemon_for(directory: &Path, more: &[&str]) -> Daemon {
    let path = directory.to_str().unwrap();
    let mut arguments = vec![path, "--allow-addresses", "loopback", "-r", NO_SCAN, "-v"];
    arguments.extend(more);
    Daemon::start(&arguments)
}

/// Waits until the staple beside `path` is one that openssl accepts for `name`.
pub(super) fn wait_until_written(authority: &OpensslAuthority, path: &Path, name: &str) {
    let staple = path.with_extension("pem.ocsp");
    wait_for(&format!("the staple of {name} beside {path:?}"), || {
        fs::read(&staple).is_ok_and(|bytes| authority.accepts(name, &bytes))
    });
}

#[test]
fn certbots_links_are_followed_and_the_staple_lies_beside_the_link() {
    let Some(mut authority) = OpensslAuthority::new("certbot's directories") else {
        return;
    };
    for name in ["first", "second", "third"] {
        authority.issue(name, "prime256v1");
    }
    authority.start_responder(Signer::Delegate);
    let directory = tempfile::tempdir().unwrap();
    let (live, archive) = (
        directory.path().join("live"),
        directory.path().join("archive/site"),
    );
    fs::create_dir_all(live.join("site")).unwrap();
    fs::create_dir_all(&archive).unwrap();
    let link = live.join("site/fullchain.pem");
    fs::write(archive.join("fullchain1.pem"), authority.bundle("first")).unwrap();
    symlink("../../archive/site/fullchain1.pem", &link).unwrap();
    let _daemon = daemon_for(&live, &["-R", "--file-extensions", "pem"]);
    wait_until_written(&authority, &link, "first");

    // Renewed: a new file in the archive, and the link leads to it.
    fs::write(archive.join("fullchain2.pem"), authority.bundle("second")).unwrap();
    fs::remove_file(&link).unwrap();
    symlink("../../archive/site/fullchain2.pem", &link).unwrap();
    wait_until_written(&authority, &link, "second");

    // Written over in the archive: only the real folder tells.
    fs::write(archive.join("fullchain2.pem"), authority.bundle("third")).unwrap();
    wait_until_written(&authority, &link, "third");
    assert_eq!(names(&archive), ["fullchain1.pem", "fullchain2.pem"]);

    // A site that is new is found without a scan that comes by itself.
    fs::create_dir(live.join("other")).unwrap();
    let other = live.join("other/fullchain.pem");
    fs::write(&other, authority.bundle("first")).unwrap();
    wait_until_written(&authority, &other, "first");
}

#[test]
fn kubernetes_swaps_of_a_whole_folder_are_noticed() {
    let Some(mut authority) = OpensslAuthority::new("Kubernetes' directories") else {
        return;
    };
    for name in ["first", "second", "third"] {
        authority.issue(name, "prime256v1");
    }
    authority.start_responder(Signer::Delegate);
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    symlink("..data/tls.pem", path("tls.pem")).unwrap();
    let swap = |name: &str| {
        let folder = format!("..{name}");
        fs::create_dir(path(&folder)).unwrap();
        fs::write(path(&folder).join("tls.pem"), authority.bundle(name)).unwrap();
        symlink(&folder, path("..data_tmp")).unwrap();
        fs::rename(path("..data_tmp"), path("..data")).unwrap();
    };
    swap("first");
    let _daemon = daemon_for(directory.path(), &[]);
    for name in ["first", "second", "third"] {
        if name != "first" {
            swap(name);
        }
        wait_until_written(&authority, &path("tls.pem"), name);
    }
}

#[test]
fn a_directory_that_is_a_link_is_followed_when_it_leads_elsewhere() {
    let Some(mut authority) = OpensslAuthority::new("a directory that is a link") else {
        return;
    };
    authority.issue("old", "prime256v1");
    authority.issue("new", "prime256v1");
    authority.start_responder(Signer::Delegate);
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for name in ["old", "new"] {
        fs::create_dir(path(name)).unwrap();
        fs::write(path(name).join("site.pem"), authority.bundle(name)).unwrap();
    }
    symlink("old", path("certs")).unwrap();
    let _daemon = daemon_for(&path("certs"), &[]);
    wait_until_written(&authority, &path("old/site.pem"), "old");
    symlink("new", path("certs_tmp")).unwrap();
    fs::rename(path("certs_tmp"), path("certs")).unwrap();
    wait_until_written(&authority, &path("new/site.pem"), "new");
}

#[test]
fn the_second_staplerd_says_so_writes_nothing_and_takes_over_when_the_first_is_killed() {
    let Some(mut authority) = OpensslAuthority::new("two on one directory") else {
        return;
    };
    authority.issue("site", "prime256v1");
    authority.issue("late", "prime256v1");
    authority.start_responder(Signer::Delegate);
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let first = daemon_for(directory.path(), &[]);
    first.wait_for_line(&["ready"]);
    let second = daemon_for(directory.path(), &[]);
    second.wait_for_line(&["ERROR", "reason=\"in_use\"", "another staplerd"]);
    fs::write(path("site.pem"), authority.bundle("site")).unwrap();
    wait_until_written(&authority, &path("site.pem"), "site");
    second.wait_for_line(&["staple not written", "reason=\"in_use\""]);
    assert_eq!(first.count_lines(&["in_use"]), 0);
    assert_eq!(names(directory.path()), ["site.pem", "site.pem.ocsp"]);

    fs::write(path(".site.pem.abcd1234.ocsp"), "half").unwrap();
    drop(first);
    second.wait_for_line(&["this one writes now"]);
    fs::write(path("late.pem"), authority.bundle("late")).unwrap();
    wait_until_written(&authority, &path("late.pem"), "late");
    assert_eq!(
        names(directory.path()),
        ["late.pem", "late.pem.ocsp", "site.pem", "site.pem.ocsp"]
    );
}

/// More events than the kernel queues, in thousands of names that are not looked at.
fn overflow_the_queue(directory: &Path) -> bool {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    if limit > MOST_QUEUED_EVENTS {
        return false;
    }
    // Creating, closing and removing are an event each.
    for number in 0..limit {
        let path = directory.join(format!(".x.{number:08}.ocsp"));
        fs::write(&path, "").unwrap();
        fs::remove_file(&path).unwrap();
    }
    true
}

/// Longer queues take too long to fill.
const MOST_QUEUED_EVENTS: usize = 100_000;

#[test]
fn a_certificate_whose_event_the_kernel_dropped_is_found_all_the_same() {
    let Some(mut authority) = OpensslAuthority::new("dropped events") else {
        return;
    };
    authority.issue("site", "prime256v1");
    authority.start_responder(Signer::Delegate);
    let directory = tempfile::tempdir().unwrap();
    let daemon = daemon_for(directory.path(), &[]);
    daemon.wait_for_line(&["ready"]);
    daemon.signal("STOP");
    let status = format!("/proc/{}/stat", daemon.pid());
    wait_for("the daemon to stand still", || {
        fs::read_to_string(&status).unwrap().contains(") T ")
    });
    if !overflow_the_queue(directory.path()) {
        skipped("dropped events: this machine queues too many of them");
        return;
    }
    let path = directory.path().join("site.pem");
    fs::write(&path, authority.bundle("site")).unwrap();
    daemon.signal("CONT");
    wait_until_written(&authority, &path, "site");
}

/// A file system in memory with little room, mounted over a directory; gone with this.
pub(super) struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    pub(super) fn mount(path: &'a Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
            .arg(path)
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then_some(SmallDisk(path))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_does_not_stop_the_push_and_is_written_to_when_there_is_room() {
    let Some(installation) = installations("a full disk").pop() else {
        return;
    };
    let Some(mut authority) = OpensslAuthority::new("a full disk") else {
        return;
    };
    authority.issue("site", "prime256v1");
    authority.start_responder(Signer::Delegate);
    let pem = authority.bundle("site");
    let haproxy = Haproxy::start(
        &installation,
        Setup::default(),
        &[("site.pem", pem.as_bytes())],
    );
    let certs = haproxy.dir.path().join("certs");
    let Some(_disk) = SmallDisk::mount(&certs) else {
        skipped("a full disk: only root may mount a small one");
        return;
    };
    haproxy.write("site.pem", pem.as_bytes());
    let filler = vec![0; 64 * 1024];
    let _ = fs::write(certs.join(".filler"), filler);
    let socket = haproxy.path("admin.sock");
    let daemon = daemon_for(&certs, &["-s", &socket]);
    daemon.wait_for_line(&["site.pem", "live: attached"]);
    daemon.wait_for_line(&["staple not written", "reason=\"no_space\""]);
    assert!(authority.accepts("site", &haproxy.staple("site")));
    assert_eq!(names(&certs), [".filler", "site.pem"]);

    fs::remove_file(certs.join(".filler")).unwrap();
    wait_until_written(&authority, &certs.join("site.pem"), "site");
}
