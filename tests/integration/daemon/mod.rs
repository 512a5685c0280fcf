//! The real program as a process: with the real HAProxy and the real `openssl ocsp`, and with
//! everything that can be wrong around it.

pub mod authority;
mod beside;
mod commands;
mod directories;
mod end_to_end;
mod foreign_files;
mod haproxy_configuration;
mod hooks;
mod ocspbot;
mod pressure;
mod process;
mod quarantine;
mod restarts;
mod sources;
mod trouble;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use tempfile::TempDir;

use crate::support::haproxy::{send_signal, wait_for};

/// A running staplerd with its log.
pub struct Daemon {
    child: Child,
    log: PathBuf,
    directory: TempDir,
}

impl Daemon {
    pub fn start(arguments: &[&str]) -> Daemon {
        Daemon::start_with(arguments, &[])
    }

    /// With a control socket of its own.
    pub fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> Daemon {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("control.sock");
        let mut arguments = arguments.to_vec();
        arguments.extend(["--control-socket", socket.to_str().unwrap()]);
        Self::start_in(directory, &arguments, environment)
    }

    /// What it says of everything; nothing while it cannot be asked.
    pub fn status(&self) -> serde_json::Value {
        let output = Command::new(env!("CARGO_BIN_EXE_staplerd"))
            .args(["status", "--json", "--control-socket"])
            .arg(self.control_socket())
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// With this configuration file and nothing else.
    pub fn start_configured(file: &Path) -> Daemon {
        let directory = tempfile::tempdir().unwrap();
        Self::start_in(directory, &["-c", file.to_str().unwrap()], &[])
    }

    fn start_in(directory: TempDir, arguments: &[&str], environment: &[(&str, &str)]) -> Daemon {
        let log = directory.path().join("staplerd.log");
        let file = fs::File::create(&log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_staplerd"))
            .args(arguments)
            .env_remove("JOURNAL_STREAM")
            .env_remove("NOTIFY_SOCKET")
            // What this machine's own staplerd remembers is no concern of a test.
            .env("STATE_DIRECTORY", directory.path().join("state"))
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        Daemon {
            child,
            log,
            directory,
        }
    }

    /// Where it listens for commands, unless a configuration file says.
    pub fn control_socket(&self) -> PathBuf {
        self.directory.path().join("control.sock")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits for a line that has all these words.
    pub fn wait_for_line(&self, words: &[&str]) -> String {
        let mut found = None;
        let what = format!("a log line with {words:?}");
        let log = self.log.clone();
        wait_for(&what, || {
            let text = fs::read_to_string(&log).unwrap();
            found = lines_with(&text, words).first().map(ToString::to_string);
            found.is_some()
        });
        found.unwrap()
    }

    pub fn count_lines(&self, words: &[&str]) -> usize {
        lines_with(&self.log(), words).len()
    }

    pub fn signal(&self, signal: &str) {
        send_signal(self.pid(), signal);
    }

    /// Waits until it has ended by itself, or by an earlier signal.
    pub fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        wait_for("the end of staplerd", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of staplerd\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines_with<'a>(text: &'a str, words: &[&str]) -> Vec<&'a str> {
    text.lines()
        .filter(|line| words.iter().all(|word| line.contains(word)))
        .collect()
}

/// The names in a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|item| item.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
