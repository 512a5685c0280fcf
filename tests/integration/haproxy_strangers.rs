//! The promise of the fuzz target `session` as a plain test: its seeds with every version and
//! command line, and strangers put together at random, the same ones in every run.
//!
//! `STAPLERD_SESSION_SEEDS=5000` runs more of these.

use std::fs;
use std::panic::catch_unwind;

use fastrand::Rng;

use crate::strange_haproxy::live_through;

/// Versions and command lines.
const DIALECTS: u8 = 8;
/// How many are put together at random when nobody says how many.
const SEEDS: u64 = 30;

/// What means something to HAProxy's command line, or to who reads what it says.
const FRAGMENTS: [&str; 26] = [
    "\n",
    "\n\n",
    "> ",
    "\n> ",
    "\n\n> ",
    "master> ",
    "+ ",
    ";",
    "\\",
    " <<",
    "*",
    "@1 ",
    "\t",
    " ",
    "\r",
    "\0",
    "admin\n\n",
    "SHA1 FingerPrint: ",
    "OCSP Response Key: ",
    "Serial: 11A101\n",
    "Filename: ",
    "Algorithm: ",
    "# filename\n",
    "/certs/00.pem",
    "Success!\n",
    "x",
];

/// The session with these bytes, by which a failure is told.
fn hold(what: &str, bytes: &[u8]) {
    let held = catch_unwind(|| live_through(bytes));
    assert!(held.is_ok(), "{what}: {}", bytes.escape_ascii());
}

#[test]
fn seeds_of_strangers_hurt_no_session() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/seeds/session");
    for entry in fs::read_dir(seeds).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        for dialect in 0..DIALECTS {
            bytes[0] = dialect;
            hold(&path.display().to_string(), &bytes);
        }
    }
}

#[test]
fn strangers_put_together_at_random_hurt_no_session() {
    let seeds = std::env::var("STAPLERD_SESSION_SEEDS");
    let seeds = seeds.map_or(SEEDS, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        hold(&format!("seed {seed}"), &strangers(seed));
    }
}

fn strangers(seed: u64) -> Vec<u8> {
    let mut random = Rng::with_seed(seed);
    let mut bytes = vec![seed as u8, random.u8(..)];
    for _ in 0..random.usize(1..40) {
        bytes.push(random.u8(..0xff));
        for _ in 0..random.usize(0..8) {
            match random.u8(0..12) {
                0 => bytes.extend((0..random.usize(0..20)).map(|_| random.u8(..0xff))),
                1 => bytes.extend("x".repeat(random.usize(0..3000)).into_bytes()),
                _ => bytes.extend(FRAGMENTS[random.usize(..FRAGMENTS.len())].as_bytes()),
            }
        }
        bytes.push(0xff);
    }
    bytes
}
