//! No bytes make the reading of a PEM file panic, and what is read has a leaf.
#![no_main]

use libfuzzer_sys::fuzz_target;
use staplerd::x509::{Bundle, find_issuer};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(bundle) = Bundle::from_pem(bytes) {
        assert!(!bundle.leaf().der().is_empty());
        let _ = find_issuer(bundle.leaf(), bundle.certificates());
    }
});
