//! The HAProxy process at the other end of a connection, as it describes itself.
//!
//! Pure: what it lets this connection do is said here, what to do about it is not.

use std::collections::BTreeMap;

use super::address::Address;
use super::level::Level;
use super::versions::{Release, Version};
use crate::time::Timestamp;

/// The process at the other end of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Process {
    /// Its branch.
    pub version: Version,
    /// Its version as it says it.
    pub release: Release,
    /// Its process id.
    pub pid: u32,
    /// When it was started; 2.4 and later say it.
    pub started: Option<Timestamp>,
    /// For how many seconds it had been running when it was asked.
    pub uptime: Option<u64>,
    /// The machine's name, as it has it.
    pub node: String,
    /// Its threads, if it says so.
    pub threads: Option<u32>,
    /// The processes that share its work, if it says so.
    pub processes: Option<u32>,
    /// What this connection may do.
    pub level: Level,
}

/// What a process says of how it was built and started, as far as it does.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Circumstances {
    /// What it can be built with, and whether it is.
    pub features: Option<BTreeMap<String, bool>>,
    /// The TLS library that it runs on, with its version.
    pub library: Option<String>,
    /// Its environment.
    pub environment: Option<BTreeMap<String, String>>,
}

/// The connection may not do what staples need.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "control socket {target} has level '{}', so {} can be given to HAProxy {release}; write 'level admin' on its 'stats socket' line in haproxy.cfg", level.word(), if *pushes { "no certificate's first staple" } else { "no staple" }
)]
pub struct LevelTooLow {
    /// The control socket.
    pub target: Address,
    /// The level it has.
    pub level: Level,
    /// The version, as HAProxy says it.
    pub release: String,
    /// Staples can be replaced all the same.
    pub pushes: bool,
}

impl Process {
    /// Whether this is the same process as the one that said `other` of itself.
    pub fn is(&self, other: &Process) -> bool {
        (self.pid, self.started, &self.node) == (other.pid, other.started, &other.node)
    }

    /// Checks that this connection to `target` may do all that staples need: `set ssl cert` takes
    /// the level admin in every version, `set ssl ocsp-response` in later ones.
    ///
    /// # Errors
    /// [`LevelTooLow`]; it says whether certificates that have a slot are delivered all the same.
    pub fn check_level(&self, target: &Address) -> Result<(), LevelTooLow> {
        if self.level == Level::Admin {
            return Ok(());
        }
        Err(LevelTooLow {
            target: target.clone(),
            level: self.level,
            release: self.release.text().to_owned(),
            pushes: self.level >= self.release.level_for_pushes(),
        })
    }
}
