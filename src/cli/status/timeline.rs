//! The life of each staple as a bar, from thisUpdate to nextUpdate.
//!
//! Pure. The bar takes what the terminal leaves it.

use super::style::{Colour, Style, end_of};
use super::table::{summary, troubles};
use crate::control::{CertificateView, StapleStatus, StatusView};
use crate::text::Printable;
use crate::time::Timestamp;

/// The width if the terminal states none.
const WIDTH: usize = 80;
/// The shortest bar.
const SHORTEST_BAR: usize = 10;
/// The columns beside a bar: two blanks, two times of eleven, a blank beside each.
const BESIDE: usize = 2 + 2 * 11 + 2;
/// What the marks mean.
const LEGEND: &str = "━ past  ● now  R renewal  ╳ end of use before nextUpdate; times in UTC";

/// The bars.
pub(super) fn lines(status: &StatusView, style: Style) -> Vec<String> {
    let mut lines = Vec::new();
    for certificate in &status.certificates {
        lines.extend(certificate_lines(certificate, status.time, style));
    }
    if !status.certificates.is_empty() {
        lines.push(String::new());
        lines.push(style.cut(LEGEND));
    }
    lines.push(style.cut(&summary(status)));
    lines
}

fn certificate_lines(certificate: &CertificateView, now: Timestamp, style: Style) -> Vec<String> {
    let width = style.width.unwrap_or(WIDTH);
    let colour = Colour::of(certificate);
    let room = width.saturating_sub(certificate.state.len() + 2).max(1);
    let path = end_of(&certificate.path.printable().to_string(), room);
    let mut lines = vec![format!(
        "{path}  {}",
        style.paint(&certificate.state, colour)
    )];
    match &certificate.staple {
        Some(staple) => {
            let bar = bar(
                staple,
                certificate.next_request,
                now,
                width.saturating_sub(BESIDE).max(SHORTEST_BAR),
            );
            lines.push(format!(
                "  {} {} {}",
                short(staple.this_update),
                style.paint(&bar, colour),
                short(staple.next_update)
            ));
        }
        None => lines.push("  no staple".to_owned()),
    }
    for trouble in troubles(certificate) {
        lines.extend(style.wrap(&trouble));
    }
    lines
}

/// The life of a staple in this many characters.
fn bar(staple: &StapleStatus, renewal: Option<Timestamp>, now: Timestamp, length: usize) -> String {
    let (start, end) = (staple.this_update, staple.next_update);
    let last = length.saturating_sub(1);
    let place = |time: Timestamp| {
        let whole = end.since(start).as_secs().max(1);
        let part = time.since(start).as_secs().min(whole);
        let steps = u64::try_from(last).unwrap_or(u64::MAX);
        usize::try_from(part.saturating_mul(steps) / whole).unwrap_or(last)
    };
    let mut bar: Vec<char> = (0..length)
        .map(|at| match at {
            _ if at == last => '┤',
            0 => '├',
            _ if at < place(now) => '━',
            _ => '─',
        })
        .collect();
    let ends_before = (staple.until < end).then_some((staple.until, '╳'));
    let renewal = renewal.map(|at| (at.max(now), 'R'));
    // What comes later covers what came before.
    for (time, mark) in [ends_before, renewal, Some((now, '●'))]
        .into_iter()
        .flatten()
    {
        if let Some(character) = bar.get_mut(place(time)) {
            *character = mark;
        }
    }
    bar.into_iter().collect()
}

/// `11-20 08:30`, in UTC.
fn short(time: Timestamp) -> String {
    let text = time.to_string();
    match text.get(5..16) {
        Some(part) => part.replace('T', " "),
        None => text,
    }
}
