//! The configuration that a command works by: its options, and the file they name or the one that
//! lies where it belongs.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::config::{Config, Error, File, Options, parse_duration};

/// The configuration by these options and the file `named` with them.
pub(super) fn check(options: Options, named: Option<&Path>) -> Result<Config, Vec<Error>> {
    let file = read(named).map_err(|error| vec![error])?;
    Config::new(options, file, |name| std::env::var(name).ok())
}

/// The configuration file's content, or an empty one where none is named.
fn read(named: Option<&Path>) -> Result<File, Error> {
    let Some(path) = named else {
        return Ok(File::default());
    };
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| Error::Unreadable {
        path: name.clone(),
        reason: error.to_string(),
    })?;
    Ok(File::parse(&name, &text)?)
}

/// Mistakes, a line each.
pub(super) fn in_lines(errors: &[Error]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// A duration on the command line.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "expected seconds, or a duration such as 1d 12h".to_owned())
}
