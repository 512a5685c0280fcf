//! Where certificates are looked for, with what the operator says about each place.
//!
//! Pure. The places themselves are discovery's ([`Source`]). This module adds the processes that
//! load their certificates, and the responders to ask about them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::document::{DocumentRemark, Location};
use super::file::{ConfigFile, FileDirectory};
use super::ocspbot::{Domain, ScanKey};
use super::responder_override::ResponderOverride;
use super::{Config, Error, by_components, comparable, with_folder};
use crate::discovery::source::{CertificateFile, Directory, Masks, Naming, Source};
use crate::haproxy::Address;
use crate::text::Printable;

/// A place to look for certificates.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfiguredSource {
    /// The place.
    pub source: Source,
    /// The control sockets of the processes that load its certificates, as places in
    /// [`Config::sockets`](super::Config::sockets).
    pub sockets: Vec<usize>,
    /// The responders to ask about its certificates; if none, those of the whole configuration.
    pub responder: Option<ResponderOverride>,
    /// What the operator calls it in the log: ocspbot's domain identifier.
    pub name: Option<String>,
}

/// Where the names of the certificates come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The configuration names them, or HAProxy configuration files that do.
    Named,
    /// Only control sockets are named: the certificates are those that the processes have loaded.
    Processes,
    /// There is a place for names in the file, but no name in it yet: an empty `domains`, a folder
    /// of includes without files.
    NoneYet,
    /// Nothing is named.
    Nothing,
}

/// Copies of new staples beside them, named `<name>-YYYYMMDD-HHMMSS`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backups {
    /// How many are kept of each staple; all where it is none.
    pub keep: Option<usize>,
}

/// The sources and the sockets of a configuration that is being put together.
#[derive(Default)]
pub(super) struct SourceBuilder {
    pub sources: Vec<ConfiguredSource>,
    pub sockets: Vec<Address>,
    pub mistakes: Vec<Error>,
    /// What the directories of the file are called there, to refuse a second one.
    directories: BTreeMap<PathBuf, Option<Location>>,
    /// Where the staples of the domains go.
    staples: BTreeMap<PathBuf, Location>,
    identifiers: BTreeMap<String, Location>,
}

impl SourceBuilder {
    fn refuse(&mut self, remark: DocumentRemark) {
        self.mistakes.push(Error::File(remark));
    }

    /// The places of these sockets in the list of all.
    pub fn socket_places(&mut self, addresses: &[Address]) -> Vec<usize> {
        let mut places = Vec::new();
        for address in addresses {
            let known = self.sockets.iter().position(|known| known == address);
            let place = known.unwrap_or_else(|| {
                self.sockets.push(address.clone());
                self.sockets.len() - 1
            });
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }

    fn add(&mut self, source: Source, sockets: &[Address], responder: Option<ResponderOverride>) {
        let sockets = self.socket_places(sockets);
        self.sources.push(ConfiguredSource {
            source,
            sockets,
            responder,
            name: None,
        });
    }

    /// A directory, or a single certificate file with the companions that HAProxy gives it. One
    /// that the command line names twice gets the sockets of both.
    pub fn add_directory(&mut self, given: &FileDirectory, is_file: bool, recursive: bool) {
        let path = match is_file {
            true => with_folder(by_components(&given.path)),
            false => by_components(&given.path),
        };
        if let Some(first) = self.directories.get(&path) {
            if let (Some(first), Some(second)) = (first, &given.place) {
                let remark = second.remark(format!(
                    "this directory is named at {} already: name it once, with all its sockets",
                    first.line()
                ));
                return self.refuse(remark);
            }
            let more = self.socket_places(&given.sockets);
            for source in &mut self.sources {
                if source.path() == Some(&path) {
                    let new = more.iter().filter(|place| !source.sockets.contains(place));
                    let new: Vec<usize> = new.copied().collect();
                    source.sockets.extend(new);
                }
            }
            return;
        }
        self.directories.insert(path.clone(), given.place.clone());
        let naming = Naming::default();
        let source = match is_file {
            true => Source::File(CertificateFile {
                companions: naming.companions(&path),
                path,
            }),
            false => Source::Directory(Directory {
                path,
                recursive: given.recursive.unwrap_or(recursive),
                naming,
            }),
        };
        self.add(source, &given.sockets, None);
    }

    /// An entry of `domains`.
    pub fn add_domain(&mut self, domain: &Domain, ocsp_folder: &Path) {
        if let Some(first) = self.identifiers.get(&domain.identifier) {
            let message = format!("there is a domain of this name at {} already", first.line());
            return self.refuse(domain.place.remark(message));
        }
        let identifier = domain.identifier.clone();
        self.identifiers.insert(identifier, domain.place.clone());
        let files = domain.files(ocsp_folder);
        let staple = comparable(&files.companions.staple);
        let own = std::iter::once(&files.path).chain(&files.companions.chains);
        if own.into_iter().any(|path| comparable(path) == staple) {
            let message = "the staple would be written over the certificate or its chain";
            self.refuse(domain.staple_place.remark(message));
        }
        if let Some(first) = self.staples.get(&staple) {
            let message = format!(
                "{} is another domain's staple already, at {}",
                staple.printable(),
                first.line()
            );
            self.refuse(domain.staple_place.remark(message));
        }
        self.staples.insert(staple, domain.staple_place.clone());
        let responder = domain.responder.clone();
        self.add(Source::File(files), &domain.sockets, responder);
        if let Some(added) = self.sources.last_mut() {
            added.name = Some(domain.identifier.clone());
        }
    }

    /// An entry of `scan_keys`.
    pub fn add_scan_key(&mut self, scan_key: &ScanKey, ocsp_folder: &Path) {
        let masks: Masks = scan_key.masks(ocsp_folder);
        if scan_key.overwrites(&masks) {
            let message = "ocsp_mask: the staples would be written over the certificates or chains";
            self.refuse(scan_key.place.remark(message));
        }
        self.add(Source::Masks(masks), &scan_key.sockets, None);
    }

    /// Copies that would lie in a directory that HAProxy loads whole are refused: it would take
    /// them for certificates and not start. If HAProxy itself names the certificates
    /// (`haproxy_names_some`, or nothing else does), it may load any of their directories whole.
    pub fn refuse_backups_among_certificates(
        &mut self,
        file: &ConfigFile,
        haproxy_names_some: bool,
    ) {
        let Some(place) = &file.make_backups else {
            return;
        };
        if haproxy_names_some || (self.sources.is_empty() && !self.sockets.is_empty()) {
            let remark = place.remark(
                "backups beside certificates that HAProxy names might be loaded by it as \
                 certificates: leave make_backups out, or name all files by 'domains'",
            );
            return self.refuse(remark);
        }
        let directory = self.sources.iter().find_map(|it| match &it.source {
            Source::Directory(directory) => Some(directory.path.printable()),
            Source::File(_) | Source::Masks(_) => None,
        });
        if let Some(directory) = directory {
            let remark = place.remark(format!(
                "backups in {directory} would be loaded by HAProxy as certificates, because it \
                 loads the whole directory: leave make_backups out, or name files by 'domains'"
            ));
            self.refuse(remark);
        }
    }

    /// Gives these sockets to every source that has none of its own.
    pub fn give_the_rest(&mut self, addresses: &[Address]) {
        let places = self.socket_places(addresses);
        for source in &mut self.sources {
            if source.sockets.is_empty() {
                source.sockets.clone_from(&places);
            }
        }
    }
}

impl Config {
    /// Gives every directory the path by which it is `known`, and makes one of those that turn out
    /// to be the same: its certificates are loaded by the processes of all.
    pub fn unite_directories(&mut self, known: &dyn Fn(&Path) -> PathBuf) {
        let mut united: Vec<ConfiguredSource> = Vec::new();
        for mut configured in std::mem::take(&mut self.sources) {
            if let Source::Directory(directory) = &mut configured.source {
                directory.path = known(&directory.path);
            }
            let mut before = united.iter_mut();
            match before.find(|one| one.source == configured.source && one.name.is_none()) {
                Some(same) => {
                    let more = configured.sockets.into_iter();
                    let more = more.filter(|place| !same.sockets.contains(place));
                    let more: Vec<usize> = more.collect();
                    same.sockets.extend(more);
                }
                None => united.push(configured),
            }
        }
        self.sources = united;
    }
}

impl ConfiguredSource {
    /// The path that the operator named, where there is one.
    fn path(&self) -> Option<&PathBuf> {
        match &self.source {
            Source::Directory(directory) => Some(&directory.path),
            Source::File(file) => Some(&file.path),
            Source::Masks(_) => None,
        }
    }
}
