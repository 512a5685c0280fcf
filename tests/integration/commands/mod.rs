//! The commands for people, run as processes: what they print, and how they end.

mod fetch;
mod help;
mod intent;
mod probe;
mod reference;
mod stapled;
mod validate;

use std::process::{Command, Output, Stdio};

/// Runs staplerd with these arguments to its end.
pub fn staplerd(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_staplerd"))
        .args(arguments)
        .env_remove("http_proxy")
        .env_remove("JOURNAL_STREAM")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn last_line(output: &Output) -> String {
    stdout(output).lines().last().unwrap_or_default().to_owned()
}
