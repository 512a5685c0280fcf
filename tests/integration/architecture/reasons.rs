//! Every log reason has its row in `docs/reference.md`, and every row its reason.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{relative, shipped_code, source_files};

/// Files whose kinds are no reasons of the log, and what the log says in their place.
const NO_REASONS: &[(&str, &str)] = &[
    ("src/x509/mod.rs", "unreadable"),
    ("src/haproxy_config/notice.rs", "haproxy_configuration"),
];

/// The words in quotes that can be reasons: snake_case.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('"').skip(1).step_by(2);
    quoted.filter(|word| {
        let is_snake = |character| matches!(character, 'a'..='z' | '0'..='9' | '_');
        !word.is_empty() && word.chars().all(is_snake)
    })
}

/// The lines of the functions that give an error its reason.
fn reason_functions(code: &str) -> impl Iterator<Item = &str> {
    let starts = ["fn kind(", "fn reason("];
    let bodies = starts
        .into_iter()
        .flat_map(|start| code.split(start).skip(1));
    bodies
        .filter(|rest| {
            let signature = rest.split('{').next().unwrap_or_default();
            signature.contains("&'static str")
        })
        .flat_map(|rest| {
            let body = rest.split("\n    }\n").next().unwrap_or_default();
            body.split("\n}\n").next().unwrap_or_default().lines()
        })
}

/// The constants of a file that have a reason as their value, by name.
fn constants(code: &str) -> impl Iterator<Item = (&str, &str)> {
    code.lines().filter_map(|line| {
        let (_, rest) = line.split_once("const ")?;
        let (name, value) = rest.split_once(": &")?;
        Some((name, words(value).next()?))
    })
}

/// All reasons that the sources have.
fn reasons() -> BTreeSet<String> {
    let files: Vec<(String, String)> = source_files()
        .iter()
        .map(|file| (relative(file), shipped_code(file)))
        .collect();
    let mut reasons = BTreeSet::new();
    for (name, code) in &files {
        if !NO_REASONS.iter().any(|(other, _)| name == other) {
            reasons.extend(reason_functions(code).flat_map(words).map(str::to_owned));
        }
        let logged = code.lines().filter(|line| line.contains("reason = "));
        reasons.extend(logged.flat_map(words).map(str::to_owned));
        let used = constants(code).filter(|(constant, _)| {
            files.iter().any(|(_, code)| {
                code.contains(&format!("reason = {constant}"))
                    || code.contains(&format!("kind: {constant}"))
                    || (code.contains("kind: ") && code.contains(&format!("::{constant},")))
            })
        });
        reasons.extend(used.map(|(_, reason)| reason.to_owned()));
    }
    reasons
}

/// The reasons that the reference has rows for, each with a meaning and a remedy.
fn documented() -> BTreeSet<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference.md");
    let text = fs::read_to_string(page).unwrap();
    let (_, section) = text.split_once("\n## Log reasons\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let mut documented = BTreeSet::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches(['|', ' ']).split(" | ").collect();
        assert!(cells.len() == 3, "{row}: a reason, a meaning and a remedy");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{row}");
        let name = cells[0].trim_matches('`').to_owned();
        assert!(!documented.contains(&name), "{name} has two rows");
        documented.insert(name);
    }
    documented
}

#[test]
fn every_reason_is_in_the_reference_and_no_other() {
    let (reasons, documented) = (reasons(), documented());
    assert!(reasons.len() > 100, "only {} were found", reasons.len());
    let missing: Vec<&String> = reasons.difference(&documented).collect();
    let left_over: Vec<&String> = documented.difference(&reasons).collect();
    assert!(
        missing.is_empty() && left_over.is_empty(),
        "docs/reference.md lacks {missing:?}, and no code says {left_over:?}"
    );
}

#[test]
fn reasons_are_found() {
    let code = "impl Error {\n    pub fn kind(&self) -> &'static str {\n        match self {\n            \
                A => \"out_of_step\",\n        }\n    }\n\n    fn other() { \"not_this\" }\n}\n\
                fn kind(text: &str) -> Option<Kind> {\n    \"nor_this\"\n}\n";
    let found: Vec<&str> = reason_functions(code).flat_map(words).collect();
    assert_eq!(found, ["out_of_step"]);
    let constant = "pub(super) const IN_USE: &str = \"in_use\";";
    assert_eq!(constants(constant).next(), Some(("IN_USE", "in_use")));
}
