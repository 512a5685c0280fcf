//! From the command line to a checked configuration: which file is read, and the reading of it.
//!
//! The file is the one that is named, or the first there is of `/etc/staplerd/staplerd.yaml`,
//! `~/.staplerd.yaml` (either may end in `.yml`) and the places of stapled and ocspd. What is in it
//! is the room `config`'s business.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crate::config::stapled_file;
use crate::config::{
    Config, Error, LogFilePattern, MAX_BYTES, Options, Origin, Surroundings, Texts,
};
use crate::files::{self, Reach};
use crate::text::Printable;
use crate::text::parse_duration;

/// The configuration file of the machine, by the two endings that are usual.
const SYSTEM_FILES: [&str; 2] = ["/etc/staplerd/staplerd.yaml", "/etc/staplerd/staplerd.yml"];
/// The configuration file of a user, in the home directory.
const USER_FILES: [&str; 2] = [".staplerd.yaml", ".staplerd.yml"];
/// The places of stapled and ocspd: in the home directory, and the machine's.
const ANCESTORS: [(&str, &str); 2] = [
    (".stapled.conf", "/etc/stapled/stapled.conf"),
    (".ocspd.conf", "/etc/ocspd/ocspd.conf"),
];
/// What is taken where nothing is configured.
const HAPROXY_CONFIG: &str = "/etc/haproxy/haproxy.cfg";
/// The most files that one folder may hold to be included.
const MOST_INCLUDED: usize = 10_000;

/// A configuration, and what there is to say about where it comes from.
pub(super) struct Loaded {
    pub(super) config: Config,
    /// The file that was read, if there is one.
    pub(super) file: Option<String>,
    /// What is worth a word about it.
    pub(super) notice: Option<String>,
    /// The default places that cannot be looked at, with the system's words.
    pub(super) passed_over: Vec<String>,
    /// Whether the daemon is to go into the background.
    pub(super) background: bool,
    /// Whether everything that is due is to be done once, as stapled's `one-off`.
    pub(super) one_off: bool,
}

/// As [`load`], for commands that have nothing to say about where it comes from.
///
/// # Errors
/// Every mistake that was found.
pub(super) fn check(options: Options, named: Option<&Path>) -> Result<Config, Vec<Error>> {
    load(options, named).map(|loaded| loaded.config)
}

/// The configuration of these options and of the file that is `named`, or of that in its default
/// place.
///
/// # Errors
/// Every mistake that was found.
pub(super) fn load(options: Options, named: Option<&Path>) -> Result<Loaded, Vec<Error>> {
    let mut passed_over = Vec::new();
    let path = match named {
        Some(path) => Some(path.to_owned()),
        None => default_file(&mut passed_over),
    };
    let text = path.as_deref().map(text_of).transpose();
    let text = text.map_err(|error| vec![error])?;
    let (options, file, notice) = match &text {
        None => (options, None, None),
        Some((name, text)) if stapled_file::is_stapled_form(text) => {
            let below = stapled_file::parse(name, text)?;
            let notice = format!("{name} is read as stapled's configuration file");
            (options.or(below), None, Some(notice))
        }
        Some((name, text)) => {
            let notice = named.is_none().then(|| format!("configured by {name}"));
            (options, Some((name.as_str(), text.as_str())), notice)
        }
    };
    let surroundings = Surroundings {
        variable: &|name| std::env::var(name).ok(),
        is_file: &Path::is_file,
        read_folder: &read_folder,
    };
    let (background, one_off) = (options.background, options.one_off);
    let mut config = Config::read(options, file, &surroundings)?;
    config.unite_directories(&without_parents);
    Ok(Loaded {
        config,
        file: text.as_ref().map(|(name, _)| name.clone()),
        notice,
        passed_over,
        background,
        one_off,
    })
}

/// What the daemon does with these options: where neither they nor a file name anything, HAProxy's
/// own configuration in its default place counts.
///
/// # Errors
/// Every mistake that was found.
pub(super) fn for_daemon(options: Options, named: Option<&Path>) -> Result<Loaded, Vec<Error>> {
    let loaded = load(options.clone(), named)?;
    if !matches!(loaded.config.origin(), Origin::Nothing | Origin::NoneYet) {
        return Ok(loaded);
    }
    if let Some(file) = loaded.file {
        return Err(vec![Error::NothingNamed { file }]);
    }
    if let Err(error) = files::open(Path::new(HAPROXY_CONFIG), Reach::Anywhere) {
        return Err(vec![Error::NothingThere {
            haproxy_config: HAPROXY_CONFIG,
            reason: error.to_string(),
        }]);
    }
    let options = Options {
        haproxy_config: vec![HAPROXY_CONFIG.into()],
        ..options
    };
    let notice = "nothing is configured: the certificates and control sockets of";
    Ok(Loaded {
        notice: Some(format!("{notice} {HAPROXY_CONFIG} are taken")),
        ..load(options, named)?
    })
}

/// The `error_log` of a file that makes no sense otherwise, of the `named` one or of that in its
/// default place.
pub(super) fn error_log(named: Option<&Path>) -> Option<LogFilePattern> {
    let named = named.map(Path::to_owned);
    let path = named.or_else(|| default_file(&mut Vec::new()))?;
    let (name, text) = text_of(&path).ok()?;
    Config::error_log(&name, &text)
}

/// The first of the default places where there is anything: our own, then the ancestors'. A place
/// that cannot be looked at (the home directory of a unit with `ProtectHome=`) is passed over.
fn default_file(passed_over: &mut Vec<String>) -> Option<PathBuf> {
    let home = std::env::home_dir();
    let in_home = |name: &str| home.as_ref().map(|home| home.join(name));
    let system = SYSTEM_FILES.map(|path| Some(PathBuf::from(path)));
    let own = system.into_iter().chain(USER_FILES.map(in_home));
    let others = ANCESTORS
        .iter()
        .flat_map(|(user, system)| [in_home(user), Some(PathBuf::from(system))]);
    let is_there = |path: &PathBuf| match path.try_exists() {
        Ok(is_there) => is_there,
        Err(error) => {
            passed_over.push(format!("{}: {error}; passed over", path.printable()));
            false
        }
    };
    own.chain(others).flatten().find(is_there)
}

/// The path without `..`, as the system resolves it: behind a link, the folder before `..` is
/// another than the one that is written. What is not there keeps its path.
fn without_parents(path: &Path) -> PathBuf {
    let components: Vec<Component<'_>> = path.components().collect();
    let last = components
        .iter()
        .rposition(|one| *one == Component::ParentDir);
    let Some(last) = last else {
        return path.to_owned();
    };
    let (with, without) = components.split_at(last + 1);
    match fs::canonicalize(with.iter().collect::<PathBuf>()) {
        Ok(resolved) => resolved.join(without.iter().collect::<PathBuf>()),
        Err(_) => path.to_owned(),
    }
}

/// The name and the text of a file.
fn text_of(path: &Path) -> Result<(String, String), Error> {
    let name = path.printable().to_string();
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
    files::read_text(path, MAX_BYTES as u64, Reach::Anywhere)
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
            io::Error::new(error.kind(), format!("{}: {error}", path.printable()))
        })?;
        Ok((path, text))
    });
    texts.collect()
}

/// The first line of a mistake or a warning, for logs, whose records are lines: the line of the
/// file that it is about is left out.
pub(super) fn first_line(problem: &impl ToString) -> String {
    let text = problem.to_string();
    text.lines().next().unwrap_or_default().to_owned()
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
