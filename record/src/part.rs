//! A part of a decoded batch, sealed again: what is left of a frame of which a sink took the rest.

use arrow_array::UInt32Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_select::take::take;

use crate::batch::{BatchHeader, BatchMeta, EncodeError, Encoder, SealedBatch};
use crate::columns::index_of;
use crate::decode::Batch;
use crate::extract;
use crate::runs::{Run, Runs};

const SEQ: usize = index_of("seq").unwrap();
const GAP_COUNT: usize = index_of("gap_count").unwrap();

impl Batch {
    /// Seals these rows alone, under the producer and number of the whole batch. Rows that are not there are left out.
    ///
    /// # Errors
    /// When no row is left, or arrow or zstd refuse the rows.
    pub fn part(&self, rows: &[usize], level: i32) -> Result<SealedBatch, EncodeError> {
        let there = |row: &&usize| **row < self.records.num_rows();
        let kept: Vec<u32> = rows.iter().filter(there).filter_map(|row| u32::try_from(*row).ok()).collect();
        if kept.is_empty() {
            return Err(EncodeError::Empty);
        }
        let seqs = Runs::of(kept.iter().filter_map(|row| self.run_at(*row as usize)));
        let (rows, indices) = (kept.len(), UInt32Array::from(kept));
        let columns = self.records.columns().iter().map(|column| take(column, &indices, None));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let producer = self.meta.producer.as_str().into();
        let mut sealed =
            SealedBatch { producer, batch_seq: self.meta.batch_seq, rows, seqs, bytes: bytes::Bytes::new() };
        sealed.bytes = Encoder::new().encode(&self.meta.header(), &sealed, columns, level)?;
        Ok(sealed)
    }

    /// The numbers that a row covers: one, or all that a gap declares.
    fn run_at(&self, row: usize) -> Option<Run> {
        let seq = self.records.column(SEQ).as_primitive::<Int64Type>().value(row);
        let count = extract::i64_at(&self.records, GAP_COUNT, row).unwrap_or(1);
        Run::between(seq, seq.checked_add(count.max(1) - 1)?)
    }
}

impl BatchMeta {
    /// What the producer stated, apart from what is this batch's own.
    fn header(&self) -> BatchHeader {
        BatchHeader {
            producer: self.producer.clone(),
            node_id: self.node_id.clone(),
            gateway_version: self.gateway_version.clone(),
            environment: self.environment.clone(),
            zone: self.zone.clone(),
            redaction_policy: self.redaction_policy.clone(),
            hmac_key_id: self.hmac_key_id.clone(),
        }
    }
}
