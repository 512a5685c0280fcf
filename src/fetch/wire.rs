//! What of a foreign URL goes over the wire, and in which form.
//!
//! A certificate, or a responder that redirects, chooses where a request goes; at the other end may
//! be something that does not speak HTTP but reads lines: HAProxy's stats socket, a mail server, a
//! cache. So every character that such a protocol, or a shell behind it, could take for more than a
//! letter of a word is percent-encoded in path and query, and a host is a name of letters or an
//! address: then nothing that is sent can be another protocol's command. Pure. RFC 3986 §2.1: the
//! encoded form means the same to a responder.

// What strangers have written is read here.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

use std::net::Ipv6Addr;

use ureq::http::Uri;

/// What stays as it is beside letters and digits: the unreserved characters of RFC 3986, and what
/// parts a path and a query.
const HARMLESS: &[u8] = b"-._~/?=:@+,";

/// Path and query of a stranger's URL with everything encoded that is not harmless. What is encoded
/// already stays so.
pub(super) fn encoded(path_and_query: &str) -> String {
    let bytes = path_and_query.as_bytes();
    let mut encoded = String::with_capacity(bytes.len());
    for (place, byte) in bytes.iter().enumerate() {
        let is_escape = || {
            let from = bytes.get(place..).unwrap_or_default();
            matches!(from, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
        };
        if byte.is_ascii_alphanumeric() || HARMLESS.contains(byte) || is_escape() {
            encoded.push(char::from(*byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// [`encoded`] for a whole URL that is not checked yet.
pub(super) fn encoded_url(url: &str) -> String {
    let host = url.find("://").map_or(0, |place| place.saturating_add(3));
    let path = url.get(host..).and_then(|rest| rest.find(['/', '?']));
    let (origin, path) = url.split_at(path.map_or(url.len(), |path| host.saturating_add(path)));
    format!("{origin}{}", encoded(path))
}

/// A stranger's URL as it is sent; `None` where it cannot be written so, which no URL with a host
/// and a bounded length is.
pub(super) fn harmless(uri: &Uri) -> Option<Uri> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let text = format!(
        "{}://{}{}",
        uri.scheme_str()?,
        uri.authority()?,
        encoded(path)
    );
    text.parse().ok()
}

/// Whether a URL's host is a name of letters, digits, hyphens, dots and underscores, or an address:
/// it goes into the `Host` header, and to proxies.
pub(super) fn is_plain_host(host: &str) -> bool {
    let in_brackets = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match in_brackets {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !host.is_empty() && host.bytes().all(is_plain)
        }
    }
}

/// Whether an `ETag` is an entity-tag (RFC 9110 §8.8.3) that a later request may repeat: one with
/// characters in it that part lines or commands is not worth a risk.
pub(super) fn is_entity_tag(value: &str) -> bool {
    let opaque = value.strip_prefix("W/").unwrap_or(value);
    let inside = opaque
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inside.is_some_and(|tag| {
        tag.bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"\"';|&$`\\<>(){}".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_that_parts_lines_or_commands_is_left(path in "\\PC{0,60}", raw in any::<Vec<u8>>()) {
            for text in [path, String::from_utf8_lossy(&raw).into_owned()] {
                let sent = encoded(&text);
                prop_assert!(sent.bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert!(!sent.contains(['"', '\'', ';', '|', '&', '$', '`', '\\', '<', '>', '*', '!']));
                prop_assert_eq!(encoded(&sent), sent.clone(), "encoding twice changes nothing");
            }
        }
    }

    #[test]
    fn path_and_query_are_encoded_and_mean_the_same() {
        for (path, sent) in [
            ("/", "/"),
            ("/;prompt;?x", "/%3Bprompt%3B?x"),
            ("/a b\r\nc\t", "/a%20b%0D%0Ac%09"),
            ("/a|b&c$d`e\\f\"g'h", "/a%7Cb%26c%24d%60e%5Cf%22g%27h"),
            ("/%3B%zz%", "/%3B%25zz%25"),
            ("/ä\u{85}", "/%C3%A4%C2%85"),
            ("/a/MFMw%2B%3D?x=1,y@z", "/a/MFMw%2B%3D?x=1,y@z"),
            ("/<<x", "/%3C%3Cx"),
        ] {
            assert_eq!(encoded(path), sent);
        }
        let uri: Uri = "http://ocsp.example:81/;a?b;c".parse().unwrap();
        let sent = harmless(&uri).unwrap().to_string();
        assert_eq!(sent, "http://ocsp.example:81/%3Ba?b%3Bc");
    }

    #[test]
    fn a_host_is_a_name_or_an_address() {
        for host in [
            "ocsp.example",
            "127.0.0.1",
            "[::1]",
            "a_b-c.Example.",
            "0x7f.1",
        ] {
            assert!(is_plain_host(host), "{host}");
        }
        for host in [
            "",
            "a;b",
            "a b",
            "a$b",
            "[::1;x]",
            "[::1",
            "a'b",
            "ä.example",
            "a%3Bb",
            "*",
        ] {
            assert!(!is_plain_host(host), "{host}");
        }
    }

    #[test]
    fn an_entity_tag_has_the_grammar_of_its_rfc_and_cannot_be_a_command() {
        for tag in ["\"\"", "\"0f-3a:b/c+d=\"", "W/\"1700000000\""] {
            assert!(is_entity_tag(tag), "{tag}");
        }
        for tag in [
            "",
            "bare",
            "\"",
            "w/\"x\"",
            "\"a\" \"b\"",
            "\"a\"b\"",
            "\"a b\"",
            "\";prompt;\"",
            "\"a\u{e4}\"",
            "W/x",
            "\"a\\\"",
        ] {
            assert!(!is_entity_tag(tag), "{tag}");
        }
    }
}
