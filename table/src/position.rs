//! Positions in the journal.

/// Index of a frame in the journal that feeds a table: 0, 1, 2 …
pub type Position = u64;
