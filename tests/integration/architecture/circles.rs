//! Inside a room, too, imports have a direction: no files import each other in a loop.
//!
//! What a file takes from the module that it is a part of is no arrow: a part knows its whole.
//! What a module only hands on (`use part::Name`) is taken from the part.

use std::collections::{BTreeMap, BTreeSet};

use super::imports::{Path, paths};
use super::{relative, shipped_code, source_files};

/// A module's code, and what its names stand for that it takes from elsewhere.
struct Module {
    file: String,
    imports: Vec<Path>,
}

fn module_path(file: &str) -> Path {
    let below = file.strip_prefix("src/").unwrap().trim_end_matches(".rs");
    let mut path: Path = below.split('/').map(str::to_owned).collect();
    if path.last().is_some_and(|last| last == "mod") {
        path.pop();
    }
    path
}

/// A path as it is seen from the crate's root. `None`: it leads out of the crate.
fn from_the_root(path: &[String], module: &[String], parts: &BTreeSet<&str>) -> Option<Path> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" | "staplerd" => Some(rest.to_vec()),
        "self" => Some([module, rest].concat()),
        "super" => {
            let mut above = &module[..module.len().checked_sub(1)?];
            let mut rest = rest;
            while let Some(("super", further)) =
                rest.split_first().map(|(it, rest)| (it.as_str(), rest))
            {
                above = &above[..above.len().checked_sub(1)?];
                rest = further;
            }
            Some([above, rest].concat())
        }
        part if parts.contains(part) => Some([module, path].concat()),
        _ => None,
    }
}

/// All modules of the house, each with its imports seen from the root.
fn modules(files: &[(String, String)]) -> BTreeMap<Path, Module> {
    let all: BTreeSet<Path> = files.iter().map(|(file, _)| module_path(file)).collect();
    let read = |(file, code): &(String, String)| {
        let module = module_path(file);
        let parts: BTreeSet<&str> = all
            .iter()
            .filter(|other| other.len() == module.len() + 1 && other.starts_with(&module))
            .map(|part| part[module.len()].as_str())
            .collect();
        let imports = paths(code)
            .iter()
            .filter_map(|path| from_the_root(path, &module, &parts))
            .collect();
        (
            module,
            Module {
                file: file.clone(),
                imports,
            },
        )
    };
    files.iter().map(read).collect()
}

/// The module that a path leads to, through the modules that only hand a name on.
fn origin(path: &[String], modules: &BTreeMap<Path, Module>, patience: usize) -> Option<Path> {
    let module = (1..=path.len())
        .rev()
        .map(|length| &path[..length])
        .find(|front| modules.contains_key(*front))?;
    let handed_on = path.get(module.len()).and_then(|name| {
        let imports = &modules[module].imports;
        imports.iter().find(|it| {
            it.last() == Some(name) && it.len() > module.len() + 1 && it.starts_with(module)
        })
    });
    match handed_on {
        Some(import) if patience > 0 => origin(import, modules, patience - 1),
        _ => Some(module.to_vec()),
    }
}

/// For each module those of the same room that it takes something from.
fn arrows(modules: &BTreeMap<Path, Module>) -> BTreeMap<&Path, BTreeSet<Path>> {
    let taken = |(from, module): (&Path, &Module)| {
        let mut to: BTreeSet<Path> = module
            .imports
            .iter()
            .filter_map(|path| origin(path, modules, 5))
            .collect();
        to.retain(|to| to.first() == from.first() && !from.starts_with(to));
        to
    };
    modules.iter().map(|it| (it.0, taken(it))).collect()
}

/// The modules that are left when those are taken away, again and again, that take nothing from
/// the others that are left, and those that none of the others takes anything from.
fn circles(modules: &BTreeMap<Path, Module>) -> Vec<String> {
    let mut arrows = arrows(modules);
    loop {
        let left: BTreeSet<Path> = arrows.keys().map(|module| (*module).clone()).collect();
        for to in arrows.values_mut() {
            to.retain(|module| left.contains(module));
        }
        let named: BTreeSet<Path> = arrows.values().flatten().cloned().collect();
        arrows.retain(|module, to| !to.is_empty() && named.contains(*module));
        if arrows.len() == left.len() {
            break;
        }
    }
    let show = |(from, to): (&&Path, &BTreeSet<Path>)| {
        let to: Vec<String> = to.iter().map(|module| module.join("::")).collect();
        format!("{} → {}", modules[*from].file, to.join(", "))
    };
    arrows.iter().map(show).collect()
}

#[test]
fn no_files_of_a_room_import_each_other_in_a_loop() {
    let files: Vec<(String, String)> = source_files()
        .iter()
        .map(|file| (relative(file), shipped_code(file)))
        .filter(|(file, _)| file != "src/lib.rs" && file != "src/main.rs")
        .collect();
    let modules = modules(&files);
    let count: usize = arrows(&modules).values().map(BTreeSet::len).sum();
    assert!(
        count > 200,
        "only {count} imports were found: the reading is broken"
    );
    let circles = circles(&modules);
    assert!(
        circles.is_empty(),
        "files that need each other:\n{}",
        circles.join("\n")
    );
}

#[test]
fn a_circle_would_be_seen() {
    let house = |desk: &str| {
        let files = [
            (
                "src/agent/mod.rs",
                "mod desk;\npub use desk::{Desk, self};\nmod lamp;\npub use lamp::Lamp;",
            ),
            ("src/agent/desk.rs", desk),
            (
                "src/agent/lamp.rs",
                "use std::fmt;\nuse super::{Desk as Table, chair::Chair};",
            ),
            ("src/agent/chair.rs", "fn sit() -> super::Agent {}"),
        ];
        modules(&files.map(|(file, code)| (file.to_owned(), code.to_owned())))
    };
    assert_eq!(
        circles(&house("use crate::time::Timestamp;")),
        Vec::<String>::new()
    );
    assert_eq!(
        circles(&house("fn light() -> crate::agent::Lamp {}")),
        [
            "src/agent/desk.rs → agent::lamp",
            "src/agent/lamp.rs → agent::desk"
        ]
    );
}
