//! Statuses out of files: OpenSSL's index, a directory with a revocation list.
//!
//! Promises: a changed file counts for the next request; a file that is damaged or gone is
//! tryLater, never an old answer; 100,000 rows are read whole; a revocation list that has ended
//! says nothing any more.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use staplerd::responder::sources::{CertificateDirectory, IndexFile};
use staplerd::responder::{Inquiry, Settings, StatusSource};
use staplerd::time::Timestamp;
use tempfile::TempDir;

use super::{Serving, authority, request};
use crate::pki::{self, DAY, NOW, World, sequence, time};
use crate::skip::skipped;

const GOOD: &str = "V\t361120000000Z\t\t03A2EF\tunknown\t/CN=leaf\n";
const REVOKED: &str = "R\t361120000000Z\t260115120000Z,superseded\t03A2EF\tunknown\t/CN=leaf\n";

#[test]
fn an_index_counts_as_it_is_now() {
    let world = World::new();
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("index.txt");
    fs::write(&path, GOOD).unwrap();
    let source = IndexFile::open(&path).unwrap();
    let serving = Serving::start(vec![authority(&world, source)], Settings::default(), &[]);
    let verdict = || serving.post(&request(&world)).verdict(&world);
    assert_eq!(verdict(), "good");

    // As `openssl ca` does it: a new file takes the old one's name.
    let replace = |text: &str| {
        let new = directory.path().join("index.txt.new");
        fs::write(&new, text).unwrap();
        fs::rename(&new, &path).unwrap();
    };
    replace(REVOKED);
    assert_eq!(verdict(), "revoked");
    replace("V\tthis is no row\n");
    assert_eq!(verdict(), "try_later");
    replace("");
    assert_eq!(verdict(), "unknown");
    fs::remove_file(&path).unwrap();
    assert_eq!(verdict(), "try_later");
    replace(GOOD);
    assert_eq!(verdict(), "good");
}

#[test]
fn a_hundred_thousand_rows_are_read() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("index.txt");
    let rows: String = (0..100_000)
        .map(|number| format!("V\t361120000000Z\t\t{number:08X}\tunknown\t/CN={number}\n"))
        .collect();
    fs::write(&path, rows).unwrap();
    let source = IndexFile::open(&path).unwrap();
    let world = World::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let status = |serial: &[u8]| {
        let inquiry = Inquiry {
            serial,
            issuer: &world.issuer,
            now: NOW,
        };
        let statement = runtime.block_on(source.statement(inquiry)).unwrap();
        format!("{:?}", statement.status)
    };
    assert_eq!(status(&[0x01, 0x86, 0x9f]), "Good");
    assert_eq!(status(&[0x01, 0x86, 0xa0]), "Unknown");
}

/// A revocation list of "Issuer" that is current for a week from `this_update`.
fn revocation_list(world: &World, this_update: Timestamp, revoked: &[&[u8]]) -> Vec<u8> {
    let key = &world.issuer_key;
    let entries: Vec<u8> = revoked
        .iter()
        .flat_map(|serial| sequence(&[&pki::integer(serial), &time(NOW)]))
        .collect();
    let entries = match revoked {
        [] => Vec::new(),
        _ => sequence(&[&entries]),
    };
    let signed = sequence(&[
        &pki::integer(&[1]),
        &key.algorithm,
        world.issuer.subject_name(),
        &time(this_update),
        &time(this_update.saturating_add(7 * DAY)),
        &entries,
    ]);
    sequence(&[&signed, &key.algorithm, &pki::bits(&key.sign(&signed))])
}

fn in_pem(list: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(list);
    format!("-----BEGIN X509 CRL-----\n{text}\n-----END X509 CRL-----\n")
}

/// A directory with the leaf's certificate and a list beside it.
fn authority_files(world: &World, list: &[u8]) -> TempDir {
    let directory = TempDir::new().unwrap();
    let certificates = directory.path().join("certificates");
    fs::create_dir(&certificates).unwrap();
    fs::write(certificates.join("leaf.pem"), world.leaf.pem()).unwrap();
    fs::write(certificates.join("root.der"), world.root.der()).unwrap();
    fs::write(certificates.join("README"), "no certificate").unwrap();
    fs::write(directory.path().join("list"), list).unwrap();
    directory
}

fn serve(world: &World, files: &Path) -> Serving {
    let (certificates, list) = (files.join("certificates"), files.join("list"));
    let source = CertificateDirectory::open(&certificates, &list, &world.issuer).unwrap();
    Serving::start(vec![authority(world, source)], Settings::default(), &[])
}

#[test]
fn certificates_are_good_until_the_list_revokes_them() {
    let world = World::new();
    let yesterday = NOW.saturating_sub(DAY);
    let files = authority_files(&world, &revocation_list(&world, yesterday, &[]));
    let serving = serve(&world, files.path());
    let assessment = serving.post(&request(&world)).judged(&world).unwrap();
    assert_eq!(format!("{:?}", assessment.status), "Good");
    assert_eq!(assessment.this_update, yesterday);
    assert_eq!(assessment.next_update, Some(NOW.saturating_add(4 * DAY)));

    let revoking = revocation_list(&world, NOW, &[world.leaf.serial()]);
    fs::write(files.path().join("list"), in_pem(&revoking)).unwrap();
    assert_eq!(serving.post(&request(&world)).verdict(&world), "revoked");

    fs::write(files.path().join("list"), &revoking[..100]).unwrap();
    assert_eq!(serving.post(&request(&world)).verdict(&world), "try_later");
}

#[test]
fn certificates_that_are_not_in_the_directory_are_unknown() {
    let world = World::new();
    let files = authority_files(&world, &revocation_list(&world, NOW, &[]));
    fs::remove_file(files.path().join("certificates/leaf.pem")).unwrap();
    let serving = serve(&world, files.path());
    assert_eq!(serving.post(&request(&world)).verdict(&world), "unknown");
    // A certificate that is issued counts at once.
    fs::write(files.path().join("certificates/new.der"), world.leaf.der()).unwrap();
    assert_eq!(serving.post(&request(&world)).verdict(&world), "good");
}

#[test]
fn a_certificate_that_is_written_after_its_name_is_there_is_found() {
    let world = World::new();
    let files = authority_files(&world, &revocation_list(&world, NOW, &[]));
    let path = files.path().join("certificates/leaf.pem");
    for _ in 0..20 {
        fs::remove_file(&path).unwrap();
        let serving = serve(&world, files.path());
        let begun = Instant::now();
        let mut file = fs::File::create(&path).unwrap();
        assert_eq!(serving.post(&request(&world)).verdict(&world), "unknown");
        file.write_all(world.leaf.pem().as_bytes()).unwrap();
        let verdict = serving.post(&request(&world)).verdict(&world);
        // A machine that is too busy for two questions in a second tries again.
        if begun.elapsed() < Duration::from_secs(1) {
            assert_eq!(verdict, "good");
            return;
        }
    }
    skipped("a certificate that is written late: this machine is too busy");
}

#[test]
fn a_list_that_has_ended_says_nothing() {
    let world = World::new();
    let ended = revocation_list(&world, NOW.saturating_sub(7 * DAY), &[]);
    let files = authority_files(&world, &ended);
    let serving = serve(&world, files.path());
    assert_eq!(serving.post(&request(&world)).verdict(&world), "try_later");
}

#[test]
fn a_list_of_somebody_else_is_refused_at_the_start() {
    let (world, other) = (World::new(), World::new());
    let files = authority_files(&world, &revocation_list(&other, NOW, &[]));
    let (certificates, list) = (files.path().join("certificates"), files.path().join("list"));
    let refused = CertificateDirectory::open(&certificates, &list, &world.issuer);
    let error = refused.err().unwrap().to_string();
    assert!(error.contains("signature is not the issuer's"), "{error}");
}
