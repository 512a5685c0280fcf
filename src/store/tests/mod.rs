//! What a write leaves behind: always a whole file, the right permissions, nothing else.

mod backups;
mod claims;
mod crash;
mod faults;

use std::fs;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use super::batch::write_with;
use super::disk::{Disk, System};
use super::*;

/// Writes one file the way a staple is written.
fn replace(target: &Path, bytes: &[u8]) -> Result<(), Error> {
    replace_with(&System, target, bytes)
}

fn replace_with(disk: &impl Disk, target: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut results = write_with(
        disk,
        &[(target, bytes)],
        &Claims::default(),
        Ownership::default(),
    );
    assert_eq!(results.len(), 1);
    results.remove(0)
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|item| item.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn temporary_names_are_ones_that_no_haproxy_loads() {
    let name = temporary::name_for("site.pem.ocsp".as_ref());
    let name = name.to_str().unwrap();
    assert!(
        name.starts_with(".site.pem.") && name.ends_with(".ocsp"),
        "{name}"
    );
    assert!(temporary::is_temporary(name.as_bytes()));
}

#[test]
fn a_name_as_long_as_the_file_system_takes_still_gets_a_temporary_one() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x".repeat(250) + ".ocsp");
    replace(&target, b"new").unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"new");
}

#[test]
fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("a.pem.ocsp");
    fs::write(&target, b"an older and longer staple").unwrap();
    replace(&target, b"new").unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"new");
    assert_eq!(names(directory.path()), ["a.pem.ocsp"]);
}

#[test]
fn one_place_under_two_paths_is_written_once_and_what_is_there_already_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("real")).unwrap();
    symlink("real", path("link")).unwrap();
    let targets = [
        path("real/a.ocsp"),
        path("link/a.ocsp"),
        path("real/b.ocsp"),
    ];
    let batch = |last: &'static [u8]| {
        let files: Vec<(&Path, &[u8])> = targets
            .iter()
            .map(PathBuf::as_path)
            .zip([&b"one"[..], b"one", last])
            .collect();
        let results = write_with(&System, &files, &Claims::default(), Ownership::default());
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    };
    let inode = |name: &str| fs::metadata(path(name)).unwrap().ino();
    batch(b"two");
    let before = [inode("real/a.ocsp"), inode("real/b.ocsp")];
    batch(b"new");
    // The inode of a closed file may be given again; but not while the file is there.
    assert_eq!(inode("real/a.ocsp"), before[0], "not written again");
    assert_ne!(inode("real/b.ocsp"), before[1]);
    assert_eq!(names(&path("real")), ["a.ocsp", "b.ocsp"]);

    // Of two staples for one place the last one stays.
    let both: [(&Path, &[u8]); 2] = [(&targets[0], b"first"), (&targets[1], b"last")];
    write_with(&System, &both, &Claims::default(), Ownership::default());
    assert_eq!(fs::read(path("real/a.ocsp")).unwrap(), b"last");
}

#[test]
fn the_right_bytes_behind_a_link_are_not_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for name in ["elsewhere", "second"] {
        fs::write(path(name), b"same").unwrap();
    }
    symlink("elsewhere", path("link.ocsp")).unwrap();
    fs::hard_link(path("second"), path("hard.ocsp")).unwrap();
    for name in ["link.ocsp", "hard.ocsp"] {
        replace(&path(name), b"same").unwrap();
        let metadata = fs::symlink_metadata(path(name)).unwrap();
        assert!(metadata.is_file() && metadata.nlink() == 1, "{name}");
    }
}

#[test]
fn a_batch_over_several_directories_is_written_in_order_and_one_failure_is_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("one")).unwrap();
    fs::create_dir(path("two")).unwrap();
    fs::create_dir(path("one/taken.ocsp")).unwrap();
    let targets = [
        path("one/a.ocsp"),
        path("two/a.ocsp"),
        path("missing/a.ocsp"),
        path("one/taken.ocsp"),
        path("one/b.ocsp"),
        path("one/b.ocsp"),
    ];
    let bytes: [&[u8]; 6] = [b"1", b"2", b"3", b"4", b"5", b"6"];
    let files: Vec<(&Path, &[u8])> = targets
        .iter()
        .map(|path| path.as_path())
        .zip(bytes)
        .collect();
    let kinds: Vec<&str> = write_with(&System, &files, &Claims::default(), Ownership::default())
        .iter()
        .map(|result| result.as_ref().map_or_else(Error::kind, |()| "written"))
        .collect();
    assert_eq!(
        kinds,
        [
            "written",
            "written",
            "io",
            "is_a_directory",
            "written",
            "written"
        ]
    );
    assert_eq!(fs::read(&targets[1]).unwrap(), b"2");
    assert_eq!(fs::read(&targets[5]).unwrap(), b"6");
    assert_eq!(names(&path("one")), ["a.ocsp", "b.ocsp", "taken.ocsp"]);
}

#[test]
fn links_are_replaced_and_what_they_lead_to_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let victim = directory.path().join("victim");
    fs::write(&victim, b"precious").unwrap();
    let soft = directory.path().join("soft.ocsp");
    symlink(&victim, &soft).unwrap();
    let hard = directory.path().join("hard.ocsp");
    fs::hard_link(&victim, &hard).unwrap();
    for target in [soft, hard] {
        replace(&target, b"new").unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert!(fs::symlink_metadata(&target).unwrap().is_file());
    }
}

#[test]
fn the_mode_is_exact_and_the_group_is_the_directorys_or_the_one_configured() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("a.pem.ocsp");
    replace(&target, b"new").unwrap();
    let metadata = fs::metadata(&target).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o644);
    assert_eq!(
        metadata.gid(),
        fs::metadata(directory.path()).unwrap().gid()
    );
    let own = rustix::process::getegid().as_raw().to_string();
    let ownership = Ownership::new(0o604, Some(&own)).unwrap();
    write_with(
        &System,
        &[(&target, b"newer")],
        &Claims::default(),
        ownership,
    )
    .remove(0)
    .unwrap();
    let metadata = fs::metadata(&target).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o604);
    assert_eq!(metadata.gid().to_string(), own);
}

#[test]
fn a_group_that_is_not_ours_is_given_where_the_system_allows_it() {
    if !is_root() {
        // Past the test harness, which would keep it to itself.
        let _ = writeln!(
            io::stderr(),
            "SKIPPED: giving files to another group: only root may"
        );
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(directory.path(), None, Some(12_345)).unwrap();
    let target = directory.path().join("a.pem.ocsp");
    replace(&target, b"new").unwrap();
    assert_eq!(fs::metadata(&target).unwrap().gid(), 12_345);
    let ownership = Ownership::new(0o640, Some("54321")).unwrap();
    write_with(
        &System,
        &[(&target, b"newer")],
        &Claims::default(),
        ownership,
    )
    .remove(0)
    .unwrap();
    assert_eq!(fs::metadata(&target).unwrap().gid(), 54_321);
}

#[test]
fn modes_are_octal_and_never_open_a_staple_for_others_to_write() {
    for (text, mode) in [("0640", 0o640), ("644", 0o644), ("0600", 0o600)] {
        assert_eq!(parse_mode(text), Ok(mode));
    }
    for text in [
        "",
        "0440",
        "0646",
        "0660",
        "0755",
        "rw-r-----",
        "01640",
        "9",
    ] {
        assert!(parse_mode(text).is_err(), "{text}");
    }
    assert!(Ownership::new(0o640, Some("no such group")).is_err());
    assert_eq!(
        Ownership::new(0o640, Some("root")),
        Ownership::new(0o640, Some("0"))
    );
}

#[test]
fn the_sweep_takes_left_over_temporary_files_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let left_over = temporary::name_for("a.pem.ocsp".as_ref());
    let keep = [
        ".hidden",
        ".site.ocsp",
        "a.pem",
        "a.pem.ocsp",
        "b.12345678.ocsp",
    ];
    fs::write(directory.path().join(left_over), b"half").unwrap();
    for name in keep {
        fs::write(directory.path().join(name), b"x").unwrap();
    }
    temporary::sweep(directory.path(), false);
    assert_eq!(names(directory.path()), keep);
}

#[test]
fn what_is_missing_is_none_and_what_is_too_large_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.pem.ocsp");
    assert!(load(&path, Reach::Anywhere).unwrap().is_none());
    fs::write(&path, vec![0; 65 * 1024]).unwrap();
    assert_eq!(
        load(&path, Reach::Anywhere).unwrap_err().kind(),
        "too_large"
    );
}

#[test]
fn a_missing_directory_is_an_error_that_names_the_file() {
    let error = replace(Path::new("/nowhere/a.pem.ocsp"), b"x").unwrap_err();
    assert!(error.to_string().contains("/nowhere/a.pem.ocsp"), "{error}");
}

#[test]
fn a_file_that_has_the_bytes_is_given_what_it_lacks_in_place() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("a.pem.ocsp");
    replace(&target, b"staple").unwrap();
    let inode = fs::metadata(&target).unwrap().ino();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
    replace(&target, b"staple").unwrap();
    let metadata = fs::metadata(&target).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o644);
    assert_eq!(metadata.ino(), inode);
    let own = rustix::process::getegid().as_raw();
    let ownership = Ownership::new(0o644, None).unwrap();
    assert!(ownership.fits(0o644, own) && !ownership.fits(0o640, own));
    let ownership = Ownership::new(0o644, Some("4711")).unwrap();
    assert!(ownership.fits(0o644, 4711) && !ownership.fits(0o644, own));
}

#[test]
fn only_a_regular_file_whose_bytes_say_so_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let never = |_: &[u8]| -> bool { panic!("looked at") };
    assert_eq!(
        remove_if(&path("missing"), &Claims::default(), never).unwrap(),
        Removal::Missing
    );
    assert_eq!(
        remove_if(&path("no/folder"), &Claims::default(), never).unwrap(),
        Removal::Missing
    );
    fs::create_dir(path("folder")).unwrap();
    assert_eq!(
        remove_if(&path("folder"), &Claims::default(), never).unwrap(),
        Removal::Left
    );
    fs::write(path("precious"), "x").unwrap();
    std::os::unix::fs::symlink(path("precious"), path("link")).unwrap();
    assert_eq!(
        remove_if(&path("link"), &Claims::default(), never).unwrap(),
        Removal::Left
    );
    let fifo = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, path("fifo"), fifo, mode, 0).unwrap();
    assert_eq!(
        remove_if(&path("fifo"), &Claims::default(), never).unwrap(),
        Removal::Left
    );
    for (is_to_go, removal) in [(false, Removal::Left), (true, Removal::Removed)] {
        let look = |bytes: &[u8]| bytes == b"x" && is_to_go;
        assert_eq!(
            remove_if(&path("precious"), &Claims::default(), look).unwrap(),
            removal
        );
        assert_eq!(path("precious").exists(), !is_to_go);
    }
}

#[test]
fn what_comes_to_a_files_place_while_it_is_looked_at_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.pem.ocsp");
    fs::write(&path, "old").unwrap();
    let look = |_: &[u8]| {
        replace(&path, b"new").unwrap();
        true
    };
    assert_eq!(
        remove_if(&path, &Claims::default(), look).unwrap(),
        Removal::Left
    );
    assert_eq!(fs::read(&path).unwrap(), b"new");
}
