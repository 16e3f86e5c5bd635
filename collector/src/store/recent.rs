//! The last batches, decoded, so that every sink and the hot rows share one decoding.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use arrow_array::{Array, RecordBatch};
use tollgate_sink::{Delivery, Position};

/// Bounded by the memory that the batches take.
pub(crate) struct Recent {
    bytes_max: usize,
    held: Mutex<Batches>,
}

#[derive(Default)]
struct Batches {
    /// In ascending order of position.
    deliveries: VecDeque<(Delivery, usize)>,
    bytes: usize,
}

impl Recent {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, held: Mutex::default() }
    }

    /// Takes the next batch. Positions ascend.
    pub(crate) fn insert(&self, delivery: Delivery) {
        let bytes = memory_bytes(&delivery.batch.records);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.bytes += bytes;
        held.deliveries.push_back((delivery, bytes));
        while held.bytes > self.bytes_max
            && let Some((_, bytes)) = held.deliveries.pop_front()
        {
            held.bytes -= bytes;
        }
    }

    pub(crate) fn get(&self, position: Position) -> Option<Delivery> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let at = held.deliveries.binary_search_by_key(&position, |(delivery, _)| delivery.position).ok()?;
        held.deliveries.get(at).map(|(delivery, _)| delivery.clone())
    }
}

/// What a decoded batch takes up. Its columns are slices of one buffer, which `get_array_memory_size` would count once
/// for each of them.
pub(crate) fn memory_bytes(records: &RecordBatch) -> usize {
    records.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or(0)).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tollgate_record::{BatchBuilder, BatchHeader, DecodeLimits, Record, SealLimits, decode};

    use super::*;

    fn delivery(position: Position, rows: i64) -> Delivery {
        let header = BatchHeader {
            producer: "gw-1/5f/0".to_owned(),
            node_id: "gw-1".to_owned(),
            gateway_version: "0.1.0".to_owned(),
            environment: "test".to_owned(),
            zone: "here".to_owned(),
            redaction_policy: "default".to_owned(),
            hmac_key_id: "none".to_owned(),
        };
        let mut builder = BatchBuilder::new(header, SealLimits::default());
        for seq in 1..=rows {
            builder.append(&Record { time_us: seq, seq, path: Some("/members/1"), ..Record::default() });
        }
        let batch = decode(&builder.seal(1).expect("seals").bytes, &DecodeLimits::default()).expect("decodes");
        Delivery { position, received_us: 0, batch: Arc::new(batch) }
    }

    #[test]
    fn a_batch_counts_what_it_takes_and_not_its_buffer_for_each_column() {
        let bytes = memory_bytes(&delivery(0, 1000).batch.records);
        assert!((16_000..1_000_000).contains(&bytes), "{bytes} bytes for 1,000 small records");
    }

    #[test]
    fn past_its_bound_the_oldest_goes() {
        let one = memory_bytes(&delivery(0, 100).batch.records);
        let recent = Recent::new(one * 2);
        for position in 0..3 {
            recent.insert(delivery(position, 100));
        }
        assert!(recent.get(0).is_none());
        assert_eq!(recent.get(1).map(|delivery| delivery.position), Some(1));
        assert!(recent.get(2).is_some() && recent.get(3).is_none());
    }
}
