//! Any text is read or refused, and refused with a place that is in it.

use proptest::prelude::*;

use crate::config::{Config, Options, Surroundings};

fn read(text: &str) -> Vec<String> {
    let surroundings = Surroundings {
        variable: &|_| None,
        is_file: &|_| false,
        read_folder: &|_| Err(std::io::ErrorKind::NotFound.into()),
    };
    let config = Config::read(Options::default(), Some(("x", text)), &surroundings);
    let errors = config.err().unwrap_or_default();
    errors.iter().map(ToString::to_string).collect()
}

/// Texts that look like a configuration.
fn texts() -> impl Strategy<Value = String> {
    let key =
        "(directories|domains|responders|hooks|scan_keys|responder|path|<<|recursive|[a-z_]{1,9})";
    let value = "(true|0640|5|[a-z/{}]{0,8}|\\[[a-z, *&{}:]{0,12}\\]|\\{[a-z: ,*&]{0,12}\\}|&a [a-z]|\\*a|)";
    let line = format!("( {{0,4}})(- )?{key}: {value}");
    let line = proptest::string::string_regex(&line).unwrap();
    proptest::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_and_every_mistake_is_in_the_text(text in texts()) {
        for mistake in read(&text) {
            let mut parts = mistake.split(':');
            prop_assert_eq!(parts.next(), Some("x"), "{}", &mistake);
            let line: usize = parts.next().unwrap().parse().unwrap();
            prop_assert!(line >= 1 && line <= text.lines().count() + 1, "{}", mistake);
        }
    }
}

#[test]
fn thousands_of_mistakes_are_told_in_a_hundred_lines() {
    let text: String = (0..5000).map(|n| format!("nonsense{n}: {n}\n")).collect();
    assert_eq!(read(&text).len(), 100);
}
