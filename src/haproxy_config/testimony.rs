//! What a running HAProxy says about itself, so far as its configuration depends on it.
//!
//! Pure. Versions are compared as HAProxy compares them (configuration manual §2.4,
//! `version_atleast`): a development version comes before its release.

use std::collections::{BTreeMap, BTreeSet};

/// What is known of the process that has read a configuration; nothing of what it does not say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Testimony {
    /// Its version, such as `3.0.11-1+deb13u3`.
    pub version: Option<String>,
    /// What it can be built with, and whether it is.
    pub features: Option<BTreeMap<String, bool>>,
    /// The TLS library it runs on, such as `OpenSSL 3.5.7 9 Jun 2026`.
    pub library: Option<String>,
    /// Its environment, as its configuration has left it.
    pub environment: Option<BTreeMap<String, String>>,
    /// The names of the certificates that it has loaded.
    pub loaded: Option<BTreeSet<String>>,
}

impl Testimony {
    /// Whether its version is this one or a later one.
    pub(super) fn is_version_at_least(&self, version: &str) -> Option<bool> {
        let own = haproxy_version(self.version.as_deref()?)?;
        Some(own >= haproxy_version(version)?)
    }

    /// Whether it runs on this version of OpenSSL or a later one.
    pub(super) fn is_openssl_at_least(&self, version: &str) -> Option<bool> {
        let own = self.library.as_deref()?.strip_prefix("OpenSSL ")?;
        Some(openssl_version(own)? >= openssl_version(version)?)
    }

    /// Whether it is built with a feature.
    pub(super) fn has_feature(&self, name: &str) -> Option<bool> {
        // What it does not know it does not have.
        let features = self.features.as_ref()?;
        Some(features.get(name).copied().unwrap_or(false))
    }
}

/// `3.2.26-1`, `3.5-dev4`: major, minor, patch (0 of a development version), and the number of
/// that.
fn haproxy_version(text: &str) -> Option<(u32, u32, u32, u32)> {
    let (numbers, rest) = match text.split_once('-') {
        Some((numbers, rest)) => (numbers, rest),
        None => (text, ""),
    };
    let mut numbers = numbers.split('.').map(leading_number);
    let (major, minor) = (numbers.next()??, numbers.next()??);
    let patch = numbers.next().flatten().unwrap_or(0);
    let development = rest.strip_prefix("dev").map(leading_number);
    Some(match development {
        Some(number) => (major, minor, 0, number?),
        None => (major, minor, patch.saturating_add(1), 0),
    })
}

/// `3.5.7 9 Jun 2026`, `1.1.1w`: three numbers and a letter.
fn openssl_version(text: &str) -> Option<(u32, u32, u32, String)> {
    let text = text.split([' ', '-']).next()?;
    let mut parts = text.splitn(3, '.');
    let (major, minor) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let last = parts.next().unwrap_or("0");
    let letters = last.trim_start_matches(|digit: char| digit.is_ascii_digit());
    Some((major, minor, leading_number(last)?, letters.to_owned()))
}

fn leading_number(text: &str) -> Option<u32> {
    let end = text.find(|character: char| !character.is_ascii_digit());
    text.get(..end.unwrap_or(text.len()))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_haproxys_order() {
        let testimony = |version: &str| Testimony {
            version: Some(version.to_owned()),
            ..Testimony::default()
        };
        for (own, asked, expected) in [
            ("3.0.11-1+deb13u3", "3.0", true),
            ("3.0.11-1+deb13u3", "3.0.11", true),
            ("3.0.11-1+deb13u3", "3.0.12", false),
            ("3.0.11-1+deb13u3", "3.0-dev7", true),
            ("3.0.11-1+deb13u3", "3.1-dev1", false),
            ("3.5-dev4", "3.5", false),
            ("3.5-dev4", "3.5-dev4", true),
            ("3.5-dev4-50872d-12", "3.5-dev5", false),
            ("3.5-dev4", "3.4.9", true),
            ("2.10.0", "2.9", true),
        ] {
            let found = testimony(own).is_version_at_least(asked);
            assert_eq!(found, Some(expected), "{own} {asked}");
        }
        assert_eq!(testimony("3.0").is_version_at_least("x"), None);
        assert_eq!(Testimony::default().is_version_at_least("3.0"), None);
    }

    #[test]
    fn the_librarys_version_is_the_one_it_runs_on() {
        let testimony = |library: &str| Testimony {
            library: Some(library.to_owned()),
            ..Testimony::default()
        };
        for (library, asked, expected) in [
            ("OpenSSL 3.5.7 9 Jun 2026", "1.1.1", Some(true)),
            ("OpenSSL 3.5.7 9 Jun 2026", "3.6.0", Some(false)),
            ("OpenSSL 1.1.1w  11 Sep 2023", "1.1.1n", Some(true)),
            ("OpenSSL 1.1.1k  25 Mar 2021", "1.1.1n", Some(false)),
            ("AWS-LC 1.40", "1.1.1", None),
        ] {
            let found = testimony(library).is_openssl_at_least(asked);
            assert_eq!(found, expected, "{library} {asked}");
        }
    }
}
