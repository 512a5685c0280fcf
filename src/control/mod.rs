//! The daemon's own control socket: how `staplerd status` and `staplerd renew` reach it.
//!
//! A unix stream socket. A client sends one line of JSON, a [`ControlRequest`], and gets one line
//! of JSON back, a [`ControlReply`]; then the connection is closed. Length, number and time of what
//! clients do are bounded, so that none of them can hold up the daemon. Who may connect is decided
//! by the file system alone: the socket has the mode 0660 and its directory's group.
//!
//! Answers nothing itself: requests are handed on as [`ControlQuestion`]s.

mod client;
mod clients;
mod listener;
mod names;
mod protocol;
mod status;

pub use client::{AskError, ask};
pub use listener::{BindError, ControlQuestion, Listener, PendingReply};
pub use names::Names;
pub use protocol::{
    ControlRefusal, ControlReply, ControlRequest, InvalidRequest, MAX_REQUEST_BYTES, NotAsked,
    Reloaded, Renewal,
};
pub use status::{
    CertificateView, DirectoryStatus, LiveStatus, PlaceView, Problem, ProcessView,
    QuarantinedStore, SCHEMA, SocketStatus, StapleStatus, StatusView, StoreDifference,
};
