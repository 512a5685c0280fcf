//! From the command line to a checked configuration: which file is read, and the reading of it.
//!
//! The file is the one that is named, or `/etc/staplerd/staplerd.yaml`, or `~/.staplerd.yaml`; none
//! where neither is there. What is in it is the room `config`'s business.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{Config, Error, MAX_BYTES, Options, Surroundings, Texts, parse_duration};

/// The configuration file of the machine.
const SYSTEM_FILE: &str = "/etc/staplerd/staplerd.yaml";
/// The configuration file of a user, in the home directory.
const USER_FILE: &str = ".staplerd.yaml";
/// The most files that one folder may hold to be included.
const MOST_INCLUDED: usize = 10_000;

/// The configuration of these options and of the file that is `named`, or of that in its default
/// place. Warnings about the file are logged.
///
/// # Errors
/// Every mistake that was found.
pub(super) fn check(options: Options, named: Option<&Path>) -> Result<Config, Vec<Error>> {
    let path = named.map(Path::to_owned).or_else(default_file);
    let text = path.as_deref().map(text_of).transpose();
    let text = text.map_err(|error| vec![error])?;
    let file = text
        .as_ref()
        .map(|(name, text)| (name.as_str(), text.as_str()));
    let surroundings = Surroundings {
        variable: &|name| std::env::var(name).ok(),
        is_file: &Path::is_file,
        read_folder: &read_folder,
    };
    let config = Config::read(options, file, &surroundings)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    Ok(config)
}

/// The first of the default places where there is anything.
fn default_file() -> Option<PathBuf> {
    let users = std::env::home_dir().map(|home| home.join(USER_FILE));
    let places = [Some(PathBuf::from(SYSTEM_FILE)), users];
    // What cannot be looked at is not passed over: reading it says why.
    let is_there = |path: &PathBuf| path.try_exists().unwrap_or(true);
    places.into_iter().flatten().find(is_there)
}

/// The name and the text of a file.
fn text_of(path: &Path) -> Result<(String, String), Error> {
    let name = path.display().to_string();
    match read_bounded(path) {
        Ok(text) => Ok((name, text)),
        Err(error) => Err(Error::Unreadable {
            path: name,
            reason: error.to_string(),
        }),
    }
}

/// A file of as many bytes as a configuration may have, and one more so that too many are noticed.
fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut file = File::open(path)?.take(MAX_BYTES as u64 + 1);
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// The files in a folder that end in .yml or .yaml, by their names.
fn read_folder(folder: &Path) -> io::Result<Texts> {
    let mut paths = Vec::new();
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    for item in fs::read_dir(folder)? {
        let path = item?.path();
        let is_yaml = path.extension().and_then(OsStr::to_str);
        if matches!(is_yaml, Some("yml" | "yaml")) && path.is_file() {
            paths.push(path);
        }
    }
    if paths.len() > MOST_INCLUDED {
        let message = format!("more than {MOST_INCLUDED} files");
        return Err(io::Error::other(message));
    }
    paths.sort();
    let texts = paths.into_iter().map(|path| {
        let text = read_bounded(&path).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
        Ok((path, text))
    });
    texts.collect()
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
