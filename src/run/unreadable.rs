//! The directories that cannot be used as they should be, for the operator who asks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::plan::Plan;
use crate::agent::Failure;
use crate::discovery::Change;

/// The name of what keeps a directory that another staplerd writes to from being used.
pub(super) const IN_USE: &str = "in_use";
/// The name of what keeps staples from being written to a directory.
pub(super) const NOT_WRITABLE: &str = "not_writable";

/// The directories, and folders in them, that cannot be read.
#[derive(Default)]
pub(super) struct Unreadable(BTreeMap<PathBuf, Failure>);

impl Unreadable {
    /// Takes in what a scan has found out about a directory.
    pub(super) fn note(&mut self, change: Change) {
        match change {
            Change::DirectoryFailed { path, error } => {
                let failure = Failure {
                    kind: error.kind(),
                    message: error.to_string(),
                };
                self.0.insert(path, failure);
            }
            Change::DirectoryRecovered { path } => {
                self.0.remove(&path);
            }
            Change::DirectoryEmptied { .. }
            | Change::Shortage { .. }
            | Change::Found { .. }
            | Change::Gone { .. }
            | Change::StapleSeen { .. } => {}
        }
    }

    /// All of them that are still planned, and those that are in use elsewhere.
    pub(super) fn and(
        &mut self,
        in_use: &BTreeSet<PathBuf>,
        plan: &Plan,
    ) -> BTreeMap<PathBuf, Failure> {
        let sources = plan.sources.values();
        let tops: BTreeSet<&Path> = sources.map(|planned| planned.source.folder()).collect();
        // A folder that is gone is not wanted any more; a directory that is missing still is.
        self.0.retain(|path, _| {
            let is_below = || path.ancestors().any(|folder| tops.contains(folder));
            tops.contains(path.as_path()) || is_below() && path.exists()
        });
        let in_use = in_use.iter().map(|path| {
            let failure = Failure {
                kind: IN_USE,
                message: "another staplerd looks after it: nothing is written to it".to_owned(),
            };
            (path.clone(), failure)
        });
        self.0.clone().into_iter().chain(in_use).collect()
    }
}
