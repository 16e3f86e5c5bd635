//! Journaled batches in memory, in front of the table's files.
//!
//! Bound: `bytes_max`. Beyond it the oldest batch goes, and the rows that went are counted until a commit covers them.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::Array as _;
use arrow_array::cast::AsArray as _;
use arrow_array::types::TimestampMicrosecondType;
use tollgate_record::Batch;

use crate::Position;
use crate::snapshot::HotBatch;

/// Evicted batches are remembered one by one up to this number, and then in groups.
const EVICTIONS_MAX: usize = 4_096;

#[derive(Debug)]
pub(crate) struct HotRows {
    bytes_max: usize,
    batches: VecDeque<Arc<HotBatch>>,
    bytes: usize,
    rows: u64,
    last: Option<Position>,
    evicted: VecDeque<Evicted>,
    evicted_rows: u64,
    evicted_rows_total: u64,
}

#[derive(Debug)]
struct Evicted {
    last: Position,
    rows: u64,
}

impl HotBatch {
    pub(crate) fn new(position: Position, batch: &Batch) -> Self {
        let records = batch.records.clone();
        let times = records.column_by_name("time");
        let times = times.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
        let min_time_us = times.and_then(arrow::compute::min).unwrap_or(i64::MIN);
        let max_time_us = times.and_then(arrow::compute::max).unwrap_or(i64::MAX);
        let columns = records.columns().iter();
        let bytes = columns.map(|column| column.to_data().get_slice_memory_size().unwrap_or(0)).sum();
        let (producer, batch_seq) = (batch.meta.producer.as_str().into(), batch.meta.batch_seq);
        Self { position, producer, batch_seq, records, min_time_us, max_time_us, bytes }
    }
}

impl HotRows {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            batches: VecDeque::new(),
            bytes: 0,
            rows: 0,
            last: None,
            evicted: VecDeque::new(),
            evicted_rows: 0,
            evicted_rows_total: 0,
        }
    }

    /// Takes a batch, unless it was seen before.
    pub(crate) fn push(&mut self, batch: HotBatch) {
        if self.last.is_some_and(|last| batch.position <= last) {
            return;
        }
        self.last = Some(batch.position);
        self.bytes += batch.bytes;
        self.rows += batch.records.num_rows() as u64;
        self.batches.push_back(Arc::new(batch));
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.pop_front() else { break };
            self.remember_evicted(&oldest);
        }
    }

    /// Drops everything up to `through`, which is in the table now.
    pub(crate) fn drop_through(&mut self, through: Position) {
        while self.batches.front().is_some_and(|batch| batch.position <= through) {
            self.pop_front();
        }
        while self.evicted.front().is_some_and(|evicted| evicted.last <= through) {
            if let Some(evicted) = self.evicted.pop_front() {
                self.evicted_rows -= evicted.rows;
            }
        }
    }

    /// Drops batches that are in the table though their positions are not: another writer brought them.
    pub(crate) fn drop_where(&mut self, is_stored: impl Fn(&HotBatch) -> bool) {
        let (bytes, rows) = (&mut self.bytes, &mut self.rows);
        self.batches.retain(|batch| {
            let stays = !is_stored(batch);
            if !stays {
                *bytes -= batch.bytes;
                *rows -= batch.records.num_rows() as u64;
            }
            stays
        });
    }

    fn pop_front(&mut self) -> Option<Arc<HotBatch>> {
        let batch = self.batches.pop_front()?;
        self.bytes -= batch.bytes;
        self.rows -= batch.records.num_rows() as u64;
        Some(batch)
    }

    fn remember_evicted(&mut self, batch: &HotBatch) {
        let rows = batch.records.num_rows() as u64;
        self.evicted_rows += rows;
        self.evicted_rows_total += rows;
        let full = self.evicted.len() >= EVICTIONS_MAX;
        match self.evicted.back_mut() {
            // The group counts as missing until its last batch is committed: rather warn too long than too short.
            Some(newest) if full => {
                newest.last = batch.position;
                newest.rows += rows;
            }
            _ => self.evicted.push_back(Evicted { last: batch.position, rows }),
        }
    }

    pub(crate) fn batches(&self) -> Vec<Arc<HotBatch>> {
        self.batches.iter().cloned().collect()
    }

    pub(crate) fn len(&self) -> u64 {
        self.batches.len() as u64
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) fn evicted_rows(&self) -> u64 {
        self.evicted_rows
    }

    pub(crate) fn evicted_rows_total(&self) -> u64 {
        self.evicted_rows_total
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
    use tollgate_record::BatchMeta;

    use super::*;

    fn batch(position: Position, rows: i64) -> HotBatch {
        let times = TimestampMicrosecondArray::from_iter_values(position as i64..position as i64 + rows);
        let times: ArrayRef = Arc::new(times.with_timezone("UTC"));
        let records = RecordBatch::try_from_iter([("time", times)]).unwrap();
        HotBatch::new(position, &Batch { meta: meta(position), records })
    }

    fn meta(batch_seq: u64) -> BatchMeta {
        BatchMeta {
            record_version: 1,
            producer: "gate-1/5f/0".to_owned(),
            node_id: "gate-1".to_owned(),
            batch_seq,
            first_seq: 0,
            last_seq: 0,
            gateway_version: String::new(),
            environment: String::new(),
            zone: String::new(),
            redaction_policy: String::new(),
            hmac_key_id: String::new(),
        }
    }

    #[test]
    fn knows_its_times() {
        let batch = batch(7, 3);
        assert_eq!((batch.min_time_us, batch.max_time_us), (7, 9));
        assert_eq!(batch.bytes, 24);
    }

    #[test]
    fn the_oldest_goes_at_the_bound_and_is_counted_until_committed() {
        let mut hot = HotRows::new(200);
        for position in 0..4 {
            hot.push(batch(position, 10));
        }
        assert_eq!((hot.len(), hot.bytes(), hot.rows()), (2, 160, 20));
        assert_eq!((hot.evicted_rows(), hot.evicted_rows_total()), (20, 20));
        hot.drop_through(0);
        assert_eq!((hot.len(), hot.evicted_rows()), (2, 10));
        hot.drop_through(2);
        assert_eq!((hot.len(), hot.evicted_rows(), hot.evicted_rows_total()), (1, 0, 20));
    }

    #[test]
    fn batches_that_another_writer_stored_go_wherever_they_stand() {
        let mut hot = HotRows::new(1_000);
        (0..4).for_each(|position| hot.push(batch(position, 2)));
        hot.drop_where(|batch| batch.batch_seq == 1 || batch.batch_seq == 3);
        let left: Vec<_> = hot.batches().iter().map(|batch| batch.position).collect();
        assert_eq!((left, hot.rows(), hot.bytes()), (vec![0, 2], 4, 32));
    }

    #[test]
    fn a_batch_is_taken_once() {
        let mut hot = HotRows::new(1_000);
        hot.push(batch(3, 1));
        hot.push(batch(3, 1));
        hot.push(batch(2, 1));
        assert_eq!(hot.len(), 1);
    }

    #[test]
    fn evictions_are_remembered_in_bounded_memory() {
        let mut hot = HotRows::new(0);
        let total = EVICTIONS_MAX as u64 + 100;
        for position in 0..total {
            hot.push(batch(position, 1));
        }
        assert_eq!(hot.evicted.len(), EVICTIONS_MAX);
        assert_eq!(hot.evicted_rows(), total);
        hot.drop_through(total - 1);
        assert_eq!(hot.evicted_rows(), 0);
    }
}
