//! Reading a mapping whose keys are known: any other key is a mistake.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use super::Value;

/// How similar a known key has to be to be meant (Damerau-Levenshtein, 1 is the same).
const SIMILAR: f64 = 0.6;

/// The most keys that are named where none of them is similar.
const SHORT_LIST: usize = 6;

#[cfg(test)]
thread_local! {
    /// Every key that tables of this thread have asked for.
    pub(in crate::config) static ASKED_FOR: RefCell<BTreeSet<&'static str>> =
        const { RefCell::new(BTreeSet::new()) };
}

/// A mapping whose keys are known.
pub(in crate::config) struct Table<'a> {
    value: Value<'a>,
    entries: BTreeMap<&'a str, Value<'a>>,
    known: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Value<'a> {
    /// Known keys with their values. Those that `read` does not ask for are unknown.
    pub fn table<T>(&self, read: impl FnOnce(&Table<'a>) -> Option<T>) -> Option<T> {
        let table = Table::new(self.clone(), self.entries()?);
        let result = read(&table);
        table.refuse_unknown();
        result
    }
}

impl<'a> Table<'a> {
    pub(super) fn new(value: Value<'a>, entries: BTreeMap<&'a str, Value<'a>>) -> Self {
        Table {
            value,
            entries,
            known: RefCell::default(),
        }
    }

    /// The value of this key, if one is given.
    pub fn get(&self, key: &'static str) -> Option<Value<'a>> {
        self.nullable(key).filter(|value| !value.is_null())
    }

    /// What the value of this key means, if one is given.
    pub fn read<T>(
        &self,
        key: &'static str,
        meaning: impl FnOnce(Value<'a>) -> Option<T>,
    ) -> Option<T> {
        self.get(key).and_then(meaning)
    }

    /// The value of this key, which may be null where that has a meaning.
    pub fn nullable(&self, key: &'static str) -> Option<Value<'a>> {
        self.known.borrow_mut().insert(key);
        self.entries.get(key).cloned()
    }

    /// The value of a key that has to be there.
    pub fn required(&self, key: &'static str) -> Option<Value<'a>> {
        let value = self.get(key);
        if value.is_none() {
            self.wrong(format!("'{key}' is missing"));
        }
        value
    }

    /// Whether the key is `true`.
    pub fn is_set(&self, key: &'static str) -> bool {
        self.read(key, |value| value.boolean()) == Some(true)
    }

    /// Every key that is there.
    pub fn entries(&self) -> &BTreeMap<&'a str, Value<'a>> {
        &self.entries
    }

    /// Remembers a mistake of the whole.
    pub fn wrong(&self, message: impl Display) {
        self.value.wrong(message);
    }

    /// The keys that were not asked for are mistakes.
    pub(super) fn refuse_unknown(&self) {
        let known = self.known.borrow();
        #[cfg(test)]
        ASKED_FOR.with_borrow_mut(|keys| keys.extend(known.iter()));
        for (key, value) in &self.entries {
            if known.contains(key) {
                continue;
            }
            let similarity = |known: &str| strsim::normalized_damerau_levenshtein(key, known);
            let mut nearest: Vec<&str> = known.iter().copied().collect();
            nearest.sort_by(|one, other| similarity(other).total_cmp(&similarity(one)));
            let hint = match nearest.first() {
                Some(first) if similarity(first) >= SIMILAR => format!("did you mean {first}?"),
                _ if nearest.len() <= SHORT_LIST => {
                    format!("expected one of {}", nearest.join(", "))
                }
                _ => {
                    nearest.truncate(SHORT_LIST);
                    format!("the nearest keys are {}", nearest.join(", "))
                }
            };
            let message = format!("unknown key; {hint}");
            self.value.wrong_key(key, value, message);
        }
    }
}
