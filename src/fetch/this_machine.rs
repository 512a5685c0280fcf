//! Whether an address is one of this machine's interfaces'.
//!
//! Asked of the kernel each time, because addresses come and go (a virtual one that moves to
//! another machine). Nothing is sent. It holds also where `ip_nonlocal_bind` lets programs bind
//! addresses that are not here, and where only sockets of IPv4 and IPv6 may be opened.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use rustix::net::sockopt::set_ip_multicast_if;

/// Whether one of this machine's interfaces has `address`. If it cannot be found out, the answer is
/// no: then no connection can be made either.
pub(super) fn has(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => has_ipv4(address).unwrap_or(false),
        IpAddr::V6(address) => has_ipv6(address).unwrap_or(false),
    }
}

/// The kernel takes an address for multicasts only if an interface has it (`ip(7)`,
/// `IP_MULTICAST_IF`); 0.0.0.0 stands for any.
fn has_ipv4(address: Ipv4Addr) -> std::io::Result<bool> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    Ok(!address.is_unspecified() && set_ip_multicast_if(&socket, &address).is_ok())
}

/// The source address for a destination is that destination if it is here (RFC 6724 §5, rule 1).
fn has_ipv6(address: Ipv6Addr) -> std::io::Result<bool> {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
    socket.connect((address, 9))?;
    Ok(socket.local_addr()?.ip() == IpAddr::V6(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_addresses_are_here_and_documentation_addresses_are_not() {
        for address in ["127.0.0.1", "127.1.2.3"] {
            assert!(has(address.parse().unwrap()), "{address}");
        }
        for address in [
            "192.0.2.1",
            "198.51.100.7",
            "2001:db8::1",
            "0.0.0.0",
            "255.255.255.255",
        ] {
            assert!(!has(address.parse().unwrap()), "{address}");
        }
        if UdpSocket::bind("[::1]:0").is_ok() {
            assert!(has("::1".parse().unwrap()));
        }
    }

    #[test]
    fn the_address_that_this_machine_sends_from_is_here() {
        // A route, and no packet, is all that is needed.
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        if socket.connect("192.0.2.1:9").is_ok() {
            let address = socket.local_addr().unwrap().ip();
            assert!(has(address), "{address}");
        }
    }
}
