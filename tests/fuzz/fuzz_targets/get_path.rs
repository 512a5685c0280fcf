//! No path of a GET makes the responder panic, and what is taken for a request is one element.
#![no_main]

use libfuzzer_sys::fuzz_target;
use staplerd::responder::{PathContent, Question, from_path};
use staplerd::x509::der;

fuzz_target!(|bytes: &[u8]| {
    let path = String::from_utf8_lossy(bytes);
    if let PathContent::Request(request) = from_path(&path) {
        assert!(der::only(&request, der::SEQUENCE).is_ok());
        let _ = Question::read(&request);
    }
});
