//! Which files of a directory are certificates to look after.
//!
//! HAProxy's own rule for a `crt` directory comes first (configuration manual §5.1, `crt`); file
//! extensions and patterns to ignore, as stapled has them, only take away from it. Pure: judges
//! names, opens nothing.

use std::ffi::OsStr;
use std::path::Path;

/// Names that HAProxy's directory loader passes over because they belong to a certificate.
const COMPANION_SUFFIXES: [&str; 4] = [".issuer", ".ocsp", ".sctl", ".key"];
/// What follows the extension of a certificate that is one of a bundle's.
pub const BUNDLE_SUFFIXES: [&str; 3] = [".rsa", ".ecdsa", ".dsa"];

/// Whether HAProxy's directory loader would load a file of this name (since 2.6 it passes over
/// names that begin with a dot).
pub fn is_loaded_by_haproxy(name: &[u8]) -> bool {
    !name.starts_with(b".")
        && !COMPANION_SUFFIXES
            .iter()
            .any(|suffix| name.ends_with(suffix.as_bytes()))
}

/// What the operator wants looked at.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Selection {
    /// Extensions without their dot; none: all files that HAProxy loads.
    pub extensions: Option<Vec<String>>,
    /// Files that are passed over.
    pub ignored: Vec<Pattern>,
}

impl Selection {
    /// Whether the file `name` in `folder` is looked at.
    pub(super) fn takes(&self, folder: &Path, name: &OsStr) -> bool {
        is_loaded_by_haproxy(name.as_encoded_bytes())
            && self.has_extension(name.as_encoded_bytes())
            && (self.ignored.is_empty() || !self.ignores(&folder.join(name)))
    }

    fn has_extension(&self, name: &[u8]) -> bool {
        let Some(extensions) = &self.extensions else {
            return true;
        };
        let name = BUNDLE_SUFFIXES
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix.as_bytes()))
            .unwrap_or(name);
        extensions.iter().any(|extension| {
            name.strip_suffix(extension.as_bytes())
                .is_some_and(|stem| stem.ends_with(b"."))
        })
    }

    /// Whether the operator wants this file passed over.
    pub(super) fn ignores(&self, path: &Path) -> bool {
        self.ignored.iter().any(|pattern| pattern.matches(path))
    }
}

/// A pattern for paths: `*` stands for any characters, `?` for one. One that begins with `/` is
/// compared with the whole path, any other with its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern(Vec<u8>);

impl Pattern {
    /// The pattern as it is written.
    pub fn new(text: &str) -> Self {
        if text.starts_with('/') {
            Pattern(text.into())
        } else {
            Pattern(format!("*{text}").into())
        }
    }

    /// Whether the path is one of those meant.
    pub fn matches(&self, path: &Path) -> bool {
        let text = path.as_os_str().as_encoded_bytes();
        let (mut pattern_at, mut text_at) = (0, 0);
        // Where to go on when what follows the last star does not match here.
        let mut retry = None;
        loop {
            match (self.0.get(pattern_at), text.get(text_at)) {
                (None, None) => return true,
                (Some(b'*'), _) => {
                    pattern_at += 1;
                    retry = Some((pattern_at, text_at));
                }
                (Some(b'?'), Some(_)) => {
                    pattern_at += 1;
                    text_at += 1;
                }
                (Some(wanted), Some(found)) if wanted == found => {
                    pattern_at += 1;
                    text_at += 1;
                }
                _ => match retry {
                    Some((after_star, start)) if start < text.len() => {
                        retry = Some((after_star, start + 1));
                        (pattern_at, text_at) = (after_star, start + 1);
                    }
                    _ => return false,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_as_haproxy_takes_them() {
        for (name, loaded) in [
            ("a.pem", true),
            ("no-extension", true),
            ("a.pem.rsa", true),
            ("a.txt", true),
            ("a.pem.ocsp", false),
            ("a.pem.issuer", false),
            ("a.pem.sctl", false),
            ("a.pem.key", false),
            (".hidden.pem", false),
        ] {
            assert_eq!(is_loaded_by_haproxy(name.as_bytes()), loaded, "{name}");
        }
    }

    #[test]
    fn patterns_mean_the_whole_path_or_its_end() {
        for (pattern, path, matches) in [
            ("/certs/a.pem", "/certs/a.pem", true),
            ("/certs/a.pem", "/other/certs/a.pem", false),
            ("/certs/*.pem", "/certs/a.pem", true),
            ("/certs/?.pem", "/certs/ab.pem", false),
            ("/*/a.pem", "/certs/site/a.pem", true),
            ("a.pem", "/certs/a.pem", true),
            ("a.pem", "/certs/extra.pem", true),
            ("privkey?.pem", "/certs/privkey1.pem", true),
            ("site/*.crt", "/certs/site/a.crt", true),
            ("*", "/certs/a.pem", true),
            ("*a*b*c", "/aXbXbXc", true),
            ("*a*b*d", "/aXbXbXc", false),
            ("", "/certs/a.pem", true),
        ] {
            assert_eq!(
                Pattern::new(pattern).matches(Path::new(path)),
                matches,
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn a_pattern_full_of_stars_is_decided_in_no_time() {
        let pattern = Pattern::new(&"*a".repeat(500));
        assert!(!pattern.matches(Path::new(&"a".repeat(499))));
        assert!(pattern.matches(Path::new(&"a".repeat(500))));
    }

    #[test]
    fn extensions_take_away_from_haproxys_rule_and_see_through_bundles() {
        let selection = Selection {
            extensions: Some(vec!["crt".into(), "pem".into()]),
            ignored: vec![Pattern::new("old.pem")],
        };
        for (name, taken) in [
            ("a.pem", true),
            ("a.crt", true),
            ("a.pem.rsa", true),
            ("a.rsa", false),
            ("a.cer", false),
            ("pem", false),
            ("a.pem.ocsp", false),
            (".a.pem", false),
            ("old.pem", false),
        ] {
            assert_eq!(
                selection.takes(Path::new("/certs"), OsStr::new(name)),
                taken,
                "{name}"
            );
        }
    }
}
