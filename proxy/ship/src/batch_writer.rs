//! Collects the rows of one worker into batches.
//!
//! The writer has two builders. The [`Sealer`](crate::Sealer) seals a full one while the other takes the next rows. If
//! the other is not back yet, or the sealer's queue is full, the worker seals by itself. Memory is bounded by the two
//! builders either way.

use std::sync::mpsc::TrySendError;
use std::sync::{Arc, Mutex, PoisonError};

use tollgate_record::{BatchHeader, Record, SealLimits, gap_batch};

use crate::ring::Ring;
use crate::sealer::{Job, NumberedBuilder, SealQueue};

/// Fewer rows than this are sealed at once: handing them to another thread would take longer.
const ROWS_MIN: usize = 256;

/// The batches of one worker.
pub struct BatchWriter {
    worker: usize,
    current: NumberedBuilder,
    other: Arc<Mutex<Option<NumberedBuilder>>>,
    next_batch_seq: u64,
    level: i32,
    ring: Arc<Ring>,
    /// `None` once the worker has ended; the sealer ends when all of them are.
    jobs: Option<SealQueue>,
}

impl BatchWriter {
    /// Begins without rows.
    #[must_use]
    pub fn new(worker: usize, header: BatchHeader, limits: SealLimits, level: i32, jobs: SealQueue) -> Self {
        let other = Arc::new(Mutex::new(Some(NumberedBuilder::new(header.clone(), limits))));
        let current = NumberedBuilder::new(header, limits);
        Self { worker, current, other, next_batch_seq: 1, level, ring: jobs.ring.clone(), jobs: Some(jobs) }
    }

    /// Appends a row, and seals when the batch is full.
    #[inline]
    pub fn append(&mut self, record: &Record<'_>) {
        self.current.builder.append(record);
        if self.current.builder.is_full() {
            self.seal();
        }
    }

    /// Seals the rows if they are due, or `all`, and reports gaps if there is room for them.
    pub fn seal_due(&mut self, all: bool) {
        if all || self.current.builder.is_due(std::time::Instant::now()) {
            self.seal();
        }
        let gaps = self.ring.take_gaps(self.worker, all);
        if gaps.is_empty() {
            return;
        }
        let batch_seq = self.take_number();
        match gap_batch(self.current.builder.header(), batch_seq, &gaps) {
            Ok(sealed) => self.ring.push_gaps(self.worker, sealed, gaps),
            Err(error) => tracing::error!(%error, "shed records could not be reported"),
        }
    }

    /// Seals everything. It is the last call of a worker.
    pub fn close(&mut self) {
        self.seal_due(true);
        self.jobs = None;
        let (worker, header) = (self.worker, self.current.builder.header().clone());
        self.ring.close(worker, header, self.next_batch_seq);
    }

    fn take_number(&mut self) -> u64 {
        let batch_seq = self.next_batch_seq;
        self.next_batch_seq += 1;
        batch_seq
    }

    fn seal(&mut self) {
        if self.current.builder.is_empty() {
            return;
        }
        let batch_seq = self.take_number();
        self.current.number(batch_seq);
        let free = match self.current.builder.len() >= ROWS_MIN {
            true => self.other.lock().unwrap_or_else(PoisonError::into_inner).take(),
            false => None,
        };
        let Some(free) = free else {
            return self.current.seal(self.worker, self.level, 0, &self.ring);
        };
        let full = std::mem::replace(&mut self.current, free);
        let bytes = full.builder.raw_bytes() as u64;
        self.ring.charge(bytes);
        let job = Job { worker: self.worker, full, back: self.other.clone(), bytes };
        let refused = match &self.jobs {
            Some(jobs) => jobs.jobs.try_send(job).err(),
            None => Some(TrySendError::Disconnected(job)),
        };
        if let Some(TrySendError::Full(Job { mut full, .. }) | TrySendError::Disconnected(Job { mut full, .. })) =
            refused
        {
            full.seal(self.worker, self.level, bytes, &self.ring);
            *self.other.lock().unwrap_or_else(PoisonError::into_inner) = Some(full);
        }
    }
}
