//! Which way a request takes: straight to the responder or through a forward proxy.
//!
//! Pure. Reads the usual three settings (`http_proxy`, `https_proxy`, `no_proxy`) and decides per
//! URL. An `http` URL is asked for in absolute form (RFC 9112 §3.2.2), an `https` URL through a
//! CONNECT tunnel (RFC 9110 §9.3.6). The proxy itself is the operator's choice and not subject to
//! the address rules.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ipnet::IpNet;
use ureq::http::Uri;

use super::Error;

/// The proxies in use.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    exceptions: Vec<Exception>,
}

/// A forward proxy that is spoken to in plain HTTP.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    /// Value of `Proxy-Authorization`, where the proxy's URL had a user and password.
    pub(super) authorization: Option<String>,
}

impl fmt::Debug for Proxy {
    /// Without the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Proxy({}:{})", self.host, self.port)
    }
}

/// An entry of `no_proxy`.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Exception {
    Everything,
    Network(IpNet),
    /// A domain and all below it; with a port only that port.
    Domain(String, Option<u16>),
}

/// The way to a URL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Route<'a> {
    Direct {
        host: &'a str,
        port: u16,
    },
    Proxied {
        proxy: &'a Proxy,
        host: &'a str,
        port: u16,
    },
}

/// What else is spoken to proxies, and `http` with something wrong behind it.
const OTHER_SCHEMES: [&str; 7] = [
    "http", "https", "socks4", "socks4a", "socks5", "socks5h", "socks",
];

/// A proxy setting that is not `http://[user:password@]host:port`.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the proxy must be given as http://[user:password@]host:port, not as {scheme}")]
pub struct InvalidProxy {
    /// What stood before the `://`, if it is a scheme that proxies have.
    scheme: &'static str,
}

impl Proxies {
    /// Reads the settings `http_proxy`, `https_proxy` and `no_proxy`; empty ones count as absent.
    ///
    /// # Errors
    /// [`InvalidProxy`] for a proxy that is not spoken to in plain HTTP or has no host.
    pub fn parse(
        http: Option<&str>,
        https: Option<&str>,
        no_proxy: &str,
    ) -> Result<Self, InvalidProxy> {
        let read = |setting: Option<&str>| {
            setting
                .map(str::trim)
                .filter(|setting| !setting.is_empty())
                .map(Proxy::parse)
                .transpose()
        };
        let exceptions = no_proxy
            .split([',', ' '])
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .map(Exception::parse)
            .collect();
        Ok(Proxies {
            http: read(http)?,
            https: read(https)?,
            exceptions,
        })
    }

    /// Reads the variables of an environment, given by `variable`. `HTTP_PROXY` in capitals is not
    /// read: a web server sets it from a request's header.
    ///
    /// # Errors
    /// As [`Proxies::parse`].
    pub fn from_environment(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, InvalidProxy> {
        let either = |lower, upper| variable(lower).or_else(|| variable(upper));
        Proxies::parse(
            variable("http_proxy").as_deref(),
            either("https_proxy", "HTTPS_PROXY").as_deref(),
            &either("no_proxy", "NO_PROXY").unwrap_or_default(),
        )
    }

    /// The way to `uri`.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`] when it is no `http` or `https` URL with a host and a port from 1 on.
    pub(super) fn route<'a>(&'a self, uri: &'a Uri) -> Result<Route<'a>, Error> {
        let invalid = |reason| Error::InvalidUrl {
            url: uri.to_string(),
            reason,
        };
        let (proxy, default_port) = match uri.scheme_str() {
            Some("http") => (&self.http, 80),
            Some("https") => (&self.https, 443),
            _ => return Err(invalid("only http and https are asked")),
        };
        let host = uri
            .host()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| invalid("it has no host"))?;
        let port = match uri.port() {
            None => default_port,
            Some(port) => port.as_u16(),
        };
        if port == 0 {
            return Err(invalid("port 0"));
        }
        let direct = self
            .exceptions
            .iter()
            .any(|exception| exception.covers(host, port));
        Ok(match proxy {
            Some(proxy) if !direct => Route::Proxied { proxy, host, port },
            _ => Route::Direct { host, port },
        })
    }
}

impl Proxy {
    fn parse(setting: &str) -> Result<Self, InvalidProxy> {
        let (scheme, rest) = setting.split_once("://").unwrap_or(("http", setting));
        // The rest may contain a password.
        let known = OTHER_SCHEMES.iter().find(|known| **known == scheme);
        let invalid = || InvalidProxy {
            scheme: known.copied().unwrap_or("this"),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, address) = match rest.rsplit_once('@') {
            Some((credentials, address)) => (Some(credentials), address),
            None => (None, rest),
        };
        let uri: Uri = format!("http://{address}/")
            .parse()
            .map_err(|_| invalid())?;
        let host = uri.host().filter(|host| !host.is_empty());
        let is_host_alone = uri.authority().map(|it| it.as_str()) == host;
        let port = uri.port_u16().or(is_host_alone.then_some(80));
        match (scheme, host, port, uri.path()) {
            ("http", Some(host), Some(port), "/") if port != 0 => Ok(Proxy {
                host: host.to_owned(),
                port,
                authorization: credentials
                    .map(|text| format!("Basic {}", BASE64_STANDARD.encode(decode(text)))),
            }),
            _ => Err(invalid()),
        }
    }
}

/// Undoes percent-encoding; what is not a valid escape stays as it is.
fn decode(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes().iter();
    while let Some(&byte) = bytes.next() {
        let escaped = (byte == b'%')
            .then(|| bytes.as_slice().get(..2))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped {
            Some(value) => {
                decoded.push(value);
                bytes.nth(1);
            }
            None => decoded.push(byte),
        }
    }
    decoded
}

impl Exception {
    fn parse(entry: &str) -> Self {
        if entry == "*" {
            return Exception::Everything;
        }
        let bare = entry.trim_start_matches('[').trim_end_matches(']');
        if let Ok(network) = entry
            .parse::<IpNet>()
            .or_else(|_| bare.parse::<IpAddr>().map(IpNet::from))
        {
            return Exception::Network(network);
        }
        let entry = entry.trim_start_matches("*.").trim_start_matches('.');
        let (domain, port) = match entry.rsplit_once(':') {
            Some((domain, port)) => (domain, port.parse().ok()),
            None => (entry, None),
        };
        Exception::Domain(domain.to_ascii_lowercase(), port)
    }

    fn covers(&self, host: &str, port: u16) -> bool {
        match self {
            Exception::Everything => true,
            Exception::Network(network) => host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .parse::<IpAddr>()
                .is_ok_and(|address| network.contains(&address)),
            Exception::Domain(domain, only_port) => {
                let host = host.to_ascii_lowercase();
                only_port.is_none_or(|only| only == port)
                    && host
                        .strip_suffix(domain.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxied(proxies: &Proxies, url: &str) -> bool {
        let uri: Uri = url.parse().unwrap();
        matches!(proxies.route(&uri).unwrap(), Route::Proxied { .. })
    }

    #[test]
    fn each_scheme_has_its_proxy_and_no_proxy_lists_the_exceptions() {
        let proxies = Proxies::parse(
            Some("http://proxy.example:3128"),
            Some(""),
            "internal.example, .corp, 10.0.0.0/8,[fd00::1],ocsp.example:8080",
        )
        .unwrap();
        for url in [
            "http://ocsp.example/",
            "http://notinternal.example/",
            "http://11.0.0.1/",
        ] {
            assert!(proxied(&proxies, url), "{url}");
        }
        for url in [
            "https://ocsp.example/",
            "http://internal.example/",
            "http://OCSP.Internal.Example/",
            "http://a.corp/",
            "http://10.9.8.7/",
            "http://[fd00::1]/",
            "http://ocsp.example:8080/",
        ] {
            assert!(!proxied(&proxies, url), "{url}");
        }
        let none = Proxies::parse(Some("proxy:3128"), Some("proxy:3128"), "*").unwrap();
        assert!(!proxied(&none, "http://ocsp.example/"));
    }

    #[test]
    fn a_proxy_may_have_credentials_and_needs_no_scheme_or_port() {
        let proxy = Proxy::parse("http://user:p%40ss@proxy.example:3128/").unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("proxy.example", 3128));
        let expected = format!("Basic {}", BASE64_STANDARD.encode("user:p@ss"));
        assert_eq!(proxy.authorization, Some(expected));
        assert_eq!(Proxy::parse("proxy.example").unwrap().port, 80);
    }

    #[test]
    fn other_kinds_of_proxy_are_refused_without_repeating_a_password() {
        for setting in [
            "socks5://u:secret@proxy:1080",
            "https://u:secret@proxy",
            "http://:80",
            "u:secret@proxy://proxy:80",
            "u:secret@proxy:port",
        ] {
            let error = Proxy::parse(setting).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_environment_is_read_as_usual_but_for_http_proxy_in_capitals() {
        let set = |names: &'static [&'static str]| {
            Proxies::from_environment(move |name| {
                names
                    .contains(&name)
                    .then(|| "http://proxy:3128".to_owned())
            })
            .unwrap()
        };
        assert!(proxied(&set(&["http_proxy"]), "http://ocsp.example/"));
        assert!(proxied(&set(&["HTTPS_PROXY"]), "https://ocsp.example/"));
        assert!(!proxied(&set(&["HTTP_PROXY"]), "http://ocsp.example/"));
    }

    #[test]
    fn only_http_and_https_urls_have_a_way() {
        let proxies = Proxies::default();
        for url in [
            "ftp://ocsp.example/",
            "ldap://ocsp.example/",
            "/path",
            "http://a:0/",
        ] {
            let uri: Uri = url.parse().unwrap();
            assert_eq!(
                proxies.route(&uri).unwrap_err().kind(),
                "invalid_url",
                "{url}"
            );
        }
    }
}
