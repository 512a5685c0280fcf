//! How fast staples get to the disk. Run with `cargo bench --bench store [-- DIRECTORY]`.
//!
//! Files per second, one fsync after the other and by group commit, in the batches that the daemon
//! writes; beside that the bare fsyncs of the disk, which is what a careful writer is bound by. All
//! of it is durable: with the data and the names flushed. DIRECTORY is where to write (default:
//! beside the build, because a temporary directory may be memory).
#![allow(clippy::unwrap_used)]

#[path = "../tests/support/pki.rs"]
mod pki;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use staplerd::ocsp::{Policy, Staple, Subject, verify};
use staplerd::store::{Claims, Ownership, write};

/// Files that are written one by one.
const SINGLE: usize = 500;
/// Files that are written in batches.
const GROUPED: usize = 5_120;
/// A smaller batch, and the largest of the daemon.
const BATCHES: [usize; 2] = [64, 512];

fn main() {
    let place = std::env::args()
        .skip(1)
        .find(|word| !word.starts_with('-'))
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let directory = tempfile::tempdir_in(&place).unwrap();
    // Another signature: what lies on disk already would not be written again.
    let [staple, successor] = [(); 2].map(|()| Arc::new(staple()));
    assert_ne!(staple.der(), successor.der());
    println!(
        "staples of {} bytes in {}",
        staple.der().len(),
        place.display()
    );

    let path = directory.path().join("single");
    let rate = measured(SINGLE, || {
        for _ in 0..SINGLE {
            let mut file = File::create(&path).unwrap();
            file.write_all(staple.der()).unwrap();
            file.sync_all().unwrap();
        }
    });
    println!("one file, written and flushed again and again: {rate:.0} fsyncs/s");

    let rate = measured(SINGLE, || {
        for number in 0..SINGLE {
            store(directory.path(), &staple, number..number + 1);
        }
    });
    println!("one staple after the other: {rate:.0} files/s");

    for size in BATCHES {
        let folder = directory.path().join(size.to_string());
        fs::create_dir(&folder).unwrap();
        let batches = |staple: &Arc<Staple>| {
            for first in (0..GROUPED).step_by(size) {
                store(&folder, staple, first..first + size);
            }
        };
        let first = measured(GROUPED, || batches(&staple));
        // A disk mounted with `discard` is told of every block that a replaced file gives back.
        let replaced = measured(GROUPED, || batches(&successor));
        println!("batches of {size}: {first:.0} first staples/s, {replaced:.0} replaced ones/s");
        let left = fs::read_dir(&folder).unwrap().count();
        assert_eq!(left, GROUPED, "something else was left behind");
    }
}

/// Writes a batch; every result has to be good.
fn store(directory: &Path, staple: &Arc<Staple>, numbers: std::ops::Range<usize>) {
    let batch: Vec<(PathBuf, Arc<Staple>)> = numbers
        .map(|number| {
            let path = directory.join(format!("site-{number}.pem.ocsp"));
            (path, Arc::clone(staple))
        })
        .collect();
    let claims = Claims::default();
    for result in write(&batch, &claims, Ownership::default()) {
        result.unwrap();
    }
}

/// How many of `count` things are done in a second.
fn measured(count: usize, work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    count as f64 / begun.elapsed().as_secs_f64()
}

fn staple() -> Staple {
    let world = pki::World::new();
    let response = world.delegated(&world.delegate).sign(&world.delegate_key);
    let subject = Subject {
        certificate: &world.leaf,
        issuer: &world.issuer,
    };
    let assessment = verify(&response, subject, None, pki::NOW, Policy::default()).unwrap();
    assessment.stapling.unwrap()
}
