//! What lies where a file is expected: nothing of it is waited for, nothing else is opened.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use rustix::fs::{FileType, mknodat};
use tempfile::TempDir;

use super::*;

const MOST: u64 = 1024;

fn directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = fs::canonicalize(directory.path()).unwrap();
    (directory, path)
}

fn fifo(path: &Path) {
    let mode = Mode::from_raw_mode(0o666);
    mknodat(rustix::fs::CWD, path, FileType::Fifo, mode, 0).unwrap();
}

/// Why a path cannot be read, in words.
fn refusal(path: &Path, reach: Reach<'_>) -> String {
    let error = read(path, MOST, reach).unwrap_err();
    match leads_out(&error) {
        true => "leads out".to_owned(),
        false => error.to_string(),
    }
}

#[test]
fn what_is_no_regular_file_is_named_and_waited_for_by_nobody() {
    let (_directory, path) = directory();
    fifo(&path.join("fifo"));
    let _listener = UnixListener::bind(path.join("socket")).unwrap();
    fs::create_dir(path.join("folder")).unwrap();
    symlink("fifo", path.join("link")).unwrap();
    symlink("nowhere", path.join("dangling")).unwrap();
    for reach in [Reach::Anywhere, Reach::Tree(&path)] {
        for (name, words) in [
            ("fifo", "a FIFO"),
            ("link", "a FIFO"),
            ("socket", "a socket"),
            ("folder", "is a directory"),
            ("dangling", "No such file"),
            ("missing", "No such file"),
        ] {
            let refusal = refusal(&path.join(name), reach);
            assert!(refusal.contains(words), "{name}: {refusal}");
        }
    }
    for device in ["/dev/zero", "/dev/null", "/dev/tty"] {
        let refusal = refusal(Path::new(device), Reach::Anywhere);
        assert!(refusal.contains("a device"), "{device}: {refusal}");
    }
    assert!(append(&path.join("fifo"), 0o640).is_err());
    assert!(begin(&path.join("socket"), 0o640).is_err());
}

#[test]
fn no_more_is_read_than_was_asked_for_whatever_size_a_file_says_it_has() {
    let (_directory, path) = directory();
    let file = path.join("file");
    for (size, is_read) in [(0, true), (MOST, true), (MOST + 1, false), (1 << 40, false)] {
        let made = File::create(&file).unwrap();
        made.set_len(size).unwrap();
        let read = read(&file, MOST, Reach::Anywhere);
        match is_read {
            true => assert_eq!(read.unwrap().len() as u64, size),
            false => assert_eq!(read.unwrap_err().kind(), io::ErrorKind::FileTooLarge),
        }
    }
    // A file that says it is empty and is not.
    let pseudo = read(Path::new("/proc/self/maps"), MOST, Reach::Anywhere);
    assert!(pseudo.unwrap().is_empty());
}

/// A tree with a folder of a tenant's in it, and something outside.
fn tree() -> (TempDir, PathBuf) {
    let (directory, path) = directory();
    for folder in ["certs/tenant", "certs/other", "outside"] {
        fs::create_dir_all(path.join(folder)).unwrap();
    }
    fs::write(path.join("outside/secret"), "secret").unwrap();
    fs::write(path.join("certs/other/file"), "inside").unwrap();
    (directory, path)
}

/// Gives a link to a user who is neither root nor this one; whether that was possible.
fn give_away(link: &Path) -> bool {
    let stranger = Some(Uid::from_raw(12_345));
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::chownat(rustix::fs::CWD, link, stranger, None, flags).is_ok()
}

#[test]
fn links_within_a_tree_are_followed_and_those_of_strangers_do_not_lead_out() {
    let (_directory, path) = tree();
    let top = path.join("certs");
    let inside = |name: &str| top.join("tenant").join(name);
    let absolute = top.join("other/file");
    for (name, target) in [
        ("relative", Path::new("../other/file")),
        ("absolute", &absolute),
        ("out", Path::new("../../outside/secret")),
        ("twice", Path::new("out")),
        ("proc", Path::new("/proc/self/root/etc/passwd")),
    ] {
        symlink(target, inside(name)).unwrap();
    }
    let all_given = ["relative", "absolute", "out", "twice", "proc"]
        .map(|name| give_away(&inside(name)))
        .iter()
        .all(|given| *given);
    let text = |name: &str| read_text(&inside(name), MOST, Reach::Tree(&top)).unwrap();
    assert_eq!(text("relative"), "inside");
    assert_eq!(text("absolute"), "inside");
    if !all_given {
        eprintln!("skipped in part: only root can make a link a stranger's");
        return;
    }
    for name in ["out", "twice", "proc"] {
        assert_eq!(
            refusal(&inside(name), Reach::Tree(&top)),
            "leads out",
            "{name}"
        );
    }
    assert_eq!(
        read_text(&inside("out"), MOST, Reach::Anywhere).unwrap(),
        "secret"
    );
}

#[test]
fn a_link_to_a_file_that_is_the_operators_leads_where_he_wants_unless_a_strangers_follows() {
    let (_directory, path) = tree();
    let top = path.join("certs");
    // As certbot has it.
    symlink("../../outside/secret", top.join("other/own")).unwrap();
    let own = read_text(&top.join("other/own"), MOST, Reach::Tree(&top));
    assert_eq!(own.unwrap(), "secret");
    symlink("../outside/by-name", top.join("led")).unwrap();
    symlink("secret", path.join("outside/by-name")).unwrap();
    if give_away(&path.join("outside/by-name")) {
        assert_eq!(refusal(&top.join("led"), Reach::Tree(&top)), "leads out");
    }
}

#[test]
fn no_link_to_a_folder_leads_out_and_the_directory_itself_may_be_one() {
    let (_directory, path) = tree();
    let top = path.join("link-to-certs");
    symlink("certs", &top).unwrap();
    symlink("../outside", path.join("certs/out")).unwrap();
    symlink(path.join("certs/other"), path.join("certs/in")).unwrap();
    let opened = |name: &str| open_directory(&top.join(name), Reach::Tree(&top));
    for name in ["", "other", "in"] {
        assert!(opened(name).is_ok(), "{name}");
    }
    assert!(leads_out(&opened("out").unwrap_err()));
    assert!(leads_out(&opened("out/..").unwrap_err()));
    assert!(leads_out(
        &open_directory(&path, Reach::Tree(&top)).unwrap_err()
    ));
    // What lies behind such a folder is not read either.
    assert_eq!(
        refusal(&top.join("out/secret"), Reach::Tree(&top)),
        "leads out"
    );
}

#[test]
fn a_log_is_never_written_through_a_link_nor_into_what_is_another_users() {
    let (_directory, path) = directory();
    let (target, log) = (path.join("target"), path.join("log"));
    fs::write(&target, "mine").unwrap();
    symlink("target", &log).unwrap();
    for opened in [begin(&log, 0o640), append(&log, 0o640)] {
        assert_eq!(opened.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
    fs::remove_file(&log).unwrap();
    fs::hard_link(&target, &log).unwrap();
    assert!(begin(&log, 0o640).is_err());
    assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
    fs::remove_file(&log).unwrap();
    assert!(begin(&log, 0o640).is_ok());
    let mode = fs::metadata(&log).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode & !0o640, 0, "{mode:o}");
    fs::write(&log, "before").unwrap();
    assert!(append(&log, 0o640).is_ok());
    assert_eq!(fs::read_to_string(&log).unwrap(), "before");
    if give_away(&log) {
        let refused = begin(&log, 0o640).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(fs::read_to_string(&log).unwrap(), "before");
    }
    assert!(begin(Path::new("/dev/null"), 0o640).is_ok());
}

#[test]
fn permissions_are_given_to_the_socket_that_was_bound_and_to_nothing_in_its_place() {
    let (_directory, path) = directory();
    let socket = path.join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    give_socket(&socket, fs::metadata(&path).unwrap().gid(), 0o660).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&socket), 0o660);
    fs::write(path.join("file"), "").unwrap();
    fs::set_permissions(path.join("file"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(&socket).unwrap();
    symlink("file", &socket).unwrap();
    assert!(give_socket(&socket, 0, 0o660).is_err());
    fs::remove_file(&socket).unwrap();
    fs::hard_link(path.join("file"), &socket).unwrap();
    assert!(give_socket(&socket, 0, 0o660).is_err());
    assert_eq!(mode(&path.join("file")), 0o600);
}

#[test]
fn a_file_that_a_stranger_may_have_put_there_is_told_from_ones_own() {
    let (_directory, path) = directory();
    let (folder, file) = (path.join("folder"), path.join("folder/file"));
    fs::create_dir(&folder).unwrap();
    fs::write(&file, "").unwrap();
    let set =
        |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    for (of_folder, of_file, is_ours) in [
        (0o755, 0o644, true),
        (0o755, 0o646, false),
        (0o757, 0o644, false),
        (0o1777, 0o600, true),
    ] {
        set(&folder, of_folder);
        set(&file, of_file);
        assert_eq!(
            check_owner(&file).is_ok(),
            is_ours,
            "{of_folder:o} {of_file:o}"
        );
    }
    symlink("file", folder.join("link")).unwrap();
    assert!(check_owner(&folder.join("link")).is_ok());
    if give_away(&folder.join("link")) {
        let refused = check_owner(&folder.join("link")).unwrap_err().to_string();
        assert_eq!(refused, "the link is that of the user 12345");
        set(&folder, 0o755);
        assert!(give_away(&folder));
        assert!(
            check_owner(&file)
                .unwrap_err()
                .to_string()
                .contains("the folder")
        );
    }
}

#[test]
fn a_fifo_that_comes_between_the_looks_is_waited_for_by_nobody() {
    const SWAPS: usize = 2000;
    let (_directory, path) = directory();
    let (place, other) = (path.join("place"), path.join("other"));
    fs::write(&place, "content").unwrap();
    fifo(&other);
    std::thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            for _ in 0..SWAPS {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(rustix::fs::CWD, &place, rustix::fs::CWD, &other, flags)
                    .unwrap();
            }
        });
        let mut outcomes = [0, 0];
        while !swapping.is_finished() {
            match read(&place, MOST, Reach::Anywhere) {
                Ok(bytes) => {
                    assert_eq!(&**bytes, b"content");
                    outcomes[0] += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
                    outcomes[1] += 1;
                }
            }
        }
        assert!(outcomes.iter().sum::<i32>() > 0);
    });
}
