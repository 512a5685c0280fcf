//! The environment variables of a configuration.
//!
//! Pure: the environment is handed in, and it is this program's, not HAProxy's; a variable that it
//! lacks may well be set for HAProxy. `setenv` and its like change what later lines see
//! (configuration manual §3.1).

use std::collections::BTreeMap;

/// What is known of a variable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum VariableValue {
    /// Its value.
    Known(String),
    /// The configuration itself has removed it.
    Unset,
    /// It is not set here; HAProxy may have been started with it.
    Unknown,
}

/// The variables at one point of the configuration.
pub struct Environment<'a> {
    outside: &'a dyn Fn(&str) -> Option<String>,
    changed: BTreeMap<String, VariableValue>,
    /// Whether `resetenv` has removed whatever is not in `changed`.
    cleared: bool,
}

impl<'a> Environment<'a> {
    /// The environment a configuration starts with.
    pub fn new(outside: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Environment {
            outside,
            changed: BTreeMap::new(),
            cleared: false,
        }
    }

    /// What a variable holds.
    pub fn get(&self, name: &str) -> VariableValue {
        match self.changed.get(name) {
            Some(value) => value.clone(),
            None if self.cleared => VariableValue::Unset,
            None => (self.outside)(name).map_or(VariableValue::Unknown, VariableValue::Known),
        }
    }

    /// `setenv NAME VALUE`; a value that is not known makes the variable unknown.
    pub fn set(&mut self, name: &str, value: VariableValue) {
        self.changed.insert(name.to_owned(), value);
    }

    /// `presetenv NAME VALUE`: only where there is none yet.
    pub fn preset(&mut self, name: &str, value: VariableValue) {
        if !matches!(self.get(name), VariableValue::Known(_)) {
            self.set(name, value);
        }
    }

    /// `unsetenv NAME`.
    pub fn unset(&mut self, name: &str) {
        self.set(name, VariableValue::Unset);
    }

    /// `resetenv [NAME…]`: removes all but these.
    pub fn reset<'n>(&mut self, kept: impl Iterator<Item = &'n str>) {
        self.changed = kept.map(|name| (name.to_owned(), self.get(name))).collect();
        self.cleared = true;
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
        let mut environment = Environment::new(&outside);
        assert_eq!(environment.get("HOME"), known("/home/me"));
        assert_eq!(environment.get("NOPE"), VariableValue::Unknown);
        environment.preset("HOME", known("/root"));
        environment.preset("NOPE", known("a"));
        environment.preset("NOPE", known("b"));
        assert_eq!(environment.get("HOME"), known("/home/me"));
        assert_eq!(environment.get("NOPE"), known("a"));
        environment.set("HOME", known("/root"));
        assert_eq!(environment.get("HOME"), known("/root"));
        environment.unset("HOME");
        assert_eq!(environment.get("HOME"), VariableValue::Unset);
    }

    #[test]
    fn a_reset_keeps_what_it_names_and_nothing_else() {
        let mut environment = Environment::new(&outside);
        environment.set("A", known("a"));
        environment.set("B", known("b"));
        environment.reset(["A", "HOME", "NOPE"].into_iter());
        assert_eq!(environment.get("A"), known("a"));
        assert_eq!(environment.get("B"), VariableValue::Unset);
        assert_eq!(environment.get("HOME"), known("/home/me"));
        assert_eq!(environment.get("NOPE"), VariableValue::Unknown);
        assert_eq!(environment.get("OTHER"), VariableValue::Unset);
    }
}
