//! What happened to one request, by any id that a caller or a log may hold.
//!
//! A request id tells its time, its producer's tag and its number by itself, so that a lookup reads one millisecond of
//! one file; and when there is no such row, the id still tells what became of it: shed on purpose (a gap says so),
//! missing among records that did arrive, or not here yet.

mod absent;
mod ids;
mod lookup;
mod row;
mod story;
mod words;

pub use absent::Absent;
pub use ids::Id;
pub use lookup::find;
pub use story::{Match, Stage, Story};
