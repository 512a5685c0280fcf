//! The environment variables of a configuration.
//!
//! Pure: the environment is handed in. It is HAProxy's own as the process shows it, and where that
//! is not known this program's; a variable that this one lacks may well be set for HAProxy.
//! `setenv` and its like change what later lines see (configuration manual §3.1), and what the
//! process shows afterwards.

use std::collections::{BTreeMap, BTreeSet};

use super::notice::Remark;
use super::testimony::Testimony;

/// All values that a configuration sets have no more bytes than this, together.
const LARGEST: usize = 1024 * 1024;
/// Variables that HAProxy sets itself, some of them after it has read its configuration.
const HAPROXYS_OWN: &str = "HAPROXY_";

/// What is known of a variable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum VariableValue {
    /// Its value.
    Known(String),
    /// HAProxy is started without it, or the configuration itself has removed it.
    Unset,
    /// It is not set here; HAProxy may have been started with it.
    Unknown,
}

/// The variables at one point of the configuration.
pub struct Environment<'a> {
    outside: &'a dyn Fn(&str) -> Option<String>,
    testimony: &'a Testimony,
    changed: BTreeMap<String, VariableValue>,
    /// How many bytes the values in it have.
    bytes: usize,
    /// Whether `resetenv` has removed all variables that are not in `changed`.
    cleared: bool,
    /// Of which the process does not show any more what they were at first.
    alterations: Alterations,
    /// The same as found so far.
    found: Alterations,
}

/// The variables that a configuration changes, somewhere.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Alterations {
    names: BTreeSet<String>,
    /// All of them but some.
    everything: bool,
}

impl<'a> Environment<'a> {
    /// The environment a configuration starts with.
    pub fn new(outside: &'a dyn Fn(&str) -> Option<String>, testimony: &'a Testimony) -> Self {
        Environment {
            outside,
            testimony,
            changed: BTreeMap::new(),
            bytes: 0,
            cleared: false,
            alterations: Alterations::default(),
            found: Alterations::default(),
        }
    }

    /// The same for a configuration that is known to make these changes.
    pub fn altered_by(&mut self, alterations: Alterations) {
        self.alterations = alterations;
    }

    /// What the configuration has changed so far.
    pub fn changes(&self) -> &Alterations {
        &self.found
    }

    /// What a variable holds.
    pub fn get(&self, name: &str) -> VariableValue {
        match self.changed.get(name) {
            Some(value) => value.clone(),
            None if self.cleared => VariableValue::Unset,
            None => self.initial(name),
        }
    }

    /// What it held when HAProxy was started.
    fn initial(&self, name: &str) -> VariableValue {
        let here = || (self.outside)(name).map_or(VariableValue::Unknown, VariableValue::Known);
        let Some(shown) = &self.testimony.environment else {
            return here();
        };
        if self.alterations.names.contains(name) || name.starts_with(HAPROXYS_OWN) {
            return here();
        }
        match shown.get(name) {
            Some(value) => VariableValue::Known(value.clone()),
            None if self.alterations.everything => here(),
            None => VariableValue::Unset,
        }
    }

    /// `setenv NAME VALUE`; a value that is not known makes the variable unknown.
    ///
    /// # Errors
    /// All values together are larger than [`LARGEST`]; this one is not known then.
    pub fn set(&mut self, name: &str, value: VariableValue) -> Result<(), Remark> {
        self.found.names.insert(name.to_owned());
        self.put(name, value)
    }

    fn put(&mut self, name: &str, value: VariableValue) -> Result<(), Remark> {
        let size = |value: &VariableValue| match value {
            VariableValue::Known(text) => text.len(),
            VariableValue::Unset | VariableValue::Unknown => 0,
        };
        let before = self.changed.get(name).map_or(0, size);
        let others = self.bytes.saturating_sub(before);
        let is_too_large = others + size(&value) > LARGEST;
        let value = match is_too_large {
            true => VariableValue::Unknown,
            false => value,
        };
        self.bytes = others + size(&value);
        self.changed.insert(name.to_owned(), value);
        match is_too_large {
            true => Err(Remark::EnvironmentTooLarge(LARGEST)),
            false => Ok(()),
        }
    }

    /// `presetenv NAME VALUE`: only where there is none yet.
    ///
    /// # Errors
    /// As of [`set`](Self::set).
    pub fn preset(&mut self, name: &str, value: VariableValue) -> Result<(), Remark> {
        // The process shows the value in the end, of either form.
        match self.get(name) {
            VariableValue::Known(_) => Ok(()),
            VariableValue::Unset | VariableValue::Unknown => self.put(name, value),
        }
    }

    /// `unsetenv NAME`.
    pub fn unset(&mut self, name: &str) {
        // What holds nothing is not too large.
        let _ = self.set(name, VariableValue::Unset);
    }

    /// `resetenv [NAME…]`: removes all but these.
    pub fn reset<'n>(&mut self, kept: impl Iterator<Item = &'n str>) {
        self.changed = kept.map(|name| (name.to_owned(), self.get(name))).collect();
        let values = self.changed.values();
        let texts = values.filter_map(|value| match value {
            VariableValue::Known(text) => Some(text.len()),
            VariableValue::Unset | VariableValue::Unknown => None,
        });
        self.bytes = texts.sum();
        self.cleared = true;
        self.found.everything = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside(name: &str) -> Option<String> {
        (name == "HOME").then(|| "/home/me".to_owned())
    }

    fn known(text: &str) -> VariableValue {
        VariableValue::Known(text.to_owned())
    }

    #[test]
    fn later_lines_see_what_earlier_ones_set() {
        let nothing = Testimony::default();
        let mut environment = Environment::new(&outside, &nothing);
        assert_eq!(environment.get("HOME"), known("/home/me"));
        assert_eq!(environment.get("NOPE"), VariableValue::Unknown);
        environment.preset("HOME", known("/root")).unwrap();
        environment.preset("NOPE", known("a")).unwrap();
        environment.preset("NOPE", known("b")).unwrap();
        assert_eq!(environment.get("HOME"), known("/home/me"));
        assert_eq!(environment.get("NOPE"), known("a"));
        environment.set("HOME", known("/root")).unwrap();
        assert_eq!(environment.get("HOME"), known("/root"));
        environment.unset("HOME");
        assert_eq!(environment.get("HOME"), VariableValue::Unset);
    }

    #[test]
    fn a_reset_keeps_what_it_names_and_nothing_else() {
        let nothing = Testimony::default();
        let mut environment = Environment::new(&outside, &nothing);
        environment.set("A", known("a")).unwrap();
        environment.set("B", known("b")).unwrap();
        environment.reset(["A", "HOME", "NOPE"].into_iter());
        assert_eq!(environment.get("A"), known("a"));
        assert_eq!(environment.get("B"), VariableValue::Unset);
        assert_eq!(environment.get("HOME"), known("/home/me"));
        assert_eq!(environment.get("NOPE"), VariableValue::Unknown);
        assert_eq!(environment.get("OTHER"), VariableValue::Unset);
    }
    #[test]
    fn the_process_itself_is_believed_but_for_what_its_configuration_changes() {
        let shown = [
            ("HOME", "/var/lib/haproxy"),
            ("LATER", "two"),
            ("PRE", "set"),
        ];
        let shown = shown.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let testimony = Testimony {
            environment: Some(shown.into()),
            ..Testimony::default()
        };
        let mut first = Environment::new(&outside, &testimony);
        first.preset("PRE", known("preset")).unwrap();
        first.set("LATER", known("two")).unwrap();
        let alterations = first.changes().clone();
        let mut environment = Environment::new(&outside, &testimony);
        environment.altered_by(alterations);
        assert_eq!(environment.get("HOME"), known("/var/lib/haproxy"));
        assert_eq!(environment.get("NOPE"), VariableValue::Unset);
        assert_eq!(environment.get("PRE"), known("set"));
        assert_eq!(environment.get("LATER"), VariableValue::Unknown);
        assert_eq!(environment.get("HAPROXY_CLI"), VariableValue::Unknown);
        first.reset(["HOME"].into_iter());
        environment.altered_by(first.changes().clone());
        assert_eq!(environment.get("HOME"), known("/var/lib/haproxy"));
        assert_eq!(environment.get("NOPE"), VariableValue::Unknown);
    }

    #[test]
    fn all_values_together_are_bounded() {
        let nothing = Testimony::default();
        let mut environment = Environment::new(&outside, &nothing);
        let large = || known(&"x".repeat(LARGEST / 2));
        for name in ["A", "B", "A"] {
            environment.set(name, large()).unwrap();
        }
        assert!(environment.set("C", known("x")).is_err());
        assert_eq!(environment.get("C"), VariableValue::Unknown);
        environment.unset("A");
        environment.set("C", large()).unwrap();
        assert_eq!(environment.get("C"), large());
    }
}
