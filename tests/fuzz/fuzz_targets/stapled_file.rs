//! No text makes the reading of stapled's configuration file panic, and each mistake names a line
//! that is there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use staplerd::config::Error;
use staplerd::config::stapled_file::{is_stapled_form, parse};

fuzz_target!(|text: &str| {
    let _ = is_stapled_form(text);
    for error in parse("stapled.conf", text).err().unwrap_or_default() {
        match error {
            Error::Line { line, .. } => assert!((1..=text.lines().count()).contains(&line)),
            other => panic!("{other}"),
        }
    }
});
