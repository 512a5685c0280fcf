//! Finding certificates: scans of directories, and hints that one has changed.
//!
//! The scan is the truth; file-system events only say that it is time for one. What it finds are
//! files as HAProxy would load them from a directory or by name (configuration manual §5.1, `crt`),
//! and those that ocspbot's masks match; what to do about them is the agent's business. Private
//! keys that lie in the same files are never parsed, and the memory they were read into is wiped.

mod certificate_file;
mod chains;
mod listing;
mod pem_file;
mod scan;
mod selection;
pub mod source;
mod stamp;
mod watch;

#[cfg(test)]
mod tests;

pub use certificate_file::{Finding, read};
pub use chains::Chains;
pub use pem_file::{FileRefusal, LARGEST_FILE};
pub use scan::{Change, DirectoryError, PATIENCE, Scanner, SourceId};
pub use selection::{BUNDLE_SUFFIXES, Pattern, Selection, is_loaded_by_haproxy};
pub use stamp::Stamp;
pub use watch::{Hints, Interest, Interests};
