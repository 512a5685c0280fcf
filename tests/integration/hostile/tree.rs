//! What lies in directories, and what became of it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Everything below some directories: its kind and its content.
#[derive(PartialEq, Eq, Debug)]
pub struct Tree(BTreeMap<PathBuf, Vec<u8>>);

impl Tree {
    pub fn of(directories: &[&Path]) -> Tree {
        let mut found = BTreeMap::new();
        let mut waiting: Vec<PathBuf> = directories.iter().map(|path| path.to_path_buf()).collect();
        while let Some(directory) = waiting.pop() {
            for item in fs::read_dir(directory).unwrap() {
                let item = item.unwrap();
                let (path, kind) = (item.path(), item.file_type().unwrap());
                if kind.is_dir() {
                    waiting.push(path.clone());
                }
                let content = if kind.is_file() {
                    fs::read(&path).unwrap_or_default()
                } else if kind.is_symlink() {
                    fs::read_link(&path)
                        .unwrap()
                        .as_os_str()
                        .as_bytes()
                        .to_vec()
                } else {
                    format!("{kind:?}").into_bytes()
                };
                found.insert(path, content);
            }
        }
        Tree(found)
    }

    /// The paths that came, went or changed between `before` and this.
    pub fn changes_since<'a>(&'a self, before: &'a Tree) -> Vec<&'a PathBuf> {
        let all = self.0.keys().chain(before.0.keys());
        let mut changed: Vec<&PathBuf> = all
            .filter(|path| self.0.get(*path) != before.0.get(*path))
            .collect();
        changed.dedup();
        changed
    }

    pub fn content(&self, path: &Path) -> Option<&[u8]> {
        self.0.get(path).map(Vec::as_slice)
    }
}
