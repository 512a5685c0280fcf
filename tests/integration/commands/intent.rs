//! One answer to "what would the daemon do": the daemon, `validate`, `probe --all` and `once` look
//! after the same certificates and know the same control sockets, whatever the configuration.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;

use serde_json::Value;

use super::{staplerd, stderr, stdout};
use crate::daemon::Daemon;
use crate::support::haproxy::wait_for;
use crate::support::pki::Authority;

/// Refused without a connection: certificates may not point to loopback.
const RESPONDER: &str = "http://127.0.0.1:9/";
/// Where no server listens.
const TARGET: &str = "127.0.0.1:9";

/// A configuration; how many certificates it means, and which sockets. `{dir}` is a folder with the
/// certificates `certs/one.pem`, `certs/two.pem`, `certs/below/three.pem` and `other/four.pem`.
struct Case {
    configuration: &'static str,
    certificates: usize,
    sockets: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        configuration: "directories: ['{dir}/certs']",
        certificates: 2,
        sockets: &[],
    },
    Case {
        configuration: "directories: [{path: '{dir}/certs', sockets: ['{dir}/a', '{dir}/b']}]",
        certificates: 2,
        sockets: &["a", "b"],
    },
    Case {
        configuration: "directories: ['{dir}/certs', '{dir}/other']\nrecursive: true",
        certificates: 4,
        sockets: &[],
    },
    Case {
        configuration: "haproxy_config: ['{dir}/first.cfg']",
        certificates: 2,
        sockets: &["first.sock"],
    },
    Case {
        configuration: "haproxy_config: ['{dir}/first.cfg', '{dir}/second.cfg']",
        certificates: 3,
        sockets: &["first.sock", "second.sock"],
    },
    // One process of two files.
    Case {
        configuration: "haproxy_config: ['{dir}/base.cfg', '{dir}/rest.cfg']",
        certificates: 1,
        sockets: &["base.sock"],
    },
    Case {
        configuration: "haproxy_config: ['{dir}/first.cfg']\nhaproxy_sockets: ['{dir}/free']",
        certificates: 2,
        sockets: &["free"],
    },
    Case {
        configuration: "haproxy_config: ['{dir}/first.cfg']\ndirectories: ['{dir}/certs']",
        certificates: 2,
        sockets: &["first.sock"],
    },
    Case {
        configuration: "haproxy_sockets: ['{dir}/free']",
        certificates: 0,
        sockets: &["free"],
    },
    Case {
        configuration: "ocsp_folder: '{dir}/staples'\n\
            domains: {four: {cert: '{dir}/other/four.pem', ocsp: four.ocsp, sockets: ['{dir}/a']}}\n\
            scan_keys: [{folder: '{dir}/keys'}]",
        certificates: 2,
        sockets: &["a"],
    },
];

fn write_world(directory: &Path) {
    let authority = Authority::new();
    for folder in ["certs/below", "other", "staples"] {
        fs::create_dir_all(directory.join(folder)).unwrap();
    }
    for file in [
        "certs/one.pem",
        "certs/two.pem",
        "certs/below/three.pem",
        "other/four.pem",
    ] {
        let name = Path::new(file).file_stem().unwrap().to_str().unwrap();
        let pem = authority.issue(name, Some(RESPONDER)).pem();
        fs::write(directory.join(file), pem).unwrap();
    }
    // ocspbot's: a certificate with its chains in files of their own.
    fs::create_dir(directory.join("keys")).unwrap();
    let five = authority.issue("five", Some(RESPONDER)).pem();
    fs::write(directory.join("keys/five.pem"), five).unwrap();
    for chain in ["five-chain.pem", "five-rootchain.pem"] {
        fs::write(directory.join("keys").join(chain), authority.pem()).unwrap();
    }
    let place = directory.to_str().unwrap();
    let socket = |name: &str| format!("global\n  stats socket {place}/{name} level admin\n");
    let bind = |file: &str| format!("frontend f\n  bind 127.0.0.1:8443 ssl crt {file}\n");
    for (name, text) in [
        (
            "first.cfg",
            socket("first.sock") + &bind(&format!("{place}/certs")),
        ),
        (
            "second.cfg",
            socket("second.sock") + &bind(&format!("{place}/other")),
        ),
        (
            "base.cfg",
            socket("base.sock") + &format!("  crt-base {place}/other\n"),
        ),
        ("rest.cfg", bind("four.pem")),
    ] {
        fs::write(directory.join(name), text).unwrap();
    }
}

/// What is looked after: the certificates' files and the control sockets.
type Seen = (BTreeSet<String>, BTreeSet<String>);

fn daemons(file: &Path, control_socket: &Path) -> Seen {
    let daemon = Daemon::start_configured(file);
    daemon.wait_for_line(&["ready, "]);
    let status = || {
        let output = staplerd(&[
            "status",
            "--json",
            "--control-socket",
            control_socket.to_str().unwrap(),
        ]);
        serde_json::from_str::<Value>(&stdout(&output)).ok()
    };
    let mut report = None;
    wait_for("the status", || {
        report = status();
        report.is_some()
    });
    let report = report.unwrap();
    let texts = |list: &str, key: &str| -> BTreeSet<String> {
        let rows = report[list].as_array().unwrap().iter();
        rows.map(|row| row[key].as_str().unwrap().to_owned())
            .collect()
    };
    (texts("certificates", "path"), texts("sockets", "socket"))
}

fn probed(file: &Path) -> BTreeSet<String> {
    let output = staplerd(&["probe", TARGET, "--all", "-j", "-c", file.to_str().unwrap()]);
    let Ok(report) = serde_json::from_str::<Value>(&stdout(&output)) else {
        assert!(
            stderr(&output).contains("only control sockets"),
            "{output:?}"
        );
        return BTreeSet::new();
    };
    let rows = report["certificates"].as_array().unwrap().iter();
    rows.map(|row| row["file"].as_str().unwrap().to_owned())
        .collect()
}

/// What `once` would ask for. It waits for sockets, of which there is none.
fn due(file: &Path) -> BTreeSet<String> {
    let output = staplerd(&["once", "--dry-run", file.to_str().unwrap()]);
    let text = stdout(&output) + &stderr(&output);
    let (_, list) = text
        .split_once(" due, ")
        .unwrap_or_else(|| panic!("{text}"));
    let words = list.split_whitespace();
    words
        .filter(|word| word.ends_with(".pem"))
        .map(str::to_owned)
        .collect()
}

/// What `validate` says: how many certificates, and which sockets.
fn validated(arguments: &[&str]) -> (usize, BTreeSet<String>) {
    let output = staplerd(&[&["validate"], arguments].concat());
    let text = stdout(&output);
    let rows = |subject: &str| -> Vec<String> {
        let rows = text.lines().filter_map(|line| line.split_once("  "));
        let rows = rows.filter_map(|(_, row)| row.trim_start().strip_prefix(subject));
        rows.filter_map(|rest| rest.strip_prefix("  "))
            .map(|rest| rest.trim().to_owned())
            .collect()
    };
    let count = rows("certificates")
        .first()
        .and_then(|row| row.split(' ').next()?.parse().ok());
    let sockets = rows("socket").into_iter();
    let sockets = sockets.filter_map(|row| Some(row.split_once(": ")?.0.to_owned()));
    let sockets = sockets.filter(|name| name.starts_with('/'));
    (count.unwrap_or(0), sockets.collect())
}

fn check(case: &Case) {
    let directory = tempfile::tempdir().unwrap();
    write_world(directory.path());
    let place = directory.path().to_str().unwrap();
    let control_socket = directory.path().join("control.sock");
    let text = format!(
        "control_socket: '{{dir}}/control.sock'\n{}\n",
        case.configuration
    );
    let file = directory.path().join("staplerd.yaml");
    fs::write(&file, text.replace("{dir}", place)).unwrap();

    let what = case.configuration;
    let (certificates, sockets) = daemons(&file, &control_socket);
    let expected = case.sockets.iter().map(|name| format!("{place}/{name}"));
    assert_eq!(sockets, expected.collect(), "{what}");
    assert_eq!(
        certificates.len(),
        case.certificates,
        "{what}: {certificates:?}"
    );
    assert_eq!(probed(&file), certificates, "probe, {what}");
    assert_eq!(due(&file), certificates, "once, {what}");
    assert_eq!(
        validated(&["-c", file.to_str().unwrap()]),
        (certificates.len(), sockets),
        "validate, {what}"
    );
}

#[test]
fn daemon_validate_probe_and_once_mean_the_same() {
    // Each by itself would take its time.
    thread::scope(|scope| {
        for case in CASES {
            scope.spawn(|| check(case));
        }
    });
}

#[test]
fn validate_takes_the_options_of_the_daemon() {
    let directory = tempfile::tempdir().unwrap();
    write_world(directory.path());
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (certs, other, a, b) = (path("certs"), path("other"), path("a"), path("b"));
    let (first, second) = (path("first.cfg"), path("second.cfg"));
    let rows: &[(&[&str], usize, &[&str])] = &[
        (&["-d", &certs, "-s", &a], 2, &[&a]),
        (
            &[&certs, &other, "-s", &a, &b, "-D", "-v", "-l", "/tmp"],
            3,
            &[&a, &b],
        ),
        (&["-R", &certs], 3, &[]),
        (
            &["--haproxy-config", &first, &second],
            3,
            &[&path("first.sock"), &path("second.sock")],
        ),
        (
            &["--haproxy-config", &first, "--no-haproxy-sockets"],
            2,
            &[],
        ),
    ];
    for (options, certificates, sockets) in rows {
        let sockets = sockets.iter().map(ToString::to_string).collect();
        assert_eq!(validated(options), (*certificates, sockets), "{options:?}");
    }
}
