//! No text makes the reading of an index panic, and no row of it is lost.
#![no_main]

use libfuzzer_sys::fuzz_target;
use staplerd::responder::index::Index;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(index) = Index::parse(&text) {
        let is_row = |line: &&str| !line.is_empty() && !line.starts_with('#');
        assert_eq!(index.len(), text.lines().filter(is_row).count());
    }
});
