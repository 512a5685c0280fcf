//! Whether a configuration accounts for what a process has loaded.
//!
//! Pure: names only. A name in a folder is accounted for if HAProxy loads files of that name from
//! it.

use std::collections::{BTreeSet, HashSet};

use super::{HaproxyConfig, Store};
use crate::discovery::is_loaded_by_haproxy;
use crate::discovery::source::Source;

/// The names that a configuration accounts for.
struct Named<'a> {
    stores: HashSet<&'a str>,
    folders: HashSet<&'a str>,
    servers: &'a HashSet<String>,
}

impl Named<'_> {
    fn has(&self, name: &str) -> bool {
        let is_in_folder = || {
            let (folder, file) = name.rsplit_once('/')?;
            Some(self.folders.contains(folder) && is_loaded_by_haproxy(file.as_bytes()))
        };
        self.stores.contains(name) || self.servers.contains(name) || is_in_folder() == Some(true)
    }
}

impl HaproxyConfig {
    fn named(&self) -> Named<'_> {
        let (folders, stores): (Vec<&Store>, Vec<&Store>) = self
            .stores
            .iter()
            .partition(|store| matches!(store.source, Source::Directory(_)));
        Named {
            stores: stores.into_iter().map(|it| it.name.as_str()).collect(),
            folders: folders.into_iter().map(|it| it.name.as_str()).collect(),
            servers: &self.servers,
        }
    }

    /// How many names are on one side only: loaded and not accounted for, or the other way round.
    pub(super) fn differences(&self, loaded: &BTreeSet<String>) -> usize {
        let named = self.named();
        let unnamed = loaded.iter().filter(|name| !named.has(name)).count();
        let missing = named.stores.iter().filter(|name| !loaded.contains(**name));
        unnamed + missing.count()
    }
}
