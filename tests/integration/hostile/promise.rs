//! The one promise: clients get the honest certificates' staples, these are renewed and reported
//! right, the connection to HAProxy lasts, and nothing happens that nobody ordered.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::Value;

use super::scene::{Honest, Scene};
use super::stranger::{FORGERY, ORDER};
use crate::support::handshake;
use crate::support::haproxy::{is_alive, wait_for};

/// A connection that was looked after so often is one that lasts.
const CHECKS: usize = 6;
/// What two honest certificates and the strangers may take of memory, in KiB.
const MEMORY_MAX: usize = 96 * 1024;
/// How the daemon's commands to HAProxy begin.
const COMMANDS: [&str; 9] = [
    "prompt",
    "set severity-output ",
    "show ",
    "echo ",
    "get weight /dev/null/nothing",
    "set ssl ocsp-response ",
    "set ssl cert ",
    "commit ssl cert ",
    "abort ssl cert ",
];

/// Holds a scene to it; panics where it is broken.
pub fn hold(scene: &Scene) {
    let first = wait_until_stapled(scene, 0);
    scene.ask(&["renew"]);
    let second = wait_until_stapled(scene, first);
    let mut earlier = 0;
    if scene.reloads {
        earlier = scene.relay.heard().len();
        scene.haproxy.reload();
        wait_until_stapled(scene, first);
    }
    let connections = wait_for_a_lasting_connection(scene, earlier);
    scene.ask(&["renew"]);
    wait_until_stapled(scene, second);
    assert_eq!(
        served(scene, 0).len(),
        connections,
        "the connection was lost again"
    );
    wait_for("a right report", || reports(scene).is_ok());
    reports(scene).unwrap();
    nothing_ran(scene);
    nothing_was_left(scene);
    nothing_was_forged(scene);
    assert!(is_alive(scene.daemon.pid()), "the daemon has ended");
}

/// Waits until clients get a staple of each honest certificate that was signed after the first
/// `than` responses; tells how many are signed then.
fn wait_until_stapled(scene: &Scene, than: usize) -> usize {
    for honest in &scene.honest {
        let what = format!("a staple for {} after the first {than}", honest.name);
        wait_for(&what, || {
            let staple = handshake::staple(scene.haproxy.tls, honest.name).unwrap_or_default();
            assert!(
                staple.is_empty() || number(scene, honest, &staple).is_some(),
                "clients of {} get what its CA never signed for it",
                honest.name
            );
            number(scene, honest, &staple).is_some_and(|number| number >= than)
        });
    }
    scene.authority.signed()
}

fn number(scene: &Scene, honest: &Honest, staple: &[u8]) -> Option<usize> {
    scene.authority.number_of(&honest.serial, staple)
}

/// Waits until a connection that is none of the `earlier` ones has been looked after for a while;
/// tells how many there were.
fn wait_for_a_lasting_connection(scene: &Scene, earlier: usize) -> usize {
    wait_for("a connection that lasts", || {
        let served = served(scene, earlier);
        served.last().is_some_and(|checks| *checks >= CHECKS)
    });
    served(scene, 0).len()
}

/// How often the process was looked at over each connection but the `earlier` ones. Those over
/// which it never was ask whether there is room for one more, and are closed at once.
fn served(scene: &Scene, earlier: usize) -> Vec<usize> {
    let heard = scene.relay.heard();
    let checks = heard.iter().skip(earlier).map(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        text.matches("show info").count()
    });
    checks.filter(|checks| *checks > 0).collect()
}

/// Whether the status says of the honest ones and of HAProxy what is true.
fn reports(scene: &Scene) -> Result<(), String> {
    let said = scene.ask(&["status", "--json"]);
    let status: Value = serde_json::from_str(&said).map_err(|error| format!("{error}: {said}"))?;
    let certificates = status["certificates"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    for honest in &scene.honest {
        let end = format!("/{}.pem", honest.name);
        let found = certificates
            .iter()
            .find(|it| it["path"].as_str().is_some_and(|path| path.ends_with(&end)))
            .cloned()
            .unwrap_or_default();
        let is_right = found["state"] == "fresh"
            && found["needs_attention"] == false
            && found["disk"]["current"] == true
            && found["live"][0]["current"] == true;
        if !is_right {
            return Err(format!("{} is reported as {found}", honest.name));
        }
    }
    let socket = &status["sockets"][0];
    let is_right = socket["error"].is_null() && socket["process"]["pid"] == scene.haproxy.worker();
    is_right
        .then_some(())
        .ok_or_else(|| format!("HAProxy is reported as {socket}"))
}

/// No frontend is disabled, and on no wire stood a command that is not the daemon's.
fn nothing_ran(scene: &Scene) {
    let stat = scene.haproxy.cli("show stat");
    let canary = stat
        .lines()
        .find(|line| line.starts_with("canary,FRONTEND,"));
    assert!(
        canary.is_some_and(|line| line.contains(",OPEN,")),
        "the frontend was disabled: {canary:?}"
    );
    for bytes in scene.relay.heard() {
        for command in commands(&bytes) {
            let known = COMMANDS.iter().any(|known| command.starts_with(known));
            assert!(known || command.is_empty(), "HAProxy was told {command:?}");
        }
    }
    for bytes in scene.recorder.heard() {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for line in text.split(['\n', '\r', ';', '\0']) {
            assert!(
                !line.trim_start().starts_with(ORDER),
                "a listener was told {line:?}"
            );
        }
    }
}

/// What HAProxy takes for commands: lines without payloads, split at each `;` that is not escaped.
fn commands(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let mut found = Vec::new();
    let mut in_payload = false;
    for line in text.split('\n') {
        if in_payload {
            in_payload = !line.is_empty();
            continue;
        }
        in_payload = line.ends_with("<<");
        let mut command = String::new();
        let mut is_escaped = false;
        for character in line.chars() {
            match character {
                ';' if !is_escaped => found.push(std::mem::take(&mut command)),
                _ => command.push(character),
            }
            is_escaped = character == '\\' && !is_escaped;
        }
        found.push(command);
    }
    found
        .into_iter()
        .map(|command| {
            let command = command.trim_start();
            command
                .strip_prefix("@1 ")
                .unwrap_or(command)
                .trim_start()
                .to_owned()
        })
        .collect()
}

/// Nothing came, went or changed but staples beside certificates, whole ones.
fn nothing_was_left(scene: &Scene) {
    let after = scene.tree();
    for path in after.changes_since(&scene.before) {
        if path.ends_with("control.sock") {
            continue;
        }
        let name = path.as_os_str().as_bytes();
        let is_beside = name.strip_suffix(b".ocsp").is_some_and(|certificate| {
            fs::symlink_metadata(OsStr::from_bytes(certificate)).is_ok()
        });
        let is_watched = !path.components().any(|part| part.as_os_str() == "victim");
        let is_response = after
            .content(path)
            .is_some_and(|content| content.starts_with(&[0x30, 0x82]));
        assert!(
            is_beside && is_watched && is_response,
            "{path:?} was changed"
        );
    }
}

/// Each line of the log begins as the daemon's lines do, and neither it nor the status holds a
/// control character.
fn nothing_was_forged(scene: &Scene) {
    let log = scene.daemon.log();
    for line in log.lines() {
        let mut words = line.split_whitespace();
        let begins_right = words.next().is_some_and(|time| time.ends_with('Z'))
            && words
                .next()
                .is_some_and(|level| ["ERROR", "WARN", "INFO", "DEBUG"].contains(&level));
        assert!(
            begins_right && !line.starts_with(FORGERY),
            "a line was forged: {line:?}"
        );
        assert!(!line.contains("panicked"), "{line}");
    }
    let table = scene.ask(&["status"]) + &scene.ask(&["status", "--timeline"]);
    for (what, text) in [("the log", &log), ("the status", &table)] {
        let found = text.chars().find(|character| steers(*character));
        assert!(found.is_none(), "{what} holds {found:?}");
        assert!(
            !text.lines().any(|line| line.starts_with(FORGERY)),
            "a line of {what} was forged"
        );
    }
    let memory = memory_of(scene.daemon.pid());
    assert!(memory < MEMORY_MAX, "the daemon holds {memory} KiB");
}

/// Whether a terminal would do something else with a character than show it.
fn steers(character: char) -> bool {
    let is_bidirectional = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let ends_a_line = matches!(character, '\u{2028}' | '\u{2029}');
    (character.is_control() && character != '\n') || is_bidirectional || ends_a_line
}

/// Resident memory in KiB.
fn memory_of(pid: u32) -> usize {
    let status = fs::read_to_string(Path::new(&format!("/proc/{pid}/status"))).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.unwrap().parse().unwrap()
}
