//! The daemon's own control socket: how `staplerd status` and `staplerd renew` reach it.
//!
//! A unix stream socket. A client sends one line of JSON, a [`Request`], and gets one line of JSON
//! back, a [`Reply`]; then the connection is closed. Length, number and time of what clients do are
//! bounded, so that none of them can hold up the daemon. Who may connect is decided by the file
//! system alone: the socket has the mode 0660 and its directory's group.
//!
//! Answers nothing itself: requests are handed on as [`Question`]s.

mod client;
mod clients;
mod listener;
mod names;
mod protocol;
mod status;

pub use client::{AskError, ask};
pub use listener::{Answer, BindError, Listener, Question};
pub use names::Names;
pub use protocol::{
    InvalidRequest, MAX_REQUEST_BYTES, NotAsked, Refusal, Reloaded, Renewal, Reply, Request,
};
pub use status::{
    CertificateStatus, DirectoryStatus, LiveStatus, PlaceStatus, Problem, Process,
    QuarantinedStore, SCHEMA, SocketStatus, StapleStatus, Status,
};
