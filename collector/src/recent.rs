//! The last batches, decoded, so that every sink and the hot rows share one decoding.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tollgate_sink::{Delivery, Position};

/// Bounded by the memory that the batches take.
pub(crate) struct Recent {
    bytes_max: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
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
        let bytes = delivery.batch.records.get_array_memory_size();
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
