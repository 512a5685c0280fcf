//! The one integration-test binary; each module tests one promise of the program from outside.
#![allow(clippy::unwrap_used)]

mod architecture;
mod commands;
mod corpus;
mod daemon;
mod features;
mod fetch;
mod haproxy_config;
mod haproxy_faults;
mod haproxy_framing;
mod haproxy_lifecycle;
mod haproxy_session;
mod haproxy_strangers;
mod haproxy_transactions;
mod hostile;
mod judges;
mod once;
mod openssl;
mod responder;
mod scripted_responder;
mod seeds;
mod simulation;
mod skip;
mod support;
mod tls_responder;
mod verify_command;

#[path = "../support/pki.rs"]
mod pki;
#[path = "../support/strange_haproxy/mod.rs"]
mod strange_haproxy;
