//! No text makes the reading of a HAProxy configuration or of a crt-list panic, and every notice is
//! one line about a line that there is.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use staplerd::haproxy_config::Testimony;
use staplerd::haproxy_config::certificate_list;
use staplerd::haproxy_config::parser::Parser;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let variable = |name: &str| (name == "CERTS").then(|| "/certs /more".to_owned());
    let nothing = Testimony::default();
    let mut parser = Parser::new(Path::new("/"), &variable, &nothing);
    parser.file(Path::new("/etc/haproxy/haproxy.cfg"), &text);
    let parsed = parser.finish();
    let lines = text.split('\n').count();
    for notice in &parsed.notices {
        assert!((1..=lines).contains(&notice.place.line));
        assert!(!notice.to_string().contains(char::is_control));
    }
    for wanted in &parsed.wanted {
        assert!((1..=lines).contains(&wanted.place.line));
    }
    for line in certificate_list::lines(&text).flatten() {
        assert!(!line.certificate.contains(char::is_whitespace));
    }
});
