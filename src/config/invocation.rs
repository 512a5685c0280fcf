//! Programs that the configuration names.
//!
//! Pure: nothing is run here. No shell is ever involved: it is a program's path, or a list of the
//! program and its arguments.

use std::path::PathBuf;

use super::document::Value;

/// A program with its arguments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invocation {
    /// The program's path.
    pub program: PathBuf,
    /// What it is given, word by word.
    pub arguments: Vec<String>,
}

impl Invocation {
    pub(super) fn read(value: Value<'_>) -> Option<Self> {
        let words = value.one_or_more(|word| word.text().map(str::to_owned))?;
        if value.is_scalar() && words.iter().any(|word| word.contains(char::is_whitespace)) {
            value.wrong("no shell splits this: write a list, as in [/usr/bin/logger, renewed]");
        }
        let mut words = words.into_iter();
        match words.next() {
            Some(program) if !program.is_empty() => Some(Invocation {
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
