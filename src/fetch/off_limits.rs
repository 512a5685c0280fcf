//! Addresses that are never asked, even if the address rules allow them: HAProxy's control sockets,
//! and the program's own responder.
//!
//! Pure but for a lock: the list changes when the configuration, or HAProxy's, does. A listener on
//! one of this machine's addresses is one on all of them, for `*:9999` is connected to by any.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

use super::address::{Author, RefusedAddress, inner, is_loopback};

/// A TCP port of a listener that must not be asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForeignListener {
    /// Its address; where it is none, it was given by a name, and the port counts at every address.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// Who listens.
    pub kind: ListenerKind,
}

/// Who listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListenerKind {
    /// HAProxy, for commands: never asked, not even by the operator's word.
    ControlSocket,
    /// This program's responder: asked only by the operator's word, which is a URL of his, or its
    /// address and port among those that he allows.
    OwnResponder,
}

/// The listeners; clones share them.
#[derive(Clone, Default, Debug)]
pub struct OffLimits(Arc<RwLock<Vec<ForeignListener>>>);

impl OffLimits {
    /// These listeners count from now on, in place of those before.
    pub fn replace(&self, listeners: Vec<ForeignListener>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = listeners;
    }

    /// Whether a URL may lead to `port` at an address that only a proxy will know.
    pub(super) fn check_port(&self, port: u16) -> Result<(), RefusedAddress> {
        let listeners = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let is_controls = |listener: &ForeignListener| {
            listener.kind == ListenerKind::ControlSocket && listener.port == port
        };
        match listeners.iter().any(is_controls) {
            true => Err(RefusedAddress::ControlPort(port)),
            false => Ok(()),
        }
    }

    /// Whether a URL of this author may lead to `destination`, as far as this list goes; `is_own`
    /// says of an address whether it is one of this machine's interfaces', `is_named` of an address
    /// and port whether the operator allows exactly that.
    pub(super) fn check(
        &self,
        destination: SocketAddr,
        author: Author,
        is_own: impl Fn(IpAddr) -> bool,
        is_named: impl Fn(SocketAddr) -> bool,
    ) -> Result<(), RefusedAddress> {
        let is_here = |address| is_loopback(address) || is_own(address);
        let wanted = inner(destination.ip());
        let listeners = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = listeners.iter().find(|listener| {
            listener.port == destination.port()
                && match listener.address.map(inner) {
                    None => true,
                    Some(address) => address == wanted || is_here(address) && is_here(wanted),
                }
        });
        match (found.map(|listener| listener.kind), author) {
            (Some(ListenerKind::ControlSocket), _) => {
                Err(RefusedAddress::ControlSocket(destination))
            }
            (Some(ListenerKind::OwnResponder), Author::Stranger) if !is_named(destination) => {
                Err(RefusedAddress::OwnResponder(destination))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_this_machine_is_refused_at_all_its_addresses() {
        let off_limits = OffLimits::default();
        off_limits.replace(vec![
            ForeignListener {
                address: Some(IpAddr::from([127, 0, 0, 1])),
                port: 9999,
                kind: ListenerKind::ControlSocket,
            },
            ForeignListener {
                address: Some(IpAddr::from([10, 1, 1, 1])),
                port: 9998,
                kind: ListenerKind::ControlSocket,
            },
            ForeignListener {
                address: None,
                port: 9997,
                kind: ListenerKind::ControlSocket,
            },
            ForeignListener {
                address: Some(IpAddr::from([0, 0, 0, 0])),
                port: 8080,
                kind: ListenerKind::OwnResponder,
            },
        ]);
        let own = IpAddr::from([10, 0, 0, 5]);
        let is_refused = |destination: &str, author| {
            let destination = destination.parse().unwrap();
            let is_named = |named| named == SocketAddr::from(([127, 0, 0, 2], 8080));
            off_limits
                .check(destination, author, |address| address == own, is_named)
                .is_err()
        };
        for (destination, stranger, operator) in [
            ("127.0.0.1:9999", true, true),
            ("127.0.0.7:9999", true, true),
            ("0.0.0.0:9999", true, true),
            ("[::1]:9999", true, true),
            ("[::ffff:127.0.0.1]:9999", true, true),
            ("10.0.0.5:9999", true, true),
            ("10.0.0.6:9999", false, false),
            ("127.0.0.1:80", false, false),
            ("10.1.1.1:9998", true, true),
            ("127.0.0.1:9998", false, false),
            ("93.184.215.14:9997", true, true),
            ("127.0.0.1:8080", true, false),
            ("127.0.0.2:8080", false, false),
            ("10.0.0.5:8080", true, false),
            ("10.0.0.6:8080", false, false),
        ] {
            assert_eq!(
                is_refused(destination, Author::Stranger),
                stranger,
                "{destination}"
            );
            assert_eq!(
                is_refused(destination, Author::Operator),
                operator,
                "{destination}"
            );
        }
    }
}
