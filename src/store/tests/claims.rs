//! Two claims on one directory: one wins, until it ends.

use tempfile::TempDir;

use super::*;
use crate::store::locks::Locks;

thread_local! {
    /// Where the locks of one test lie.
    static LOCKS: TempDir = tempfile::tempdir().unwrap();
}

fn new_claims() -> Claims {
    LOCKS.with(|locks| Claims::with_locks_in(vec![locks.path().to_owned()]))
}

/// What a claim came to, as a word.
fn claim(claims: &Claims, path: &Path) -> &'static str {
    match claims.claim(path, false).unwrap() {
        Claim::Kept => "kept",
        Claim::New => "new",
        Claim::InUse => "in use",
        Claim::NotLockable(_) => "not lockable",
    }
}

#[test]
fn the_second_may_not_write_until_the_first_ends_and_no_file_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (first, second) = (new_claims(), new_claims());
    assert_eq!(claim(&first, path), "new");
    assert_eq!(claim(&first, path), "kept");
    assert_eq!(claim(&second, path), "in use");
    let staple = path.join("below/a.pem.ocsp");
    assert!(first.cover(&staple));
    assert!(!second.cover(&staple));
    drop(first);
    assert_eq!(claim(&second, path), "new");
    assert!(second.cover(&staple));
    assert!(names(path).is_empty());
}

#[test]
fn one_directory_under_two_names_is_one_claim_of_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    fs::create_dir(&real).unwrap();
    symlink(&real, &link).unwrap();
    let (first, second) = (new_claims(), new_claims());
    assert_eq!(claim(&first, &real), "new");
    assert_eq!(claim(&first, &link), "new");
    assert_eq!(claim(&second, &link), "in use");
}

#[test]
fn a_directory_that_was_replaced_is_claimed_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (path, away) = (folder.path().join("certs"), folder.path().join("away"));
    fs::create_dir(&path).unwrap();
    let (first, second) = (new_claims(), new_claims());
    assert_eq!(claim(&first, &path), "new");
    fs::rename(&path, &away).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(claim(&second, &path), "new");
    assert_eq!(claim(&first, &path), "in use");
    assert!(!first.cover(&path.join("a.ocsp")));
    fs::remove_dir(&path).unwrap();
    assert!(second.claim(&path, false).is_err());
    assert!(!second.cover(&path.join("a.ocsp")));
}

#[test]
fn what_a_killed_run_left_is_swept_with_the_claim_and_not_by_the_second() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let name = temporary::name_for("a.pem.ocsp".as_ref());
    for folder in ["one", "..data"] {
        fs::create_dir(path.join(folder)).unwrap();
        fs::write(path.join(folder).join(&name), "half").unwrap();
    }
    let (first, second) = (new_claims(), new_claims());
    first.claim(path, true).unwrap();
    assert!(names(&path.join("one")).is_empty());
    assert_eq!(names(&path.join("..data")).len(), 1);
    fs::write(path.join(&name), "being written by the first").unwrap();
    second.claim(path, true).unwrap();
    assert!(path.join(&name).exists());
}

#[test]
fn what_may_not_be_written_says_whether_another_staplerd_or_a_missing_folder_is_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("taken");
    fs::create_dir(&taken).unwrap();
    let (ours, others) = (new_claims(), new_claims());
    assert_eq!(claim(&others, &taken), "new");
    let refusal = |path: &Path| ours.check(path).unwrap_err();
    assert_eq!(refusal(&taken.join("a.ocsp")).kind(), "in_use");
    let missing = folder.path().join("missing");
    let error = refusal(&missing.join("a.ocsp"));
    assert_eq!(error.kind(), "io");
    let message = error.to_string();
    assert!(message.starts_with(missing.to_str().unwrap()), "{message}");
    assert!(message.contains("No such file"), "{message}");
}

#[test]
fn folders_are_made_below_a_directory_that_is_ours_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("ocsp")).unwrap();
    let claims = new_claims();
    assert_eq!(claim(&claims, &path("ocsp")), "new");
    for _ in 0..2 {
        claims
            .create_folder_of(&path("ocsp/sites/deep/a.ocsp"))
            .unwrap();
        assert!(path("ocsp/sites/deep").is_dir());
    }
    claims.create_folder_of(&path("ocsp/b.ocsp")).unwrap();
    claims.create_folder_of(&path("other/a.ocsp")).unwrap();
    assert_eq!(names(folder.path()), ["ocsp"]);
    assert_eq!(names(&path("ocsp")), ["sites"]);

    fs::write(path("ocsp/file"), "").unwrap();
    let error = claims
        .create_folder_of(&path("ocsp/file/below/a.ocsp"))
        .unwrap_err();
    assert_eq!(error.kind(), "io");
}

#[test]
fn a_stranger_who_locks_the_directory_keeps_nobody_from_it() {
    use rustix::fs::{FlockOperation, flock};
    let directory = tempfile::tempdir().unwrap();
    let strangers = fs::File::open(directory.path()).unwrap();
    flock(&strangers, FlockOperation::NonBlockingLockExclusive).unwrap();
    assert_eq!(claim(&new_claims(), directory.path()), "new");
}

#[test]
fn however_many_directories_are_claimed_none_is_held_open() {
    let folder = tempfile::tempdir().unwrap();
    let claims = new_claims();
    for number in 0..100 {
        let path = folder.path().join(number.to_string());
        fs::create_dir(&path).unwrap();
        assert_eq!(claim(&claims, &path), "new");
    }
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let leads_here = |path: std::path::PathBuf| {
        fs::read_link(path).is_ok_and(|target| target.starts_with(folder.path()))
    };
    assert_eq!(open.filter(|item| leads_here(item.path())).count(), 0);
}

#[test]
fn locks_lie_only_where_nobody_else_can_put_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["open", "planted", "several", "good"] {
        fs::create_dir(path(name)).unwrap();
    }
    fs::set_permissions(path("open"), fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(path("target"), "").unwrap();
    symlink("../target", path("planted/locks")).unwrap();
    fs::hard_link(path("target"), path("several/locks")).unwrap();
    symlink("good", path("link")).unwrap();
    for name in ["open", "planted", "several", "link", "no/folder"] {
        assert!(Locks::open(&[path(name)]).is_err(), "{name}");
    }
    assert!(Locks::open(&[path("open"), path("good")]).is_ok());
    assert!(names(&path("open")).is_empty());
    let mode = fs::metadata(path("good/locks")).unwrap().mode() & 0o777;
    assert_eq!(mode, 0o600);
}

#[test]
fn nothing_is_written_swept_or_made_through_a_link_that_leads_out_of_a_claimed_directory() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["certs/tenant", "outside"] {
        fs::create_dir_all(path(name)).unwrap();
    }
    let temporary = temporary::name_for("a.pem.ocsp".as_ref());
    fs::write(path("outside").join(&temporary), "another's").unwrap();
    symlink("../../outside", path("certs/tenant/out")).unwrap();
    let claims = new_claims();
    claims.claim(&path("certs"), true).unwrap();
    let target = path("certs/tenant/out/a.pem.ocsp");
    let files = [(target.as_path(), b"staple".as_slice())];
    let mut results = write_with(&System, &files, &claims, Ownership::default());
    let error = results.remove(0).unwrap_err().to_string();
    assert!(error.contains("leads out of the directory tree"), "{error}");
    assert!(
        claims
            .create_folder_of(&path("certs/tenant/out/new/a.ocsp"))
            .is_err()
    );
    assert_eq!(names(&path("outside")), [temporary.to_str().unwrap()]);
}
