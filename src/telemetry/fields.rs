//! The form of what a log line says: the message, then each field as `name=value`.
//!
//! Every value passes here on its way to a stream or a file, so a record with any name or answer of
//! a stranger's is one line and steers no terminal. What goes to the journal is shown in the same
//! way.

use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::debug_fn;

use crate::text::Printable;

/// The form of the fields of every line.
pub(super) fn fields() -> impl for<'writer> FormatFields<'writer> + Send + Sync + 'static {
    debug_fn(|writer, field, value| {
        let value = format!("{value:?}");
        match field.name() {
            "message" => write!(writer, "{}", value.printable()),
            name => write!(writer, "{name}={}", value.printable()),
        }
    })
    .delimited(" ")
}
