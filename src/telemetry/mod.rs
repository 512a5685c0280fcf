//! What the operator gets to see: the log.
//!
//! The rooms below return what happened; it is put into words and written here, once.

mod log;
mod report;

pub use log::{Verbosity, start};
pub use report::{log_report, status_line};
