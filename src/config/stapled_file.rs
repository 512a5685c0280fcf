//! The configuration file of `stapled` and `ocspd`, read as what it is: the long options of their
//! command line, one in a line.
//!
//! Pure. The form is that of Python's ConfigArgParse: `key = value`, `key: value`, `key value`,
//! `--key value`, `key = [a, b]`; a flag stands alone or has a truth value; `#` and `;` begin
//! comments, `[section]` headers and `---` mean nothing; a value in quotes is taken as it is; of a
//! key that stands twice the last counts. All mistakes are reported at once.

use std::path::PathBuf;
use std::time::Duration;

use super::error::Error;
use super::logging::Logging;
use super::{LOG_DIRECTORY, Options, VERBOSITY};
use crate::text::parse_duration;

/// The options there are, for telling this form from YAML and for the refusal of other ones.
const KEYS: [&str; 21] = [
    "cert-paths",
    "daemon",
    "directories",
    "file-extensions",
    "haproxy-config",
    "haproxy-socket-keepalive",
    "haproxy-sockets",
    "ignore",
    "interactive",
    "logdir",
    "minimum-validity",
    "no-daemon",
    "no-haproxy-sockets",
    "no-recycle",
    "one-off",
    "quiet",
    "recursive",
    "refresh-interval",
    "renewal-threads",
    "syslog",
    "verbosity",
];

/// Whether a text has this form, and not that of a YAML mapping.
pub fn is_stapled_form(text: &str) -> bool {
    let lines = || text.lines().filter(|line| is_setting(line));
    let is_structured =
        lines().any(|line| line.starts_with([' ', '\t', '-', '{']) && !line.starts_with("--"));
    let is_ini = |line: &str| {
        let name = line.trim_start_matches('-');
        let end = name
            .find(|character: char| !is_of_key(character))
            .unwrap_or(name.len());
        let (key, rest) = name.split_at(end);
        let alone = !rest.trim_start().starts_with(':');
        rest.trim_start().starts_with('=')
            || line.starts_with("--")
            || (KEYS.contains(&key) && !is_structured && (alone || key.contains('-')))
    };
    text.lines().any(is_section) || lines().any(is_ini)
}

/// `[name]` alone in its line; in a YAML mapping nothing stands there.
fn is_section(line: &str) -> bool {
    line.starts_with('[') && line.trim_end().ends_with(']') && !line.contains(',')
}

fn is_of_key(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-_".contains(character)
}

/// Whether a line says something.
fn is_setting(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with(['#', ';', '[']) && !line.starts_with("---")
}

/// What stands behind a key.
#[derive(Clone, PartialEq, Eq, Debug)]
enum OptionValue {
    /// Nothing: a flag.
    Nothing,
    One(String),
    Several(Vec<String>),
}

/// Reads a file's text into the options that it stands for; `name` is for the errors.
///
/// # Errors
/// Every line that is not what it should be.
pub fn parse(name: &str, text: &str) -> Result<Options, Vec<Error>> {
    let mut options = Options::default();
    let mut mistakes = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if !is_setting(line) {
            continue;
        }
        let outcome = split(line.trim())
            .ok_or_else(|| "expected 'key = value', or a flag's name alone".to_owned())
            .and_then(|(key, value)| {
                let key = key.trim_start_matches('-');
                set(&mut options, key, value).map_err(|reason| format!("{key}: {reason}"))
            });
        if let Err(reason) = outcome {
            mistakes.push(Error::Line {
                file: name.to_owned(),
                line: number + 1,
                reason,
            });
        }
    }
    if mistakes.is_empty() {
        Ok(options)
    } else {
        Err(mistakes)
    }
}

/// Key and value of a line that says something.
fn split(line: &str) -> Option<(&str, OptionValue)> {
    let ends_key = |character: char| ":=;#".contains(character) || character.is_whitespace();
    let end = line.find(ends_key).unwrap_or(line.len());
    let (key, rest) = line.split_at(end);
    if key.trim_start_matches('-').is_empty() {
        return None;
    }
    let rest = rest.trim_start();
    let (has_sign, text) = match rest.strip_prefix([':', '=']) {
        Some(text) => (true, text.trim_start()),
        None => (false, rest),
    };
    let text = match quoted(text) {
        Some(inner) => return Some((key, OptionValue::One(inner.to_owned()))),
        None => without_comment(text),
    };
    let list = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    Some((
        key,
        match list {
            Some(list) => {
                let items = list.split(',').map(str::trim);
                OptionValue::Several(
                    items
                        .filter(|item| !item.is_empty())
                        .map(str::to_owned)
                        .collect(),
                )
            }
            None if text.is_empty() && !has_sign => OptionValue::Nothing,
            None => OptionValue::One(text.to_owned()),
        },
    ))
}

/// What is in the quotes that enclose the whole value, except for a comment.
fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|first| "'\"".contains(*first))?;
    let (inner, rest) = text[1..].rsplit_once(quote)?;
    (without_comment(rest).is_empty() && !inner.contains(quote)).then_some(inner)
}

/// A comment begins with `#` or `;` at the start or behind white space.
fn without_comment(text: &str) -> &str {
    let mut after_space = true;
    for (place, character) in text.char_indices() {
        if after_space && "#;".contains(character) {
            return text[..place].trim_end();
        }
        after_space = character.is_whitespace();
    }
    text.trim_end()
}

fn set(options: &mut Options, key: &str, value: OptionValue) -> Result<(), String> {
    let logging: &mut Logging = &mut options.logging;
    match key {
        "directories" => options.directories = paths(value)?,
        "cert-paths" => options.certificate_paths = paths(value)?,
        "haproxy-config" => options.haproxy_config = paths(value)?,
        "haproxy-sockets" => options.sockets = list(value)?,
        "ignore" => options.ignore = list(value)?,
        "file-extensions" => {
            let given = list(value)?;
            let extensions = given.iter().flat_map(|text| text.split(','));
            options.file_extensions = extensions.map(|text| text.trim().to_owned()).collect();
        }
        "recursive" => options.recursive = flag(value)?,
        "no-recycle" => options.no_recycle = flag(value)?,
        "no-haproxy-sockets" => options.no_haproxy_sockets = flag(value)?,
        "daemon" => options.background = flag(value)?,
        "one-off" => options.one_off = flag(value)?,
        "interactive" | "no-daemon" => {
            if flag(value)? {
                options.background = false;
            }
        }
        "quiet" => logging.quiet = flag(value)?,
        "syslog" => logging.syslog = flag(value)?,
        "logdir" => {
            logging.directory = Some(PathBuf::from(match value {
                OptionValue::Nothing => LOG_DIRECTORY.to_owned(),
                given => one(given)?,
            }));
        }
        "verbosity" => {
            let verbosity = number(value)?;
            let verbosity = u8::try_from(verbosity).ok();
            let verbosity = verbosity.filter(|verbosity| VERBOSITY.contains(verbosity));
            let expected = || format!("expected a number from 0 to {}", VERBOSITY.end());
            logging.verbosity = Some(verbosity.ok_or_else(expected)?);
        }
        "renewal-threads" => {
            let threads = number(value)?;
            options.renewal_threads = Some(usize::try_from(threads).unwrap_or(usize::MAX));
        }
        "minimum-validity" => options.minimum_validity = Some(duration(value)?),
        "refresh-interval" => options.refresh_interval = Some(duration(value)?),
        // How idle connections are watched is not the operator's business here.
        "haproxy-socket-keepalive" => {
            number(value)?;
        }
        _ => return Err(format!("no such option; there are {}", KEYS.join(", "))),
    }
    Ok(())
}

fn one(value: OptionValue) -> Result<String, String> {
    match value {
        OptionValue::One(text) if !text.is_empty() => Ok(text),
        OptionValue::Several(_) => Err("expected one value, not a list".to_owned()),
        OptionValue::One(_) | OptionValue::Nothing => Err("its value is missing".to_owned()),
    }
}

fn list(value: OptionValue) -> Result<Vec<String>, String> {
    match value {
        OptionValue::Several(items) if items.is_empty() => Err("the list is empty".to_owned()),
        OptionValue::Several(items) => Ok(items),
        single => one(single).map(|text| vec![text]),
    }
}

fn paths(value: OptionValue) -> Result<Vec<PathBuf>, String> {
    Ok(list(value)?.into_iter().map(PathBuf::from).collect())
}

fn flag(value: OptionValue) -> Result<bool, String> {
    let expected = || "expected nothing, or yes or no, true or false, on or off, 1 or 0".to_owned();
    let OptionValue::One(word) = value else {
        return match value {
            OptionValue::Nothing => Ok(true),
            _ => Err(expected()),
        };
    };
    match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(expected()),
    }
}

fn number(value: OptionValue) -> Result<u64, String> {
    let text = one(value)?;
    text.parse()
        .map_err(|_| format!("'{text}': expected a whole number"))
}

fn duration(value: OptionValue) -> Result<Duration, String> {
    let text = one(value)?;
    parse_duration(&text)
        .ok_or_else(|| format!("'{text}': expected seconds, or a duration such as 1d 12h"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXAMPLE: &str = "\
# What stapled reads.
[stapled]
directories = [/etc/haproxy1, /etc/haproxy2]
haproxy-sockets=[/run/haproxy1.sock, /run/haproxy2.sock]
minimum-validity: 7200        ; two hours
--renewal-threads 4
file-extensions = crt,pem,cer
ignore = \"*snakeoil.pem\"     # Debian's
refresh-interval : 60
verbosity = 3
logdir
no-recycle
recursive = yes
syslog = off
one-off = false
";

    #[test]
    fn its_own_configuration_can_ask_for_a_single_run() {
        let one_off = |line: &str| parse("stapled.conf", line).unwrap().one_off;
        assert!(one_off("one-off") && one_off("one-off = true") && !one_off("one-off: no"));
        assert!(is_stapled_form("one-off = true\n"));
    }

    #[test]
    fn every_form_of_a_line_is_read() {
        assert!(is_stapled_form(EXAMPLE));
        let options = parse("stapled.conf", EXAMPLE).unwrap();
        let paths = |paths: &[&str]| -> Vec<PathBuf> { paths.iter().map(PathBuf::from).collect() };
        assert_eq!(
            options.directories,
            paths(&["/etc/haproxy1", "/etc/haproxy2"])
        );
        assert_eq!(
            options.sockets,
            ["/run/haproxy1.sock", "/run/haproxy2.sock"]
        );
        assert_eq!(options.minimum_validity, Some(Duration::from_secs(7200)));
        assert_eq!(options.renewal_threads, Some(4));
        assert_eq!(options.file_extensions, ["crt", "pem", "cer"]);
        assert_eq!(options.ignore, ["*snakeoil.pem"]);
        assert_eq!(options.refresh_interval, Some(Duration::from_secs(60)));
        assert!(options.no_recycle && options.recursive && !options.background);
        let expected = Logging {
            verbosity: Some(3),
            directory: Some(LOG_DIRECTORY.into()),
            ..Logging::default()
        };
        assert_eq!(options.logging, expected);
    }

    /// What Python's ConfigArgParse 1.9 makes of these lines.
    #[test]
    fn lines_are_split_as_their_own_reader_splits_them() {
        let one = |text: &str| OptionValue::One(text.to_owned());
        for (line, key, value) in [
            ("key = value", "key", one("value")),
            ("key: value", "key", one("value")),
            ("key value", "key", one("value")),
            ("--key value", "--key", one("value")),
            ("key", "key", OptionValue::Nothing),
            ("key=", "key", one("")),
            (
                "a=[x, y]",
                "a",
                OptionValue::Several(vec!["x".into(), "y".into()]),
            ),
            (
                "a = [x, y] # c",
                "a",
                OptionValue::Several(vec!["x".into(), "y".into()]),
            ),
            ("a=[]", "a", OptionValue::Several(Vec::new())),
            ("a = x # c", "a", one("x")),
            ("a = \"x # y\"", "a", one("x # y")),
            ("a=x;y", "a", one("x;y")),
            ("a = x ;y", "a", one("x")),
            ("a = b c d", "a", one("b c d")),
            ("key : \"quoted\"", "key", one("quoted")),
            ("a==b", "a", one("=b")),
            ("a:b=c", "a", one("b=c")),
            ("d=/a, /b", "d", one("/a, /b")),
        ] {
            assert_eq!(split(line), Some((key, value)), "{line}");
        }
        assert_eq!(split("= b"), None);
    }

    #[test]
    fn yaml_is_told_from_it() {
        assert!(!is_stapled_form(include_str!(
            "../../haproxy/staplerd.yaml"
        )));
        for yaml in [
            "",
            "# nothing\n",
            "directories:\n  - path: /a\n",
            "directories:\n- path: /a\nminimum-validity: 2h\n",
            "minimum_validity: 2h\n",
            "---\nrecursive: true\n",
            "domains:\n  a:\n    cert: x=y\n",
            "{recursive: true}\n",
        ] {
            assert!(!is_stapled_form(yaml), "{yaml}");
        }
        for stapled in [
            "directories = /a\n",
            "[stapled]\ndirectories: [/a, /b]\n",
            "directories: [/a, /b]\nhaproxy-sockets: [/1, /2]\n",
            "--directories /a\n",
            "directories /a\n",
            "no-recycle\n",
        ] {
            assert!(is_stapled_form(stapled), "{stapled}");
        }
    }

    #[test]
    fn all_mistakes_come_at_once_with_file_and_line() {
        let text = "directories = []\n= x\n\nrenewal-threads = many\nno such = 1\nquiet = perhaps\n\
                    verbosity = 5\nminimum-validity\nlogdir = [/a, /b]\nrefresh-interval = soon\n";
        let errors = parse("stapled.conf", text).unwrap_err();
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let expected = [
            "stapled.conf:1: directories: the list is empty",
            "stapled.conf:2: expected 'key = value', or a flag's name alone",
            "stapled.conf:4: renewal-threads: 'many': expected a whole number",
            "stapled.conf:5: no: no such option; there are cert-paths, ",
            "stapled.conf:6: quiet: expected nothing, or yes or no",
            "stapled.conf:7: verbosity: expected a number from 0 to 4",
            "stapled.conf:8: minimum-validity: its value is missing",
            "stapled.conf:9: logdir: expected one value, not a list",
            "stapled.conf:10: refresh-interval: 'soon': expected seconds",
        ];
        assert_eq!(lines.len(), expected.len(), "{lines:#?}");
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.starts_with(expected), "{line}");
        }
    }

    #[test]
    fn every_key_that_is_named_can_be_set() {
        for key in KEYS {
            let text = match key {
                "verbosity" => format!("{key} = 1\n"),
                _ if parse("x", &format!("{key}\n")).is_ok() => format!("{key}\n"),
                _ => format!("{key} = 1\n"),
            };
            assert!(parse("x", &text).is_ok(), "{key}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-a-z:=;#'\"\\[\\], \n\\PC]{0,60}") {
            let _ = (is_stapled_form(&text), parse("x", &text));
        }
    }
}
