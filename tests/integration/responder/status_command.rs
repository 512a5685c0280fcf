//! `--status-command`: statuses from a program of any language.
//!
//! Promises: the Python example's statuses are what `openssl ocsp` sees; whatever a program does
//! wrong, clients are told tryLater or internalError, the log says the reason, the program and what
//! it has started are gone, and it is started again; an answer counts for the time it states, also
//! while the program is away.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use staplerd::ocsp::response::decode;

use super::post;
use super::process::{Files, KEYS, Process, command, have_openssl};
use crate::skip::skipped;
use crate::support::haproxy::wait_for;

/// The group of options, but for where statuses come from.
const SIGNER: [&str; 6] = [
    "--issuer", "ca.pem", "--signer", "ocsp.pem", "--key", "ocsp.key",
];

/// A responder that asks a program for statuses.
struct Asking {
    files: Files,
    responder: Process,
}

impl Asking {
    /// A program in the language of the shell; `answer STATUS` there answers what is in
    /// `$question`.
    fn start(script: &str) -> Self {
        let files = Files::new(KEYS[0].1);
        let common = r#"#!/bin/sh
            answer() {
                serial=${question#*:\"}
                echo "{\"serial\":\"${serial%%\"*}\",$1}"
            }
"#;
        files.write("status.sh", &format!("{common}{script}\n"));
        fs::set_permissions(
            files.path().join("status.sh"),
            fs::Permissions::from_mode(0o755),
        )
        .unwrap();
        Asking::start_with(files, "./status.sh")
    }

    fn start_with(files: Files, program: &str) -> Self {
        let more = ["--status-command", program, "--listen", "127.0.0.1:0"];
        let mut command = command(files.path(), &[&SIGNER[..], &more].concat());
        // The log is waited for where it says where the responder listens; the rest goes to a file.
        let log = fs::File::create(files.path().join("log")).unwrap();
        command.stderr(log);
        let mut responder = Process {
            child: command.spawn().unwrap(),
            address: ([127, 0, 0, 1], 0).into(),
        };
        let path = files.path().join("log");
        wait_for("the responder", || {
            let log = fs::read_to_string(&path).unwrap();
            let Some((_, rest)) = log.split_once("requests at http://") else {
                return false;
            };
            let Some((address, _)) = rest.split_once("/\n") else {
                return false;
            };
            responder.address = address.parse().unwrap();
            true
        });
        Asking { files, responder }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.files.path().join(name)).unwrap_or_default()
    }

    /// What a client is told about a serial number.
    fn told(&self, serial: &str) -> String {
        self.files.openssl(&[
            "ocsp",
            "-issuer",
            "ca.pem",
            "-serial",
            serial,
            "-no_nonce",
            "-reqout",
            "request",
        ]);
        let request = fs::read(self.files.path().join("request")).unwrap();
        let answer = post(self.responder.address, "/", &request).body;
        match decode(&answer) {
            Ok(response) => format!("{:?}", response.single_responses[0].status),
            Err(rejection) => rejection.kind().to_owned(),
        }
    }
}

#[test]
fn openssl_sees_what_the_python_example_says() {
    if !have_openssl() {
        return;
    }
    let python = Command::new("/usr/bin/python3").arg("--version").output();
    if python.is_err() {
        skipped("the example of a program with statuses: there is no /usr/bin/python3");
        return;
    }
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/status.py");
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operating.md");
    let (_, after_imports) = fs::read_to_string(&example)
        .unwrap()
        .split_once("\n\n\nfor line")
        .map(|(imports, loop_)| (imports.to_owned(), loop_.to_owned()))
        .unwrap();
    let guide = fs::read_to_string(guide).unwrap();
    assert!(
        guide.contains(&format!("for line{after_imports}")),
        "docs/operating.md shows another example"
    );

    let asking = Asking::start_with(Files::new(KEYS[0].1), example.to_str().unwrap());
    let text = asking.files.ask(asking.responder.address, &["-no_nonce"]);
    for words in [
        "Response verify OK",
        "0x03A2EF: good",
        "0x05: revoked",
        "Reason: keyCompromise",
        "Revocation Time: Jan 15 12:00:00 2026 GMT",
        "0x77: unknown",
    ] {
        assert!(text.contains(words), "no '{words}' in {text}");
    }
}

#[test]
fn what_a_program_does_wrong_is_said_and_it_is_started_again() {
    if !have_openssl() {
        return;
    }
    // What it does with its first question; what the client is told, and the log.
    let wrong = [
        ("exit 3", "try_later", "status_command_ended"),
        ("exec sleep 60", "try_later", "status_command_timeout"),
        ("echo good", "internal_error", "status_command_malformed"),
        (
            "echo hello",
            "internal_error",
            "answer as it should: 'hello': ",
        ),
        (
            "head -c 5000 /dev/zero | tr '\\0' x",
            "internal_error",
            "status_command_malformed",
        ),
        (
            "question=':\"06\"'; answer '\"status\":\"good\"'",
            "internal_error",
            "status_command_malformed",
        ),
    ];
    // All at once, for one of them takes five seconds.
    std::thread::scope(|scope| {
        for (script, told, reason) in wrong {
            scope.spawn(move || {
                let script = format!(
                    "sleep 1000 & echo $! >> children\n\
                     while read -r question; do\n\
                     [ -e wrong ] || {{ : > wrong; {script}; exec sleep 60; }}\n\
                     answer '\"status\":\"good\"'\n\
                     done"
                );
                let asking = Asking::start(&script);
                assert_eq!(asking.told("0x05"), told, "{script}");
                wait_for("the next start", || asking.told("0x05") == "Good");
                let log = asking.read("log");
                assert!(log.contains(reason), "no {reason} in {log}");
                assert!(log.contains("is started again"), "{log}");
                if reason != "status_command_ended" {
                    let children = asking.read("children");
                    let first = children.lines().next().unwrap();
                    wait_for("the end of what it had started", || !is_alive(first));
                }
            });
        }
    });
}

/// Whether a process is there and has not ended.
fn is_alive(pid: &str) -> bool {
    let mut state = String::new();
    let file = fs::File::open(format!("/proc/{pid}/stat"));
    let read = file.and_then(|mut file| file.read_to_string(&mut state));
    read.is_ok() && !state.contains(") Z")
}

#[test]
fn one_answer_that_is_wrong_concerns_its_question_only_and_a_program_may_not_know() {
    if !have_openssl() {
        return;
    }
    let asking = Asking::start(
        r#"
        echo started >> starts
        while read -r question; do
            case $question in
                *'"05"'*) answer '"status":"goood"';;
                *'"80"'*) answer '"error":"the database is away"';;
                *) answer '"status":"good","cache_seconds":0';;
            esac
        done"#,
    );
    assert_eq!(asking.told("0x05"), "internal_error");
    assert_eq!(asking.told("0x80"), "try_later");
    assert_eq!(asking.told("0x77"), "Good");
    assert_eq!(asking.read("starts").lines().count(), 1);
    let log = asking.read("log");
    assert!(log.contains("status_command_malformed"), "{log}");
}

#[test]
fn an_answer_counts_for_its_time_also_while_the_program_is_away() {
    if !have_openssl() {
        return;
    }
    let asking = Asking::start(
        r#"
        [ ! -e away ] || exit 1
        while read -r question; do
            echo "$question" >> questions
            case $question in
                *'"05"'*) answer '"status":"good","cache_seconds":3600';;
                *'"80"'*) answer '"status":"good","cache_seconds":0';;
                *) : > away; exit 1;;
            esac
        done"#,
    );
    for _ in 0..3 {
        assert_eq!(asking.told("0x05"), "Good");
        assert_eq!(asking.told("0x80"), "Good");
    }
    let questions = asking.read("questions");
    let count = |serial: &str| questions.matches(serial).count();
    assert_eq!((count("\"05\""), count("\"80\"")), (1, 3), "{questions}");
    assert!(questions.contains("\"issuer\":\"CN=CA\""), "{questions}");
    assert_eq!(asking.told("0x77"), "try_later");
    assert_eq!(asking.told("0x80"), "try_later");
    assert_eq!(asking.told("0x05"), "Good");
}

#[test]
fn a_program_that_cannot_be_started_is_a_mistake_of_the_configuration() {
    if !have_openssl() {
        return;
    }
    let files = Files::new(KEYS[0].1);
    let more = ["--status-command", "./nowhere", "--listen", "127.0.0.1:0"];
    let output = command(files.path(), &[&SIGNER[..], &more].concat()).output();
    let output = output.unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{log}");
    assert!(log.contains("./nowhere cannot be started"), "{log}");
}
