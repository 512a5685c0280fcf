//! Cargo features: who embeds a part of this does not get the rest's dependencies.
//!
//! That each combination builds is a step of `tests/run`.

use std::collections::BTreeSet;
use std::process::Command;

/// The crates that are built with these features.
fn crates(features: &str) -> BTreeSet<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--locked", "--offline", "--edges", "normal"])
        .args(["--prefix", "none", "--format", "{p}"])
        .args(["--no-default-features", "--features", features])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

#[test]
fn a_part_is_built_without_the_others_dependencies() {
    let has = |crates: &BTreeSet<String>, names: &[&str]| -> Vec<bool> {
        names.iter().map(|name| crates.contains(*name)).collect()
    };
    let of_daemon = [
        "clap",
        "indicatif",
        "inotify",
        "jiff",
        "nix",
        "rustls",
        "saphyr-parser",
        "sd-notify",
        "signal-hook",
        "tracing-subscriber",
        "ureq",
    ];
    let of_responder = ["hyper", "hyper-util"];
    let (all, responder) = (crates("daemon,responder"), crates("responder"));
    assert_eq!(has(&all, &of_daemon), [true; 11]);
    assert_eq!(has(&all, &of_responder), [true; 2]);
    assert_eq!(has(&responder, &of_daemon), [false; 11]);
    assert_eq!(has(&responder, &of_responder), [true; 2]);
    assert_eq!(has(&crates("daemon"), &of_responder), [false; 2]);
    let neither = crates("");
    assert_eq!(has(&neither, &["tokio", "tracing", "clap"]), [false; 3]);
}
