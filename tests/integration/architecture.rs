//! The house stands: rooms import only from rooms below, pure rooms touch nothing of the world.

mod circles;
mod imports;
mod reasons;
mod vocabulary;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use imports::paths;

/// For each room the rooms it may know. What is not listed here does not exist.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("text", &[]),
    ("files", &[]),
    ("time", &[]),
    ("x509", &["time"]),
    ("ocsp", &["x509", "time"]),
    ("schedule", &["time"]),
    ("agent", &["ocsp", "schedule", "x509", "time"]),
    ("discovery", &["x509"]),
    ("fetch", &["ocsp", "x509", "time"]),
    // What must outlive the process is remembered here by whoever learns it.
    ("memory", &["ocsp", "time", "x509"]),
    ("haproxy", &["memory", "ocsp", "x509", "time"]),
    // What HAProxy loads, and from where: the files are found as discovery finds them.
    ("haproxy_config", &["discovery", "haproxy"]),
    ("probe", &["ocsp", "x509", "time"]),
    ("responder", &["ocsp", "x509", "time"]),
    ("store", &["ocsp"]),
    ("control", &["time"]),
    ("systemd", &[]),
    ("background", &[]),
    ("signals", &[]),
    // What the operator writes and reads, in the words of the rooms below.
    (
        "config",
        &[
            "discovery",
            "fetch",
            "haproxy",
            "ocsp",
            "schedule",
            "store",
            "x509",
        ],
    ),
    ("telemetry", &["agent", "haproxy", "time"]),
    ("hooks", &["agent", "config", "time"]),
    (
        "run",
        &[
            "agent",
            "background",
            "config",
            "control",
            "discovery",
            "fetch",
            "haproxy",
            "haproxy_config",
            "hooks",
            "memory",
            "ocsp",
            "schedule",
            "signals",
            "store",
            "systemd",
            "telemetry",
            "time",
            "x509",
        ],
    ),
    (
        "cli",
        &[
            "background",
            "config",
            "control",
            "discovery",
            "fetch",
            "haproxy",
            "ocsp",
            "probe",
            "responder",
            "run",
            "signals",
            "store",
            "systemd",
            "telemetry",
            "time",
            "x509",
        ],
    ),
    ("main", &["cli"]),
];

/// Rooms that every other room may know.
const FOR_ALL: &[&str] = &["text", "files"];

/// Rooms, and files of other rooms, that decide and do nothing else.
const PURE: &[&str] = &[
    "src/text/",
    "src/time.rs",
    "src/schedule.rs",
    "src/x509/",
    "src/ocsp/",
    "src/agent/",
    "src/cli/status/table.rs",
    "src/cli/status/timeline.rs",
    "src/cli/status/style.rs",
    "src/config/",
    "src/control/names.rs",
    "src/control/protocol.rs",
    "src/control/status.rs",
    "src/haproxy_config/account.rs",
    "src/haproxy_config/blocks.rs",
    "src/haproxy_config/certificate_list.rs",
    "src/haproxy_config/condition.rs",
    "src/haproxy_config/control_socket.rs",
    "src/haproxy_config/environment.rs",
    "src/haproxy_config/mod.rs",
    "src/haproxy_config/notice.rs",
    "src/haproxy_config/parser.rs",
    "src/haproxy_config/readings.rs",
    "src/haproxy_config/testimony.rs",
    "src/haproxy_config/wanted.rs",
    "src/haproxy_config/words.rs",
    "src/discovery/selection.rs",
    "src/discovery/source.rs",
    "src/fetch/address.rs",
    "src/fetch/caching.rs",
    "src/fetch/limits.rs",
    "src/fetch/outcome.rs",
    "src/fetch/overrides.rs",
    "src/fetch/proxy.rs",
    "src/fetch/url.rs",
    "src/fetch/verdict.rs",
    "src/hooks/facts.rs",
    "src/hooks/queue.rs",
    "src/haproxy/address.rs",
    "src/haproxy/codec.rs",
    "src/haproxy/command.rs",
    "src/haproxy/error.rs",
    "src/haproxy/level.rs",
    "src/haproxy/notice.rs",
    "src/haproxy/offer.rs",
    "src/haproxy/outcome.rs",
    "src/haproxy/process.rs",
    "src/haproxy/quarantine.rs",
    "src/haproxy/reply.rs",
    "src/haproxy/sentinel.rs",
    "src/haproxy/stores.rs",
    "src/haproxy/versions.rs",
    "src/memory/record.rs",
    "src/probe/judge.rs",
    "src/probe/target.rs",
    "src/responder/answer.rs",
    "src/responder/authority.rs",
    "src/responder/caching.rs",
    "src/responder/crl.rs",
    "src/responder/fault.rs",
    "src/responder/index.rs",
    "src/responder/key.rs",
    "src/responder/path.rs",
    "src/responder/presigned.rs",
    "src/responder/program/lines.rs",
    "src/responder/question.rs",
    "src/responder/refusal.rs",
    "src/responder/serial.rs",
    "src/responder/status.rs",
    "src/run/differences.rs",
];

/// What pure code does not mention: files, sockets, processes, threads, clocks, logs.
const WORLD: &[&str] = &[
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "std::net::Tcp",
    "std::net::Udp",
    "std::os::unix",
    "tokio::",
    "SystemTime::now",
    "Instant::now",
    "tracing::",
    "println!",
    "eprintln!",
    "fastrand::Rng::new()",
];

fn source_files() -> Vec<PathBuf> {
    let mut files = files_below("src");
    // Unit tests in files of their own do not ship.
    files.retain(|file| !file.iter().any(|folder| folder == "tests"));
    assert!(files.len() > 20, "the sources were not found");
    files
}

/// All files with code below a folder of the project, sorted.
fn files_below(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The path below the project, with `/`.
fn relative(file: &Path) -> String {
    let below = file.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap();
    below.to_str().unwrap().to_owned()
}

/// The code of a file that ships: without comments and without its unit tests.
fn shipped_code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end]
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn room_of(file: &str) -> String {
    let below = file.strip_prefix("src/").unwrap();
    let first = below.split('/').next().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The rooms that follow `crate::` (or `staplerd::` in main.rs), in lists as well.
fn imported_rooms(code: &str) -> Vec<String> {
    let is_ours = |path: &imports::Path| path[0] == "crate" || path[0] == "staplerd";
    let paths = paths(code).into_iter().filter(is_ours);
    let mut rooms: Vec<String> = paths.map(|path| path[1].clone()).collect();
    rooms.dedup();
    rooms
}

#[test]
fn imports_point_downwards() {
    let rules: BTreeMap<&str, &[&str]> = MAY_KNOW.iter().copied().collect();
    let mut arrows = 0;
    for file in source_files() {
        let name = relative(&file);
        let room = room_of(&name);
        if room == "lib" {
            continue;
        }
        let allowed = rules
            .get(room.as_str())
            .unwrap_or_else(|| panic!("{name}: the room '{room}' has no place in the house"));
        for imported in imported_rooms(&shipped_code(&file)) {
            arrows += 1;
            assert!(
                imported == room
                    || FOR_ALL.contains(&imported.as_str())
                    || allowed.contains(&imported.as_str()),
                "{name}: '{room}' must not know '{imported}'"
            );
        }
    }
    assert!(
        arrows > 30,
        "only {arrows} imports were found: the reading is broken"
    );
}

#[test]
fn no_permission_is_left_that_nothing_uses() {
    let mut used: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in source_files() {
        let imported = imported_rooms(&shipped_code(&file));
        let rooms = used.entry(room_of(&relative(&file))).or_default();
        rooms.extend(imported);
    }
    for (room, allowed) in MAY_KNOW {
        let used = &used[*room];
        for allowed in *allowed {
            assert!(
                used.iter().any(|used| used == allowed),
                "'{room}' may know '{allowed}' and does not"
            );
        }
    }
}

/// The floors that follow from the rules, the ground first: each room as low as it can be.
fn floors() -> Vec<Vec<&'static str>> {
    let mut built: Vec<Vec<&str>> = Vec::new();
    let mut left: BTreeMap<&str, &[&str]> = MAY_KNOW.iter().copied().collect();
    while !left.is_empty() {
        let is_built = |room: &&str| built.iter().flatten().any(|below| below == room);
        let next: Vec<&str> = left
            .iter()
            .filter(|(_, below)| below.iter().all(&is_built))
            .map(|(room, _)| *room)
            .collect();
        assert!(!next.is_empty(), "a circle among {:?}", left.keys());
        left.retain(|room, _| !next.contains(room));
        built.push(next);
    }
    built
}

#[test]
fn the_rules_have_no_circle_and_the_map_shows_their_floors() {
    let map = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let drawn: Vec<Vec<&str>> = map
        .lines()
        .skip_while(|line| *line != "//! main")
        .take_while(|line| *line != "//! ```")
        .map(|line| line.trim_start_matches("//! ").split(", ").collect())
        .collect();
    let mut floors = floors();
    floors.reverse();
    assert_eq!(drawn, floors);
}

#[test]
fn pure_code_touches_no_file_socket_clock_or_log() {
    let mut looked_at = 0;
    for file in source_files() {
        let name = relative(&file);
        if !PURE.iter().any(|pure| name.starts_with(pure)) {
            continue;
        }
        looked_at += 1;
        let code = shipped_code(&file);
        for word in WORLD {
            assert!(!code.contains(word), "{name} is pure but mentions {word}");
        }
    }
    assert!(looked_at > 20, "only {looked_at} pure files were found");
}

/// What follows an attribute `#[error("…")]` up to the end of the variant that it is for.
fn variants(code: &str) -> impl Iterator<Item = (&str, &str)> {
    code.split("#[error(").skip(1).map(|rest| {
        let (words, fields) = rest.split_once(")]").unwrap();
        let end = match (fields.find('{'), fields.find(",\n")) {
            (Some(brace), Some(comma)) if brace < comma => fields.find('}').unwrap(),
            (_, end) => end.unwrap_or(fields.len()),
        };
        (words, &fields[..end])
    })
}

/// The error texts in which a path stands as it is.
fn raw_paths(code: &str) -> Vec<String> {
    let is_raw = |(words, fields): &(&str, &str)| {
        let named = |name: &str| words.contains(&format!("{{{name}}}"));
        fields.split([',', '(', '{', '\n']).any(|field| {
            let field = field
                .trim()
                .trim_start_matches("pub ")
                .trim_end_matches(')');
            match field.split_once(": ") {
                Some((name, "PathBuf")) => named(name),
                None if field == "PathBuf" => named("0"),
                _ => false,
            }
        })
    };
    let raw = variants(code).filter(is_raw);
    raw.map(|(words, _)| words.to_owned()).collect()
}

#[test]
fn there_is_one_way_to_show_a_path() {
    let mut shown = 0;
    for file in source_files() {
        let name = relative(&file);
        let code = shipped_code(&file);
        shown += code.matches(".printable()").count();
        for other in [".display()", "escape_default()", "REPLACEMENT_CHARACTER"] {
            assert!(
                name == "src/text/printable.rs" || !code.contains(other),
                "{name}: {other}: foreign text is shown by .printable()"
            );
        }
        let raw = raw_paths(&code);
        assert!(raw.is_empty(), "{name}: paths as they are in {raw:?}");
    }
    assert!(
        shown > 50,
        "only {shown} uses were found: the reading is broken"
    );
}

#[test]
fn a_path_as_it_is_would_be_seen() {
    let code = "#[error(\"{0}: no\")]\nA(PathBuf),\n#[error(\"{path}: no\")]\nB {\n    path: PathBuf,\n},\n\
                #[error(\"{}: no\", .0.printable())]\nC(PathBuf),\n#[error(\"{path}\")]\nD {\n    path: String,\n}";
    assert_eq!(raw_paths(code).len(), 2);
}

/// The words by which code opens a file itself.
const OPENINGS: &[&str] = &[
    "File::open",
    "File::create",
    "File::options",
    "OpenOptions",
    "fs::read(",
    "fs::read_to_string",
    "fs::write",
    "fs::copy",
    "rustix::fs::open",
    "tokio::fs",
];
/// Where that is right, and why.
const OPENERS: &[(&str, &str)] = &[
    ("src/files/", "it is the one way"),
    (
        "src/store/disk.rs",
        "makes new files in directories that are open, and nothing else",
    ),
    ("src/background.rs", "/dev/null"),
];

#[test]
fn there_is_one_way_to_open_a_file() {
    for file in source_files() {
        let name = relative(&file);
        if OPENERS.iter().any(|(opener, _)| name.starts_with(opener)) {
            continue;
        }
        let code = shipped_code(&file);
        for opening in OPENINGS {
            let mut found = code.match_indices(opening);
            // Another type's, such as IndexFile::open.
            let is_own = |at: usize| code[..at].ends_with(char::is_alphanumeric);
            assert!(
                found.all(|(at, _)| is_own(at)),
                "{name}: {opening}: files are opened by the room 'files'"
            );
        }
    }
    for (opener, _) in OPENERS {
        assert!(
            source_files()
                .iter()
                .any(|file| relative(file).starts_with(opener)),
            "{opener} is not there any more"
        );
    }
}

/// Code that no module names is not compiled: its tests never fail.
#[test]
fn every_file_is_a_module_of_its_folders() {
    for file in ["src", "tests/integration"]
        .into_iter()
        .flat_map(files_below)
    {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let folder = file.parent().unwrap();
        let (named, parents) = match name {
            "lib" | "main" => continue,
            "mod" => (
                folder.file_name().unwrap().to_str().unwrap(),
                folder.parent(),
            ),
            _ => (name, Some(folder)),
        };
        let parent = parents.unwrap();
        let mut above: Vec<PathBuf> = ["mod.rs", "main.rs", "lib.rs"]
            .map(|it| parent.join(it))
            .into();
        above.push(parent.with_extension("rs"));
        let is_declared = above.iter().any(|module| {
            let text = fs::read_to_string(module).unwrap_or_default();
            text.contains(&format!("mod {named};"))
        });
        assert!(
            is_declared,
            "{}: no module above it names it",
            relative(&file)
        );
    }
}

#[test]
fn every_module_says_what_it_is_for() {
    for file in source_files() {
        let text = fs::read_to_string(&file).unwrap();
        assert!(
            text.starts_with("//!"),
            "{} does not open with what it does",
            relative(&file)
        );
    }
}

#[test]
fn an_arrow_upwards_would_be_seen() {
    let code = "use crate::{\n    haproxy::{Address, session},\n    run,\n};\nlet x = crate::store::load();";
    assert_eq!(imported_rooms(code), ["haproxy", "run", "store"]);
}
