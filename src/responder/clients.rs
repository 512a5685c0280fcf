//! The connected clients: each may have a bounded number of connections.
//!
//! Pure but for a lock. A client is an IPv4 address, or the network of 64 bits that one IPv6 client
//! usually has to itself (RFC 6177): one that opens connections without end gets its own refused,
//! and no other client's.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Connections of one client at once; a cache or a proxy that asks for many has room.
pub(super) const MAX_PER_CLIENT: usize = 256;

/// The clients that are connected, each with the number of its connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection of a client; ends when dropped.
#[derive(Debug)]
pub(super) struct ClientPlace {
    clients: Clients,
    client: IpAddr,
}

impl Clients {
    /// A place for one more connection from this address; none where its client has all it may.
    pub(super) fn admit(&self, address: IpAddr) -> Option<ClientPlace> {
        let client = client(address);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(client).or_default();
        if *count >= MAX_PER_CLIENT {
            return None;
        }
        *count += 1;
        Some(ClientPlace {
            clients: self.clone(),
            client,
        })
    }
}

impl Drop for ClientPlace {
    fn drop(&mut self) {
        let mut counts = self
            .clients
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = counts.entry(self.client) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// The address that stands for all of a client's.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_client_has_its_places_and_gets_them_back() {
        let clients = Clients::default();
        let take = |text: &str| clients.admit(address(text));
        let mut places: Vec<ClientPlace> = (0..MAX_PER_CLIENT)
            .map(|_| take("192.0.2.1").unwrap())
            .collect();
        assert!(take("192.0.2.1").is_none());
        assert!(take("::ffff:192.0.2.1").is_none(), "the same one");
        let _other = take("192.0.2.2").unwrap();
        places.pop();
        let again = take("192.0.2.1");
        assert!(again.is_some() && take("192.0.2.1").is_none());
        drop((places, again));
        assert_eq!(clients.0.lock().unwrap().len(), 1, "one is left");
    }

    #[test]
    fn an_ipv6_client_has_a_network() {
        let clients = Clients::default();
        let _places: Vec<ClientPlace> = (0..MAX_PER_CLIENT)
            .map(|number| {
                clients
                    .admit(address(&format!("2001:db8::{number:x}")))
                    .unwrap()
            })
            .collect();
        assert!(clients.admit(address("2001:db8::1:2:3:4")).is_none());
        assert!(clients.admit(address("2001:db8:0:1::1")).is_some());
    }
}
