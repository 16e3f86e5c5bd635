//! The result of a query, and the forms in which it is sent.

mod render;

use std::time::Duration;

use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryReservation;

use crate::table::ScanCount;

pub use render::Format;

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
    pub(crate) memory: Option<MemoryReservation>,
}

impl QueryResult {
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Self {
            schema,
            batches: Vec::new(),
            warnings: Vec::new(),
            truncated: false,
            elapsed: Duration::ZERO,
            scanned: ScanCount::default(),
            memory: None,
        }
    }

    /// Adds rows, if the memory limit allows it.
    pub(crate) fn push(&mut self, batch: RecordBatch, memory: &MemoryReservation) -> Result<()> {
        let mut bytes = 0;
        for column in batch.columns() {
            bytes += column.to_data().get_slice_memory_size()?;
        }
        memory.try_grow(bytes)?;
        if batch.num_rows() > 0 {
            self.batches.push(batch);
        }
        Ok(())
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}
