//! No bytes make the reading of a request panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use staplerd::ocsp::request::Request;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = Request::decode(bytes) {
        assert!(!request.cert_ids.is_empty());
    }
});
