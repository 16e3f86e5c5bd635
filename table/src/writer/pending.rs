//! Batches that wait for the next commit.

use std::sync::Arc;
use std::time::Instant;

use arrow_array::{Array as _, RecordBatch};
use tollgate_record::{Batch, schema};

use crate::{Position, TableError};

/// One batch on its way into the table.
#[derive(Clone)]
pub(crate) struct PendingBatch {
    pub(super) producer: Arc<str>,
    pub(super) batch_seq: u64,
    pub(super) records: RecordBatch,
}

impl PendingBatch {
    pub(crate) fn of(batch: &Batch) -> Self {
        let meta = &batch.meta;
        Self { producer: meta.producer.as_str().into(), batch_seq: meta.batch_seq, records: batch.records.clone() }
    }
}

/// All of them, in order of position.
#[derive(Default)]
pub(super) struct Pending {
    pub batches: Vec<PendingBatch>,
    pub rows: usize,
    pub bytes: usize,
    pub first: Position,
    pub last: Position,
    /// When the first of them came; `None` while there is none.
    pub since: Option<Instant>,
}

impl Pending {
    pub fn push(&mut self, position: Position, batch: PendingBatch) {
        let records = &batch.records;
        if self.since.is_none() {
            self.since = Some(Instant::now());
            self.first = position;
        }
        self.last = position;
        self.rows += records.num_rows();
        let columns = records.columns().iter();
        self.bytes += columns.map(|column| column.to_data().get_slice_memory_size().unwrap_or(0)).sum::<usize>();
        self.batches.push(batch);
    }
}

/// Refuses a batch that no commit could ever store.
pub(super) fn check_canonical(records: &RecordBatch) -> Result<(), TableError> {
    let wire = schema::wire();
    if records.schema_ref().fields() != wire.fields() {
        return Err(TableError::Malformed("the batch is not in the canonical schema".to_owned()));
    }
    // A dictionary can hide a null behind a key that is none.
    let required = wire.fields().iter().zip(records.columns()).filter(|(field, _)| !field.is_nullable());
    for (field, column) in required {
        if column.logical_null_count() > 0 {
            return Err(TableError::Malformed(format!("column `{}` has rows without a value", field.name())));
        }
    }
    Ok(())
}
