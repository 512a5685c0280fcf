//! What several integration tests share: a throwaway CA, real and fake HAProxys, TLS handshakes,
//! and what is kept to be judged by others.

pub mod cutter;
pub mod fake_haproxy;
pub mod handshake;
pub mod haproxy;
pub mod intruder;
pub mod judged;
pub mod pki;
pub mod session;
