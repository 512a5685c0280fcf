//! The address of a control socket, as an operator or HAProxy itself writes it.
//!
//! Pure: it says what to connect to and connects to nothing. The forms are those of HAProxy's
//! `bind` and `stats socket` lines (configuration manual §11.2): a path, `unix@`, `ipv4@`, `ipv6@`,
//! `abns@`, `abnsz@`; and `tcp://`. `master:` before any of them means HAProxy's master CLI
//! (management guide §9.4) instead of a worker's own socket.

use std::fmt;
use std::str::FromStr;

/// The longest path that fits `sun_path` (108 bytes) with its closing zero byte (`unix(7)`).
pub const MAX_UNIX_PATH_BYTES: usize = 107;

/// Which of HAProxy's two command lines listens at an address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cli {
    /// A worker's own stats socket.
    Worker,
    /// The master process's socket, whose `@1` prefix reaches the current worker.
    Master,
}

/// What to connect to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Endpoint {
    /// A unix socket by path.
    Unix(String),
    /// A socket in Linux's abstract namespace: the bytes after the leading zero byte.
    Abstract(Vec<u8>),
    /// TCP: host (name or IP address, without brackets) and port.
    Tcp(String, u16),
}

/// A control socket's address.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Address {
    written: String,
    cli: Cli,
    endpoint: Endpoint,
}

/// Why a text is no control socket's address.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidAddress {
    /// No form this program or HAProxy knows.
    #[error("'{0}' is no control socket: give a path, tcp://host:port, abns@name, or master:/path")]
    UnknownForm(String),
    /// A unix path or abstract name longer than the kernel takes.
    #[error(
        "'{written}': the socket's name has {length} bytes, the system's limit is {MAX_UNIX_PATH_BYTES}"
    )]
    TooLong {
        /// The address as written.
        written: String,
        /// Bytes of its path or name.
        length: usize,
    },
    /// A TCP address without a host, or without a port between 1 and 65535.
    #[error("'{0}' needs a host and a port, as in tcp://127.0.0.1:9999 or tcp://[::1]:9999")]
    HostOrPort(String),
}

impl Address {
    /// Which command line listens there.
    pub fn cli(&self) -> Cli {
        self.cli
    }

    /// What to connect to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(written: &str) -> Result<Self, InvalidAddress> {
        let (cli, rest) = match written.strip_prefix("master:") {
            Some(rest) => (Cli::Master, rest),
            None => (Cli::Worker, written),
        };
        Ok(Address {
            written: written.to_owned(),
            cli,
            endpoint: endpoint(written, rest)?,
        })
    }
}

impl fmt::Display for Address {
    /// As it was written.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.written)
    }
}

fn endpoint(written: &str, rest: &str) -> Result<Endpoint, InvalidAddress> {
    if let Some(tcp) = ["tcp://", "ipv4@", "ipv6@"]
        .iter()
        .find_map(|prefix| rest.strip_prefix(prefix))
    {
        return host_and_port(tcp).ok_or_else(|| InvalidAddress::HostOrPort(written.to_owned()));
    }
    let bounded = |name: &str| {
        if name.len() > MAX_UNIX_PATH_BYTES {
            return Err(InvalidAddress::TooLong {
                written: written.to_owned(),
                length: name.len(),
            });
        }
        Ok(())
    };
    if let Some(name) = rest.strip_prefix("abns@").filter(|name| !name.is_empty()) {
        bounded(name)?;
        // HAProxy binds `abns@` with the whole of sun_path, the name filled up with zero bytes.
        let mut bytes = name.as_bytes().to_vec();
        bytes.resize(MAX_UNIX_PATH_BYTES, 0);
        return Ok(Endpoint::Abstract(bytes));
    }
    if let Some(name) = rest.strip_prefix("abnsz@").filter(|name| !name.is_empty()) {
        bounded(name)?;
        return Ok(Endpoint::Abstract(name.as_bytes().to_vec()));
    }
    let path = rest.strip_prefix("unix@").unwrap_or(rest);
    let is_bare = !path.contains('/');
    if path.is_empty()
        || is_bare && path.contains(':')
        || path.contains(['\0', '@']) && !path.starts_with(['/', '.'])
    {
        return Err(InvalidAddress::UnknownForm(written.to_owned()));
    }
    bounded(path)?;
    Ok(Endpoint::Unix(path.to_owned()))
}

fn host_and_port(text: &str) -> Option<Endpoint> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let host = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.strip_suffix(']')?,
        None => host,
    };
    if host.is_empty() || host.contains(['/', '[', ']', ' ']) {
        return None;
    }
    Some(Endpoint::Tcp(host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Address, InvalidAddress> {
        text.parse()
    }

    #[test]
    fn every_way_of_writing_a_socket_is_understood() {
        let tcp = |host: &str, port| Endpoint::Tcp(host.to_owned(), port);
        let unix = |path: &str| Endpoint::Unix(path.to_owned());
        for (text, endpoint) in [
            ("/run/haproxy/admin.sock", unix("/run/haproxy/admin.sock")),
            ("unix@/run/h.sock", unix("/run/h.sock")),
            ("./h.sock", unix("./h.sock")),
            ("h.sock", unix("h.sock")),
            ("tcp://127.0.0.1:9999", tcp("127.0.0.1", 9999)),
            ("tcp://[::1]:9999", tcp("::1", 9999)),
            ("tcp://haproxy.example:9999", tcp("haproxy.example", 9999)),
            ("ipv4@127.0.0.1:9999", tcp("127.0.0.1", 9999)),
            ("ipv6@::1:9999", tcp("::1", 9999)),
            ("ipv6@[::1]:9999", tcp("::1", 9999)),
            ("abnsz@h", Endpoint::Abstract(b"h".to_vec())),
        ] {
            let address = parse(text).unwrap();
            assert_eq!(address.endpoint(), &endpoint, "{text}");
            assert_eq!(address.cli(), Cli::Worker);
            assert_eq!(address.to_string(), text);
            let master = parse(&format!("master:{text}")).unwrap();
            assert_eq!(master.endpoint(), &endpoint, "{text}");
            assert_eq!(master.cli(), Cli::Master);
        }
    }

    #[test]
    fn abns_fills_the_whole_address_as_haproxy_does() {
        let Endpoint::Abstract(name) = parse("abns@h").unwrap().endpoint().clone() else {
            panic!("abstract");
        };
        assert_eq!(name.len(), MAX_UNIX_PATH_BYTES);
        assert!(name.starts_with(b"h\0"));
    }

    #[test]
    fn a_path_the_kernel_cannot_take_is_refused_with_its_length() {
        let longest = format!("/{}", "a".repeat(MAX_UNIX_PATH_BYTES - 1));
        assert!(parse(&longest).is_ok());
        let error = parse(&format!("{longest}b")).unwrap_err();
        assert!(error.to_string().contains("108 bytes"), "{error}");
        assert!(parse(&format!("abns@{longest}b")).is_err());
    }

    #[test]
    fn what_is_no_address_is_refused_in_one_line() {
        for text in [
            "",
            "localhost:9999",
            "master:",
            "tcp://",
            "tcp://h",
            "tcp://h:0",
            "tcp://h:65536",
            "tcp://:9",
            "tcp://[::1:9",
            "abns@",
            "unix@",
            "fd@3/x",
            "http@x/y",
        ] {
            let error = parse(text).unwrap_err();
            assert!(!error.to_string().contains('\n'), "{text}");
        }
    }
}
