//! What cannot be tested on a machine is said, never passed over in silence.

use std::io::Write;

/// Says that something is not tested here. Written past the test harness, which would keep what a
/// passing test prints to itself.
pub fn skipped(what: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
}
