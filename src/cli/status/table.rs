//! How it stands, as a table for people: a line for each certificate file and, below it, what is
//! wrong; then the HAProxy processes and the directories that are in trouble; then one line that
//! counts.
//!
//! Pure. No line is longer than the terminal is wide.

use std::collections::BTreeMap;

use super::style::{Colour, Style, end_of, width_of};
use crate::control::{
    CertificateView, QuarantinedStore, SocketStatus, StatusView, StoreDifference,
};
use crate::text::{Printable, brief};
use crate::time::Timestamp;

/// The heads of the columns behind that of the certificates.
const HEADS: [&str; 4] = ["STATE", "STAPLE LEFT", "RENEWAL IN", "LIVE"];
/// The columns that a certificate's path takes at least, before columns from the right are left
/// out.
const SHORTEST_PATH: usize = 16;
/// The blanks between two columns.
const GAP: usize = 2;
/// The most paths that are listed in a line.
const LISTED: usize = 5;
/// What stands where there is nothing to say.
const NOTHING: &str = "-";

/// The table.
pub(super) fn lines(status: &StatusView, style: Style) -> Vec<String> {
    let mut lines = Vec::new();
    if !status.certificates.is_empty() {
        lines.extend(certificates(status, style));
        lines.push(String::new());
    }
    for socket in &status.sockets {
        lines.extend(socket_lines(socket, style));
    }
    for directory in &status.unusable_directories {
        let line = style.cut(&directory.path.printable().to_string());
        lines.push(style.paint(&line, Colour::Red));
        lines.extend(style.wrap(&directory.error.message));
    }
    if !status.sockets.is_empty() || !status.unusable_directories.is_empty() {
        lines.push(String::new());
    }
    lines.push(style.cut(&summary(status)));
    lines
}

/// Leaves out what is too much for this many lines, from the end.
pub(super) fn shorten(lines: &mut Vec<String>, most: usize) {
    if lines.len() > most {
        let left_out = lines.len() - most.saturating_sub(1);
        lines.truncate(most.saturating_sub(1));
        lines.push(format!("… {left_out} more lines"));
    }
}

fn certificates(status: &StatusView, style: Style) -> Vec<String> {
    let paths: Vec<String> = status
        .certificates
        .iter()
        .map(|it| it.path.printable().to_string())
        .collect();
    let rows: Vec<[String; 4]> = status
        .certificates
        .iter()
        .map(|it| cells(it, status.time))
        .collect();
    let mut widths = HEADS.map(width_of);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(width_of(cell));
        }
    }
    let longest = paths.iter().map(|path| width_of(path)).max();
    let mut path_width = longest.unwrap_or_default().max(SHORTEST_PATH);
    let mut shown = widths.len();
    if let Some(width) = style.width {
        let taken = |shown: usize| widths.iter().take(shown).map(|it| it + GAP).sum::<usize>();
        while shown > 1 && taken(shown) + SHORTEST_PATH > width {
            shown -= 1;
        }
        path_width = path_width.min(width.saturating_sub(taken(shown)).max(1));
    }
    let line = |path: &str, cells: &[String], colour: Option<Colour>| {
        let mut line = format!("{path:path_width$}");
        for (column, (cell, width)) in cells.iter().zip(widths).take(shown).enumerate() {
            // What ends a line is not filled up.
            let width = if column + 1 == shown { 0 } else { width };
            let cell = format!("{cell:width$}");
            let cell = match (column, colour) {
                (0, Some(colour)) => style.paint(&cell, colour),
                _ => cell,
            };
            line.extend(std::iter::repeat_n(' ', GAP));
            line.push_str(&cell);
        }
        line
    };
    let mut lines = vec![line("CERTIFICATE", &HEADS.map(str::to_owned), None)];
    for ((certificate, path), cells) in status.certificates.iter().zip(&paths).zip(&rows) {
        let colour = Colour::of(certificate);
        lines.push(line(&end_of(path, path_width), cells, Some(colour)));
        for trouble in troubles(certificate) {
            lines.extend(style.wrap(&trouble));
        }
    }
    lines
}

/// The row of a certificate, but for its path.
fn cells(certificate: &CertificateView, now: Timestamp) -> [String; 4] {
    let staple = certificate.staple.as_ref();
    let left = staple.map(|staple| brief(staple.until.since(now)));
    let renewal = match certificate.next_request {
        Some(at) if at > now => Some(brief(at.since(now))),
        Some(_) => Some("now".to_owned()),
        None if certificate.disk.is_some() => Some("now".to_owned()),
        None => None,
    };
    let or_nothing = |text: Option<String>| text.unwrap_or_else(|| NOTHING.to_owned());
    [
        certificate.state.clone(),
        or_nothing(left),
        or_nothing(renewal),
        live(certificate),
    ]
}

fn live(certificate: &CertificateView) -> String {
    let all = certificate.live.len();
    let live = certificate.live.iter().filter(|it| it.place.current);
    match (live.count(), all) {
        (_, 0) => NOTHING.to_owned(),
        (1, 1) => "yes".to_owned(),
        (0, 1) => "no".to_owned(),
        (live, all) => format!("{live} of {all}"),
    }
}

/// What is wrong with a certificate, a sentence each.
pub(super) fn troubles(certificate: &CertificateView) -> Vec<String> {
    let mut troubles = Vec::new();
    let is_usual = [
        "fresh",
        "renewing",
        "waiting",
        "no_responder",
        "not_applicable",
    ]
    .contains(&certificate.state.as_str());
    if !is_usual {
        let mut message = certificate.message.clone();
        if certificate.failures > 1 {
            message += &format!(" ({} times in a row)", certificate.failures);
        }
        troubles.push(message);
    }
    if let Some(not_asked) = certificate.not_asked.as_ref()
        && troubles.is_empty()
    {
        troubles.push(format!("not asked: {}", not_asked.message));
    }
    if let Some(error) = certificate
        .disk
        .as_ref()
        .and_then(|disk| disk.error.as_ref())
    {
        troubles.push(format!("not on disk: {}", error.message));
    }
    for live in &certificate.live {
        if let Some(error) = &live.place.error {
            troubles.push(format!("not live in {}: {}", live.socket, error.message));
        }
    }
    troubles
}

fn socket_lines(socket: &SocketStatus, style: Style) -> Vec<String> {
    let mut facts = Vec::new();
    match &socket.process {
        Some(process) => {
            // A daemon of an earlier version does not tell the release.
            let version = match process.release.as_str() {
                "" => &process.version,
                release => release,
            };
            facts.push(format!("HAProxy {version}, process {}", process.pid));
        }
        None => facts.push("no connection".to_owned()),
    }
    match socket.stores {
        Some(1) => facts.push("1 certificate loaded".to_owned()),
        Some(count) => facts.push(format!("{count} certificates loaded")),
        None => {}
    }
    let line = style.cut(
        &format!("{}: {}", socket.socket, facts.join(", "))
            .printable()
            .to_string(),
    );
    let mut lines = vec![match socket.needs_attention {
        true => style.paint(&line, Colour::Red),
        false => line,
    }];
    if let Some(error) = &socket.error {
        lines.extend(style.wrap(&error.message));
    }
    for notice in &socket.notices {
        lines.extend(style.wrap(&notice.message));
    }
    for (head, paths) in [
        ("not loaded", &socket.not_loaded),
        ("loaded, but not looked after", &socket.not_looked_after),
    ] {
        let is_told = |path: &String| socket.differences.iter().any(|it| it.store == *path);
        let paths: Vec<&String> = paths.iter().filter(|path| !is_told(path)).collect();
        if !paths.is_empty() {
            lines.extend(style.wrap(&format!("{head}: {}", list(&paths))));
        }
    }
    for difference in socket.differences.iter().take(LISTED) {
        let StoreDifference { store, problem } = difference;
        lines.extend(style.wrap(&format!("{store}: {}", problem.message)));
    }
    for store in socket.quarantined.iter().take(LISTED) {
        let QuarantinedStore { store, problem } = store;
        lines.extend(style.wrap(&format!("quarantined: {store}: {}", problem.message)));
    }
    if let Some(more @ 1..) = socket.quarantined.len().checked_sub(LISTED) {
        lines.extend(style.wrap(&format!("quarantined: {more} more")));
    }
    lines
}

/// The first few of them.
fn list(paths: &[&String]) -> String {
    let first: Vec<&str> = paths.iter().take(LISTED).map(|it| it.as_str()).collect();
    let more = paths.len().saturating_sub(LISTED);
    match more {
        0 => first.join(", "),
        _ => format!("{} and {more} more", first.join(", ")),
    }
}

/// `12 certificate files: 1 failing, 11 fresh; 1 file and 1 socket need attention`.
pub(super) fn summary(status: &StatusView) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for certificate in &status.certificates {
        *counts.entry(&certificate.state).or_default() += 1;
    }
    let all = status.certificates.len();
    let noun = match all {
        1 => "certificate file",
        _ => "certificate files",
    };
    let counts: Vec<String> = counts
        .iter()
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    let mut summary = format!("{all} {noun}");
    if !counts.is_empty() {
        summary += &format!(": {}", counts.join(", "));
    }
    let certificates = status.certificates.iter();
    let sockets = status.sockets.iter();
    summary
        + &attention([
            (
                certificates.filter(|it| it.needs_attention).count(),
                ["file", "files"],
            ),
            (
                sockets.filter(|it| it.needs_attention).count(),
                ["socket", "sockets"],
            ),
            (
                status.unusable_directories.len(),
                ["directory", "directories"],
            ),
        ])
}

/// How many of each kind need attention; nothing where none does.
fn attention(counts: [(usize, [&str; 2]); 3]) -> String {
    let needy = counts.iter().filter(|(count, _)| *count > 0);
    let words = needy.map(|(count, [one, many])| match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {many}"),
    });
    let words: Vec<String> = words.collect();
    match (
        counts.iter().map(|(count, _)| count).sum(),
        words.split_last(),
    ) {
        (1, Some((only, _))) => format!("; {only} needs attention"),
        (_, Some((last, rest))) if !rest.is_empty() => {
            format!("; {} and {last} need attention", rest.join(", "))
        }
        (_, Some((only, _))) => format!("; {only} need attention"),
        (_, None) => String::new(),
    }
}
