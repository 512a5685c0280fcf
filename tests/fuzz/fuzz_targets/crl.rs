//! No bytes make the reading of a revocation list panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use staplerd::responder::crl::ReceivedList;

fuzz_target!(|bytes: &[u8]| {
    // What is not the DER of a whole list is refused, however it begins.
    if ReceivedList::decode(bytes).is_ok() && let Some((_, shorter)) = bytes.split_last() {
        assert!(ReceivedList::decode(shorter).is_err());
    }
});
