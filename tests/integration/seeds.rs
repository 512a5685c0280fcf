//! The fuzz targets' promises as plain tests: their seeds, the corpus where present, and some
//! hundred damaged versions of each, the same ones in every run.
//!
//! Promises: nothing panics, and no damage turns a refused response into an accepted one.

use std::path::{Path, PathBuf};
use std::{fs, io};

use fastrand::Rng;
use staplerd::config::{Config, Options, Surroundings};
use staplerd::haproxy_config::parser::Parser;
use staplerd::haproxy_config::{Testimony, certificate_list};
use staplerd::ocsp::request::Request;
use staplerd::ocsp::{Policy, Subject, verify};
use staplerd::responder::crl::ReceivedList;
use staplerd::responder::index::Index;
use staplerd::responder::{PathContent, Question, from_path};
use staplerd::time::Timestamp;
use staplerd::x509::{Bundle, Certificate, der, find_issuer};

use crate::corpus;

/// Damaged versions made of each seed.
const VERSIONS: usize = 300;

fn seeds(kind: &str) -> Vec<Vec<u8>> {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/seeds");
    files(&Path::new(own).join(kind), &|_| true)
}

fn corpus(name: impl Fn(&Path) -> bool) -> Vec<Vec<u8>> {
    corpus::directory().map_or_else(Vec::new, |directory| files(&directory, &name))
}

/// The content of all files below `directory` that `wanted` likes, in an order that is always the
/// same.
fn files(directory: &Path, wanted: &dyn Fn(&Path) -> bool) -> Vec<Vec<u8>> {
    let mut entries: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    entries
        .iter()
        .flat_map(|path| {
            if path.is_dir() {
                files(path, wanted)
            } else if wanted(path) {
                vec![fs::read(path).unwrap()]
            } else {
                Vec::new()
            }
        })
        .collect()
}

fn damaged(seed: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(0..=bytes.len());
        let end = (at + random.usize(0..20)).min(bytes.len());
        match random.u8(0..5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.u8(..)),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.u8(0..8);
                }
            }
        }
    }
    bytes
}

/// Hands every seed and its damaged versions to `reader`.
fn read_all(seeds: &[Vec<u8>], mut reader: impl FnMut(&[u8])) {
    let mut random = Rng::with_seed(20_261_120);
    for seed in seeds {
        reader(seed);
        for _ in 0..VERSIONS {
            reader(&damaged(seed, &mut random));
        }
    }
}

#[test]
fn responses_stay_what_their_signers_said() {
    let certificate = |name: &str| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/seeds/certificate");
        Certificate::from_der(&fs::read(Path::new(path).join(name)).unwrap()).unwrap()
    };
    let (leaf, issuer) = (certificate("leaf.der"), certificate("issuer.der"));
    let subject = Subject {
        certificate: &leaf,
        issuer: &issuer,
    };
    let now = Timestamp::from_unix(1_768_478_400);
    let accepted = |bytes: &[u8]| verify(bytes, subject, None, now, Policy::default()).is_ok();
    let own = seeds("response");
    assert_eq!(own.iter().filter(|seed| accepted(seed)).count(), 2);
    let mut all = own.clone();
    all.extend(corpus(|path| {
        path.ends_with("response.der") || path.extension().is_none()
    }));
    read_all(&all, |bytes| {
        assert!(
            own.iter().any(|seed| seed == bytes) || !accepted(bytes),
            "accepted: {bytes:02x?}"
        );
    });
}

#[test]
fn requests_never_panic() {
    let mut all = seeds("request");
    all.extend(corpus(|path| {
        path.ends_with("request.der") || path.to_string_lossy().ends_with("-req.der")
    }));
    read_all(&all, |bytes| {
        if let Ok(request) = Request::decode(bytes) {
            assert!(!request.cert_ids.is_empty());
        }
    });
}

#[test]
fn configurations_of_haproxy_never_panic() {
    read_all(&seeds("haproxy_config"), |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let nothing = Testimony::default();
        let mut parser = Parser::new(Path::new("/"), &|_| None, &nothing);
        parser.file(Path::new("/etc/haproxy/haproxy.cfg"), &text);
        for notice in parser.finish().notices {
            assert!(!notice.to_string().contains(char::is_control));
        }
        for line in certificate_list::lines(&text).flatten() {
            assert!(!line.certificate.contains(char::is_whitespace));
        }
    });
}

#[test]
fn pem_files_and_certificates_never_panic() {
    let is_pem = |path: &Path| path.extension().is_some_and(|extension| extension == "pem");
    let mut all = seeds("pem");
    all.extend(corpus(is_pem));
    let mut ders = seeds("certificate");
    for pem in &all {
        if let Ok(bundle) = Bundle::from_pem(pem) {
            ders.extend(bundle.certificates().iter().map(|c| c.der().to_vec()));
        }
    }
    read_all(&all, |bytes| {
        if let Ok(bundle) = Bundle::from_pem(bytes) {
            let issuer = find_issuer(bundle.leaf(), bundle.certificates());
            assert!(issuer.is_none_or(|issuer| bundle.certificates().contains(issuer)));
        }
    });
    read_all(&ders, |bytes| {
        if let Ok(certificate) = Certificate::from_der(bytes) {
            assert_eq!(certificate.der(), bytes);
            assert!(!certificate.subject_display().contains(char::is_control));
        }
    });
}

#[test]
fn configurations_never_panic_and_are_refused_with_reasons() {
    let mut all = seeds("configuration");
    let example = include_str!("../../haproxy/staplerd.yaml");
    all.push(example.as_bytes().to_vec());
    // Every key, those that are commented out as well.
    all.push(example.replace("\n#", "\n").into_bytes());
    let surroundings = Surroundings {
        variable: &|_| None,
        is_file: &|_| false,
        read_folder: &|_| Err(io::ErrorKind::NotFound.into()),
    };
    read_all(&all, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let file = Some(("seed", text.as_ref()));
        if let Err(errors) = Config::read(Options::default(), file, &surroundings) {
            assert!(!errors.is_empty());
            for error in errors {
                assert!(error.to_string().starts_with("seed:"), "{error}");
            }
        }
    });
}

#[test]
fn revocation_lists_are_read_whole_or_not_at_all() {
    let seeds = seeds("crl");
    let own = |bytes: &[u8]| ReceivedList::decode(bytes).is_ok();
    assert!(seeds.iter().all(|seed| own(seed)));
    read_all(&seeds, |bytes| {
        if let (true, Some((_, shorter))) = (own(bytes), bytes.split_last()) {
            assert!(!own(shorter), "cut off and accepted: {bytes:02x?}");
        }
    });
}

#[test]
fn an_index_loses_no_row() {
    let seeds = seeds("index");
    let read = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        Index::parse(&text).map(|index| (index.len(), text))
    };
    assert!(seeds.iter().all(|seed| read(seed).is_ok()));
    read_all(&seeds, |bytes| {
        if let Ok((count, text)) = read(bytes) {
            let is_row = |line: &&str| !line.is_empty() && !line.starts_with('#');
            assert_eq!(count, text.lines().filter(is_row).count());
        }
    });
}

#[test]
fn what_a_path_is_taken_for_is_one_element() {
    let seeds = seeds("get_path");
    let read = |bytes: &[u8]| from_path(&String::from_utf8_lossy(bytes));
    for seed in &seeds {
        let PathContent::Request(request) = read(seed) else {
            panic!("{}", String::from_utf8_lossy(seed));
        };
        assert!(Question::read(&request).is_ok());
    }
    read_all(&seeds, |bytes| {
        if let PathContent::Request(request) = read(bytes) {
            assert!(der::only(&request, der::SEQUENCE).is_ok());
            let _ = Question::read(&request);
        }
    });
}
