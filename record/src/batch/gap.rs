//! Gap batches: they declare the records that were shed.

use super::builder::{BatchBuilder, SealLimits};
use super::encode::EncodeError;
use super::meta::BatchHeader;
use super::{ROWS_MAX, SealedBatch};
use crate::record::Record;
use crate::vocabulary::{GapReason, Kind};

/// The zstd level of gap batches; they are small.
const LEVEL: i32 = 1;

/// A contiguous run of records that was shed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// When they were shed, in microseconds since 1970.
    pub time_us: i64,
    /// The first `seq` shed.
    pub seq: i64,
    /// How many records were shed, from `seq` on.
    pub count: i64,
    /// Why they were shed.
    pub reason: GapReason,
}

/// The batch number `batch_seq` of `header`'s producer, with one row for each of `gaps`.
pub fn gap_batch(header: &BatchHeader, batch_seq: u64, gaps: &[Gap]) -> Result<SealedBatch, EncodeError> {
    if gaps.len() > ROWS_MAX {
        return Err(EncodeError::TooManyGaps(gaps.len()));
    }
    let mut builder = BatchBuilder::new(header.clone(), SealLimits::default());
    for gap in gaps {
        builder.append(&Record {
            time_us: gap.time_us,
            seq: gap.seq,
            kind: Kind::Gap,
            gap_count: Some(gap.count),
            gap_reason: Some(gap.reason),
            ..Record::default()
        });
    }
    builder.seal_as(batch_seq, LEVEL)
}
