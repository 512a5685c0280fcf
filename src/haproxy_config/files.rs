//! The files of a configuration: the configuration's own, its crt-lists, and what is a folder.
//!
//! Reads what the parser asks for and decides nothing that depends on text. Folders of
//! configuration files are read as HAProxy reads them (management guide §3, `-f`): `*.cfg` in the
//! order of their names.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::certificate_list;
use super::notice::{ConfigNotice, LineLocation, Remark, note};
use super::readings::{ConfigTexts, merged, most_likely};
use super::testimony::Testimony;
use super::wanted::{CertificateOptions, Settings, Wanted, WantedCertificate, What};
use super::words::Word;
use super::{HaproxyConfig, Store};
use crate::discovery::BUNDLE_SUFFIXES;
use crate::discovery::source::{CertificateFile, Directory, Source, with_suffix};
use crate::files::{self, Reach};
use crate::text::Printable;

/// No configuration file or crt-list is larger than this, in bytes.
pub const LARGEST_FILE: u64 = 16 * 1024 * 1024;
/// No configuration loads more certificates and folders than this.
pub const MOST_STORES: usize = 100_000;

/// Why a configuration cannot be read at all.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// A file that was named cannot be read.
    #[error("{}: cannot be read: {reason}", path.printable())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// A folder without configuration files.
    #[error("{}: no file in this folder has a name that ends in .cfg", .0.printable())]
    NoConfiguration(PathBuf),
}

impl Error {
    /// The name in logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Unreadable { .. } => "unreadable",
            Error::NoConfiguration(_) => "no_configuration",
        }
    }
}

/// Reads the configuration that `haproxy -f PATH…` reads. `start` is the folder in which HAProxy
/// was started, on which relative names depend; `variable` tells the environment variables that are
/// known, and `testimony` what the process says of itself that has read it.
///
/// # Errors
/// One of the paths cannot be read. What is wrong in them is told by the notices.
pub fn read(
    paths: &[PathBuf],
    start: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
    testimony: &Testimony,
) -> Result<HaproxyConfig, Error> {
    let mut folders = Vec::new();
    let mut notices = Vec::new();
    let mut texts = Vec::new();
    for path in configuration_files(paths, &mut folders)? {
        let text = read_text(&path, &mut notices).map_err(|error| unreadable(&path, &error))?;
        texts.push((path, text));
    }
    let texts = ConfigTexts {
        start,
        variable,
        testimony,
        texts: &texts,
    };
    let mut lists = HashMap::new();
    let is_2_2 = testimony.is_version_at_least("2.3") == Some(false);
    let (readings, open) = texts.readings();
    let readings = readings.into_iter().map(|parsed| {
        let mut loader = Loader::new(&mut lists);
        loader.is_2_2 = is_2_2;
        loader.found.notices.extend(parsed.notices);
        loader.found.sockets = parsed.sockets;
        loader.found.servers = parsed.servers.into_iter().collect();
        for wanted in parsed.wanted {
            loader.load(&wanted);
        }
        (parsed.choices, loader.found)
    });
    let likely = most_likely(readings.collect(), testimony.loaded.as_ref());
    let mut found = merged(likely, open);
    found.notices.splice(0..0, notices);
    let named = texts.texts.iter().map(|(path, _)| path.clone());
    found.files.splice(0..0, folders.into_iter().chain(named));
    let changes = found.files.iter();
    let changes = changes.filter_map(|path| fs::metadata(path).ok()?.modified().ok());
    found.changed = changes.max();
    Ok(found)
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

/// The configuration files of the paths; the folders among them are noted in `folders`.
fn configuration_files(
    paths: &[PathBuf],
    folders: &mut Vec<PathBuf>,
) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for path in paths {
        let path = std::path::absolute(path).map_err(|error| unreadable(path, &error))?;
        if !path.is_dir() {
            files.push(path);
            continue;
        }
        let listing = fs::read_dir(&path).map_err(|error| unreadable(&path, &error))?;
        let mut found = Vec::new();
        for item in listing {
            let item = item.map_err(|error| unreadable(&path, &error))?.path();
            let name = item.file_name().unwrap_or_default().as_encoded_bytes();
            if name.ends_with(b".cfg") && !name.starts_with(b".") && item.is_file() {
                found.push(item);
            }
        }
        if found.is_empty() {
            return Err(Error::NoConfiguration(path));
        }
        found.sort();
        files.extend(found);
        folders.push(path);
    }
    Ok(files)
}

/// A file's text; where it is not UTF-8, a notice says in which line first.
fn read_text(path: &Path, notices: &mut Vec<ConfigNotice>) -> io::Result<String> {
    let bytes = files::read(path, LARGEST_FILE, Reach::Anywhere)?;
    String::from_utf8(bytes.to_vec()).or_else(|error| {
        let valid = error.utf8_error().valid_up_to();
        let bytes = error.into_bytes();
        let line = bytes
            .iter()
            .take(valid)
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        notices.push(ConfigNotice {
            place: LineLocation {
                file: path.into(),
                line,
            },
            remark: Remark::NotUtf8,
        });
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    })
}

/// What follows a certificate's name in the names of its files: nothing, unless there are only the
/// parts of a bundle.
fn suffixes(path: &Path, bundles: bool) -> Vec<&'static str> {
    if !bundles || path.exists() {
        return vec![""];
    }
    let mut parts: Vec<&str> = BUNDLE_SUFFIXES.to_vec();
    parts.retain(|suffix| with_suffix(path, suffix).is_file());
    if parts.is_empty() { vec![""] } else { parts }
}

/// The texts of crt-lists that have been read, or the system's words about one that cannot be, with
/// what there is to say of the text.
type Lists = HashMap<PathBuf, (Result<Arc<str>, String>, Vec<ConfigNotice>)>;

/// The name of the file that a name which looks like a store's stands for where there is no such
/// store: a HAProxy that has stores looks for it as it is written, an earlier one below the base.
fn file_like_a_reference(settings: &Settings, name: &str) -> Option<String> {
    let candidates = [Some(name.to_owned()), settings.complete_plainly(name).ok()];
    let mut candidates = candidates.into_iter().flatten();
    candidates.find(|name| settings.locate(name).exists())
}

/// Finds out what the names of one reading stand for.
struct Loader<'a> {
    texts: &'a mut Lists,
    /// HAProxy is no later than that.
    is_2_2: bool,
    found: HaproxyConfig,
    /// The stores' names: HAProxy loads each but once.
    names: HashSet<String>,
    lists: HashSet<PathBuf>,
    /// Whether it has been said that relative names depend on where HAProxy was started.
    relative_told: bool,
    /// Whether it has been said that there are too many certificates.
    full_told: bool,
}

impl<'a> Loader<'a> {
    fn new(texts: &'a mut Lists) -> Self {
        Loader {
            texts,
            is_2_2: false,
            found: HaproxyConfig::default(),
            names: HashSet::new(),
            lists: HashSet::new(),
            relative_told: false,
            full_told: false,
        }
    }

    fn load(&mut self, wanted: &Wanted) {
        match &wanted.what {
            What::Certificate(entry) => self.certificate(wanted, &wanted.place, entry),
            What::List(name) => self.list(wanted, name),
        }
    }

    fn remark(&mut self, place: &LineLocation, remark: Remark) {
        let place = place.clone();
        note(&mut self.found.notices, ConfigNotice { place, remark });
    }

    fn list(&mut self, wanted: &Wanted, name: &str) {
        self.tell_relative(wanted, &wanted.place, name);
        let path = wanted.settings.locate(name);
        if !self.lists.insert(path.clone()) {
            return;
        }
        self.found.files.push(path.clone());
        // However many readings there are, all are of the same text.
        let (text, notices) = self.texts.entry(path.clone()).or_insert_with(|| {
            let mut notices = Vec::new();
            let text = read_text(&path, &mut notices).map(Arc::from);
            (text.map_err(|error| error.to_string()), notices)
        });
        for notice in notices.iter().cloned() {
            note(&mut self.found.notices, notice);
        }
        let text = match text {
            Ok(text) => Arc::clone(text),
            Err(reason) => {
                let reason = reason.clone();
                self.remark(&wanted.place, Remark::UnreadableList { path, reason });
                return;
            }
        };
        let file: Arc<Path> = path.into();
        for line in certificate_list::lines(&text) {
            let number = match &line {
                Ok(line) => line.number,
                Err((number, _)) => *number,
            };
            let place = LineLocation {
                file: file.clone(),
                line: number,
            };
            let entry = line.map_err(|(_, remark)| remark).and_then(|line| {
                let words: Vec<Word> = line.options.iter().copied().map(Word::from).collect();
                let name = wanted.settings.complete(line.certificate)?;
                let mut options = CertificateOptions::read(&words)?;
                options.only_filter_is_any = line.only_filter_is_any;
                Ok(WantedCertificate::by_name(name, options))
            });
            match entry {
                Ok(entry) => self.certificate(wanted, &place, &entry),
                Err(remark) => self.remark(&place, remark),
            }
        }
    }

    fn certificate(&mut self, wanted: &Wanted, place: &LineLocation, entry: &WantedCertificate) {
        if entry.is_reference() {
            if self.names.contains(&entry.name) {
                return;
            }
            let Some(name) = file_like_a_reference(&wanted.settings, &entry.name) else {
                self.remark(place, Remark::UnknownStore(entry.name.clone()));
                return;
            };
            let entry = WantedCertificate::by_name(name, entry.options.clone());
            return self.files(wanted, place, &entry);
        }
        self.files(wanted, place, entry);
    }

    fn files(&mut self, wanted: &Wanted, place: &LineLocation, entry: &WantedCertificate) {
        if entry.options.renewed_by_haproxy {
            self.remark(place, Remark::RenewedByHaproxy(entry.name.clone()));
        }
        let companions = [&entry.options.staple, &entry.options.issuer];
        for name in std::iter::once(&entry.file).chain(companions.into_iter().flatten()) {
            self.tell_relative(wanted, place, name);
        }
        let settings = &wanted.settings;
        let path = settings.locate(&entry.file);
        if path.is_dir() {
            let folder = entry.name.trim_end_matches('/');
            let source = Source::Directory(Directory {
                path,
                recursive: false,
                naming: settings.naming.clone(),
            });
            self.store(place, folder.to_owned(), source);
            return;
        }
        for suffix in suffixes(&path, settings.bundles) {
            let path = with_suffix(&path, suffix);
            let companions = settings.companions(&path, &entry.options);
            if entry.lacks_staple() {
                let staple = companions.staple.clone();
                self.remark(place, Remark::StapleNotNamed { staple });
            }
            if entry.options.only_filter_is_any && self.is_2_2 {
                let staple = companions.staple.clone();
                self.remark(place, Remark::FirstStapleNotUsed { staple });
            }
            let source = Source::File(CertificateFile { path, companions });
            self.store(place, format!("{}{suffix}", entry.name), source);
        }
    }

    fn store(&mut self, place: &LineLocation, name: String, source: Source) {
        if self.names.contains(&name) {
            return;
        }
        if self.found.stores.len() == MOST_STORES {
            if !self.full_told {
                self.full_told = true;
                self.remark(place, Remark::TooManyCertificates(MOST_STORES));
            }
            return;
        }
        self.names.insert(name.clone());
        self.found.stores.push(Store {
            name,
            source,
            place: place.clone(),
        });
    }

    fn tell_relative(&mut self, wanted: &Wanted, place: &LineLocation, name: &str) {
        let settings = &wanted.settings;
        if !name.starts_with('/') && settings.depends_on_start && !self.relative_told {
            self.relative_told = true;
            let remark = Remark::RelativePath {
                path: name.to_owned(),
                folder: settings.folder.clone(),
            };
            self.remark(place, remark);
        }
    }
}
