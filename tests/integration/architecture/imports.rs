//! The reading of imports, in `use` and in the middle of code.

/// A module's or a name's path, as it is written or from the crate's root.
pub type Path = Vec<String>;

/// The paths of several words in a piece of code, each list in braces written out.
pub fn paths(code: &str) -> Vec<Path> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("::") {
        let before = &code[..at];
        let begin = before
            .rfind(|character: char| !character.is_alphanumeric() && character != '_')
            .map_or(0, |last| last + 1);
        if begin < at && !before[..begin].ends_with("::") {
            write_out(&code[begin..], &mut Vec::new(), &mut found);
        }
    }
    found
}

/// Reads one path, or a list of them, from the front; returns what follows.
fn write_out<'a>(code: &'a str, before: &mut Path, found: &mut Vec<Path>) -> &'a str {
    let code = code.trim_start();
    if let Some(mut rest) = code.strip_prefix('{') {
        loop {
            rest = write_out(rest, before, found).trim_start();
            match rest.strip_prefix(',') {
                Some(next) if !next.trim_start().starts_with('}') => rest = next,
                next => return next.unwrap_or(rest).trim_start().trim_start_matches('}'),
            }
        }
    }
    let end = code.find(|character: char| !character.is_alphanumeric() && character != '_');
    let (word, rest) = code.split_at(end.unwrap_or(code.len()));
    if word.is_empty() {
        return rest;
    }
    before.push(word.to_owned());
    let rest = match rest.strip_prefix("::") {
        Some(rest) => write_out(rest, before, found),
        None => {
            found.push(before.clone());
            rest.strip_prefix(" as ").map_or(rest, |alias| {
                alias.trim_start_matches(|character: char| character.is_alphanumeric())
            })
        }
    };
    before.pop();
    rest
}
