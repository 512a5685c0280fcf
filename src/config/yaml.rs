//! YAML to a tree in which every node knows its position.
//!
//! Pure. The grammar is the parser's (YAML 1.2); the reader of a scalar decides what it means, so
//! that the booleans and octal numbers of YAML 1.1, which ocspbot read, are understood as well.
//! Bounded: the text, the depth, and the nodes that are there after every alias is followed.
//!
//! serde_yaml is archived. Its successors, yaml_serde 0.10 and serde-saphyr 1 and 2, know positions
//! but stop at the first type error or unknown key; an operator is told all mistakes at once, each
//! with line, column and the nearest key. When one of them collects errors, go back to it.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

/// The longest text that is read, in bytes.
pub const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Lists and mappings that may lie in one another.
const MAX_DEPTH: usize = 32;
/// Nodes in a text; those that an alias stands for count each time.
const MAX_NODES: usize = 500_000;

/// A place in the text, both counted from one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Position {
    pub line: usize,
    /// In characters.
    pub column: usize,
}

impl From<Marker> for Position {
    fn from(marker: Marker) -> Self {
        Position {
            line: marker.line().max(1),
            column: marker.col() + 1,
        }
    }
}

/// A part of the text.
#[derive(Debug)]
pub(super) struct Node {
    pub position: Position,
    pub content: NodeContent,
    /// Nodes, this one included.
    size: usize,
}

/// What a part of the text is.
#[derive(Debug)]
pub(super) enum NodeContent {
    /// A word; quoted ones are never anything but text.
    Scalar { text: String, is_plain: bool },
    /// Items of a list.
    List(Vec<Rc<Node>>),
    /// Keys with their values, in their order, repeated ones included.
    Mapping(Vec<(Rc<Node>, Rc<Node>)>),
}

/// Why a text is not one YAML document.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub position: Position,
    pub message: String,
}

impl SyntaxError {
    fn new(marker: Marker, message: impl Into<String>) -> Self {
        SyntaxError {
            position: marker.into(),
            message: message.into(),
        }
    }
}

/// Reads a text; nothing where it says nothing.
pub(super) fn parse(text: &str) -> Result<Option<Rc<Node>>, SyntaxError> {
    if text.len() > MAX_BYTES {
        let message = format!("longer than {MAX_BYTES} bytes: split it with 'includes'");
        return Err(SyntaxError::new(Marker::new(0, 1, 0), message));
    }
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|error| SyntaxError::new(*error.marker(), error.info()))?;
        builder.take(event, span.start)?;
    }
    Ok(builder.root)
}

/// A list or mapping whose end has not come yet.
struct OpenCollection {
    position: Position,
    anchor: usize,
    children: Vec<Rc<Node>>,
    is_mapping: bool,
}

#[derive(Default)]
struct Builder {
    documents: usize,
    unfinished: Vec<OpenCollection>,
    anchors: HashMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
    /// Nodes so far, those of the unfinished included.
    nodes: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: Marker) -> Result<(), SyntaxError> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(SyntaxError::new(
                        at,
                        "a second document: expected one only, without '---' inside",
                    ));
                }
            }
            Event::Alias(anchor) => {
                let node =
                    self.anchors.get(&anchor).map(Rc::clone).ok_or_else(|| {
                        SyntaxError::new(at, "an alias inside of what it stands for")
                    })?;
                self.attach(node, at)?;
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = has_text_tag(tag.as_deref(), at)?;
                let node = Node {
                    position: at.into(),
                    content: NodeContent::Scalar {
                        text: text.into_owned(),
                        is_plain: style == ScalarStyle::Plain && !is_text,
                    },
                    size: 1,
                };
                self.finish(node, anchor, at)?;
            }
            Event::SequenceStart(anchor, tag) => self.begin(anchor, tag.as_deref(), at, false)?,
            Event::MappingStart(anchor, tag) => self.begin(anchor, tag.as_deref(), at, true)?,
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(done) = self.unfinished.pop() {
                    let size = 1 + done.children.iter().map(|node| node.size).sum::<usize>();
                    self.nodes -= size - 1;
                    let content = match done.is_mapping {
                        true => NodeContent::Mapping(pairs(done.children)),
                        false => NodeContent::List(done.children),
                    };
                    let node = Node {
                        position: done.position,
                        content,
                        size,
                    };
                    self.finish(node, done.anchor, at)?;
                }
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn begin(
        &mut self,
        anchor: usize,
        tag: Option<&Tag>,
        at: Marker,
        is_mapping: bool,
    ) -> Result<(), SyntaxError> {
        if self.unfinished.len() >= MAX_DEPTH {
            return Err(SyntaxError::new(at, "nested too deeply"));
        }
        if let Some(tag) = tag {
            return Err(unknown_tag(tag, at));
        }
        self.unfinished.push(OpenCollection {
            position: at.into(),
            anchor,
            children: Vec::new(),
            is_mapping,
        });
        Ok(())
    }

    fn finish(&mut self, node: Node, anchor: usize, at: Marker) -> Result<(), SyntaxError> {
        let node = Rc::new(node);
        // The parser counts anchors from one.
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.attach(node, at)
    }

    fn attach(&mut self, node: Rc<Node>, at: Marker) -> Result<(), SyntaxError> {
        self.nodes = self.nodes.saturating_add(node.size);
        if self.nodes > MAX_NODES {
            return Err(SyntaxError::new(
                at,
                format!("more than {MAX_NODES} values, aliases followed"),
            ));
        }
        match self.unfinished.last_mut() {
            Some(parent) => parent.children.push(node),
            None => self.root = Some(node),
        }
        Ok(())
    }
}

/// The parser hands out keys and values alternately.
fn pairs(children: Vec<Rc<Node>>) -> Vec<(Rc<Node>, Rc<Node>)> {
    let mut pairs = Vec::with_capacity(children.len() / 2);
    let mut children = children.into_iter();
    while let (Some(key), Some(value)) = (children.next(), children.next()) {
        pairs.push((key, value));
    }
    pairs
}

/// Whether the tag says that a scalar is text, even if it looks like something else.
fn has_text_tag(tag: Option<&Tag>, at: Marker) -> Result<bool, SyntaxError> {
    match tag {
        None => Ok(false),
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Ok(true),
        Some(tag) => Err(unknown_tag(tag, at)),
    }
}

fn unknown_tag(tag: &Tag, at: Marker) -> SyntaxError {
    SyntaxError::new(
        at,
        format!("the tag {tag} means nothing here: leave it out"),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The tree in a compact form; plain words bare, quoted ones in quotes.
    fn shown(node: &Node) -> String {
        match &node.content {
            NodeContent::Scalar {
                text,
                is_plain: true,
            } => text.clone(),
            NodeContent::Scalar { text, .. } => format!("'{text}'"),
            NodeContent::List(items) => {
                let items: Vec<String> = items.iter().map(|item| shown(item)).collect();
                format!("[{}]", items.join(","))
            }
            NodeContent::Mapping(pairs) => {
                let pairs: Vec<String> = pairs
                    .iter()
                    .map(|(key, value)| format!("{}:{}", shown(key), shown(value)))
                    .collect();
                format!("{{{}}}", pairs.join(","))
            }
        }
    }

    fn tree(text: &str) -> String {
        parse(text)
            .unwrap()
            .map_or("nothing".to_owned(), |node| shown(&node))
    }

    fn mistake(text: &str) -> (usize, usize, String) {
        let error = parse(text).unwrap_err();
        (error.position.line, error.position.column, error.message)
    }

    #[test]
    fn a_text_becomes_a_tree_of_words() {
        assert_eq!(tree("a: [1, '2']\nb: {c: no}\n"), "{a:[1,'2'],b:{c:no}}");
        assert_eq!(tree("---\na: !!str 5\n...\n"), "{a:'5'}");
        assert_eq!(tree("# nothing\n"), "nothing");
        assert_eq!(tree("\u{feff}a: 1\r\nb: 2\r\n"), "{a:1,b:2}");
    }

    #[test]
    fn every_node_knows_its_line_and_column() {
        let root = parse("a: 1\nbé:\n  - x\n  - {yé: z}\n").unwrap().unwrap();
        let NodeContent::Mapping(pairs) = &root.content else {
            panic!("{root:?}")
        };
        let NodeContent::List(items) = &pairs[1].1.content else {
            panic!("{root:?}")
        };
        assert_eq!(pairs[1].0.position, Position { line: 2, column: 1 });
        assert_eq!(items[0].position, Position { line: 3, column: 5 });
        let NodeContent::Mapping(inner) = &items[1].content else {
            panic!("{root:?}")
        };
        assert_eq!(
            inner[0].1.position,
            Position {
                line: 4,
                column: 10
            }
        );
    }

    #[test]
    fn aliases_are_followed() {
        assert_eq!(tree("a: &x [1, 2]\nb: *x\n"), "{a:[1,2],b:[1,2]}");
        let (line, column, message) = mistake("a: &x [*x]\n");
        assert_eq!((line, column), (1, 8), "{message}");
    }

    #[test]
    fn aliases_of_aliases_do_not_explode() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..30 {
            let below = format!("*a{}, ", level - 1).repeat(9);
            text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
        }
        let (line, _, message) = mistake(&text);
        assert!(line < 10 && message.contains("values"), "{line} {message}");
    }

    #[test]
    fn depth_and_length_are_bounded_and_one_document_is_enough() {
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert_eq!(mistake(&deep).2, "nested too deeply");
        let block: String = (0..100)
            .map(|depth| format!("{}a:\n", " ".repeat(depth)))
            .collect();
        assert_eq!(mistake(&block).2, "nested too deeply");
        assert!(
            mistake(&" ".repeat(MAX_BYTES + 1))
                .2
                .contains("longer than")
        );
        let (line, _, message) = mistake("a: 1\n---\nb: 2\n");
        assert!(
            line == 2 && message.contains("second document"),
            "{line} {message}"
        );
        assert!(
            mistake("a: !!python/object:os.system x\n")
                .2
                .contains("tag")
        );
    }

    #[test]
    fn what_is_no_yaml_has_its_position() {
        assert_eq!(mistake("a: [1\nb: 2\n").0, 2);
        assert_eq!(mistake("a: 1\n  b: 2\n").0, 2);
        assert_eq!(mistake("a: *nobody\n").0, 1);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-a{}\\[\\],:&*!<> '\"\n|#?%\t0é]{0,60}") {
            let _ = parse(&text);
        }
    }
}
