//! Help, manual pages and completions: what they promise to people and to shells.
//!
//! The texts of `--help` are kept in `tests/integration/snapshots`, one file a command, so that a
//! change of the command line shows in what people read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{staplerd, stderr, stdout};
use crate::skip::skipped;

/// Set to write the files anew instead of comparing them.
pub(super) const RENEW: &str = "STAPLERD_RENEW_SNAPSHOTS";
/// The columns of a terminal that everybody has.
const COLUMNS: usize = 80;

/// The commands that `staplerd --help` lists, but for `help` itself.
pub(super) fn commands() -> Vec<String> {
    let help = stdout(&staplerd(&["-h"]));
    let list = help.split_once("Commands:\n").unwrap().1;
    let names = list
        .lines()
        .take_while(|line| !line.is_empty())
        // A description that goes on in the next line is indented further.
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty())
        .filter(|name| *name != "help");
    let names: Vec<String> = names.map(str::to_owned).collect();
    assert!(names.iter().any(|name| name == "run"), "{names:?}");
    names
}

/// The help of each command and of the program, by a name for its file.
pub(super) fn helps(option: &str) -> Vec<(String, String)> {
    let mut helps = vec![("staplerd".to_owned(), staplerd(&[option]))];
    for command in commands() {
        let output = staplerd(&[&command, option]);
        helps.push((command, output));
    }
    helps
        .into_iter()
        .map(|(name, output)| {
            assert!(output.status.success(), "{name}: {}", stderr(&output));
            (name, stdout(&output))
        })
        .collect()
}

#[test]
fn help_is_as_it_was_agreed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/snapshots");
    let renew = std::env::var_os(RENEW).is_some();
    let mut differing = Vec::new();
    let mut expected: Vec<PathBuf> = Vec::new();
    for (name, help) in helps("--help") {
        let path = folder.join(format!("{name}.txt"));
        // Spaces at the ends of lines are nobody's concern.
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        let help = lines.join("\n") + "\n";
        if renew {
            fs::write(&path, &help).unwrap();
        }
        if fs::read_to_string(&path).unwrap_or_default() != help {
            differing.push(name);
        }
        expected.push(path);
    }
    let left_over: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|item| item.unwrap().path())
        .filter(|path| !expected.contains(path))
        .collect();
    assert!(
        differing.is_empty() && left_over.is_empty(),
        "the help of {differing:?} is not what tests/integration/snapshots has, and nothing belongs \
         to {left_over:?}; if that is meant, run {RENEW}=1 cargo test --test integration help, and \
         look at what git diff shows"
    );
}

#[test]
fn help_fits_a_terminal_and_has_an_example() {
    for option in ["-h", "--help"] {
        for (name, help) in helps(option) {
            for line in help.lines() {
                assert!(line.chars().count() <= COLUMNS, "{name} {option}: {line}");
            }
            let example = help.split_once("Example").map(|(_, rest)| rest);
            let example = example.unwrap_or_else(|| panic!("{name} {option}: no example"));
            assert!(example.contains("staplerd "), "{name} {option}: {example}");
        }
    }
}

#[test]
fn the_version_is_told_by_both_of_its_options() {
    for option in ["-V", "--version"] {
        let expected = concat!("staplerd ", env!("CARGO_PKG_VERSION"), "\n");
        assert_eq!(stdout(&staplerd(&[option])), expected);
    }
}

#[test]
fn every_command_has_a_manual_page_that_the_typesetter_accepts() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man1");
    let output = staplerd(&["man", "--all", pages.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let mut names = vec!["staplerd.1".to_owned()];
    for command in commands() {
        names.push(format!("staplerd-{command}.1"));
        let one = staplerd(&["man", &command]);
        let of_all = fs::read_to_string(pages.join(format!("staplerd-{command}.1"))).unwrap();
        assert_eq!(stdout(&one), of_all);
    }
    let has_man = Command::new("man").arg("--version").output();
    for name in names {
        let page = pages.join(&name);
        assert!(fs::read_to_string(&page).unwrap().contains(".SH NAME"));
        if has_man.is_err() {
            continue;
        }
        let output = Command::new("man")
            .args(["--warnings", "--local-file", page.to_str().unwrap()])
            .env("MANPAGER", "cat")
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}");
        assert_eq!(stderr(&output), "", "{name}");
    }
    if has_man.is_err() {
        skipped("manual pages: there is no man command on this machine");
    }
    let unknown = staplerd(&["man", "nonsense"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("'nonsense' is no command"));
}

#[test]
fn completions_are_scripts_of_their_shells_and_complete() {
    let directory = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = staplerd(&["completions", shell]);
        assert!(output.status.success(), "{shell}");
        let script = stdout(&output);
        for word in ["probe", "haproxy-sockets"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
        let path = directory.path().join(shell);
        fs::write(&path, script).unwrap();
        if !["bash", "zsh", "fish"].contains(&shell) {
            continue;
        }
        let Ok(checked) = Command::new(shell).arg("-n").arg(&path).output() else {
            skipped(format!("completions: there is no {shell} on this machine"));
            continue;
        };
        assert!(checked.status.success(), "{shell}: {}", stderr(&checked));
    }
    let complete = "source \"$0\"; COMP_WORDS=(staplerd probe --na); COMP_CWORD=2; \
                    _staplerd staplerd --na probe; echo \"${COMPREPLY[@]}\"";
    let completed = Command::new("bash")
        .args(["-c", complete])
        .arg(directory.path().join("bash"))
        .output();
    if let Ok(completed) = completed {
        assert_eq!(stdout(&completed), "--name\n", "{}", stderr(&completed));
    }
}
