//! The reference: a sink whose destination is a list in memory, which outlives it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow_array::Array as _;
use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use async_trait::async_trait;
use tollgate_record::columns;

use super::{Destination, Promise, Stored};
use crate::{Delivery, Position, Sink, SinkError};

/// A destination that survives the sinks that write to it.
#[derive(Debug, Default)]
pub struct Store {
    /// How often each record was stored.
    pub records: BTreeMap<(String, i64), u64>,
    /// The last position stored, and letters stored beside it.
    pub through: Option<Position>,
    letters: Vec<(String, u64)>,
    failing: bool,
}

/// Holds frames back until there are some, then stores them and the position at once.
pub struct MemorySink {
    store: Arc<Mutex<Store>>,
    held: Vec<Delivery>,
    held_max: usize,
}

impl MemorySink {
    /// A sink of this store that holds up to so many frames back.
    pub fn new(store: Arc<Mutex<Store>>, held_max: usize) -> Self {
        Self { store, held: Vec::new(), held_max }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush(&mut self) -> Result<Option<Position>, SinkError> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        if store.failing && !self.held.is_empty() {
            return Err(SinkError::Retry { reason: "told to fail".to_owned(), after: None });
        }
        for frame in self.held.drain(..) {
            store.put(&frame);
            store.through = Some(frame.position);
        }
        Ok(store.through)
    }
}

impl Store {
    fn put(&mut self, frame: &Delivery) {
        for identity in identities(frame).unwrap_or_default() {
            *self.records.entry(identity).or_default() += 1;
        }
    }
}

/// The records of a frame, or `None` if it lacks what identifies them.
fn identities(frame: &Delivery) -> Option<Vec<(String, i64)>> {
    let records = &frame.batch.records;
    let seq = columns::index_of("seq")?;
    let seqs = records.columns().get(seq)?.as_primitive_opt::<Int64Type>()?;
    // A frame that lacks any column is not what a collector delivers.
    let is_whole = records.num_columns() == tollgate_record::schema::wire().fields().len() && seqs.null_count() == 0;
    is_whole.then(|| seqs.values().iter().map(|seq| (frame.batch.meta.producer.clone(), *seq)).collect())
}

#[async_trait]
impl Sink for MemorySink {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn recover(&mut self) -> Result<Option<Position>, SinkError> {
        self.held.clear();
        Ok(self.store().through)
    }

    async fn deliver(&mut self, frames: &[Delivery]) -> Result<Option<Position>, SinkError> {
        for frame in frames {
            let seen = self.held.last().map(|held| held.position).max(self.store().through);
            if Some(frame.position) <= seen {
                continue;
            }
            if identities(frame).is_none() {
                let reason = "the batch lacks canonical columns".to_owned();
                return Err(SinkError::Reject { position: frame.position, reason });
            }
            if self.held.len() >= self.held_max {
                self.flush()?;
            }
            self.held.push(frame.clone());
            tokio::task::yield_now().await;
        }
        if frames.is_empty() { self.flush() } else { Ok(self.store().through) }
    }

    async fn replay(&mut self, frame: &Delivery) -> Result<(), SinkError> {
        if identities(frame).is_none() {
            let reason = "the batch lacks canonical columns".to_owned();
            return Err(SinkError::Reject { position: frame.position, reason });
        }
        let letter = (frame.batch.meta.producer.clone(), frame.batch.meta.batch_seq);
        let mut store = self.store();
        if !store.letters.contains(&letter) {
            store.put(frame);
            store.letters.push(letter);
        }
        Ok(())
    }

    fn poll_interval(&self) -> Duration {
        Duration::from_millis(1)
    }
}

/// A place around a [`Store`].
pub struct MemoryDestination {
    /// The store, which outlives the sinks.
    pub store: Arc<Mutex<Store>>,
    held_max: usize,
}

impl MemoryDestination {
    /// An empty store whose sinks hold up to so many frames back.
    pub fn new(held_max: usize) -> Self {
        Self { store: Arc::default(), held_max }
    }
}

#[async_trait]
impl Destination for MemoryDestination {
    async fn open(&mut self) -> Box<dyn Sink> {
        Box::new(MemorySink::new(Arc::clone(&self.store), self.held_max))
    }

    async fn stored(&mut self) -> Stored {
        Stored::Records(self.store.lock().unwrap_or_else(PoisonError::into_inner).records.clone())
    }

    fn promise(&self) -> Promise {
        Promise::ExactlyOnce
    }

    async fn set_failing(&mut self, failing: bool) -> bool {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).failing = failing;
        true
    }
}
