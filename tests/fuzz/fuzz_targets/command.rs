//! No bytes make the reading of a request to the daemon panic; what is read is the same when it is
//! written and read again; and no name makes the choice of certificates panic.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use staplerd::control::{Names, ControlRequest};

fuzz_target!(|bytes: &[u8]| {
    let Ok(request) = ControlRequest::parse(bytes) else {
        return;
    };
    let line = serde_json::to_vec(&request).unwrap();
    assert_eq!(ControlRequest::parse(&line).as_ref(), Ok(&request));
    let (ControlRequest::Status { names } | ControlRequest::Renew { names }) = request else {
        return;
    };
    let count = names.len();
    let first = names.first().cloned();
    let mut names = Names::new(names);
    let path = first.unwrap_or_default();
    assert!(names.mean(Path::new(&path), &[]) || path.starts_with("./"));
    assert!(names.unknown().count() <= count);
});
