//! Lists of control sockets, as several sections of the configuration file have them.
//!
//! Pure.

use super::document::Table;
use crate::haproxy::Address;

/// A list of control sockets.
pub(super) fn sockets(table: &Table<'_>, key: &'static str) -> Vec<Address> {
    let parsed = table.read(key, |value| value.list(|item| item.parsed(str::parse)));
    parsed.unwrap_or_default()
}
