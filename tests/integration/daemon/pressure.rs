//! Several things at once: certificates swapped faster than anyone can follow, directories looked
//! after twice, a restart while the disk is full.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use staplerd::ocsp::response;
use staplerd::time::Timestamp;

use super::authority::{OpensslAuthority, Signer};
use super::directories::{SmallDisk, daemon_for, wait_until_written};
use super::{Daemon, names};
use crate::skip::skipped;
use crate::support::haproxy::{Haproxy, Setup, installations, wait_for, wait_for_a_newer_second};

/// How often certificates are swapped, and the pace of it: for some seconds, at all phases of the
/// program's own rhythm of hints and scans.
const SWAPS: usize = 120;
const PACE: Duration = Duration::from_millis(23);

/// Swaps a Kubernetes volume: a new folder, one rename, and the old folder removed.
fn swap_volume(volume: &Path, number: usize, bundle: &str) {
    let folder = format!("..{number}");
    fs::create_dir(volume.join(&folder)).unwrap();
    fs::write(volume.join(&folder).join("tls.pem"), bundle).unwrap();
    symlink(&folder, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    if let Some(before) = number.checked_sub(1) {
        fs::remove_dir_all(volume.join(format!("..{before}"))).unwrap();
    }
}

/// Renews as certbot does: a new file in the archive, the link removed and made again.
fn renew(link: &Path, archive: &Path, number: usize, bundle: &str) {
    let file = archive.join(format!("fullchain{number}.pem"));
    fs::write(&file, bundle).unwrap();
    let _ = fs::remove_file(link);
    symlink(&file, link).unwrap();
}

#[test]
fn certificates_swapped_without_a_pause_end_with_the_last_ones_staples_on_disk_and_live() {
    let Some(installation) = installations("swaps under load").pop() else {
        return;
    };
    let Some(mut authority) = OpensslAuthority::new("swaps under load") else {
        return;
    };
    let certificates = ["first", "second", "third", "last"];
    for name in certificates {
        authority.issue_for(name, "site", "prime256v1");
    }
    authority.start_responder(Signer::Delegate);
    let setup = Setup {
        master: true,
        ..Setup::default()
    };
    let haproxy = Haproxy::start(
        &installation,
        setup,
        &[("tls.pem", authority.bundle("first").as_bytes())],
    );
    // From now on its directory is a volume.
    let volume = haproxy.dir.path().join("certs");
    fs::remove_file(volume.join("tls.pem")).unwrap();
    symlink("..data/tls.pem", volume.join("tls.pem")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let [live, archive] = ["live", "archive"].map(|name| directory.path().join(name));
    fs::create_dir_all(live.join("site")).unwrap();
    fs::create_dir(&archive).unwrap();
    let link = live.join("site/fullchain.pem");

    let socket = haproxy.path("admin.sock");
    let live_path = live.to_str().unwrap();
    let more = [live_path, "-R", "-s", &socket, &socket];
    let daemon = daemon_for(&volume, &more);
    for number in 0..SWAPS {
        let bundle = authority.bundle(certificates[number % certificates.len()]);
        swap_volume(&volume, number, &bundle);
        renew(&link, &archive, number, &bundle);
        sleep(PACE);
    }
    wait_until_written(&authority, &volume.join("tls.pem"), "last");
    wait_until_written(&authority, &link, "last");
    haproxy.reload();
    wait_for("the last certificate's staple to be live", || {
        authority.accepts("last", &haproxy.staple("site"))
    });
    assert_eq!(daemon.count_lines(&["ERROR"]), 0);
    assert_eq!(
        names(&live.join("site")),
        ["fullchain.pem", "fullchain.pem.ocsp"]
    );
}

#[test]
fn directories_within_and_behind_each_other_are_looked_after_once() {
    let Some(mut authority) = OpensslAuthority::new("overlapping directories") else {
        return;
    };
    authority.issue("outer", "prime256v1");
    authority.issue("inner", "prime256v1");
    authority.start_responder(Signer::Delegate);
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir_all(path("certs/within")).unwrap();
    symlink("certs", path("link")).unwrap();
    fs::write(path("certs/outer.pem"), authority.bundle("outer")).unwrap();
    fs::write(path("certs/within/inner.pem"), authority.bundle("inner")).unwrap();
    let [within, link] = ["certs/within", "link"].map(|name| path(name).display().to_string());
    let daemon = daemon_for(&path("certs"), &[&within, &link, "-R"]);
    wait_until_written(&authority, &path("certs/outer.pem"), "outer");
    wait_until_written(&authority, &path("certs/within/inner.pem"), "inner");
    // Under both names of each.
    for staple in ["link/outer.pem.ocsp", "link/within/inner.pem.ocsp"] {
        daemon.wait_for_line(&[staple, "written"]);
    }
    assert_eq!(daemon.count_lines(&["renewed:"]), 2, "{}", daemon.log());
    assert_eq!(daemon.count_lines(&["in_use"]), 0);
    assert_eq!(
        names(&path("certs")),
        ["outer.pem", "outer.pem.ocsp", "within"]
    );
    assert_eq!(
        names(&path("certs/within")),
        ["inner.pem", "inner.pem.ocsp"]
    );

    let second = daemon_for(&path("link"), &[]);
    second.wait_for_line(&["ERROR", "reason=\"in_use\""]);
}

fn this_update(response: &[u8]) -> Timestamp {
    response::decode(response).unwrap().single_responses[0].this_update
}

#[test]
fn a_restart_while_the_disk_is_full_takes_over_the_newer_staple_that_haproxy_holds() {
    let newest = installations("a restart with a full disk").pop();
    let Some(installation) = newest.filter(|it| it.version >= (2, 8)) else {
        skipped("a restart with a full disk: HAProxy 2.8 or later is wanted");
        return;
    };
    let Some(mut authority) = OpensslAuthority::new("a restart with a full disk") else {
        return;
    };
    authority.issue_independent("site", "prime256v1");
    authority.start_independent_responder(Signer::Delegate);
    let pem = authority.bundle("site");
    let haproxy = Haproxy::start(
        &installation,
        Setup::default(),
        &[("site.pem", pem.as_bytes())],
    );
    let certs = haproxy.dir.path().join("certs");
    let Some(_disk) = SmallDisk::mount(&certs) else {
        skipped("a restart with a full disk: only root may mount a small one");
        return;
    };
    haproxy.write("site.pem", pem.as_bytes());
    let socket = haproxy.path("admin.sock");
    let daemon = daemon_for(&certs, &["-s", &socket]);
    wait_until_written(&authority, &certs.join("site.pem"), "site");
    daemon.wait_for_line(&["site.pem", "live: attached"]);
    let staple = certs.join("site.pem.ocsp");
    let old = fs::read(&staple).unwrap();

    let _ = fs::write(certs.join(".filler"), vec![0; 64 * 1024]);
    wait_for("a newer staple to be live", || {
        daemon.signal("USR1");
        this_update(&haproxy.staple("site")) > this_update(&old)
    });
    daemon.wait_for_line(&["staple not written", "reason=\"no_space\""]);
    drop(daemon);
    let newer = haproxy.staple("site");
    assert_eq!(fs::read(&staple).unwrap(), old, "the old file is whole");

    let daemon = daemon_for(&certs, &["-s", &socket]);
    daemon.wait_for_line(&["site.pem", "live: already held"]);
    daemon.wait_for_line(&["staple not written", "reason=\"no_space\""]);
    assert_eq!(haproxy.staple("site"), newer);
    assert_eq!(
        daemon.count_lines(&["renewed:"]),
        0,
        "nothing was asked for"
    );

    fs::remove_file(certs.join(".filler")).unwrap();
    wait_for("the newer staple on disk", || {
        fs::read(&staple).is_ok_and(|bytes| bytes == newer)
    });
    assert_eq!(names(&certs), ["site.pem", "site.pem.ocsp"]);
}

/// Files that are touched at once.
const TOUCHED: usize = 1000;
/// Between a hint and the scan that it leads to.
const SETTLING: Duration = Duration::from_millis(100);

#[test]
fn however_many_files_change_at_once_few_scans_follow() {
    let Some(mut authority) = OpensslAuthority::new("a thousand changes") else {
        return;
    };
    authority.issue("site", "prime256v1");
    authority.start_responder(Signer::Delegate);
    let directory = tempfile::tempdir().unwrap();
    let note = |number: usize| directory.path().join(format!("{number}.pem"));
    for number in 0..TOUCHED {
        fs::write(note(number), "no certificate\n").unwrap();
    }
    let daemon = daemon_for(directory.path(), &["-vv"]);
    daemon.wait_for_line(&["ready"]);
    let scans = || daemon.count_lines(&["everything has been looked at"]);
    let (before, begun) = (scans(), Instant::now());
    for number in 0..TOUCHED {
        fs::set_permissions(note(number), fs::Permissions::from_mode(0o640)).unwrap();
    }
    let path = directory.path().join("site.pem");
    fs::write(&path, authority.bundle("site")).unwrap();
    wait_until_written(&authority, &path, "site");
    // Each of them is preceded by a wait.
    let possible = begun.elapsed().as_millis() / SETTLING.as_millis() + 2;
    let followed = scans() - before;
    assert!(
        followed > 0 && followed as u128 <= possible,
        "{followed} scans"
    );
    assert!(followed < TOUCHED / 4, "{followed} scans");
}

/// A file system of its own on a loop device, that can be frozen: whoever writes to it then waits.
struct Volume<'a>(&'a Path);

impl<'a> Volume<'a> {
    fn mount(image: &Path, at: &'a Path) -> Option<Self> {
        fs::write(image, vec![0; 4 << 20]).unwrap();
        let (image, place) = (image.to_str()?, at.to_str()?);
        let is_mounted =
            does("mkfs.ext4", &["-q", image]) && does("mount", &["-o", "loop", image, place]);
        is_mounted.then_some(Volume(at))
    }

    fn fsfreeze(&self, option: &str) -> bool {
        does("fsfreeze", &[option, self.0.to_str().unwrap()])
    }
}

impl Drop for Volume<'_> {
    fn drop(&mut self) {
        self.fsfreeze("-u");
        does("umount", &["-l", self.0.to_str().unwrap()]);
    }
}

fn does(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

#[test]
fn a_file_system_that_hangs_is_told_of_and_the_others_are_written_to() {
    let Some(mut authority) = OpensslAuthority::new("a frozen file system") else {
        return;
    };
    // A responder that signs anew whenever it is asked.
    authority.issue_independent("frozen", "prime256v1");
    authority.issue_independent("other", "prime256v1");
    authority.start_independent_responder(Signer::Delegate);
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for name in ["frozen", "other"] {
        fs::create_dir(path(name)).unwrap();
    }
    let (at, image) = (path("frozen"), path("image"));
    let Some(volume) = Volume::mount(&image, &at) else {
        skipped("a frozen file system: only root may mount one, on a loop device");
        return;
    };
    let pems = ["frozen", "other"].map(|name| path(name).join("site.pem"));
    for (pem, name) in pems.iter().zip(["frozen", "other"]) {
        fs::write(pem, authority.bundle(name)).unwrap();
    }
    let daemon = Daemon::start(&[
        "-d",
        path("frozen").to_str().unwrap(),
        "-d",
        path("other").to_str().unwrap(),
        "--allow-addresses",
        "loopback",
    ]);
    let staples = pems.each_ref().map(|pem| pem.with_extension("pem.ocsp"));
    let [frozen, other] = &staples;
    for (pem, name) in pems.iter().zip(["frozen", "other"]) {
        wait_until_written(&authority, pem, name);
    }
    let before = staples.each_ref().map(|path| fs::read(path).unwrap());
    wait_for_a_newer_second();
    assert!(volume.fsfreeze("-f"));
    daemon.signal("USR1");
    wait_for("the other staple", || fs::read(other).unwrap() != before[1]);
    daemon.wait_for_line(&["ERROR", "file_system_hangs", "frozen"]);
    assert_eq!(fs::read(frozen).unwrap(), before[0]);
    assert!(volume.fsfreeze("-u"));
    daemon.wait_for_line(&["answers again"]);
    wait_for("the staple that waited", || {
        fs::read(frozen).unwrap() != before[0]
    });
    drop(daemon);
}
