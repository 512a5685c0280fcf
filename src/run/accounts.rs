//! Names that are on one side only: loaded by a HAProxy process and not looked after, or the other
//! way round.
//!
//! Kept until the next look. A difference may pass, as between the writing of a configuration and
//! the reload: it is logged once it has lasted, and never while a file of the configuration is
//! newer than the process.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use crate::agent::TargetId;
use crate::haproxy_config::OneSided;

/// How long a difference lasts before it is logged.
const PATIENCE: Duration = Duration::from_secs(10);
/// The start of a process is told in whole seconds, cut off.
const TOLERANCE: Duration = Duration::from_secs(2);
/// At most so many of a process are kept and logged.
const MOST: usize = 100;

/// What is on one side only, for each process.
#[derive(Default, Debug)]
pub(super) struct Accounts {
    processes: BTreeMap<TargetId, Account>,
}

/// The same for one process.
#[derive(Default, Debug)]
struct Account {
    differences: Vec<OneSided>,
    /// Since when they are these.
    since: Option<Instant>,
    /// A reload is awaited, which may end them.
    awaits_reload: bool,
    told: BTreeSet<String>,
}

impl Accounts {
    /// Takes in how it stands with one process; `changed` is when its configuration was, and
    /// `started` when the process was.
    pub(super) fn put(
        &mut self,
        target: TargetId,
        mut differences: Vec<OneSided>,
        changed: Option<SystemTime>,
        started: Option<SystemTime>,
        now: Instant,
    ) {
        differences.truncate(MOST);
        let account = self.processes.entry(target).or_default();
        account.awaits_reload = match (changed, started) {
            (Some(changed), Some(started)) => changed > started + TOLERANCE,
            _ => false,
        };
        if account.differences != differences {
            account.since = Some(now);
            let names = differences.iter().map(|it| &it.name);
            let names: BTreeSet<&String> = names.collect();
            account.told.retain(|name| names.contains(name));
            account.differences = differences;
        }
    }

    /// Forgets what is not known any more.
    pub(super) fn forget(&mut self, target: TargetId) {
        self.processes.remove(&target);
    }

    /// What is on one side only in one process, and whether a reload may end it.
    pub(super) fn of(&self, target: TargetId) -> (&[OneSided], bool) {
        let account = self.processes.get(&target);
        account.map_or((&[], false), |it| (&it.differences, it.awaits_reload))
    }

    /// What has lasted and was not told.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(TargetId, OneSided)> {
        let mut due = Vec::new();
        for (target, account) in &mut self.processes {
            if !account.is_due(now) {
                continue;
            }
            for difference in &account.differences {
                if account.told.insert(difference.name.clone()) {
                    due.push((*target, difference.clone()));
                }
            }
        }
        due
    }

    /// When something may have to be told next.
    pub(super) fn next(&self, now: Instant) -> Option<Duration> {
        let waiting = self.processes.values().filter(|it| it.is_waiting());
        let ends = waiting.filter_map(|it| Some(it.since? + PATIENCE));
        ends.min().map(|end| end.saturating_duration_since(now))
    }
}

impl Account {
    fn is_waiting(&self) -> bool {
        !self.awaits_reload && self.told.len() < self.differences.len()
    }

    fn is_due(&self, now: Instant) -> bool {
        let lasts = |since: Instant| now.saturating_duration_since(since) >= PATIENCE;
        self.is_waiting() && self.since.is_some_and(lasts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::haproxy_config::Lack;

    fn difference(name: &str) -> OneSided {
        OneSided {
            name: name.to_owned(),
            lack: Lack::NotNamed,
            notice: None,
        }
    }

    #[test]
    fn a_difference_is_told_once_it_has_lasted_and_once() {
        let (target, now) = (TargetId(1), Instant::now());
        let mut accounts = Accounts::default();
        accounts.put(target, vec![difference("/a")], None, None, now);
        assert_eq!(accounts.due(now), []);
        assert_eq!(accounts.next(now), Some(PATIENCE));
        let later = now + PATIENCE;
        accounts.put(target, vec![difference("/a")], None, None, later);
        assert_eq!(accounts.due(later), [(target, difference("/a"))]);
        assert_eq!(accounts.due(later + PATIENCE), []);
        assert_eq!(accounts.next(later), None);
        accounts.put(target, vec![], None, None, later);
        accounts.put(target, vec![difference("/a")], None, None, later);
        assert_eq!(accounts.due(later + PATIENCE).len(), 1);
    }

    #[test]
    fn while_a_reload_is_awaited_nothing_is_told() {
        let (target, now) = (TargetId(1), Instant::now());
        let started = SystemTime::UNIX_EPOCH;
        let changed = started + Duration::from_secs(60);
        let mut accounts = Accounts::default();
        let one = vec![difference("/a")];
        accounts.put(target, one.clone(), Some(changed), Some(started), now);
        assert_eq!(accounts.due(now + PATIENCE), []);
        assert_eq!(accounts.next(now), None);
        assert_eq!(accounts.of(target), (&one[..], true));
        let restarted = Some(changed + Duration::from_secs(1));
        accounts.put(target, one, Some(changed), restarted, now + PATIENCE);
        assert_eq!(accounts.due(now + PATIENCE).len(), 1);
    }
}
