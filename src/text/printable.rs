//! One way to show what others have named: paths, certificates' subjects, responders' words.
//!
//! Pure. What cannot be seen, or would change how the rest of a line is seen, is shown as an
//! escape: control characters (`\n`, `\u{1b}`), bytes that are not UTF-8 (`\xff`), the characters
//! that turn the direction of text, and those without a width (Unicode TR36 §3.5, TR39 §5.4). A
//! backslash stands for itself, so that showing twice is showing once. What is shown is for people;
//! files are opened and names compared by their bytes.

use std::ffi::OsStr;
use std::fmt::{self, Display, Formatter, Write};
use std::path::Path;

/// Something with a form for people.
pub trait Printable {
    /// The form for people: one line, for any bytes.
    fn printable(&self) -> Shown<'_>;
}

impl Printable for str {
    fn printable(&self) -> Shown<'_> {
        Shown(self.as_bytes())
    }
}

impl Printable for [u8] {
    fn printable(&self) -> Shown<'_> {
        Shown(self)
    }
}

impl Printable for OsStr {
    fn printable(&self) -> Shown<'_> {
        Shown(self.as_encoded_bytes())
    }
}

impl Printable for Path {
    fn printable(&self) -> Shown<'_> {
        self.as_os_str().printable()
    }
}

/// Shows bytes, UTF-8 or not.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(&'a [u8]);

impl Display for Shown<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        if formatter.width().is_some() || formatter.precision().is_some() {
            let mut text = String::new();
            self.write_to(&mut text)?;
            return formatter.pad(&text);
        }
        self.write_to(formatter)
    }
}

impl Shown<'_> {
    fn write_to(self, output: &mut impl Write) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            let mut rest = chunk.valid();
            while let Some(at) = rest.find(is_hidden) {
                let (plain, from) = rest.split_at(at);
                let mut characters = from.chars();
                output.write_str(plain)?;
                for character in characters.next().into_iter().flat_map(char::escape_default) {
                    output.write_char(character)?;
                }
                rest = characters.as_str();
            }
            output.write_str(rest)?;
            for byte in chunk.invalid() {
                write!(output, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Whether a character is not seen, or changes how others are.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_seen_is_shown_as_an_escape() {
        for (bytes, shown) in [
            (b"/certs/a.pem".as_slice(), "/certs/a.pem"),
            (
                "/certs/größe \u{7f51}.pem".as_bytes(),
                "/certs/größe \u{7f51}.pem",
            ),
            (b"a\nERROR b", r"a\nERROR b"),
            (b"\r\t\0\x7f", r"\r\t\u{0}\u{7f}"),
            (b"\x1b[2K\x1b]0;x\x07", r"\u{1b}[2K\u{1b}]0;x\u{7}"),
            ("\u{85}\u{9b}".as_bytes(), r"\u{85}\u{9b}"),
            ("\u{202e}mep.a\u{202c}".as_bytes(), r"\u{202e}mep.a\u{202c}"),
            (
                "\u{2066}\u{200f}\u{feff}".as_bytes(),
                r"\u{2066}\u{200f}\u{feff}",
            ),
            (
                "\u{2028}\u{ad}\u{e0041}".as_bytes(),
                r"\u{2028}\u{ad}\u{e0041}",
            ),
            (b"a\xffb\xc3", r"a\xffb\xc3"),
            (br"a\nb", r"a\nb"),
            (b"", ""),
        ] {
            assert_eq!(bytes.printable().to_string(), shown);
            let path = Path::new(OsStr::from_bytes(bytes));
            assert_eq!(path.printable().to_string(), shown);
        }
    }

    #[test]
    fn a_column_is_as_wide_as_it_is_asked_to_be() {
        assert_eq!(
            format!("{:6}|{:.2}", "a\n".printable(), "abc".printable()),
            "a\\n   |ab"
        );
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_the_form_is_one_line_and_showing_twice_is_showing_once(
            bytes in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let shown = bytes.printable().to_string();
            prop_assert!(!shown.chars().any(is_hidden));
            prop_assert_eq!(shown.printable().to_string(), shown);
        }

        #[test]
        fn text_without_hidden_characters_is_shown_as_it_is(text in "[ -~äß網]*") {
            prop_assert_eq!(text.printable().to_string(), text);
        }
    }
}
