//! What a configuration holds that must not be shown when something is wrong with it.
//!
//! Pure. A proxy's line is shown without its value, because what is wrong with it may be that the
//! password stands in the wrong place; elsewhere what stands before the `@` of a URL is left out.

/// What stands for what is left out.
const HIDDEN: &str = "\u{2026}";

/// A line of a configuration as it may be shown.
pub(super) fn shown_line(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let is_comment = lower.trim_start().starts_with('#');
    // HAProxy's keys have no passwords.
    let mut places = lower.match_indices("proxy").map(|(at, _)| at);
    match places.find(|at| !lower.get(..*at).is_some_and(|it| it.ends_with("ha"))) {
        // Cut at a boundary of the lower-case form, which has the same bytes.
        Some(at) if !is_comment && !lower.contains("no_proxy") => {
            let key = at + lower.get(at..).and_then(|rest| rest.find(':')).unwrap_or(0);
            match line.get(..=key) {
                Some(key) if key.ends_with(':') => format!("{key} {HIDDEN}"),
                _ => HIDDEN.to_owned(),
            }
        }
        _ => without_credentials(line),
    }
}

/// A text without what stands before the `@` of a URL, or of `user:password@host`.
pub(super) fn without_credentials(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for word in text.split_inclusive(|character: char| {
        character.is_whitespace() || matches!(character, '\'' | '"' | ',' | '[' | ']' | '{' | '}')
    }) {
        match word.rsplit_once('@') {
            // As our own words have it.
            Some((before, _)) if before.ends_with("user:password") => shown.push_str(word),
            Some((before, host)) if before.contains(':') => {
                let scheme = before.split_once("//").map(|(scheme, _)| scheme);
                let scheme = scheme.filter(|scheme| !scheme.contains('@'));
                shown.extend(scheme.map(|scheme| format!("{scheme}//")));
                shown.push_str(HIDDEN);
                shown.push('@');
                shown.push_str(host);
            }
            _ => shown.push_str(word),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_shows_a_password() {
        for line in [
            "http_proxy: http://user:secret@proxy:port",
            "https_proxy: u:secret@proxy",
            "http_proxy: http://u:secret",
            "http_proxy: 'http://u:sec ret@proxy:3128",
            "  htp_proxy : http://u:secret@proxy",
            "{http_proxy: http://u:secret@proxy}",
            "HTTP_PROXY=http://u:secret@proxy",
            "proxy http://u:secret@proxy",
            "directories: http://u:secret@proxy",
            "  http://u:secret@proxy",
            "x: \"ldap://u:secret@a\", y",
            "  - u:secret@host",
        ] {
            let shown = shown_line(line);
            assert!(!shown.contains("secret"), "{line}: {shown}");
            assert!(!shown.contains("sec ret"), "{line}: {shown}");
        }
    }

    #[test]
    fn what_is_no_secret_is_shown_as_it_is() {
        for line in [
            "directories: [/etc/haproxy/certs]",
            "no_proxy: [localhost, 10.0.0.0/8]",
            "haproxy_sockets: [abns@haproxy, tcp://127.0.0.1:9999]",
            "# proxy: none",
            "responders: {x: http://ocsp.example/a}",
        ] {
            assert_eq!(shown_line(line), line);
        }
        assert_eq!(
            shown_line("http_proxy: http://u:p@h"),
            "http_proxy: \u{2026}"
        );
    }
}
