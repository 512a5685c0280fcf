//! No text makes the reading of a configuration file panic, run away, or refuse without a reason.
#![no_main]

use std::io;

use libfuzzer_sys::fuzz_target;
use staplerd::config::{Config, Options, Surroundings};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let surroundings = Surroundings {
        variable: &|_| None,
        is_file: &|_| false,
        // What is included is read by the same code.
        read_folder: &|_| Err(io::ErrorKind::NotFound.into()),
    };
    if let Err(errors) = Config::read(Options::default(), Some(("fuzz", text)), &surroundings) {
        assert!(!errors.is_empty());
        for error in errors {
            assert!(!error.to_string().is_empty());
        }
    }
});
