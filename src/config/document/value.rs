//! Reading one value: what it may be, and the mistake it is otherwise.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::{Document, LONGEST_LINE, Location, push};
use crate::config::yaml::{Node, NodeContent, Position};
use crate::text::{DURATION, parse_duration, shown_duration};

/// Mappings that may be merged into one another.
const MAX_MERGES: usize = 8;

/// A part of a document, with the path of keys that leads to it.
#[derive(Clone)]
pub(in crate::config) struct Value<'a> {
    document: &'a Document<'a>,
    node: &'a Node,
    key: String,
}

impl<'a> Value<'a> {
    pub(super) fn new(document: &'a Document<'a>, node: &'a Node, key: String) -> Self {
        Value {
            document,
            node,
            key,
        }
    }

    /// Where it stands.
    pub fn place(&self) -> Location {
        self.document.place(self.node.position, &self.key)
    }

    /// Remembers a mistake here.
    pub fn wrong(&self, message: impl Display) {
        self.document.wrong(&self.place(), message);
    }

    /// Remembers something here that is worth knowing and no mistake.
    pub fn warn(&self, message: impl Display) {
        push(&self.document.warnings, self.place().remark(message));
    }

    /// The value if it is `right`, otherwise the mistake it is.
    fn or_wrong<T, E: Display>(&self, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.wrong(error)).ok()
    }

    fn expected<T>(&self, what: impl Display) -> Option<T> {
        self.wrong(format!("expected {what}, found {}", self.description()));
        None
    }

    fn description(&self) -> String {
        match &self.node.content {
            NodeContent::List(_) => "a list".to_owned(),
            NodeContent::Mapping(_) => "keys with values".to_owned(),
            NodeContent::Scalar { .. } if self.is_null() => "nothing".to_owned(),
            NodeContent::Scalar { text, .. } => {
                let shown: String = text.chars().take(LONGEST_LINE / 2).collect();
                format!("'{}'", shown.escape_debug())
            }
        }
    }

    /// The word, if it is one without quotes.
    fn plain(&self) -> Option<&'a str> {
        match &self.node.content {
            NodeContent::Scalar {
                text,
                is_plain: true,
            } => Some(text),
            _ => None,
        }
    }

    /// Whether nothing is given.
    pub fn is_null(&self) -> bool {
        matches!(self.plain(), Some("" | "~" | "null" | "Null" | "NULL"))
    }

    fn as_boolean(&self) -> Option<bool> {
        match self.plain()? {
            "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
            "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
            _ => None,
        }
    }

    /// Yes or no.
    pub fn boolean(&self) -> Option<bool> {
        self.as_boolean().or_else(|| self.expected("true or false"))
    }

    /// A text; a number is one as well.
    pub fn text(&self) -> Option<&'a str> {
        match &self.node.content {
            NodeContent::Scalar { text, .. } if !self.is_null() && self.as_boolean().is_none() => {
                Some(text)
            }
            _ => self.expected("text"),
        }
    }

    /// A text that means something.
    pub fn parsed<T, E: Display>(&self, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        self.or_wrong(parse(self.text()?))
    }

    /// One of these words.
    pub fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, meaning)) => Some(*meaning),
            None => {
                let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                self.expected(alternatives(&words))
            }
        }
    }

    /// A path that is not empty.
    pub fn path(&self) -> Option<PathBuf> {
        match self.text()? {
            "" => self.expected("a path"),
            text => Some(PathBuf::from(text)),
        }
    }

    /// A whole number.
    pub fn number(&self, bounds: RangeInclusive<u64>) -> Option<u64> {
        match self.plain().and_then(|text| text.parse().ok()) {
            Some(number) => self.or_wrong(within(number, &bounds)),
            None => self.expected(format!(
                "a whole number from {} to {}",
                bounds.start(),
                bounds.end()
            )),
        }
    }

    /// A whole number that counts something.
    pub fn count(&self, bounds: RangeInclusive<u64>) -> Option<usize> {
        usize::try_from(self.number(bounds)?).ok()
    }

    /// A share in percent.
    pub fn percentage(&self) -> Option<f64> {
        match self.plain().and_then(|text| text.parse::<f64>().ok()) {
            Some(number) if (0.0..=100.0).contains(&number) => Some(number),
            Some(number) => {
                self.wrong(format!("{number} is not between 0 and 100"));
                None
            }
            None => self.expected("a percentage between 0 and 100"),
        }
    }

    /// A length of time.
    pub fn duration(&self, bounds: &RangeInclusive<Duration>) -> Option<Duration> {
        match self.text().map(parse_duration)? {
            Some(duration) => self.or_wrong(lasting(duration, bounds)),
            None => self.expected(DURATION),
        }
    }

    /// A list that is not empty, each item read as `read` says.
    pub fn list<T>(&self, read: impl Fn(Value<'a>) -> Option<T>) -> Option<Vec<T>> {
        if matches!(&self.node.content, NodeContent::List(items) if items.is_empty()) {
            self.wrong("the list is empty: name something, or leave the key out");
            return None;
        }
        self.list_or_none(read)
    }

    /// As [`list`](Self::list); it may be empty.
    pub fn list_or_none<T>(&self, read: impl Fn(Value<'a>) -> Option<T>) -> Option<Vec<T>> {
        let NodeContent::List(items) = &self.node.content else {
            return self.expected("a list, as in [a, b]");
        };
        let values = items.iter().enumerate().map(|(place, node)| Value {
            document: self.document,
            node,
            key: format!("{}[{place}]", self.key),
        });
        Some(values.filter_map(read).collect())
    }

    /// As [`list`](Self::list); a single item may stand alone.
    pub fn one_or_more<T>(&self, read: impl Fn(Value<'a>) -> Option<T>) -> Option<Vec<T>> {
        match &self.node.content {
            NodeContent::Scalar { .. } => read(self.clone()).map(|item| vec![item]),
            _ => self.list(read),
        }
    }

    /// Whether it is a single word.
    pub fn is_scalar(&self) -> bool {
        matches!(self.node.content, NodeContent::Scalar { .. })
    }

    /// Keys of any name with their values, each key once.
    pub fn entries(&self) -> Option<BTreeMap<&'a str, Value<'a>>> {
        let NodeContent::Mapping(_) = &self.node.content else {
            return self.expected("keys with values");
        };
        let mut entries = BTreeMap::new();
        self.collect_entries(self.node, &mut entries, 0);
        Some(entries)
    }

    /// Adds the entries of a mapping, and after them those that are merged into it (`<<`), which do
    /// not replace anything.
    fn collect_entries(
        &self,
        mapping: &'a Node,
        entries: &mut BTreeMap<&'a str, Value<'a>>,
        merges: usize,
    ) {
        let NodeContent::Mapping(pairs) = &mapping.content else {
            self.at(mapping, "<<").expected::<()>("keys with values");
            return;
        };
        let mut own: BTreeMap<&str, Position> = BTreeMap::new();
        let mut merged = Vec::new();
        for (key, value) in pairs {
            let NodeContent::Scalar { text, is_plain } = &key.content else {
                self.at(key, "?").expected::<()>("text as a key");
                continue;
            };
            if *is_plain && text == "<<" {
                merged.push(value);
                continue;
            }
            if let Some(first) = own.insert(text, key.position) {
                let message = format!("given twice, first in line {}", first.line);
                self.at(key, text).wrong(message);
                continue;
            }
            entries.entry(text).or_insert_with(|| self.at(value, text));
        }
        for node in merged {
            if merges >= MAX_MERGES {
                self.at(node, "<<").wrong("merged too deeply");
                continue;
            }
            match &node.content {
                NodeContent::List(items) => {
                    for item in items {
                        self.collect_entries(item, entries, merges + 1);
                    }
                }
                _ => self.collect_entries(node, entries, merges + 1),
            }
        }
    }

    /// A node below this one.
    fn at(&self, node: &'a Node, key: &str) -> Value<'a> {
        Value {
            document: self.document,
            node,
            key: match self.key.as_str() {
                "" => key.to_owned(),
                path => format!("{path}.{key}"),
            },
        }
    }

    /// Where a key of this mapping stands, or its value, if it is merged into it.
    pub(super) fn place_of(&self, key: &str, value: &Value<'_>) -> Location {
        let position = match &self.node.content {
            NodeContent::Mapping(pairs) => pairs.iter().find_map(|(node, _)| match &node.content {
                NodeContent::Scalar { text, .. } if text == key => Some(node.position),
                _ => None,
            }),
            _ => None,
        };
        let position = position.unwrap_or(value.node.position);
        self.document.place(position, &value.key)
    }

    /// Remembers a mistake of one of the keys of this mapping.
    pub(super) fn wrong_key(&self, key: &str, value: &Value<'_>, message: impl Display) {
        self.document.wrong(&self.place_of(key, value), message);
    }
}

/// The number, if it lies within its bounds.
pub(in crate::config) fn within(number: u64, bounds: &RangeInclusive<u64>) -> Result<u64, String> {
    if bounds.contains(&number) {
        return Ok(number);
    }
    let (smallest, largest) = (bounds.start(), bounds.end());
    Err(format!("{number} is not between {smallest} and {largest}"))
}

/// The duration, if it lies within its bounds.
pub(in crate::config) fn lasting(
    duration: Duration,
    bounds: &RangeInclusive<Duration>,
) -> Result<Duration, String> {
    if bounds.contains(&duration) {
        return Ok(duration);
    }
    let (shortest, longest) = (bounds.start(), bounds.end());
    Err(format!(
        "{} is not between {} and {}",
        shown_duration(duration),
        shown_duration(*shortest),
        shown_duration(*longest)
    ))
}

/// `a`, `a or b`, `a, b or c`.
fn alternatives(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [others @ .., last] => format!("{} or {last}", others.join(", ")),
    }
}
