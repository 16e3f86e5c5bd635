//! The dead letter queue: what a sink refused for good, and what it passed over.
//!
//! ```text
//!   dlq/SINK/POSITION.arrows.zst, .json      waiting: the frame's payload as it was posted, and the reason
//!   dlq/SINK/replay/POSITION.arrows.zst …    the collector offers it to the sink again, at its next look or start
//!   dlq/SINK/skipped.jsonl                   one line for each run of positions that the sink passed over
//! ```

mod admin;
pub(crate) mod store;

pub use admin::{DeadLetter, Letter, Place, SkippedRange, list, place, replay, skipped};
pub use store::DEAD_LETTER_DIR;
