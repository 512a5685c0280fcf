//! Whatever stands in the certificate stores of strangers, and however HAProxy's replies are cut:
//! the session goes on over its one connection, and the honest certificates get their staples.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../support/pki.rs"]
mod pki;
#[path = "../../support/strange_haproxy/mod.rs"]
mod strange_haproxy;

fuzz_target!(|bytes: &[u8]| strange_haproxy::live_through(bytes));
