//! A `stats socket` line: its addresses, as something to connect to, and what may be done there.
//!
//! Pure. Governed by the configuration manual §2.9 (address formats) and §3.1 (`stats socket`):
//! what HAProxy listens at with a wildcard is connected to by the loopback address.

use std::path::Path;

use super::ControlSocket;
use super::notice::{LineLocation, Remark};
use super::wanted::known;
use super::words::Word;
use crate::haproxy::Level;

/// What separates the parts of a list of addresses.
const SEPARATOR: char = ',';
/// The prefixes of unix sockets by path.
const UNIX: [&str; 2] = ["unix", "uxst"];
/// Prefixes that say no more than that the socket carries a stream.
const STREAM: &str = "stream+";

/// The sockets of the line's arguments that can be used, and what there is to say about others.
pub fn read(
    place: &LineLocation,
    arguments: &[Word],
    start: &Path,
) -> (Vec<ControlSocket>, Option<Remark>) {
    let (written, level) = match address_and_level(arguments) {
        Ok(found) => found,
        Err(remark) => return (Vec::new(), Some(remark)),
    };
    let mut remark = None;
    let mut sockets = Vec::new();
    for written in written.split(SEPARATOR) {
        if is_relative(written) {
            remark = Some(Remark::RelativePath {
                path: written.to_owned(),
                folder: start.to_owned(),
            });
        }
        match control_address(written, start) {
            Some(address) => sockets.push(ControlSocket {
                address,
                level,
                place: place.clone(),
            }),
            None => remark = Some(Remark::UnusableSocket(written.to_owned())),
        }
    }
    (sockets, remark)
}

fn address_and_level(arguments: &[Word]) -> Result<(String, Level), Remark> {
    let written = known(arguments.first(), "stats socket")?;
    let mut level = Level::Operator;
    let mut parameters = arguments.iter().skip(1);
    while let Some(parameter) = parameters.next() {
        match parameter.text.as_str() {
            "ssl" => return Err(Remark::TlsSocket(written)),
            "level" => {
                level = match known(parameters.next(), "level")?.as_str() {
                    "user" => Level::User,
                    "admin" => Level::Admin,
                    _ => Level::Operator,
                };
            }
            _ => {}
        }
    }
    Ok((written, level))
}

fn is_relative(written: &str) -> bool {
    let parts = written.split_once('@');
    parts.is_some_and(|(family, path)| UNIX.contains(&family) && !path.starts_with('/'))
}

/// An address as a path, `abns@NAME`, `abnsz@NAME` or `tcp://HOST:PORT`; none for an address
/// without a name to connect to (`fd@`, `sockpair@` and the like). Relative paths are relative to
/// `start`, the folder in which HAProxy was started.
fn control_address(written: &str, start: &Path) -> Option<String> {
    let address = written.strip_prefix(STREAM).unwrap_or(written);
    if address.starts_with('/') {
        return Some(address.to_owned());
    }
    let (family, rest) = address.split_once('@').unwrap_or(("", address));
    match family {
        family if UNIX.contains(&family) => Some(start.join(rest).to_str()?.to_owned()),
        "abns" | "abnsz" => Some(format!("{family}@{rest}")),
        "" | "ipv4" | "tcp" | "tcp4" => tcp(rest, "127.0.0.1"),
        "ipv6" | "tcp6" => tcp(rest, "::1"),
        _ => None,
    }
}

/// `HOST:PORT`, the host perhaps empty, `*`, in brackets, or IPv6 without them.
fn tcp(address: &str, loopback: &str) -> Option<String> {
    let (host, ports) = address.rsplit_once(':')?;
    let port: u16 = ports.split('-').next()?.parse().ok()?;
    let host = host
        .strip_prefix('[')
        .map_or(Some(host), |host| host.strip_suffix(']'))?;
    let host = match host {
        "" | "*" => loopback,
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        other => other,
    };
    Some(if host.contains(':') {
        format!("tcp://[{host}]:{port}")
    } else {
        format!("tcp://{host}:{port}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(written: &str) -> Option<String> {
        control_address(written, Path::new("/start"))
    }

    #[test]
    fn every_address_that_can_be_connected_to_is_said_so_that_it_can_be() {
        for (written, expected) in [
            ("/run/haproxy/admin.sock", "/run/haproxy/admin.sock"),
            ("unix@/run/h.sock", "/run/h.sock"),
            ("unix@h.sock", "/start/h.sock"),
            ("stream+unix@/run/h.sock", "/run/h.sock"),
            ("abns@haproxy", "abns@haproxy"),
            ("abnsz@haproxy", "abnsz@haproxy"),
            ("127.0.0.1:9999", "tcp://127.0.0.1:9999"),
            ("ipv4@10.0.0.1:9999", "tcp://10.0.0.1:9999"),
            (":9999", "tcp://127.0.0.1:9999"),
            ("*:9999", "tcp://127.0.0.1:9999"),
            ("0.0.0.0:9999", "tcp://127.0.0.1:9999"),
            ("ipv4@*:9999-9999", "tcp://127.0.0.1:9999"),
            ("ipv6@:9999", "tcp://[::1]:9999"),
            ("[::]:9999", "tcp://[::1]:9999"),
            (":::9999", "tcp://[::1]:9999"),
            ("::1:9999", "tcp://[::1]:9999"),
            ("[2001:db8::1]:9999", "tcp://[2001:db8::1]:9999"),
            ("localhost:9999", "tcp://localhost:9999"),
        ] {
            assert_eq!(address(written).as_deref(), Some(expected), "{written}");
        }
    }

    #[test]
    fn what_nobody_can_connect_to_is_no_address() {
        for written in [
            "fd@3",
            "sockpair@4",
            "udp@:1",
            "quic4@:1",
            "h.sock",
            "",
            "[::1:9",
            "a:b",
        ] {
            assert_eq!(address(written), None, "{written}");
        }
    }
}
