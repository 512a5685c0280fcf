//! `examples/responder.rs`, which is what somebody with statuses of his own starts from.
//!
//! Promise: it builds, and `openssl ocsp` sees the rows of its table change while it runs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::process::{Files, KEYS, have_openssl};

/// The example at work; killed when dropped.
struct Example {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    url: String,
}

impl Example {
    fn start(files: &Files) -> Self {
        let mut child = Command::new(built())
            .current_dir(files.path())
            .args(["ca.pem", "ocsp.pem", "ocsp.key", "127.0.0.1:0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut example = Example {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
            url: String::new(),
        };
        example.url = example.line();
        example
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn change(&mut self, row: &str) -> String {
        writeln!(self.input, "{row}").unwrap();
        self.line()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The example's program, beside the one that is tested; built if it is not up to date.
fn built() -> std::path::PathBuf {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args([
        "build",
        "--quiet",
        "--locked",
        "--example",
        "responder",
    ]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    assert!(command.status().unwrap().success());
    let program = Path::new(env!("CARGO_BIN_EXE_staplerd"));
    program.parent().unwrap().join("examples/responder")
}

#[test]
fn openssl_sees_the_table_of_the_example_change() {
    if !have_openssl() {
        return;
    }
    let files = Files::new(KEYS[0].1);
    let mut example = Example::start(&files);
    let url = example.url.clone();
    let asked = || {
        let output = files.openssl(&[
            "ocsp", "-issuer", "ca.pem", "-CAfile", "ca.pem", "-url", &url, "-serial", "0x80",
        ]);
        assert!(String::from_utf8_lossy(&output.stderr).contains("Response verify OK"));
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.lines().next().unwrap();
        line.trim_start_matches("0x80: ").to_owned()
    };
    assert_eq!(asked(), "unknown");
    for (row, status) in [
        ("good 80", "good"),
        ("revoked 80", "revoked"),
        ("forget 80", "unknown"),
    ] {
        assert_eq!(example.change(row), "done");
        assert_eq!(asked(), status);
    }
    assert_eq!(example.change("good -80"), "no hexadecimal number");
}
