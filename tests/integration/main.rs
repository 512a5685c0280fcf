//! The one integration-test binary; each module tests one promise of the program from outside.
#![allow(clippy::unwrap_used)]

mod architecture;
mod haproxy_lifecycle;
mod haproxy_session;
mod support;
