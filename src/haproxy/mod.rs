//! The way to HAProxy: staples into a running process, over its control socket.
//!
//! `connection`, `processes` and `session` do the talking, one session for each control socket; the
//! other files are pure. This room does not decide what
//! to deliver or when to try again: it carries out single deliveries and reports what became of
//! them. HAProxy's management guide §9.3 and §9.4 describe the commands, §9.1 the levels.

pub mod address;
pub mod codec;
pub mod command;
pub mod connection;
pub mod error;
pub mod level;
pub mod notice;
pub mod offer;
pub mod outcome;
pub mod process;
pub mod processes;
mod quarantine;
pub mod reply;
pub mod sentinel;
pub mod session;
mod stores;
pub mod versions;

pub use address::Address;
pub use error::{DeliveryError, Error};
pub use level::Level;
pub use notice::ProcessNotice;
pub use offer::Offer;
pub use outcome::{Arrival, SessionReport};
pub use process::{Circumstances, Process};
pub use processes::Processes;
pub use quarantine::Quarantine;
pub use reply::Fingerprint;
pub use session::{Settings, run};
pub use versions::Push;
