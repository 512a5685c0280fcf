//! Which URLs are asked instead of the ones a certificate names.
//!
//! Pure: the operator's map from an issuer or a responder's host to another URL, or to none. An
//! entry for the issuer outranks entries for hosts. What the map sends a request to needs no
//! permission by the address rules; what it is signed by is still the issuer's business.

use super::Error;
use super::url::parse_url;
use crate::x509::NamePattern;

/// The operator's map.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Overrides {
    issuers: Vec<(NamePattern, Option<String>)>,
    hosts: Vec<(String, Option<String>)>,
}

/// An entry of the map that cannot be meant.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidOverride {
    /// The key names nothing.
    #[error(
        "'{key}' is neither an issuer such as 'CN=Example CA' nor a host such as ocsp.example:80"
    )]
    Key {
        /// The key as it was given.
        key: String,
    },
    /// The value is not a URL that can be asked.
    #[error("{0}")]
    Url(Error),
}

impl Overrides {
    /// Reads entries of a key and a URL, or none for "do not ask". A key with a `=` is a part of
    /// the issuer's subject (`CN=Example CA`, `O=Example, CN=Example CA`); any other is a host, or
    /// `host:port`, of a URL in the certificate.
    ///
    /// # Errors
    /// [`InvalidOverride`] for the first entry that cannot be meant.
    pub fn parse<'a>(
        entries: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Result<Self, InvalidOverride> {
        let mut overrides = Overrides::default();
        for (key, url) in entries {
            if let Some(url) = url {
                parse_url(url).map_err(InvalidOverride::Url)?;
            }
            let url = url.map(str::to_owned);
            let key = key.trim();
            if let Some(issuer) = NamePattern::parse(key) {
                overrides.issuers.push((issuer, url));
            } else if parse_url(&format!("http://{key}")).is_ok_and(|uri| uri.path() == "/") {
                overrides.hosts.push((key.to_ascii_lowercase(), url));
            } else {
                let key = key.to_owned();
                return Err(InvalidOverride::Key { key });
            }
        }
        Ok(overrides)
    }

    /// The URLs that the operator wrote.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        let of_issuers = self.issuers.iter().map(|(_, url)| url);
        let of_hosts = self.hosts.iter().map(|(_, url)| url);
        of_issuers.chain(of_hosts).filter_map(|url| url.as_deref())
    }

    /// The URLs to ask for a certificate that names `urls` and was issued by `issuer` (the issuer's
    /// subject as `x509::Certificate::subject_display` shows it). None left means: do not ask.
    pub fn apply(&self, issuer: &str, urls: &[String]) -> Vec<String> {
        let by_issuer = self
            .issuers
            .iter()
            .find(|(pattern, _)| pattern.matches(issuer));
        if let Some((_, url)) = by_issuer {
            return url.iter().cloned().collect();
        }
        let mut applied: Vec<String> = Vec::new();
        for url in urls {
            let url = match self.by_host(url) {
                Some(replacement) => replacement.as_ref(),
                None => Some(url),
            };
            applied.extend(url.filter(|url| !applied.contains(url)).cloned());
        }
        applied
    }

    fn by_host(&self, url: &str) -> Option<&Option<String>> {
        let uri = parse_url(url).ok()?;
        let authority = uri.authority()?;
        let found = self.hosts.iter().find(|(key, _)| {
            key.eq_ignore_ascii_case(authority.host())
                || key.eq_ignore_ascii_case(authority.as_str())
        });
        found.map(|(_, url)| url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "C=XX, O=Example, CN=Example CA 1";
    const CACHE: &str = "http://cache.internal:8080/";

    fn apply(entries: &[(&str, Option<&str>)], urls: &[&str]) -> Vec<String> {
        let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
        let overrides = Overrides::parse(entries.iter().copied()).unwrap();
        overrides.apply(ISSUER, &urls)
    }

    #[test]
    fn an_issuer_is_named_by_part_of_its_subject() {
        let urls = ["http://ocsp.example/"];
        for key in ["CN=Example CA 1", "O=Example, CN=Example CA 1", ISSUER] {
            assert_eq!(apply(&[(key, Some(CACHE))], &urls), [CACHE], "{key}");
        }
        for key in ["CN=Example CA", "CN=Example CA 1, O=Other"] {
            assert_eq!(apply(&[(key, Some(CACHE))], &urls), urls, "{key}");
        }
        assert!(apply(&[("O=Example", None)], &urls).is_empty());
        assert_eq!(apply(&[("O=Example", Some(CACHE))], &[]), [CACHE]);
    }

    #[test]
    fn a_host_is_replaced_wherever_it_stands_in_the_list() {
        let urls = ["http://OCSP.example/a", "http://other.example:81/b"];
        assert_eq!(
            apply(&[("ocsp.example", Some(CACHE))], &urls),
            [CACHE, urls[1]]
        );
        assert_eq!(apply(&[("other.example:81", None)], &urls), [urls[0]]);
        assert_eq!(apply(&[("other.example:80", None)], &urls), urls);
        let both = [
            ("ocsp.example", Some(CACHE)),
            ("other.example", Some(CACHE)),
        ];
        assert_eq!(apply(&both, &urls), [CACHE]);
    }

    #[test]
    fn the_issuers_entry_outranks_the_hosts() {
        let entries = [("ocsp.example", None), ("O=Example", Some(CACHE))];
        assert_eq!(apply(&entries, &["http://ocsp.example/"]), [CACHE]);
    }

    #[test]
    fn entries_that_cannot_be_meant_are_refused() {
        for (key, url) in [
            ("", None),
            ("http://ocsp.example/", None),
            ("ocsp.example/path", None),
            ("ocsp.example", Some("ftp://cache.internal/")),
            ("CN=Example CA", Some("")),
        ] {
            assert!(Overrides::parse([(key, url)]).is_err(), "{key}: {url:?}");
        }
    }
}
