//! The servers that have answered by HTTP before: a request's body is sent to no others.
//!
//! A POST carries the DER of a certificate's choosing, its serial number among it, as it is. So it
//! goes only to an address and port that has spoken HTTP to us; what has not is asked first with a
//! POST without a body. What TLS protects needs none of this. Behind a proxy an acquaintance is the
//! proxy together with the host and port it was sent to, and what the proxy itself says about a
//! host that it cannot reach is no word of that host.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Acquaintances remembered; beyond it all are forgotten and asked again.
const MOST: usize = 4096;
/// `HTTP/1.1 200` has so many bytes.
const STATUS_END: usize = 12;

/// All that have answered by HTTP.
#[derive(Default, Debug)]
pub(super) struct Acquaintances(Mutex<HashSet<Party>>);

/// A server that may have answered.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Party {
    /// Who listens at this address.
    At(SocketAddr),
    /// Who a proxy finds under this host and port.
    Behind(String),
}

/// One connection's other end, and what has been heard of it.
#[derive(Debug)]
pub(super) struct Acquaintance {
    known: Arc<Acquaintances>,
    party: Party,
    /// Nothing has come yet in answer to what was sent last.
    awaits_answer: bool,
}

/// A request's body would have been sent to a server that has not spoken HTTP yet.
#[derive(Debug, thiserror::Error)]
#[error("who listens there has not answered by HTTP yet")]
pub(super) struct Unacquainted;

impl Acquaintance {
    pub(super) fn new(known: Arc<Acquaintances>, party: Party) -> Self {
        Acquaintance {
            known,
            party,
            awaits_answer: false,
        }
    }

    /// Notes that `output` is to be sent.
    ///
    /// # Errors
    /// [`Unacquainted`] where it must not be.
    pub(super) fn sends(&mut self, output: &[u8]) -> Result<(), Unacquainted> {
        self.awaits_answer = true;
        if announces_a_body(output) && !self.known.contains(&self.party) {
            return Err(Unacquainted);
        }
        Ok(())
    }

    /// Notes what has come so far in answer to what was sent last.
    pub(super) fn hears(&mut self, input: &[u8]) {
        if !self.awaits_answer || input.len() < STATUS_END {
            return;
        }
        self.awaits_answer = false;
        let speaks_http = match &self.party {
            Party::At(_) => status(input).is_some(),
            Party::Behind(_) => status(input).is_some_and(is_from_behind),
        };
        if speaks_http {
            self.known.add(&self.party);
        }
    }
}

impl Acquaintances {
    fn contains(&self, party: &Party) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(party)
    }

    fn add(&self, party: &Party) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(party.clone());
    }
}

/// Whether this is the header of a request with a body; headers are ureq's, in lower case.
fn announces_a_body(output: &[u8]) -> bool {
    const EMPTY: &[u8] = b"\r\ncontent-length: 0\r\n";
    output.starts_with(b"POST ") && !output.windows(EMPTY.len()).any(|part| part == EMPTY)
}

/// The status of an answer that begins as HTTP/1 does.
fn status(input: &[u8]) -> Option<u16> {
    let rest = input.strip_prefix(b"HTTP/1.")?;
    match rest {
        [b'0' | b'1', b' ', digits @ ..] => {
            std::str::from_utf8(digits.get(..3)?).ok()?.parse().ok()
        }
        _ => None,
    }
}

/// Whether a status that came through a proxy can come from the server behind it. A proxy's own
/// statuses say that it must not, or could not (RFC 9110 §15.5, §15.6).
fn is_from_behind(status: u16) -> bool {
    status < 500 && ![403, 407].contains(&status)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 83\r\n\r\n";
    const EMPTY: &[u8] = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";

    fn direct(known: &Arc<Acquaintances>) -> Acquaintance {
        let party = Party::At("10.0.0.1:80".parse().unwrap());
        Acquaintance::new(Arc::clone(known), party)
    }

    #[test]
    fn a_body_goes_only_to_who_has_answered_by_http() {
        let known = Arc::default();
        let mut first = direct(&known);
        assert!(first.sends(HEADER).is_err());
        for no_answer in [
            &b"Unknown command: 'POST'"[..],
            b"220 mail.example ESMTP",
            b"HTTP/1.1",
            b"HTTP/2.0 200 OK",
            b"HTTP/1.1 2;x OK",
            b"-ERR unknown command",
        ] {
            assert!(first.sends(EMPTY).is_ok());
            first.hears(no_answer);
            assert!(first.sends(HEADER).is_err());
        }
        assert!(first.sends(EMPTY).is_ok());
        first.hears(b"HTTP/1.0 ");
        first.hears(b"HTTP/1.0 405 Method Not Allowed");
        assert!(first.sends(HEADER).is_ok());
        assert!(
            direct(&known).sends(HEADER).is_ok(),
            "on another connection"
        );
        let other = Party::At("10.0.0.1:81".parse().unwrap());
        let mut other = Acquaintance::new(known, other);
        assert!(other.sends(HEADER).is_err(), "another port is another one");
    }

    #[test]
    fn what_comes_late_in_an_answer_is_not_its_beginning() {
        let known = Arc::default();
        let mut party = direct(&known);
        assert!(party.sends(EMPTY).is_ok());
        party.hears(b"Unknown command:");
        party.hears(b"HTTP/1.1 200 OK\r\n");
        assert!(party.sends(HEADER).is_err());
    }

    #[test]
    fn a_proxys_own_refusal_is_nobodys_word() {
        for (answer, is_known) in [
            (&b"HTTP/1.1 502 Bad Gateway"[..], false),
            (b"HTTP/1.1 504 Gateway Timeout", false),
            (b"HTTP/1.1 403 Forbidden", false),
            (b"HTTP/1.1 407 Proxy Authentication Required", false),
            (b"HTTP/1.1 404 Not Found", true),
            (b"HTTP/1.1 200 OK", true),
        ] {
            let party = Party::Behind("ocsp.test:80".to_owned());
            let mut party = Acquaintance::new(Arc::default(), party);
            assert!(party.sends(EMPTY).is_ok());
            party.hears(answer);
            assert_eq!(party.sends(HEADER).is_ok(), is_known);
        }
    }
}
