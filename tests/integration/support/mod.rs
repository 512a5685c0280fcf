//! What several integration tests share: a throwaway CA, real and fake HAProxys, TLS handshakes.

pub mod fake_haproxy;
pub mod handshake;
pub mod haproxy;
pub mod pki;
pub mod session;
