//! OCSP: requests to send, and the one gate through which responses become staples.
//!
//! HAProxy staples every response without a check of its own, so [`verify()`] is the only check
//! between a responder and the clients. Everything works on the received bytes, allocates in
//! proportion to them and touches no clock: `now` is an argument. It neither fetches nor stores.
//! Governed by RFC 6960, RFC 9919 (lightweight profile) and RFC 9654 (nonce).

// What strangers have written is read here.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

pub mod cert_id;
pub mod extension;
pub mod rejection;
pub mod request;
pub mod responder;
pub mod response;
pub mod staple;
pub mod verify;

#[cfg(test)]
mod tests;

pub use cert_id::CertId;
pub use rejection::{NotStapleable, Rejection, ResponderError};
pub use request::{encode_request, get_url};
pub use responder::Signer;
pub use response::{CertificateStatus, RevocationReason};
pub use staple::{Standing, Staple, SuccessionError, check_succession};
pub use verify::{Assessment, CLIENT_MAXIMUM_AGE, Note, Policy, Subject, verify};
