//! The levels of a control socket.
//!
//! Pure: how they are written in haproxy.cfg and said by HAProxy. Governed by the configuration
//! manual §3.1 (`stats socket … level`) and the management guide §9.3 (`show cli level`).

/// How much a connection to HAProxy may do (`level` on the `stats socket` line).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Looking at counters.
    User,
    /// Looking at everything, changing little: the default.
    Operator,
    /// Everything.
    Admin,
}

impl Level {
    /// The word haproxy.cfg has for it.
    pub fn word(self) -> &'static str {
        match self {
            Level::User => "user",
            Level::Operator => "operator",
            Level::Admin => "admin",
        }
    }
}
