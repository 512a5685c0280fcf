//! Programs that are told of what happens to staples.
//!
//! Pure: nothing is run here.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::document::Table;
use super::invocation::Invocation;

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
    pub renewed: Option<Invocation>,
    /// No usable response came, or the staple could not be written.
    pub failing: Option<Invocation>,
    /// A certificate is revoked.
    pub revoked: Option<Invocation>,
    /// A certificate has no staple that is valid for [`Hooks::expiring_within`].
    pub expiring: Option<Invocation>,
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
    /// Every program that is named.
    pub fn programs(&self) -> impl Iterator<Item = &Invocation> {
        let all = [&self.renewed, &self.failing, &self.revoked, &self.expiring];
        all.into_iter().flatten()
    }

    pub(super) fn read(table: &Table<'_>) -> Self {
        let command = |key| table.read(key, Invocation::read);
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
