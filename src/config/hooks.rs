//! Programs that are told of what happens to staples.
//!
//! Pure, types only; nothing is run here. No shell is ever involved.

use std::path::PathBuf;
use std::time::Duration;

/// How long a hook may take, unless configured otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// How long before its staple ends a certificate counts as expiring, unless configured otherwise.
pub const EXPIRING_WITHIN: Duration = Duration::from_secs(24 * 3600);

/// What is run when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hooks {
    /// A new staple is there.
    pub renewed: Option<HookCommand>,
    /// A staple could not be had.
    pub failing: Option<HookCommand>,
    /// A certificate is revoked.
    pub revoked: Option<HookCommand>,
    /// A certificate has no staple that is valid for [`Hooks::expiring_within`].
    pub expiring: Option<HookCommand>,
    /// How long each may take.
    pub timeout: Duration,
    /// The life that a staple needs not to count as expiring.
    pub expiring_within: Duration,
}

impl Default for Hooks {
    fn default() -> Self {
        Hooks {
            renewed: None,
            failing: None,
            revoked: None,
            expiring: None,
            timeout: TIMEOUT,
            expiring_within: EXPIRING_WITHIN,
        }
    }
}

/// A program with its arguments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HookCommand {
    /// The program's path.
    pub program: PathBuf,
    /// What it is given, word by word.
    pub arguments: Vec<String>,
}
