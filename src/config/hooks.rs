//! Programs that are told of what happens to staples.
//!
//! Pure: nothing is run here. No shell is ever involved: a command is a program's path, or a list
//! of the program and its arguments.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::document::{Table, Value};

/// How long a hook may take, unless configured otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// How long before its staple ends a certificate counts as expiring, unless configured otherwise.
pub const EXPIRING_WITHIN: Duration = Duration::from_secs(24 * 3600);
/// The bounds of `timeout`.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
/// The bounds of `expiring_within`.
const EXPIRING: RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(366 * 24 * 3600);

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

impl Hooks {
    pub(super) fn read(table: &Table<'_>) -> Self {
        let command = |key| table.read(key, HookCommand::read);
        let duration = |key, bounds| table.read(key, |value| value.duration(&bounds));
        Hooks {
            renewed: command("renewed"),
            failing: command("failing"),
            revoked: command("revoked"),
            expiring: command("expiring"),
            timeout: duration("timeout", TIMEOUTS).unwrap_or(TIMEOUT),
            expiring_within: duration("expiring_within", EXPIRING).unwrap_or(EXPIRING_WITHIN),
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

impl HookCommand {
    fn read(value: Value<'_>) -> Option<Self> {
        let words = value.one_or_more(|word| word.text().map(str::to_owned))?;
        if value.is_scalar() && words.iter().any(|word| word.contains(char::is_whitespace)) {
            value.wrong("no shell splits this: write a list, as in [/usr/bin/logger, renewed]");
        }
        let mut words = words.into_iter();
        match words.next() {
            Some(program) if !program.is_empty() => Some(HookCommand {
                program: program.into(),
                arguments: words.collect(),
            }),
            _ => {
                value.wrong("expected a program's path first");
                None
            }
        }
    }
}
