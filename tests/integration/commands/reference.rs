//! The pages in `docs/` and the README say what the program says: its options, commands and words.
//!
//! The tables of options in `docs/reference.md` are made of the help; this file writes them anew
//! when the snapshots of the help are written anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::help::{RENEW, commands, helps};

const BEGINNING: &str = "commands::reference -->\n";
const END: &str = "<!-- end of what is written -->";

fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// An argument or option as the help has it, and what the help says of it.
#[derive(Debug, PartialEq, Clone)]
struct Row {
    term: String,
    meaning: String,
}

/// The usage, the arguments and the options of a command's long help.
fn rows(help: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut is_table = false;
    for line in help.lines() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if indent == 0 && !text.is_empty() {
            is_table = !["Usage", "Example", "Commands"]
                .iter()
                .any(|other| text.starts_with(other))
                && text.ends_with(':');
        } else if is_table && (1..=6).contains(&indent) && text.starts_with(['-', '<', '[']) {
            let (term, meaning) = text.split_once("  ").unwrap_or((text, ""));
            rows.push(Row {
                term: term.to_owned(),
                meaning: meaning.trim().to_owned(),
            });
        } else if is_table && let Some(row) = rows.last_mut() {
            add(&mut row.meaning, text);
        }
    }
    rows
}

/// Goes on with a sentence, or begins another after an empty line.
fn add(meaning: &mut String, text: &str) {
    if text.is_empty() {
        if !meaning.is_empty() && !meaning.ends_with('.') {
            meaning.push('.');
        }
    } else {
        if !meaning.is_empty() {
            meaning.push(' ');
        }
        meaning.push_str(text);
    }
}

fn table(rows: &[Row]) -> String {
    let mut table = "| option | meaning |\n|---|---|\n".to_owned();
    for row in rows {
        let (term, meaning) = (row.term.replace('|', "\\|"), &row.meaning);
        let meaning = meaning.trim_end_matches('.');
        let meaning = meaning.replace('|', "\\|").replace('*', "\\*");
        writeln!(table, "| `{term}` | {} |", meaning.replace('<', "\\<")).unwrap();
    }
    table
}

/// The tables of all commands; what several commands have in common stands with the daemon.
fn tables() -> String {
    let helps = helps("--help");
    let daemon = rows(&helps[0].1);
    let mut text = String::new();
    for (name, help) in &helps {
        let is_daemon = name == "staplerd";
        let command = if is_daemon {
            String::new()
        } else {
            format!(" {name}")
        };
        let mut rows = rows(help);
        assert!(!rows.is_empty(), "{name}: no options in {help}");
        let all = rows.len();
        if !is_daemon {
            rows.retain(|row| !daemon.contains(row));
        }
        // The daemon's options are for `run`, `reload` and `validate` as a whole.
        let takes_all = all - rows.len() + 3 > daemon.len();
        let about = help.lines().next().unwrap().trim_end_matches('.');
        writeln!(text, "\n### `staplerd{command}`\n\n{about}.").unwrap();
        if takes_all && !is_daemon {
            text.push_str("It takes the options of `staplerd`.\n");
        } else if !is_daemon {
            rows = self::rows(help);
        }
        rows.retain(|row| row.term != "-h, --help");
        if !rows.is_empty() {
            writeln!(text, "\n{}", table(&rows).trim_end()).unwrap();
        }
    }
    text.push('\n');
    text
}

#[test]
fn the_reference_has_the_options_of_the_help() {
    let path = page("docs/reference.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGINNING).unwrap();
    let (written, after) = rest.split_once(END).unwrap();
    let expected = tables();
    if std::env::var_os(RENEW).is_some() {
        fs::write(&path, [before, BEGINNING, &expected, END, after].concat()).unwrap();
        return;
    }
    assert!(
        written == expected,
        "docs/reference.md has other options than the help; {RENEW}=1 cargo test --test \
         integration commands::reference writes them anew; expected: {expected}"
    );
}

#[test]
fn the_readme_has_a_line_for_each_command() {
    let readme = fs::read_to_string(page("README.md")).unwrap();
    let (_, section) = readme.split_once("\n## Commands\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let named: Vec<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    assert_eq!(named, commands());
}

/// The anchor that a heading has, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter_map(|character| match character {
        ' ' => Some('-'),
        '-' | '_' => Some(character),
        _ => character.is_alphanumeric().then_some(character),
    });
    kept.collect()
}

/// The targets of a page's links, those to other sites aside.
fn links(text: &str) -> Vec<&str> {
    let targets = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.starts_with("http"))
        .collect()
}

#[test]
fn every_link_leads_to_a_page_and_a_heading() {
    let mut checked = 0;
    let pages = [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "docs/operating.md",
        "docs/reference.md",
        "docs/how-it-works.md",
    ];
    for name in pages {
        let text = fs::read_to_string(page(name)).unwrap();
        for link in links(&text) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page(name),
                _ => page(name).parent().unwrap().join(file),
            };
            assert!(target.exists(), "{name}: nothing is at {link}");
            if !heading.is_empty() {
                let headings = fs::read_to_string(&target).unwrap();
                let mut headings = headings.lines().filter(|line| line.starts_with('#'));
                assert!(
                    headings.any(|it| anchor(it) == heading),
                    "{name}: no heading for {link}"
                );
            }
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} links were found");
}

#[test]
fn rows_of_both_forms_of_the_help_are_read() {
    let wide = "Usage: x [A]\n\nOptions:\n  -j, --json  Print\n              it\n  -h, --help  Help\n\nExample:\n  -x  y\n";
    let narrow = "Options:\n  -j, --json\n          Print it\n\n          Always.\n\n  -h, --help\n          Help\n";
    let row = |term: &str, meaning: &str| Row {
        term: term.to_owned(),
        meaning: meaning.to_owned(),
    };
    assert_eq!(
        rows(wide),
        [row("-j, --json", "Print it"), row("-h, --help", "Help.")]
    );
    assert_eq!(rows(narrow)[0], row("-j, --json", "Print it. Always."));
}
