//! The way to HAProxy: staples into a running process, over its control socket.
//!
//! `address`, `codec`, `sentinel`, `command`, `reply`, `notice`, `outcome`, `quarantine`, `stores`
//! and `versions` are pure; `connection` and
//! `session` do the talking, one session for each control socket. This room does not decide what
//! to deliver or when to try again: it carries out single deliveries and reports what became of
//! them. HAProxy's management guide §9.3 and §9.4 describe the commands, §9.1 the levels.

pub mod address;
pub mod codec;
pub mod command;
pub mod connection;
pub mod notice;
pub mod outcome;
pub mod processes;
mod quarantine;
pub mod reply;
pub mod sentinel;
pub mod session;
mod stores;
pub mod versions;

pub use address::Address;
pub use notice::ProcessNotice;
pub use outcome::{Arrival, DeliveryError, Error, Process, SessionReport};
pub use processes::Processes;
pub use quarantine::Quarantine;
pub use reply::Fingerprint;
pub use session::{Offer, Settings, run};
pub use versions::Push;
