//! What a TLS client gets from a server: its certificates and the staple, and what they are worth.
//!
//! [`handshake()`] connects and looks, as a client that asks for a staple (RFC 6066 §8, RFC 8446
//! §4.4.2.1) and accepts every answer; [`judge()`] then judges the staple with `ocsp::verify`. It
//! sends nothing after the handshake, changes nothing, and trusts no certificate: whose issuer the
//! served chain names is taken at its word, because here the staple is looked at, not the server's
//! identity. `handshake` does the I/O, the other files are pure.

mod handshake;
mod judge;
mod target;

pub use handshake::{Error, Handshake, handshake};
pub use judge::{Judgement, StapleVerdict, covers, judge, name_to_ask};
pub use target::{InvalidTarget, ProbeTarget};
