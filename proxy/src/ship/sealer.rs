//! Sealing off the request path: 4,096 rows take milliseconds to encode and compress, which no transaction should wait for.
//!
//! Each worker has two builders. When one is full it goes to the sealer's thread and the other takes its place; if that is
//! not back yet, or the sealer is behind, the worker seals by itself. Either way memory is bounded by the two builders; what
//! waits for the sealer counts against the ring.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tollgate_record::{BatchBuilder, BatchHeader, Record, SealLimits, gap_batch};

use super::outbox::{LastWords, Outbox};

/// Below this many rows sealing is quick, and not worth another thread.
const ROWS_MIN: usize = 256;

/// A builder and the number that its next batch would have.
struct Numbered {
    builder: BatchBuilder,
    next: u64,
}

impl Numbered {
    fn new(header: BatchHeader, limits: SealLimits) -> Self {
        Self { builder: BatchBuilder::new(header, limits), next: 1 }
    }

    /// Has the next batch carry this number: numbers in between were used by the worker's other builder.
    fn number(&mut self, batch_seq: u64) {
        while self.next < batch_seq {
            self.next = self.builder.take_batch_seq() + 1;
        }
    }

    /// Seals; `charged` bytes, counted while they waited and were encoded, make place for the batch.
    fn seal(&mut self, worker: usize, level: i32, charged: u64, outbox: &Outbox) {
        let rows = self.builder.len();
        let sealed = self.builder.seal(level);
        if charged > 0 {
            outbox.discharge(charged);
        }
        match sealed {
            Ok(sealed) => {
                self.next = sealed.batch_seq + 1;
                outbox.push(worker, sealed);
            }
            Err(error) => tracing::error!(%error, rows, "records could not be sealed and are lost"),
        }
    }
}

/// A worker's way to the sealer and the outbox.
pub struct SealJobs {
    jobs: SyncSender<Job>,
    /// Where sealed batches go.
    pub outbox: Arc<Outbox>,
}

struct Job {
    worker: usize,
    full: Numbered,
    back: Arc<Mutex<Option<Numbered>>>,
    /// Of its rows.
    bytes: u64,
}

/// The thread that seals.
pub struct Sealer {
    jobs: SyncSender<Job>,
    outbox: Arc<Outbox>,
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
    pub fn start(workers: usize, level: i32, outbox: Arc<Outbox>) -> io::Result<Self> {
        let (jobs, received) = sync_channel::<Job>(workers);
        let sealed_to = outbox.clone();
        let seal_all = move |received: Receiver<Job>| {
            for Job { worker, mut full, back, bytes } in received {
                full.seal(worker, level, bytes, &sealed_to);
                *back.lock().unwrap_or_else(PoisonError::into_inner) = Some(full);
            }
        };
        let thread = std::thread::Builder::new().name("sealer".into()).spawn(move || seal_all(received))?;
        Ok(Self { jobs, outbox, thread })
    }

    /// For a worker.
    #[must_use]
    pub fn jobs(&self) -> SealJobs {
        SealJobs { jobs: self.jobs.clone(), outbox: self.outbox.clone() }
    }

    /// Seals what is queued, once every worker has dropped its jobs. Blocks.
    pub fn stop(self) {
        drop(self.jobs);
        if self.thread.join().is_err() {
            tracing::error!("the sealer panicked; records in its hands are lost");
        }
    }
}

/// The rows of one worker, on their way into batches.
pub struct Rows {
    worker: usize,
    current: Numbered,
    other: Arc<Mutex<Option<Numbered>>>,
    next_batch_seq: u64,
    level: i32,
    outbox: Arc<Outbox>,
    /// None once the worker ends: the sealer waits for that.
    jobs: Option<SealJobs>,
}

impl Rows {
    /// None yet.
    #[must_use]
    pub fn new(worker: usize, header: BatchHeader, limits: SealLimits, level: i32, jobs: SealJobs) -> Self {
        let other = Arc::new(Mutex::new(Some(Numbered::new(header.clone(), limits))));
        let current = Numbered::new(header, limits);
        Self { worker, current, other, next_batch_seq: 1, level, outbox: jobs.outbox.clone(), jobs: Some(jobs) }
    }

    /// Appends a row, and seals when the batch is full.
    pub fn append(&mut self, record: &Record<'_>) {
        self.current.builder.append(record);
        if self.current.builder.is_full() {
            self.seal();
        }
    }

    /// Seals what is due, or `all`, and reports what was shed.
    pub fn seal_due(&mut self, all: bool) {
        if all || self.current.builder.is_due(std::time::Instant::now()) {
            self.seal();
        }
        let gaps = self.outbox.take_gaps(self.worker, all);
        if gaps.is_empty() {
            return;
        }
        let batch_seq = self.take_number();
        match gap_batch(self.current.builder.header(), batch_seq, &gaps) {
            Ok(sealed) => self.outbox.push_gaps(self.worker, sealed, gaps),
            Err(error) => tracing::error!(%error, "shed records could not be reported"),
        }
    }

    /// Seals everything, the last thing a worker does.
    pub fn close(&mut self) {
        self.seal_due(true);
        self.jobs = None;
        let (worker, header) = (self.worker, self.current.builder.header().clone());
        self.outbox.close(LastWords { worker, header, batch_seq: self.next_batch_seq });
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
            return self.current.seal(self.worker, self.level, 0, &self.outbox);
        };
        let full = std::mem::replace(&mut self.current, free);
        let bytes = full.builder.raw_bytes() as u64;
        self.outbox.charge(bytes);
        let job = Job { worker: self.worker, full, back: self.other.clone(), bytes };
        let refused = match &self.jobs {
            Some(jobs) => jobs.jobs.try_send(job).err(),
            None => Some(TrySendError::Disconnected(job)),
        };
        if let Some(TrySendError::Full(Job { mut full, .. }) | TrySendError::Disconnected(Job { mut full, .. })) =
            refused
        {
            full.seal(self.worker, self.level, bytes, &self.outbox);
            *self.other.lock().unwrap_or_else(PoisonError::into_inner) = Some(full);
        }
    }
}
