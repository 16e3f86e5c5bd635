//! Which row groups of a data file may hold an id: filters beside the file, so that the search for one correlation id of a month
//! opens one data file and not a thousand.
//!
//! For every row group and each of [`COLUMNS`] there is a binary fuse filter of 16-bit fingerprints (Graf and Lemire: Binary Fuse
//! Filters, ACM JEA 27, 2022) over the distinct values. It takes 2.3 bytes a value, never denies a value that is there, and
//! confirms one that is not in one of 65,536 cases. Crate `xorf` builds them. They are not loaded: a look-up reads the three
//! blocks in which its fingerprints are, one request a file.
//!
//! # On disk
//! ```text
//!   TABLE/_tollgate/v1/date=2026-11-23/NAME/ids        beside TABLE/date=2026-11-23/NAME.parquet; integers are little-endian
//!
//!   filter │ filter │ … │ directory │ groups u32 │ crc32c u32 │ "TGIDS\0\0\x01"       crc32c: of the directory and `groups`
//!
//!   filter      block │ block │ …          the last one is shorter
//!   block       up to 1,020 bytes of it │ crc32c u32      CRC-32C that begins with the block's number within its filter
//!   directory   a group of 112 bytes for each row group, in the file's order:
//!   group       key [16] │ entry of correlation_id [32] │ of trace_id [32] │ of client_ip [32]
//!   entry       kind u8 │ 0 [3] │ values u32 │ offset u64 │ seed u64 │ segment u32 │ segments u32
//!                 0 nothing   no row has a value
//!                 1 fuse      `segments` + 2 · `segment` fingerprints u16, from byte `offset` of the file on
//!                 2 list      the hashes u64, ascending: where that is smaller
//!                 3 anything  nothing is known, so any value may be there
//! ```
//! A value's hash is SipHash-1-3 of its bytes under the group's key, which is random: who chooses ids chooses no hashes, so nobody
//! can make filters that cannot be built or that confirm too much. `seed`, `segment` (length of a segment, a power of two) and
//! `segments` (length of all segments) are the descriptor of crate `xorf`, whose fingerprints these are.
//!
//! Every byte that an answer relies on is under a checksum: the directory under one, each block under its own, as one flipped
//! bit would deny an id that is there. They cost 0.4 %.
//!
//! The filters of a concatenation are those of its inputs, one after the other: nothing is built again.
//!
//! # Limits
//! `GROUPS_MAX` row groups a file, `VALUES_MAX` values a row group. What is past them is not built, or refused.

mod build;
mod cache;
mod directory;
mod filter;
mod lookup;
mod merge;
#[cfg(test)]
mod tests;

pub(crate) use build::IdsBuilder;
pub(crate) use directory::Directory;
#[cfg(any(test, fuzzing))]
pub use directory::fuzz;
pub use lookup::{candidates, row_groups_with};
pub(crate) use merge::merge;

/// Columns that have filters, in the order of a group's entries.
pub const COLUMNS: [&str; 3] = ["correlation_id", "trace_id", "client_ip"];
/// Name of the part.
pub const PART: &str = "ids";

/// Most row groups of a file.
pub(crate) const GROUPS_MAX: usize = 16_384;
/// Most values of a row group.
pub(crate) const VALUES_MAX: usize = 1 << 24;
/// Most values of a list: from 13 on a filter is smaller.
const LIST_MAX: usize = 12;

/// Bytes of a filter in one block.
const BLOCK_DATA: usize = 1_020;
/// Bytes of a whole block.
const BLOCK_BYTES: usize = BLOCK_DATA + 4;
