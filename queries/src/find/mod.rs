//! What happened to one request, by any id that a caller or a log may hold.
//!
//! A request id contains its time, its producer's tag and its number, so that a lookup reads one millisecond of one file.
//! When there is no such row, the id still tells what became of it: it was shed on purpose (a gap says so), it is missing
//! among records that did arrive, or it is not here yet.

mod absent;
mod explain;
mod ids;
mod lookup;
mod row;
mod story;

pub use absent::Absent;
pub use ids::Id;
pub use lookup::find;
pub use story::{Match, Stage, Story};
