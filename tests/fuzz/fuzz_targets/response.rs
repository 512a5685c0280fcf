//! No bytes make the judgement panic, and what it accepts says what a seed says: the signer of the
//! seeds has signed nothing else.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use staplerd::ocsp::response::decode;
use staplerd::ocsp::{Policy, Subject, verify};
use staplerd::time::Timestamp;
use staplerd::x509::Certificate;

static LEAF: LazyLock<Certificate> = LazyLock::new(|| {
    Certificate::from_der(include_bytes!("../seeds/certificate/leaf.der")).expect("a seed")
});
static ISSUER: LazyLock<Certificate> = LazyLock::new(|| {
    Certificate::from_der(include_bytes!("../seeds/certificate/issuer.der")).expect("a seed")
});
static SIGNED: [&[u8]; 2] = [
    include_bytes!("../seeds/response/direct.der"),
    include_bytes!("../seeds/response/delegated.der"),
];

fuzz_target!(|bytes: &[u8]| {
    let subject = Subject {
        certificate: &LEAF,
        issuer: &ISSUER,
    };
    let now = Timestamp::from_unix(1_768_478_400);
    if verify(bytes, subject, None, now, Policy::default()).is_ok() {
        let signed = |bytes| decode(bytes).expect("accepted").tbs_response_data;
        assert!(SIGNED.iter().any(|seed| signed(seed) == signed(bytes)));
    }
});
