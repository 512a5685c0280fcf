//! What the operator gets to see: the log.
//!
//! The rooms below return what happened; it is put into words and written here, once.

mod fields;
mod file;
mod flood;
mod journal;
mod log;
mod once;
mod report;
mod syslog;

pub use flood::tell_held_back;
pub use log::{Settings, Verbosity, start, start_with};
pub use once::{Sink, start_once};
pub use report::{LogNames, Outlook, log_report, status_line};
