//! Seals batches on a thread of its own: 4,096 rows take milliseconds to encode and compress, and no transaction should
//! wait for that.
//!
//! The queue has a place for each worker. Rows that wait in it count against the ring.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tollgate_record::{BatchBuilder, BatchHeader, SealLimits};

use crate::ring::Ring;

/// A batch builder, and the number that its next batch would have.
pub(crate) struct NumberedBuilder {
    pub builder: BatchBuilder,
    next: u64,
}

impl NumberedBuilder {
    pub fn new(header: BatchHeader, limits: SealLimits) -> Self {
        Self { builder: BatchBuilder::new(header, limits), next: 1 }
    }

    /// Sets the number of the next batch. The worker's other builder used the numbers in between.
    pub fn number(&mut self, batch_seq: u64) {
        while self.next < batch_seq {
            self.next = self.builder.take_batch_seq() + 1;
        }
    }

    /// Seals the rows and pushes the batch into the ring. `charged` bytes, which the rows cost while they waited, are
    /// discharged first.
    pub fn seal(&mut self, worker: usize, level: i32, charged: u64, ring: &Ring) {
        let rows = self.builder.len();
        let sealed = self.builder.seal(level);
        if charged > 0 {
            ring.discharge(charged);
        }
        match sealed {
            Ok(sealed) => {
                self.next = sealed.batch_seq + 1;
                ring.push(worker, sealed);
            }
            Err(error) => tracing::error!(%error, rows, "records could not be sealed and are lost"),
        }
    }
}

/// The sealer's queue, as one worker holds it.
pub struct SealQueue {
    pub(crate) jobs: SyncSender<Job>,
    /// The ring that sealed batches go to.
    pub ring: Arc<Ring>,
}

pub(crate) struct Job {
    pub worker: usize,
    pub full: NumberedBuilder,
    pub back: Arc<Mutex<Option<NumberedBuilder>>>,
    /// Raw bytes of the rows.
    pub bytes: u64,
}

/// The running thread.
pub struct Sealer {
    jobs: SyncSender<Job>,
    ring: Arc<Ring>,
    thread: JoinHandle<()>,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

impl Sealer {
    /// Starts the thread for this many workers.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn start(workers: usize, level: i32, ring: Arc<Ring>) -> io::Result<Self> {
        let (jobs, received) = sync_channel::<Job>(workers);
        let sealed_to = ring.clone();
        let seal_all = move |received: Receiver<Job>| {
            for Job { worker, mut full, back, bytes } in received {
                full.seal(worker, level, bytes, &sealed_to);
                *back.lock().unwrap_or_else(PoisonError::into_inner) = Some(full);
            }
        };
        let thread = std::thread::Builder::new().name("sealer".into()).spawn(move || seal_all(received))?;
        Ok(Self { jobs, ring, thread })
    }

    /// Returns a handle of the queue for a worker.
    #[must_use]
    pub fn queue(&self) -> SealQueue {
        SealQueue { jobs: self.jobs.clone(), ring: self.ring.clone() }
    }

    /// Seals whatever is queued, and ends once every worker has dropped its handle. Blocks.
    pub fn stop(self) {
        drop(self.jobs);
        if self.thread.join().is_err() {
            tracing::error!("the sealer panicked; records in its hands are lost");
        }
    }
}
