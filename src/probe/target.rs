//! Where a server is: `HOST:PORT` as people write it.
//!
//! Pure: nothing is resolved here.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// The port of HTTPS, where none is given.
const HTTPS: u16 = 443;

/// A server to connect to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbeTarget {
    host: String,
    port: u16,
}

/// The text names no server.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("'{0}' is no HOST:PORT such as www.example.com:443, 192.0.2.1:443 or [2001:db8::1]:443")]
pub struct InvalidTarget(String);

impl ProbeTarget {
    /// The host's name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The host as an address, if it is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl FromStr for ProbeTarget {
    type Err = InvalidTarget;

    /// Reads `HOST`, `HOST:PORT`, `[IPV6]`, `[IPV6]:PORT` or `IPV6`.
    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let invalid = || InvalidTarget(text.to_owned());
        let (host, port) = if text.parse::<Ipv6Addr>().is_ok() {
            (text, None)
        } else if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or_else(invalid)?;
            host.parse::<Ipv6Addr>().map_err(|_| invalid())?;
            match rest {
                "" => (host, None),
                _ => (host, Some(rest.strip_prefix(':').ok_or_else(invalid)?)),
            }
        } else {
            match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        let port = match port {
            None => HTTPS,
            Some(port) => port.parse().map_err(|_| invalid())?,
        };
        let is_strange = |character: char| character.is_whitespace() || character.is_control();
        if host.is_empty() || port == 0 || host.contains(is_strange) || host.contains('/') {
            return Err(invalid());
        }
        Ok(ProbeTarget {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for ProbeTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_read_with_and_without_a_port() {
        for (text, host, port) in [
            ("www.example.com:8443", "www.example.com", 8443),
            ("www.example.com", "www.example.com", 443),
            ("192.0.2.1:1", "192.0.2.1", 1),
            ("[2001:db8::1]:8443", "2001:db8::1", 8443),
            ("[::1]", "::1", 443),
            ("::1", "::1", 443),
        ] {
            let target: ProbeTarget = text.parse().unwrap();
            assert_eq!((target.host(), target.port()), (host, port), "{text}");
            assert_eq!(target.to_string().parse(), Ok(target), "{text}");
        }
    }

    #[test]
    fn what_names_no_server_is_refused_with_an_example() {
        for text in [
            "",
            ":443",
            "a:",
            "a:0",
            "a:70000",
            "a:b:c",
            "[::1",
            "[::1]443",
            "[a]:1",
            "https://www.example.com",
            "two words",
        ] {
            let error = text.parse::<ProbeTarget>().unwrap_err().to_string();
            assert!(error.contains("www.example.com:443"), "{error}");
        }
    }
}
