//! The result of a query, and the forms in which it is sent.

mod render;

use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::memory_pool::MemoryReservation;

use crate::table::ScanCount;

pub use render::Format;
pub(crate) use render::{broken, head, rows_encoder, tail};

/// What is known of an answer when its last row has come.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Rows that were handed on.
    pub rows: usize,
    /// Whether rows were cut off at the limit.
    pub truncated: bool,
    /// Warnings for the reader: rows were cut off, or are not in the table yet.
    pub warnings: Vec<String>,
    /// Time from its acceptance to its last row, the wait for a permit included.
    pub elapsed: Duration,
    /// The files and hot batches that were read.
    pub scanned: ScanCount,
}

/// The rows that a query is answered with, collected under the limits.
#[derive(Debug)]
pub struct QueryResult {
    /// Names and types of the columns.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// Warnings for the reader: rows were cut off, or are not in the table yet.
    pub warnings: Vec<String>,
    /// Whether rows were cut off at the limit.
    pub truncated: bool,
    /// Time from its acceptance to its last row, the wait for a permit included.
    pub elapsed: Duration,
    /// The files and hot batches that were read.
    pub scanned: ScanCount,
    /// Holds the rows' share of the engine's memory until they are gone.
    _memory: MemoryReservation,
}

impl QueryResult {
    pub(crate) fn new(
        schema: SchemaRef,
        batches: Vec<RecordBatch>,
        summary: Summary,
        memory: MemoryReservation,
    ) -> Self {
        let Summary { truncated, warnings, elapsed, scanned, .. } = summary;
        Self { schema, batches, warnings, truncated, elapsed, scanned, _memory: memory }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}
