//! The builder: rows in, sealed batches out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::encode::{EncodeError, Encoder};
use super::meta::BatchHeader;
use super::rows::Rows;
use super::{RAW_BYTES_MAX, ROWS_MAX, SealedBatch};
use crate::id::{ProducerName, SEQ_MAX};
use crate::record::Record;
use crate::runs::{Run, Runs};
use crate::vocabulary::Kind;

/// When a batch is worth sealing: whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealLimits {
    /// Rows; 4,096 by default.
    pub records_max: usize,
    /// Bytes before compression; 512 KiB by default.
    pub bytes_max: usize,
    /// Age of the oldest row; 200 ms by default.
    pub age_max: Duration,
}

impl Default for SealLimits {
    fn default() -> Self {
        Self { records_max: 4096, bytes_max: 512 * 1024, age_max: Duration::from_millis(200) }
    }
}

/// Collects the rows of one producer and seals them into batches.
///
/// [`append`](BatchBuilder::append) allocates nothing once the buffers have grown to the size of a full batch. The builder does no I/O
/// and starts no timer: the caller checks [`is_full`](BatchBuilder::is_full) after each row and [`is_due`](BatchBuilder::is_due)
/// from time to time, and seals.
pub struct BatchBuilder {
    header: BatchHeader,
    producer: Arc<str>,
    limits: SealLimits,
    rows: Rows,
    /// The `seq`s covered, in order of arrival; neighbours are joined as they come.
    runs: Vec<Run>,
    len: usize,
    raw_bytes: usize,
    refused: u64,
    first_append_at: Option<Instant>,
    next_batch_seq: u64,
    encoder: Encoder,
}

impl BatchBuilder {
    /// An empty builder for the producer that `header` names; its first batch has number 1.
    pub fn new(header: BatchHeader, limits: SealLimits) -> Self {
        Self {
            producer: header.producer.as_str().into(),
            header,
            limits,
            rows: Rows::new(),
            runs: Vec::new(),
            len: 0,
            raw_bytes: 0,
            refused: 0,
            first_append_at: None,
            next_batch_seq: 1,
            encoder: Encoder::new(),
        }
    }

    /// Appends one row. The order of `seq`s is free.
    ///
    /// Past [`ROWS_MAX`] rows or [`RAW_BYTES_MAX`] bytes, which only a caller that never seals reaches, rows are dropped and counted
    /// in [`refused`](BatchBuilder::refused); the audit reports their `seq`s as missing.
    pub fn append(&mut self, record: &Record<'_>) {
        if self.len >= ROWS_MAX || self.raw_bytes >= RAW_BYTES_MAX {
            self.refused += 1;
            return;
        }
        if self.len == 0 {
            self.first_append_at = Some(Instant::now());
        }
        self.raw_bytes += self.rows.append(record);
        self.len += 1;
        let covered = match record.kind {
            Kind::Gap => record.gap_count.unwrap_or(1),
            _ => 1,
        };
        let run = Run { first: record.seq, last: record.seq.saturating_add(covered.max(1) - 1) };
        if !self.runs.last_mut().is_some_and(|before| before.append(run)) {
            self.runs.push(run);
        }
    }

    /// Returns the number of rows in the open batch.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether the open batch has no rows.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the size of the open batch before compression, without its schema (about 10 KiB).
    pub fn raw_bytes(&self) -> usize {
        self.raw_bytes
    }

    /// Returns whether the open batch has reached its limit of rows or bytes.
    pub fn is_full(&self) -> bool {
        self.len >= self.limits.records_max || self.raw_bytes >= self.limits.bytes_max
    }

    /// Returns whether the oldest row of the open batch has reached the limit of age.
    pub fn is_due(&self, now: Instant) -> bool {
        let age = self.first_append_at.map(|at| now.saturating_duration_since(at));
        age.is_some_and(|age| age >= self.limits.age_max)
    }

    /// Returns when the oldest row of the open batch was appended.
    pub fn first_append_at(&self) -> Option<Instant> {
        self.first_append_at
    }

    /// Returns when the oldest row reaches the limit of age; `None` while the batch is empty.
    pub fn due_at(&self) -> Option<Instant> {
        self.first_append_at.map(|at| at + self.limits.age_max)
    }

    /// Returns the number of rows dropped because the batch was not sealed in time.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Returns what the producer states in each of its batches.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Takes the next batch number for a batch that this builder does not make: see [`gap_batch`](crate::gap_batch).
    pub fn take_batch_seq(&mut self) -> u64 {
        let batch_seq = self.next_batch_seq;
        self.next_batch_seq += 1;
        batch_seq
    }

    /// Seals the rows into a batch, compressed at zstd `level`, and starts the next one with the same memory.
    ///
    /// An error drops the rows and leaves the batch number unused. It means that these rows or this header can never be written, so
    /// a second attempt would fail as well.
    pub fn seal(&mut self, level: i32) -> Result<SealedBatch, EncodeError> {
        let batch_seq = self.next_batch_seq;
        let sealed = self.seal_as(batch_seq, level)?;
        self.next_batch_seq = batch_seq + 1;
        Ok(sealed)
    }

    /// Seals the rows under the number `batch_seq`.
    pub(super) fn seal_as(&mut self, batch_seq: u64, level: i32) -> Result<SealedBatch, EncodeError> {
        let rows = std::mem::take(&mut self.len);
        self.raw_bytes = 0;
        self.first_append_at = None;
        let seqs = seqs(&mut self.runs);
        let arrays = self.rows.finish(&self.header, rows)?;
        if rows == 0 {
            return Err(EncodeError::Empty);
        }
        let mut sealed =
            SealedBatch { producer: self.producer.clone(), batch_seq, rows, seqs: seqs?, bytes: bytes::Bytes::new() };
        let producer = ProducerName::parse(&self.header.producer)?;
        if producer.node_id != self.header.node_id {
            return Err(EncodeError::NodeId(self.header.node_id.clone()));
        }
        sealed.bytes = self.encoder.encode(&self.header, &sealed, arrays, level)?;
        Ok(sealed)
    }
}

/// The set of `seq`s that arrived; `arrived` is emptied.
fn seqs(arrived: &mut Vec<Run>) -> Result<Runs, EncodeError> {
    let out_of_range = arrived.iter().find(|run| run.first < 1 || run.last > SEQ_MAX).map(|run| run.first);
    let seqs = Runs::disjoint(arrived).map_err(EncodeError::DuplicateSeq);
    out_of_range.map_or(seqs, |seq| Err(EncodeError::Seq(seq)))
}
