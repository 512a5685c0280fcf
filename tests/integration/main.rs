//! The one integration-test binary; each module tests one promise of the program from outside.
#![allow(clippy::unwrap_used)]

mod corpus;
mod openssl;
mod verify_command;

#[path = "../support/pki.rs"]
mod pki;
