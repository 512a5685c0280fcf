//! Copies of staples: never one over another, and never a foreign file removed.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::civil::DateTime;

use super::*;
use crate::ocsp::{self, CertId, Policy, Staple};
use crate::pki::{CertificateBuilder, Key, NOW, ResponseBuilder, basic_constraints};

fn staple() -> Arc<Staple> {
    let key = Key::p256();
    let issuer = CertificateBuilder::new("Issuer", "Issuer", &[1])
        .with(basic_constraints(true))
        .sign(&key, &key);
    let leaf = CertificateBuilder::new("Issuer", "leaf", &[2]).sign(&Key::p256(), &key);
    let bytes = ResponseBuilder::good(&CertId::new(&leaf, &issuer), &issuer).sign(&key);
    let subject = ocsp::Subject {
        certificate: &leaf,
        issuer: &issuer,
    };
    let assessment = ocsp::verify(&bytes, subject, None, NOW, Policy::default()).unwrap();
    Arc::new(assessment.stapling.unwrap())
}

/// The example of ocspbot's documentation: so many seconds after 6 o'clock on this day.
fn at(day: i8, second: i8) -> DateTime {
    jiff::civil::date(2017, 4, day).at(6, 0, second, 0)
}

/// Copies one staple; whether that went well.
fn copy(path: &Path, staple: &Arc<Staple>, at: DateTime, keep: Option<usize>) -> bool {
    let batch = [(path.to_owned(), Arc::clone(staple))];
    let results = back_up(&batch, at, keep, &Claims::default(), Ownership::default());
    assert_eq!(results.len(), 1);
    results.iter().all(Result::is_ok)
}

#[test]
fn copies_have_the_time_in_their_names_and_the_staples_own_permissions() {
    let directory = tempfile::tempdir().unwrap();
    let staple = staple();
    let path = |name: &str| directory.path().join(name);
    let batch = ["a.ocsp-resp", "b.ocsp-resp"].map(|name| (path(name), Arc::clone(&staple)));
    let results = back_up(
        &batch,
        at(15, 0),
        None,
        &Claims::default(),
        Ownership::default(),
    );
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let copies = ["a.ocsp-resp-20170415-060000", "b.ocsp-resp-20170415-060000"];
    assert_eq!(names(directory.path()), copies);
    for copy in copies {
        assert_eq!(fs::read(path(copy)).unwrap(), staple.der());
        let mode = fs::metadata(path(copy)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, DEFAULT_MODE);
    }
}

#[test]
fn a_second_copy_within_a_second_gets_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    let staple = staple();
    let path = directory.path().join("a.ocsp");
    let first = directory.path().join("a.ocsp-20170415-060059");
    fs::write(&first, "older").unwrap();
    assert!(copy(&path, &staple, at(15, 59), None));
    // One batch may hold the same file twice.
    let twice = [(path.clone(), Arc::clone(&staple)), (path, staple)];
    let results = back_up(
        &twice,
        at(15, 59),
        None,
        &Claims::default(),
        Ownership::default(),
    );
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(
        names(directory.path()),
        [
            "a.ocsp-20170415-060059",
            "a.ocsp-20170415-060100",
            "a.ocsp-20170415-060101",
            "a.ocsp-20170415-060102"
        ]
    );
    assert_eq!(fs::read(&first).unwrap(), b"older");
}

#[test]
fn the_oldest_copies_go_and_what_only_looks_like_one_stays() {
    let directory = tempfile::tempdir().unwrap();
    let staple = staple();
    let path = |name: &str| directory.path().join(name);
    let foreign = [
        "a.ocsp",
        "a.ocsp-20170411-060000.bak",
        "a.ocsp-20170411-06000",
        "a.ocsp-20170411-0600000",
        "a.ocsp-20170411_060000",
        "a.ocsp-20171311-060000",
        "a.ocsp-20170431-060000",
        "a.ocsp-20170411-246060",
        "a.ocsp-2017041\u{ff11}-06000",
        "a.ocsp-+0170411-060000",
        "a.ocsp-old-20170411-060000",
        "aa.ocsp-20170411-060000",
        "b.ocsp-20170411-060000",
        "x-a.ocsp-20170411-060000",
    ];
    for name in foreign {
        fs::write(path(name), "foreign").unwrap();
    }
    fs::create_dir(path("a.ocsp-20170412-060000")).unwrap();
    symlink("a.ocsp", path("a.ocsp-20170413-060000")).unwrap();
    let mut kept: Vec<PathBuf> = foreign.iter().map(|name| path(name)).collect();
    kept.push(path("a.ocsp-20170412-060000"));
    kept.push(path("a.ocsp-20170413-060000"));
    for day in 15..=21 {
        assert!(copy(&path("a.ocsp"), &staple, at(day, 0), Some(3)));
    }
    for day in 19..=21 {
        kept.push(path(&format!("a.ocsp-201704{day}-060000")));
    }
    kept.sort();
    let mut left: Vec<PathBuf> = fs::read_dir(directory.path())
        .unwrap()
        .map(|item| item.unwrap().path())
        .collect();
    left.sort();
    assert_eq!(left, kept);
}

#[test]
fn the_copy_just_made_stays_even_where_the_clock_was_set_back() {
    let directory = tempfile::tempdir().unwrap();
    let staple = staple();
    let path = directory.path().join("a.ocsp");
    for day in [20, 21, 15] {
        assert!(copy(&path, &staple, at(day, 0), Some(2)));
    }
    let copies = ["a.ocsp-20170415-060000", "a.ocsp-20170421-060000"];
    assert_eq!(names(directory.path()), copies);
}

#[test]
fn a_copy_that_cannot_be_made_is_an_error_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let staple = staple();
    let path = |name: &str| directory.path().join(name);
    let batch = [path("missing/a.ocsp"), path("b.ocsp")].map(|path| (path, Arc::clone(&staple)));
    let results = back_up(
        &batch,
        at(15, 0),
        Some(1),
        &Claims::default(),
        Ownership::default(),
    );
    assert!(results[0].is_err() && results[1].is_ok(), "{results:?}");
    for second in 0..60 {
        fs::write(path(&format!("c.ocsp-20170416-0600{second:02}")), "").unwrap();
    }
    assert!(!copy(&path("c.ocsp"), &staple, at(16, 0), Some(1)));
}
