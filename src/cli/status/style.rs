//! How text is fitted and painted.
//!
//! Pure. What comes from file names and other programs is never printed as it is: a control
//! character could take over the terminal.

use crate::control::CertificateView;
use crate::text::Printable;

/// What the output can take.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Style {
    /// Its columns; as many as are needed where it is none.
    pub(super) width: Option<usize>,
    /// Colours may be used.
    pub(super) has_colours: bool,
}

/// How it stands, as a colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Colour {
    /// It needs a person.
    Red,
    /// It is not as it should be, and staplerd is at it.
    Yellow,
    /// It is well.
    Green,
    /// It is passed over.
    Dim,
}

impl Colour {
    pub(super) fn of(certificate: &CertificateView) -> Self {
        if certificate.needs_attention {
            Colour::Red
        } else if certificate.disk.is_none() {
            Colour::Dim
        } else if certificate.staple.is_none() || certificate.failures > 0 {
            Colour::Yellow
        } else {
            Colour::Green
        }
    }

    /// Select Graphic Rendition (ECMA-48 §8.3.117).
    fn code(self) -> u8 {
        match self {
            Colour::Red => 31,
            Colour::Yellow => 33,
            Colour::Green => 32,
            Colour::Dim => 2,
        }
    }
}

impl Style {
    pub(super) fn paint(self, text: &str, colour: Colour) -> String {
        match self.has_colours {
            true => format!("\x1b[{}m{text}\x1b[0m", colour.code()),
            false => text.to_owned(),
        }
    }

    /// The text, cut at its end where it is too long for a line.
    pub(super) fn cut(self, text: &str) -> String {
        match self.width {
            Some(width) if width_of(text) > width => {
                let kept = text.chars().take(width.saturating_sub(1));
                kept.chain(['…']).collect()
            }
            _ => text.to_owned(),
        }
    }

    /// The text in lines that begin with two spaces.
    pub(super) fn wrap(self, text: &str) -> Vec<String> {
        let text = text.printable().to_string();
        let Some(width) = self.width.map(|width| width.saturating_sub(2).max(1)) else {
            return vec![format!("  {text}")];
        };
        let mut lines = vec![String::new()];
        for word in text.split_whitespace() {
            for piece in pieces(word, width) {
                let line = lines.last().map(|line| width_of(line)).unwrap_or_default();
                let begins = line == 0;
                if !begins && line + 1 + width_of(&piece) > width {
                    lines.push(String::new());
                }
                if let Some(line) = lines.last_mut() {
                    if !line.is_empty() {
                        line.push(' ');
                    }
                    line.push_str(&piece);
                }
            }
        }
        lines.iter().map(|line| format!("  {line}")).collect()
    }
}

/// A word in pieces of at most `width` characters.
fn pieces(word: &str, width: usize) -> Vec<String> {
    let characters: Vec<char> = word.chars().collect();
    let pieces = characters.chunks(width);
    pieces.map(|piece| piece.iter().collect()).collect()
}

/// The columns that a text takes.
pub(super) fn width_of(text: &str) -> usize {
    text.chars().count()
}

/// The end of a path that is too long, behind an ellipsis.
pub(super) fn end_of(path: &str, width: usize) -> String {
    let length = width_of(path);
    if length <= width {
        return path.to_owned();
    }
    let skipped = length - width.saturating_sub(1).min(length);
    let kept = path.chars().skip(skipped);
    std::iter::once('…').chain(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrow(width: usize) -> Style {
        Style {
            width: Some(width),
            has_colours: false,
        }
    }

    #[test]
    fn lines_are_wrapped_at_words_and_long_words_within() {
        assert_eq!(
            narrow(12).wrap("no answer from abcdefghijklmnop"),
            ["  no answer", "  from", "  abcdefghij", "  klmnop"]
        );
        assert_eq!(Style::default().wrap("a b"), ["  a b"]);
    }

    #[test]
    fn control_characters_of_others_are_not_printed() {
        assert_eq!(narrow(80).wrap("a\x1b[2Jb\n"), [r"  a\u{1b}[2Jb\n"]);
    }

    #[test]
    fn paths_keep_their_ends_and_lines_their_beginnings() {
        assert_eq!(end_of("/certs/site.pem", 9), "…site.pem");
        assert_eq!(end_of("/certs/site.pem", 15), "/certs/site.pem");
        assert_eq!(narrow(5).cut("abcdefgh"), "abcd…");
    }
}
