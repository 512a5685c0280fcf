//! The certificates that a HAProxy configuration loads, and the control sockets that it opens.
//!
//! Reads the files as HAProxy reads them (configuration manual §2, §3.1, §5.1, §12.7). What HAProxy
//! knows beside them, its environment, its version and how it was built, counts as far as its
//! process has said it ([`Testimony`]); where something stays open, every reading that is possible
//! counts that explains best what the process has loaded. Where it matters a [`ConfigNotice`] says
//! so, and a line that cannot be read loses nothing but itself. Reads no certificate: whether the
//! files are there and what they hold is for the scan. Of certificates of `server` lines only the
//! names are told, because HAProxy staples for none of them.
//!
//! Where a staple belongs is where HAProxy looks for it at its next start. For a certificate of a
//! `crt-store` without `ocsp` that is nowhere; its staple is kept beside it all the same, because
//! this program starts from it too, and a notice says what to add to the line.

mod account;
mod blocks;
pub mod certificate_list;
mod condition;
mod control_socket;
mod environment;
mod files;
mod notice;
pub mod parser;
mod readings;
mod testimony;
pub mod wanted;
pub mod words;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub use account::{Lack, OneSided};
pub use environment::VariableValue;
pub use files::{Error, LARGEST_FILE, MOST_STORES, read};
pub use notice::{ConfigNotice, LineLocation, MOST_NOTICES, Remark};
pub use testimony::Testimony;

use crate::discovery::source::Source;
use crate::haproxy::Level;

#[cfg(test)]
mod tests;

/// What a configuration says about certificates and control sockets.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HaproxyConfig {
    /// What HAProxy loads, in its order.
    pub stores: Vec<Store>,
    /// The names of the certificates that it shows to servers, for which there are no staples.
    pub servers: HashSet<String>,
    /// Its control sockets, the most powerful first. They all belong to one process.
    pub sockets: Vec<ControlSocket>,
    /// When the latest of its files was changed.
    pub changed: Option<SystemTime>,
    /// What the operator should know.
    pub notices: Vec<ConfigNotice>,
    /// Every file and folder of the configuration that was read, crt-lists that are missing
    /// included: when one of them changes, all this may change.
    pub files: Vec<PathBuf>,
}

impl HaproxyConfig {
    /// Where the certificates are, each place once, in HAProxy's order.
    pub fn sources(&self) -> Vec<Source> {
        let mut seen = HashSet::new();
        self.stores
            .iter()
            .map(|store| &store.source)
            .filter(|source| seen.insert(*source))
            .cloned()
            .collect()
    }

    /// The names under which HAProxy loads single files, and these files.
    pub fn files_by_name(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.stores.iter().filter_map(|store| match &store.source {
            Source::File(file) => Some((store.name.as_str(), file.path.as_path())),
            Source::Directory(_) | Source::Masks(_) => None,
        })
    }
}

/// Something that HAProxy loads under a name of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Store {
    /// Its name as `show ssl cert` prints it; the files of a folder are `NAME/FILE` there.
    pub name: String,
    /// Where it is.
    pub source: Source,
    /// The line that asks for it first.
    pub place: LineLocation,
}

/// A control socket that HAProxy opens (`stats socket`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ControlSocket {
    /// What to connect to: a path, `abns@NAME`, `abnsz@NAME` or `tcp://HOST:PORT`.
    pub address: String,
    /// What may be done there.
    pub level: Level,
    /// The line that opens it.
    pub place: LineLocation,
}
