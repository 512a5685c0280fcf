//! What several integration tests share: a throwaway CA, real and fake HAProxys, TLS handshakes.

pub mod handshake;
pub mod haproxy;
pub mod pki;
pub mod session;
