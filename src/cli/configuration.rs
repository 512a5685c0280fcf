//! The configuration that a command works by: its options, and the file they name or the first of
//! those that lie where they belong.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::stapled_file;
use crate::config::{Config, Error, File, Options, parse_duration};

/// The configuration file of the machine.
const SYSTEM_FILE: &str = "/etc/staplerd/staplerd.yaml";
/// The configuration file of a user, in the home directory.
const USER_FILE: &str = ".staplerd.yaml";
/// The places of stapled and ocspd: in the home directory, and the machine's.
const ANCESTORS: [(&str, &str); 2] = [
    (".stapled.conf", "/etc/stapled/stapled.conf"),
    (".ocspd.conf", "/etc/ocspd/ocspd.conf"),
];

/// A configuration, and what there is to say about where it comes from.
pub(super) struct Loaded {
    pub(super) config: Config,
    /// For the log.
    pub(super) notices: Vec<String>,
    /// Whether the daemon goes into the background.
    pub(super) background: bool,
}

/// The configuration by these options and the file `named` with them, or the one in its place.
///
/// # Errors
/// Every mistake that was found.
pub(super) fn load(options: Options, named: Option<&Path>) -> Result<Loaded, Vec<Error>> {
    let path = named.map(Path::to_owned).or_else(default_file);
    let Some(path) = path else {
        return check(options, File::default(), Vec::new());
    };
    let name = path.display().to_string();
    let text = fs::read_to_string(&path).map_err(|error| {
        vec![Error::Unreadable {
            path: name.clone(),
            reason: error.to_string(),
        }]
    })?;
    if stapled_file::is_stapled_form(&text) {
        let below = stapled_file::parse(&name, &text)?;
        let notice = format!("{name} is read as stapled's configuration file");
        return check(options.or(below), File::default(), vec![notice]);
    }
    let file = File::parse(&name, &text).map_err(|error| vec![Error::from(error)])?;
    let notices = match named {
        Some(_) => Vec::new(),
        None => vec![format!("configured by {name}")],
    };
    check(options, file, notices)
}

fn check(options: Options, file: File, notices: Vec<String>) -> Result<Loaded, Vec<Error>> {
    let background = options.background;
    let config = Config::new(options, file, |name| std::env::var(name).ok())?;
    Ok(Loaded {
        config,
        notices,
        background,
    })
}

/// The first of the default places where there is anything: our own, then the ancestors'.
fn default_file() -> Option<PathBuf> {
    let home = std::env::home_dir();
    let in_home = |name: &str| home.as_ref().map(|home| home.join(name));
    let own = [Some(PathBuf::from(SYSTEM_FILE)), in_home(USER_FILE)];
    let others = ANCESTORS
        .iter()
        .flat_map(|(user, system)| [in_home(user), Some(PathBuf::from(system))]);
    // What cannot be looked at is not passed over: reading it says why.
    let is_there = |path: &PathBuf| path.try_exists().unwrap_or(true);
    own.into_iter().chain(others).flatten().find(is_there)
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
