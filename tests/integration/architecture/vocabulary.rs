//! One word for one thing: a type's name stands in one place. Plain words in comments.

use std::collections::BTreeMap;
use std::fs;

use super::{files_below, relative, shipped_code, source_files};

/// Names that every room has for itself: what can go wrong in it, and how it behaves.
const IN_EVERY_ROOM: &[&str] = &["Error", "Settings"];

/// The name that a line at the left margin defines.
fn defined_type(line: &str) -> Option<&str> {
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.strip_prefix(' ')?,
        None => line,
    };
    let kinds = ["struct ", "enum ", "trait ", "type ", "union "];
    let name = kinds.iter().find_map(|kind| line.strip_prefix(kind))?;
    let end = name.find(|character: char| !character.is_alphanumeric() && character != '_');
    Some(&name[..end.unwrap_or(name.len())])
}

#[test]
fn a_types_name_stands_in_one_place() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in source_files() {
        for name in shipped_code(&file).lines().filter_map(defined_type) {
            let places = places.entry(name.to_owned()).or_default();
            places.push(relative(&file));
        }
    }
    assert!(places.len() > 300, "only {} types were found", places.len());
    places.retain(|name, places| places.len() > 1 && !IN_EVERY_ROOM.contains(&name.as_str()));
    assert!(places.is_empty(), "one name for several types: {places:#?}");
}

#[test]
fn definitions_are_found() {
    assert_eq!(defined_type("pub(super) struct Place<'a> {"), Some("Place"));
    assert_eq!(defined_type("type Reloading = ();"), Some("Reloading"));
    assert_eq!(defined_type("pub enum Notice {"), Some("Notice"));
    assert_eq!(defined_type("    type Target = Staple;"), None);
    assert_eq!(defined_type("publish(struct_);"), None);
}

/// The formatter holds code to this; comments are not its business.
#[test]
fn comments_are_no_wider_than_code() {
    let folders = ["src", "tests", "benches", "examples"];
    let mut comments = 0;
    for file in folders.into_iter().flat_map(files_below) {
        let text = fs::read_to_string(&file).unwrap();
        for (index, line) in text.lines().enumerate() {
            if !line.trim_start().starts_with("//") {
                continue;
            }
            comments += 1;
            let width = line.chars().count();
            // A link cannot be broken.
            assert!(
                width <= 100 || line.contains("http"),
                "{}:{}: {width} characters",
                relative(&file),
                index + 1
            );
        }
    }
    assert!(comments > 1000, "only {comments} comments were found");
}

/// Words on which a sentence hangs that has no subject: say who it is.
const VAGUE: &[&str] = &["whoever", "nobody", "somebody", "whatever", "whom"];
/// So many are left, each where it is the right word.
const VAGUE_LEFT: usize = 1;

/// The vague words of a comment line.
fn vague_words(line: &str) -> usize {
    let words = line
        .trim_start()
        .strip_prefix("//")
        .map(|comment| comment.split(|character: char| !character.is_alphabetic()));
    words
        .into_iter()
        .flatten()
        .filter(|word| {
            let word = word.to_lowercase();
            VAGUE.contains(&word.as_str())
        })
        .count()
}

#[test]
fn comments_say_who_does_it() {
    let mut found = Vec::new();
    for file in files_below("src") {
        let text = fs::read_to_string(&file).unwrap();
        for (index, line) in text.lines().enumerate() {
            let place = format!("{}:{}: {}", relative(&file), index + 1, line.trim());
            found.extend(vec![place; vague_words(line)]);
        }
    }
    assert!(
        found.len() == VAGUE_LEFT,
        "{} vague words, {VAGUE_LEFT} are agreed: {found:#?}",
        found.len()
    );
}

#[test]
fn vague_words_are_seen_in_comments_only() {
    assert_eq!(vague_words("    /// Whoever asks nobody, whom?"), 3);
    assert_eq!(vague_words("let nobody = \"whatever\";"), 0);
    assert_eq!(vague_words("// The body is nobodys."), 0);
}
