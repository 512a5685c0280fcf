//! One line of a configuration, cut into words as HAProxy cuts it.
//!
//! Pure. Governed by the configuration manual §2.2 (quoting and escaping) and §2.3 (environment
//! variables, which count within double quotes only). A backslash at the end of a line does not
//! continue it: HAProxy knows no such thing.

// What strangers have written is read here.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

use super::environment::VariableValue;
use super::notice::Remark;

/// More than this, variables in place, no line has: values that contain one another grow fast.
const LONGEST_LINE: usize = 64 * 1024;

/// One word of a line.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Word {
    /// Its text, quotes and escapes resolved, variables in place.
    pub text: String,
    /// A variable in it whose value is not known; the text lacks it.
    pub unknown: Option<String>,
}

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        Word {
            text: text.to_owned(),
            unknown: None,
        }
    }
}

/// Cuts a line into words; `value` says what environment variables hold.
///
/// # Errors
/// HAProxy refuses such a line, and with it the configuration.
pub fn split(line: &str, value: impl Fn(&str) -> VariableValue) -> Result<Vec<Word>, Remark> {
    let mut splitter = Splitter {
        rest: line.as_bytes(),
        words: Vec::new(),
        current: None,
        length: 0,
    };
    splitter.run(value)?;
    splitter.end_word();
    Ok(splitter.words)
}

/// A word that is not finished.
#[derive(Default)]
struct WordDraft {
    text: Vec<u8>,
    unknown: Option<String>,
}

struct Splitter<'a> {
    rest: &'a [u8],
    words: Vec<Word>,
    current: Option<WordDraft>,
    length: usize,
}

/// What ends a word for HAProxy: C's isspace in the C locale, which has the vertical tab and none
/// of Unicode's spaces.
pub fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t'..='\r')
}

/// The words of a text without quotes, escapes and variables.
pub fn plain_words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

impl Splitter<'_> {
    fn run(&mut self, value: impl Fn(&str) -> VariableValue) -> Result<(), Remark> {
        let mut quote = None;
        while let Some(byte) = self.next() {
            match (byte, quote) {
                (b'\r' | b'\n', _) | (b'#', None) => break,
                (b'"' | b'\'', None) => {
                    quote = Some(byte);
                    self.word();
                }
                (_, Some(open)) if open == byte => quote = None,
                (b'\\', None | Some(b'"')) => {
                    let byte = self.escaped(quote.is_some())?;
                    self.push(byte)?;
                }
                (b'$', Some(b'"')) => self.variable(&value)?,
                (_, None) if is_space(char::from(byte)) => self.end_word(),
                _ => self.push(byte)?,
            }
        }
        if quote.is_some() {
            return Err(Remark::UnclosedQuote);
        }
        Ok(())
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn take_if(&mut self, byte: u8) -> bool {
        let found = self.rest.first() == Some(&byte);
        if found {
            self.next();
        }
        found
    }

    fn take_while(&mut self, belongs: impl Fn(u8) -> bool) -> String {
        let end = self.rest.iter().position(|byte| !belongs(*byte));
        let (taken, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        String::from_utf8_lossy(taken).into_owned()
    }

    fn word(&mut self) -> &mut WordDraft {
        self.current.get_or_insert_default()
    }

    fn end_word(&mut self) {
        if let Some(draft) = self.current.take() {
            self.words.push(Word {
                text: String::from_utf8_lossy(&draft.text).into_owned(),
                unknown: draft.unknown,
            });
        }
    }

    fn push(&mut self, byte: u8) -> Result<(), Remark> {
        self.length = self.length.saturating_add(1);
        if self.length > LONGEST_LINE {
            return Err(Remark::LineTooLong(LONGEST_LINE));
        }
        self.word().text.push(byte);
        Ok(())
    }

    /// What a backslash stands for together with what follows it. Before anything that needs no
    /// escape it stands for itself.
    fn escaped(&mut self, in_quotes: bool) -> Result<u8, Remark> {
        let byte = match self.rest.first() {
            Some(byte @ (b' ' | b'\\' | b'#' | b'\'' | b'"')) => *byte,
            Some(b'$') if in_quotes => b'$',
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b'x') => {
                let (high, low) = match self.rest {
                    [_, high, low, ..] => (hexadecimal(*high), hexadecimal(*low)),
                    _ => (None, None),
                };
                self.rest = self.rest.get(2..).unwrap_or_default();
                match (high, low) {
                    (Some(high), Some(low)) => high << 4 | low,
                    _ => return Err(Remark::InvalidEscape),
                }
            }
            _ => return Ok(b'\\'),
        };
        self.next();
        Ok(byte)
    }

    /// `$NAME`, `${NAME}`, `${NAME-default}`, `${NAME[*]}`: what follows the dollar sign.
    fn variable(&mut self, value: impl Fn(&str) -> VariableValue) -> Result<(), Remark> {
        let in_braces = self.take_if(b'{');
        let dot = if self.take_if(b'.') { "." } else { "" };
        let name = self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(Remark::InvalidVariable);
        }
        let name = format!("{dot}{name}");
        let mut as_words = false;
        let mut default = None;
        if in_braces {
            if self.take_if(b'[') {
                as_words = self.take_if(b'*') && self.take_if(b']');
                if !as_words {
                    return Err(Remark::InvalidVariable);
                }
            }
            if self.take_if(b'-') {
                default = Some(self.take_while(|byte| byte != b'}'));
            }
            if !self.take_if(b'}') {
                return Err(Remark::InvalidVariable);
            }
        }
        let text = match (value(&name), default) {
            (VariableValue::Known(text), _) | (_, Some(text)) => text,
            (VariableValue::Unset, None) => String::new(),
            (VariableValue::Unknown, None) => {
                self.word().unknown = Some(name);
                return Ok(());
            }
        };
        if as_words {
            for (index, word) in plain_words(&text).enumerate() {
                if index > 0 {
                    self.end_word();
                }
                word.bytes().try_for_each(|byte| self.push(byte))?;
            }
            return Ok(());
        }
        text.bytes().try_for_each(|byte| self.push(byte))
    }
}

fn hexadecimal(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(name: &str) -> VariableValue {
        match name {
            "HOME" => VariableValue::Known("/home/me".into()),
            "LIST" => VariableValue::Known("one  two three".into()),
            "EMPTY" => VariableValue::Known(String::new()),
            "GONE" => VariableValue::Unset,
            ".LINE" => VariableValue::Known("7".into()),
            _ => VariableValue::Unknown,
        }
    }

    fn texts(line: &str) -> Vec<String> {
        let words = split(line, value).unwrap();
        words.into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn the_manuals_table_of_quotes_and_escapes_holds() {
        for (line, words) in [
            ("  bind   :443\tssl", vec!["bind", ":443", "ssl"]),
            ("a#comment", vec!["a"]),
            ("# only a comment", vec![]),
            ("", vec![]),
            ("   \t ", vec![]),
            ("a b\r", vec!["a", "b"]),
            (r#"a\ b "a b" 'a b'"#, vec!["a b"; 3]),
            (r##"\#a "#a" "\#a" '#a' "\x23a" \x23a"##, vec!["#a"; 6]),
            (r#"\\ "\\" '\' \x5c"#, vec!["\\"; 4]),
            (r#"\" "\"" '"' \x22"#, vec!["\""; 4]),
            (r#"\' "'" "\'" \x27"#, vec!["'"; 4]),
            (r#"$ \x24 "\$" '$'"#, vec!["$"; 4]),
            (r"\$", vec![r"\$"]),
            (r#"\t "\t" "\x09""#, vec!["\t"; 3]),
            (r"'\t'", vec![r"\t"]),
            (r"my/\1 end\", vec![r"my/\1", r"end\"]),
            (r#"ce"rts"'/a'.pem"#, vec!["certs/a.pem"]),
            (r#"a "" b"#, vec!["a", "", "b"]),
            (r"\xc3\xa9", vec!["é"]),
        ] {
            assert_eq!(texts(line), words, "{line}");
        }
    }

    #[test]
    fn variables_count_within_double_quotes_only() {
        for (line, words) in [
            (r#""$HOME/a""#, vec!["/home/me/a"]),
            (r#""${HOME}a""#, vec!["/home/mea"]),
            (r#"x"$HOME""#, vec!["x/home/me"]),
            ("$HOME '$HOME'", vec!["$HOME", "$HOME"]),
            (r#""${NOPE-/a b}/c""#, vec!["/a b/c"]),
            (r#""${HOME-/a}""#, vec!["/home/me"]),
            (r#""${EMPTY-/a}""#, vec![""]),
            (r#""${GONE-/a}" "$GONE""#, vec!["/a", ""]),
            (r#"a "${LIST[*]}" b"#, vec!["a", "one", "two", "three", "b"]),
            (r#""${LIST}""#, vec!["one  two three"]),
            (r#""${NOPE[*]-x y}""#, vec!["x", "y"]),
            (r#""${.LINE}""#, vec!["7"]),
        ] {
            assert_eq!(texts(line), words, "{line}");
        }
    }

    #[test]
    fn a_word_with_an_unknown_variable_says_so_and_the_others_stay_whole() {
        let words = split(r#"bind "${ADDRESS}:443" ssl"#, value).unwrap();
        let unknown: Vec<_> = words.iter().map(|word| word.unknown.as_deref()).collect();
        assert_eq!(unknown, [None, Some("ADDRESS"), None]);
        assert_eq!(words[1].text, ":443");
    }

    #[test]
    fn what_haproxy_refuses_is_refused() {
        for (line, remark) in [
            (r#"a "b"#, Remark::UnclosedQuote),
            ("a 'b", Remark::UnclosedQuote),
            (r"\x2", Remark::InvalidEscape),
            (r"\xzz", Remark::InvalidEscape),
            (r"\x+f", Remark::InvalidEscape),
            (r#""$1""#, Remark::InvalidVariable),
            (r#""$""#, Remark::InvalidVariable),
            (r#""${HOME""#, Remark::InvalidVariable),
            (r#""${HOME-x""#, Remark::InvalidVariable),
            (r#""${LIST[1]}""#, Remark::InvalidVariable),
        ] {
            assert_eq!(split(line, value), Err(remark), "{line}");
        }
    }

    #[test]
    fn values_cannot_grow_without_end() {
        let large = |_: &str| VariableValue::Known("x".repeat(LONGEST_LINE));
        assert!(split(r#""$A""#, large).is_ok());
        let remark = split(r#""$A" "$A""#, large).unwrap_err();
        assert_eq!(remark, Remark::LineTooLong(LONGEST_LINE));
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in r#"[ -~\\"'$\{\}\[\]*#éx0-9\t-]{0,60}"#) {
            let _ = split(&line, value);
        }

        #[test]
        fn quoted_words_come_back_as_they_were(words in prop::collection::vec("[ -~é]{0,12}", 0..6)) {
            let double: Vec<String> = words
                .iter()
                .map(|word| {
                    let word = word.replace('\\', r"\\").replace('"', r#"\""#);
                    format!("\"{}\"", word.replace('$', r"\$"))
                })
                .collect();
            prop_assert_eq!(&texts(&double.join(" ")), &words);
            let single: Vec<String> = words
                .iter()
                .map(|word| format!("'{}'", word.replace('\'', r"'\''")))
                .collect();
            prop_assert_eq!(&texts(&single.join("\t")), &words);
        }
    }
}
