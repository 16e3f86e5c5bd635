//! Batches: rows of one producer, sealed into one self-contained file.

mod builder;
mod column;
mod encode;
mod gap;
mod meta;
mod rows;

pub use builder::{BatchBuilder, SealLimits};
pub use encode::EncodeError;
pub(crate) use encode::Encoder;
pub use gap::{Gap, gap_batch};
pub use meta::{BatchHeader, BatchMeta, key};

use std::sync::Arc;

use bytes::Bytes;

use crate::runs::Runs;

/// The most rows of a batch, whatever its [`SealLimits`] are.
pub const ROWS_MAX: usize = 65_536;
/// A builder refuses rows past this many bytes before compression, whatever its [`SealLimits`] are.
pub const RAW_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A batch, ready to be sent, spooled or journaled: its bytes are the same in all three places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedBatch {
    /// Who numbered the records.
    pub producer: Arc<str>,
    /// The batch's number among the producer's batches: 1, 2, 3 …
    pub batch_seq: u64,
    /// How many rows it holds.
    pub rows: usize,
    /// The `seq`s it covers. A gap row covers all that were shed.
    pub seqs: Runs,
    /// One zstd frame around one Arrow IPC stream.
    pub bytes: Bytes,
}

impl SealedBatch {
    /// The smallest `seq` covered.
    pub fn first_seq(&self) -> i64 {
        self.seqs.first().unwrap_or(0)
    }

    /// The largest `seq` covered.
    pub fn last_seq(&self) -> i64 {
        self.seqs.last().unwrap_or(0)
    }
}
