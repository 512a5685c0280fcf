//! The conditions of `.if` and `.elif`, evaluated as far as they can be from outside of HAProxy.
//!
//! Pure. Governed by the configuration manual §2.4. A third truth value stands for what only the
//! running HAProxy knows and has not said: its version, its features, its environment. As OpenSSL's
//! absence would leave no certificates to look after, `feature(OPENSSL)` is true.

use super::environment::{Environment, VariableValue};
use super::testimony::Testimony;

/// Expressions nested deeper than this are not evaluated.
const DEEPEST: usize = 64;

/// Whether a condition holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// That cannot be known here, or it is no condition at all.
    Unknown,
}

impl Truth {
    fn not(self) -> Truth {
        match self {
            Truth::True => Truth::False,
            Truth::False => Truth::True,
            Truth::Unknown => Truth::Unknown,
        }
    }

    fn and(self, other: Truth) -> Truth {
        match (self, other) {
            (Truth::False, _) | (_, Truth::False) => Truth::False,
            (Truth::True, Truth::True) => Truth::True,
            _ => Truth::Unknown,
        }
    }

    fn or(self, other: Truth) -> Truth {
        self.not().and(other.not()).not()
    }
}

impl From<Option<bool>> for Truth {
    fn from(holds: Option<bool>) -> Truth {
        holds.map_or(Truth::Unknown, Truth::from)
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Truth {
        if holds { Truth::True } else { Truth::False }
    }
}

/// Evaluates a condition, its variables in place, its words joined by single spaces.
pub fn evaluate(text: &str, environment: &Environment<'_>, testimony: &Testimony) -> Truth {
    if text.is_empty() {
        return Truth::False;
    }
    let mut reader = ExpressionReader {
        rest: text,
        environment,
        testimony,
    };
    match reader.any(DEEPEST) {
        Some(truth) if reader.rest.is_empty() => truth,
        _ => Truth::Unknown,
    }
}

/// Reads an expression from its front. `None`: it cannot be read.
struct ExpressionReader<'a> {
    rest: &'a str,
    environment: &'a Environment<'a>,
    testimony: &'a Testimony,
}

impl ExpressionReader<'_> {
    fn skip(&mut self, text: &str) -> bool {
        let found = self.rest.strip_prefix(text);
        if let Some(rest) = found {
            self.rest = rest;
            self.skip_spaces();
        }
        found.is_some()
    }

    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    /// `A || B || …`
    fn any(&mut self, depth: usize) -> Option<Truth> {
        let mut truth = self.all(depth)?;
        while self.skip("||") {
            truth = truth.or(self.all(depth)?);
        }
        Some(truth)
    }

    /// `A && B && …`
    fn all(&mut self, depth: usize) -> Option<Truth> {
        let mut truth = self.term(depth)?;
        while self.skip("&&") {
            truth = truth.and(self.term(depth)?);
        }
        Some(truth)
    }

    fn term(&mut self, depth: usize) -> Option<Truth> {
        self.skip_spaces();
        let mut negated = false;
        while self.skip("!") {
            negated = !negated;
        }
        let truth = if self.skip("(") {
            let truth = self.any(depth.checked_sub(1)?)?;
            self.skip(")").then_some(truth)?
        } else if self
            .rest
            .starts_with(|first: char| first.is_ascii_digit() || first == '-')
        {
            self.number()
        } else {
            self.predicate()?
        };
        self.skip_spaces();
        Some(if negated { truth.not() } else { truth })
    }

    /// A decimal, octal or hexadecimal number: true unless it is zero.
    fn number(&mut self) -> Truth {
        let end = self.rest.find(|character: char| {
            !character.is_ascii_hexdigit() && !matches!(character, 'x' | 'X' | '-')
        });
        let (number, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        Truth::from(number.contains(|digit| matches!(digit, '1'..='9' | 'a'..='f' | 'A'..='F')))
    }

    fn predicate(&mut self) -> Option<Truth> {
        let (name, rest) = self.rest.split_once('(')?;
        if name.contains(|character: char| !character.is_ascii_alphanumeric() && character != '_') {
            return None;
        }
        self.rest = rest;
        let arguments = self.arguments()?;
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Some(match (name, arguments.as_slice()) {
            ("defined", [name]) => match self.environment.get(name) {
                VariableValue::Known(_) => Truth::True,
                VariableValue::Unset => Truth::False,
                VariableValue::Unknown => Truth::Unknown,
            },
            ("streq", [one, other]) => Truth::from(one == other),
            ("strneq", [one, other]) => Truth::from(one != other),
            ("strstr", [text, part]) => Truth::from(text.contains(part)),
            ("feature", ["OPENSSL"]) => Truth::True,
            ("feature", [name]) => Truth::from(self.testimony.has_feature(name)),
            ("version_atleast", [version]) => {
                Truth::from(self.testimony.is_version_at_least(version))
            }
            ("version_before", [version]) => {
                Truth::from(self.testimony.is_version_at_least(version)).not()
            }
            ("openssl_version_atleast", [version]) => {
                Truth::from(self.testimony.is_openssl_at_least(version))
            }
            ("openssl_version_before", [version]) => {
                Truth::from(self.testimony.is_openssl_at_least(version)).not()
            }
            _ => Truth::Unknown,
        })
    }

    /// The arguments up to the closing parenthesis, quotes and escapes of this second level
    /// resolved (§2.2). Spaces belong to them.
    fn arguments(&mut self) -> Option<Vec<String>> {
        let mut arguments = vec![String::new()];
        let mut quote = None;
        let mut characters = self.rest.chars();
        loop {
            let character = characters.next()?;
            let character = match (character, quote) {
                (')', None) => break,
                (',', None) => {
                    arguments.push(String::new());
                    continue;
                }
                ('"' | '\'', None) => {
                    quote = Some(character);
                    continue;
                }
                (_, Some(open)) if open == character => {
                    quote = None;
                    continue;
                }
                ('\\', None | Some('"')) => match characters.next()? {
                    't' => '\t',
                    'n' => '\n',
                    'r' => '\r',
                    other => other,
                },
                _ => character,
            };
            arguments.last_mut()?.push(character);
        }
        self.rest = characters.as_str();
        Some(arguments)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outside(name: &str) -> Option<String> {
        (name == "HOME").then(|| "/home/me".to_owned())
    }

    fn truth(text: &str) -> Truth {
        let nothing = Testimony::default();
        let mut environment = Environment::new(&outside, &nothing);
        environment.unset("GONE");
        evaluate(text, &environment, &nothing)
    }

    #[test]
    fn what_can_be_decided_is() {
        for (text, expected) in [
            ("", false),
            ("0", false),
            ("00", false),
            ("1", true),
            ("0x10", true),
            ("-1", true),
            ("!0", true),
            ("!!0", false),
            ("! 1", false),
            ("(1)", true),
            ("( 0 ) || ( 1 )", true),
            ("0||1", true),
            ("1&&0", false),
            ("0 && 0 || 1", true),
            ("1 || 0 && 0", true),
            ("(1 || 0) && 0", false),
            ("!(1 && 0)", true),
            ("defined(HOME)", true),
            ("defined(GONE)", false),
            ("streq(a,a)", true),
            ("streq(a, a)", false),
            ("streq(a,b) || strneq(a,b)", true),
            ("streq(,)", true),
            ("strstr(abc,b)", true),
            ("strstr(abc,d)", false),
            (r#"streq("a,b)",'a,b)')"#, true),
            (r"streq(a\,b,'a,b')", true),
            ("feature(OPENSSL)", true),
            (
                "feature(OPENSSL) && (streq(yes,yes) || streq(no,yes))",
                true,
            ),
        ] {
            assert_eq!(truth(text), Truth::from(expected), "{text}");
        }
    }

    #[test]
    fn what_only_haproxy_knows_stays_open_unless_the_rest_decides() {
        for (text, expected) in [
            ("version_atleast(2.4-dev19)", Truth::Unknown),
            ("!version_before(3.0)", Truth::Unknown),
            ("openssl_version_atleast(1.1.1)", Truth::Unknown),
            ("enabled(SPLICE)", Truth::Unknown),
            ("feature(QUIC)", Truth::Unknown),
            ("defined(HAPROXY_MWORKER)", Truth::Unknown),
            ("from_the_future(1)", Truth::Unknown),
            ("version_atleast(3.0) || 1", Truth::True),
            ("version_atleast(3.0) && 0", Truth::False),
            ("version_atleast(3.0) && 1", Truth::Unknown),
        ] {
            assert_eq!(truth(text), expected, "{text}");
        }
    }

    #[test]
    fn what_the_process_says_decides() {
        let features = [("QUIC", true), ("PCRE", false)];
        let features = features.map(|(name, is_there)| (name.to_owned(), is_there));
        let testimony = Testimony {
            version: Some("3.2.26-1".to_owned()),
            features: Some(features.into()),
            library: Some("OpenSSL 3.6.5 29 Sep 2026".to_owned()),
            ..Testimony::default()
        };
        let environment = Environment::new(&outside, &testimony);
        for (text, expected) in [
            ("version_atleast(3.0)", Truth::True),
            ("version_before(3.0)", Truth::False),
            ("feature(QUIC) && !feature(PCRE)", Truth::True),
            ("feature(NEVER_HEARD)", Truth::False),
            ("openssl_version_atleast(3.7.0)", Truth::False),
            ("enabled(SPLICE)", Truth::Unknown),
        ] {
            assert_eq!(evaluate(text, &environment, &testimony), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_condition_is_left_open() {
        for text in [
            "(1",
            "1)",
            "defined",
            "streq(a",
            "&&",
            "1 &&",
            "1 1",
            "x y",
            "defined(HOME",
        ] {
            assert_eq!(truth(text), Truth::Unknown, "{text}");
        }
        let deep = format!("{}1{}", "(".repeat(10_000), ")".repeat(10_000));
        assert_eq!(truth(&deep), Truth::Unknown);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in r#"[ -~é]{0,40}|[!()&|01 ]{0,40}"#) {
            truth(&text);
        }
    }
}
