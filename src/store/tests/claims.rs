//! Two claims on one directory: one wins, until it ends.

use super::*;

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
    let (first, second) = (Claims::default(), Claims::default());
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
    let (first, second) = (Claims::default(), Claims::default());
    assert_eq!(claim(&first, &real), "new");
    assert_eq!(claim(&first, &link), "new");
    assert_eq!(claim(&second, &link), "in use");
}

#[test]
fn a_directory_that_was_replaced_is_claimed_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (path, away) = (folder.path().join("certs"), folder.path().join("away"));
    fs::create_dir(&path).unwrap();
    let (first, second) = (Claims::default(), Claims::default());
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
    let (first, second) = (Claims::default(), Claims::default());
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
    let (ours, others) = (Claims::default(), Claims::default());
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
    let claims = Claims::default();
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
