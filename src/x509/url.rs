//! Which responder URLs of a certificate are worth keeping.
//!
//! A certificate's URL is foreign input (RFC 5280 §4.2.2.1). This looks at its text only: scheme,
//! user information, length, characters. Whether its address may be asked is decided where names
//! are resolved.

/// Longest URL that is kept, in bytes.
const MAX_URL_BYTES: usize = 2048;

/// Whether `url` is an http or https URL with a host, without user information or fragment, with
/// port 1 to 65535 if any, of at most 2048 printable ASCII bytes.
pub fn is_usable(url: &str) -> bool {
    if url.len() > MAX_URL_BYTES || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return false;
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return false;
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return false;
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains(['@', '\\']) || rest.contains('#') {
        return false;
    }
    let (host, port) = split_port(authority);
    let port_is_usable =
        port.is_none_or(|port| port.parse::<u16>().is_ok_and(|number| number != 0));
    !host.is_empty() && port_is_usable
}

/// Splits `host:port`; the colons of a bracketed IPv6 address are not separators.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_addresses_are_kept() {
        for url in [
            "http://ocsp.example.org",
            "HTTP://ocsp.example.org/",
            "https://ocsp.example.org:8443/a/b?c=d",
            "http://[2001:db8::1]/",
            "http://[2001:db8::1]:80/",
            "http://192.0.2.1:80",
        ] {
            assert!(is_usable(url), "{url}");
        }
    }

    #[test]
    fn anything_else_is_dropped() {
        let long = format!("http://example.org/{}", "a".repeat(MAX_URL_BYTES));
        for url in [
            "",
            "ocsp.example.org",
            "ldap://ocsp.example.org/",
            "file:///etc/passwd",
            "http://",
            "http:///path",
            "http://user@example.org/",
            "http://user:secret@example.org/",
            "http://example.org\\@other/",
            "http://example.org:0/",
            "http://example.org:65536/",
            "http://example.org:port/",
            "http://:80/",
            "http://example.org/#fragment",
            "http://exa mple.org/",
            "http://example.org/\r\nX: y",
            "http://exämple.org/",
            &long,
        ] {
            assert!(!is_usable(url), "{url}");
        }
    }
}
