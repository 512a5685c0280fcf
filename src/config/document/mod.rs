//! From the tree of a configuration file to typed values, with every mistake on the way.
//!
//! Pure. A [`Value`] is a node together with its key path. Reading it as something it is not is
//! remembered with position, path and the offending line, and gives nothing; the reading goes on,
//! so that all mistakes come at once. Words mean what they mean in YAML 1.1, which ocspbot read.

mod secrets;
mod table;
mod value;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fmt::{self, Display};
use std::rc::Rc;
use std::sync::Arc;

#[cfg(test)]
pub(super) use table::ASKED_FOR;
pub(super) use table::Table;
pub(super) use value::{Value, lasting, within};

use super::yaml::{self, Node, Position};

/// What is shown of an offending line, in characters.
const LONGEST_LINE: usize = 160;
/// The mistakes that are told; more of them have one cause.
const MOST_REMARKS: usize = 100;

/// Something to say about a place in a configuration file.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{place}{message}{offender}", offender = self.place.offender())]
pub struct DocumentRemark {
    place: Location,
    message: String,
}

/// A place in a configuration file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Location {
    file: Arc<str>,
    position: Position,
    key: String,
    line: String,
}

impl Location {
    /// What is to be said here.
    pub(super) fn remark(&self, message: impl Display) -> DocumentRemark {
        DocumentRemark {
            place: self.clone(),
            message: secrets::without_credentials(&message.to_string()),
        }
    }

    /// Where in its file it is: by this, places are in the file's order.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// The file and the line, for a remark about another place.
    pub(super) fn line(&self) -> String {
        format!("{}:{}", self.file, self.position.line)
    }

    fn offender(&self) -> String {
        let shown = secrets::shown_line(self.line.trim_end());
        let shown: String = shown.chars().take(LONGEST_LINE).collect();
        match shown.is_empty() {
            true => shown,
            false => format!("\n    {shown}"),
        }
    }
}

impl Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position;
        write!(formatter, "{}:{line}:{column}: ", self.file)?;
        match self.key.as_str() {
            "" => Ok(()),
            key => write!(formatter, "{key}: "),
        }
    }
}

/// One configuration file that is being read.
pub(super) struct Document<'a> {
    file: Arc<str>,
    lines: Vec<&'a str>,
    root: Option<Rc<Node>>,
    is_yaml: bool,
    mistakes: RefCell<Vec<DocumentRemark>>,
    warnings: RefCell<Vec<DocumentRemark>>,
}

impl<'a> Document<'a> {
    /// Reads a text; `file` is its name. A text that is no YAML is empty and has a mistake.
    pub fn new(file: &str, text: &'a str) -> Self {
        let mut document = Document {
            file: file.into(),
            lines: text.lines().collect(),
            root: None,
            is_yaml: true,
            mistakes: RefCell::default(),
            warnings: RefCell::default(),
        };
        match yaml::parse(text) {
            Ok(root) => document.root = root,
            Err(error) => {
                let remark = document.place(error.position, "").remark(error.message);
                document.mistakes.get_mut().push(remark);
                document.is_yaml = false;
            }
        }
        document
    }

    /// Remembers a mistake at this place.
    fn wrong(&self, place: &Location, message: impl Display) {
        push(&self.mistakes, place.remark(message));
    }

    /// Everything the file says, where it says anything.
    pub fn root(&self) -> Option<Value<'_>> {
        let node = self.root.as_deref()?;
        let value = Value::new(self, node, String::new());
        (!value.is_null()).then_some(value)
    }

    /// Whether the text is YAML, with any content.
    pub fn is_yaml(&self) -> bool {
        self.is_yaml
    }

    /// The mistakes and the warnings, each in the order of their positions.
    pub fn remarks(self) -> (Vec<DocumentRemark>, Vec<DocumentRemark>) {
        let in_order = |remarks: RefCell<Vec<DocumentRemark>>| {
            let mut remarks = remarks.into_inner();
            remarks.sort_by_key(|remark| remark.place.position);
            // What is asked twice is wrong once.
            remarks.dedup();
            remarks
        };
        (in_order(self.mistakes), in_order(self.warnings))
    }

    fn place(&self, position: Position, key: &str) -> Location {
        Location {
            file: Arc::clone(&self.file),
            position,
            key: key.to_owned(),
            line: self
                .lines
                .get(position.line - 1)
                .map_or_else(String::new, |line| (*line).to_owned()),
        }
    }
}

fn push(remarks: &RefCell<Vec<DocumentRemark>>, remark: DocumentRemark) {
    let mut remarks = remarks.borrow_mut();
    if remarks.len() < MOST_REMARKS {
        remarks.push(remark);
    }
}
