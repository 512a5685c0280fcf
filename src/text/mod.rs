//! Text for people: what others have named, octets, counts and durations.
//!
//! Pure, and known to all rooms.

mod counts;
mod durations;
mod hexadecimal;
mod printable;

pub use counts::{counted, plural};
pub use durations::{DURATION, brief, parse_duration, shown_duration};
pub use hexadecimal::{from_hexadecimal, hexadecimal, shown_hexadecimal};
pub use printable::{Printable, Shown};
