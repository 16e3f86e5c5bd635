//! The ring of sealed batches between the workers and the shipper.
//!
//! What the ring has no room for is shed: its records are counted, and their sequence numbers are noted as a gap, which
//! a later gap batch reports.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tollgate_clock::now_us;
use tollgate_record::runs::{Run, Runs};
use tollgate_record::vocabulary::GapReason;
use tollgate_record::{BatchHeader, Gap, SealedBatch};

use crate::{ShipMetrics, ShipOptions};

/// Gaps of one worker that wait to be reported; contiguous gaps are one. Past this bound the oldest are dropped, and
/// the audit reports their records as missing.
const GAPS_MAX: usize = 16_384;
/// Factor by which the ring may pass its bound where requests wait for room: those that had begun by then still leave
/// records. Past this the ring sheds all the same.
const BLOCKED_FACTOR: u64 = 2;
/// Gaps reported in one batch.
const GAPS_PER_BATCH: usize = 4_096;
/// Bytes that a batch takes beside its body, its runs and its gaps: its place in the ring, and reference counts.
const HELD_BYTES: u64 = 256;

/// A batch in memory.
#[derive(Debug, Clone)]
pub struct HeldBatch {
    /// Index of the worker that sealed the batch.
    pub worker: usize,
    /// The sealed batch.
    pub batch: SealedBatch,
    /// The gaps that the batch reports, if it is a gap batch.
    pub gaps: Option<Arc<[Gap]>>,
}

impl HeldBatch {
    /// Returns the bytes of memory that the batch takes.
    fn bytes(&self) -> u64 {
        let gaps = self.gaps.as_ref().map_or(0, |gaps| size_of_val(&**gaps));
        HELD_BYTES + (self.batch.bytes.len() + self.batch.seqs.heap_bytes() + gaps) as u64
    }

    /// Returns the number of records that are no gap records.
    #[must_use]
    pub fn records(&self) -> u64 {
        if self.gaps.is_some() { 0 } else { self.batch.rows as u64 }
    }
}

/// Condition of the spool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SpoolState {
    /// The spool has room, or there is none.
    #[default]
    Roomy,
    /// The bound of the spool is reached.
    Full,
    /// The disk is full or fails.
    Failing,
}

/// The gaps that a worker could not report before it ended, and what a batch that reports them needs.
#[derive(Debug)]
pub(crate) struct FinalGaps {
    pub worker: usize,
    /// Header of the worker's batches, which names their producer.
    pub header: BatchHeader,
    /// The number of the worker's next batch.
    pub batch_seq: u64,
    pub gaps: Vec<Gap>,
}

/// Sealed batches, shared by the workers and the shipper.
///
/// Bytes are counted as memory: batches with all that belongs to them, in the ring and with the posters, and raw rows
/// while they are sealed on another thread.
#[derive(Debug)]
pub struct Ring {
    state: Mutex<State>,
    bytes_max: u64,
    /// Past this many bytes, batches go to the spool.
    spill_bytes: u64,
    spills: bool,
    /// Whether requests wait for room, so that nothing is shed.
    blocks: bool,
    /// Woken for each batch.
    pub work: Notify,
    /// Woken when batches should go to the spool.
    pub spill: Notify,
    /// Woken when something left the ring.
    pub left: Notify,
    metrics: Arc<ShipMetrics>,
}

#[derive(Debug, Default)]
struct State {
    ring: VecDeque<HeldBatch>,
    /// Bytes in the ring, with the posters, and being sealed.
    bytes: u64,
    /// Batches in the ring and with the posters.
    held: usize,
    gaps: Vec<Vec<Gap>>,
    spool: SpoolState,
    /// Workers that have ended, whose gaps are filled in once they are taken.
    ended: Vec<FinalGaps>,
    troubles: BTreeMap<&'static str, String>,
}

impl Ring {
    /// Makes an empty ring. Without a collector everything goes to the spool.
    #[must_use]
    pub fn new(options: &ShipOptions, metrics: Arc<ShipMetrics>) -> Arc<Self> {
        let state = State { gaps: vec![Vec::new(); options.workers], ..State::default() };
        let bytes_max = options.ring_bytes_max;
        Arc::new(Self {
            state: Mutex::new(state),
            bytes_max,
            spill_bytes: if options.link.is_none() { 0 } else { bytes_max / 2 },
            spills: options.spool.is_some(),
            blocks: options.block_when_full,
            work: Notify::new(),
            spill: Notify::new(),
            left: Notify::new(),
            metrics,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a batch of a worker, or sheds it if there is no room.
    pub fn push(&self, worker: usize, batch: SealedBatch) {
        self.metrics.batches_sealed.inc();
        self.admit(HeldBatch { worker, batch, gaps: None });
    }

    /// Adds a batch that reports gaps. If there is no room, the gaps wait on.
    pub fn push_gaps(&self, worker: usize, batch: SealedBatch, gaps: Vec<Gap>) {
        self.metrics.batches_sealed.inc();
        self.admit(HeldBatch { worker, batch, gaps: Some(gaps.into()) });
    }

    fn admit(&self, held: HeldBatch) {
        let mut state = self.lock();
        // Requests that wait for room do so before they begin: those in flight may still pass the bound, up to another.
        let bytes_max = if self.blocks { self.bytes_max.saturating_mul(BLOCKED_FACTOR) } else { self.bytes_max };
        if state.bytes + held.bytes() > bytes_max {
            let reason = match state.spool {
                SpoolState::Roomy => GapReason::BufferFull,
                SpoolState::Full => GapReason::SpoolFull,
                SpoolState::Failing => GapReason::SpoolFailed,
            };
            self.shed(&mut state, &held, reason);
            return;
        }
        state.bytes += held.bytes();
        state.held += 1;
        state.ring.push_back(held);
        self.metrics.ring_bytes.set(state.bytes as i64);
        let spill = self.spills && state.bytes > self.spill_bytes;
        drop(state);
        self.work.notify_one();
        if spill {
            self.spill.notify_one();
        }
    }

    /// Counts the records of a batch as shed, and notes the gap that they leave.
    fn shed(&self, state: &mut State, held: &HeldBatch, reason: GapReason) {
        match &held.gaps {
            Some(gaps) => {
                let waiting = &mut state.gaps[held.worker];
                waiting.extend(gaps.iter().copied());
                bound(waiting);
            }
            None => {
                self.metrics.records_shed.with_label_values(&[reason.as_str()]).inc_by(held.records());
                state.note_gaps(held.worker, &held.batch.seqs, reason);
            }
        }
    }

    /// Notes that a worker has ended: what is shed from here on is reported by the shipper, under the worker's name.
    pub(crate) fn close(&self, worker: usize, header: BatchHeader, batch_seq: u64) {
        self.lock().ended.push(FinalGaps { worker, header, batch_seq, gaps: Vec::new() });
    }

    /// Takes the gaps that nobody has reported, of each worker that has ended with some.
    pub(crate) fn take_final_gaps(&self) -> Vec<FinalGaps> {
        let mut state = self.lock();
        let ended = std::mem::take(&mut state.ended);
        let with_gaps =
            ended.into_iter().map(|of| FinalGaps { gaps: std::mem::take(&mut state.gaps[of.worker]), ..of });
        with_gaps.filter(|last| !last.gaps.is_empty()).collect()
    }

    /// Counts memory of rows that are being sealed on another thread, until [`Ring::discharge`].
    pub fn charge(&self, bytes: u64) {
        let mut state = self.lock();
        state.bytes += bytes;
        self.metrics.ring_bytes.set(state.bytes as i64);
    }

    /// Ends a [`Ring::charge`] of as many bytes.
    pub fn discharge(&self, bytes: u64) {
        let mut state = self.lock();
        state.bytes -= bytes;
        self.metrics.ring_bytes.set(state.bytes as i64);
        drop(state);
        self.left.notify_waiters();
    }

    /// Takes the gaps of a worker that can be reported: the ring is less than half full, or this is the `last` call.
    pub fn take_gaps(&self, worker: usize, last: bool) -> Vec<Gap> {
        let mut state = self.lock();
        if state.gaps[worker].is_empty() || (!last && state.bytes > self.bytes_max / 2) {
            return Vec::new();
        }
        let count = state.gaps[worker].len().min(GAPS_PER_BATCH);
        state.gaps[worker].drain(..count).collect()
    }

    /// Waits until the ring has room. Returns at once unless `block_when_full` is set.
    #[inline]
    pub async fn room(&self) {
        if !self.blocks {
            return;
        }
        loop {
            let left = self.left.notified();
            if self.lock().bytes < self.bytes_max {
                return;
            }
            left.await;
        }
    }

    /// Takes the oldest batch, which counts against the ring until [`Ring::leave`].
    pub fn take(&self) -> Option<HeldBatch> {
        let mut state = self.lock();
        let oldest = state.ring.pop_front();
        if !state.ring.is_empty() {
            // A permit of `Notify` wakes one poster, however many batches came meanwhile: each poster wakes the next.
            self.work.notify_one();
        }
        oldest
    }

    /// Takes the oldest batch for the spool, if the ring is past its mark or `all` is set.
    pub fn take_to_spill(&self, all: bool) -> Option<HeldBatch> {
        let mut state = self.lock();
        if all || state.bytes > self.spill_bytes { state.ring.pop_front() } else { None }
    }

    /// Returns a batch that could not be sent to the front.
    pub fn put_back(&self, held: HeldBatch) {
        self.lock().ring.push_front(held);
        self.work.notify_one();
    }

    /// Stops counting a batch that is acknowledged or stored elsewhere.
    pub fn leave(&self, held: &HeldBatch) {
        let mut state = self.lock();
        state.bytes -= held.bytes();
        state.held -= 1;
        self.metrics.ring_bytes.set(state.bytes as i64);
        drop(state);
        self.left.notify_waiters();
    }

    /// Gives up a batch: its records are shed, and the gap is noted unless the batch reports gaps itself.
    pub fn give_up(&self, held: &HeldBatch, reason: GapReason) {
        if held.gaps.is_none() {
            self.shed(&mut self.lock(), held, reason);
        }
        self.leave(held);
    }

    /// Sets the condition of the spool, which is the reason of what is shed next. Returns the condition before.
    pub fn set_spool(&self, spool: SpoolState) -> SpoolState {
        std::mem::replace(&mut self.lock().spool, spool)
    }

    /// Sets or clears what is wrong with a `part` of the way of records and needs a person; shown at `/readyz`.
    pub fn set_trouble(&self, part: &'static str, trouble: Option<String>) {
        let mut state = self.lock();
        match trouble {
            Some(trouble) => drop(state.troubles.insert(part, trouble)),
            None => drop(state.troubles.remove(part)),
        }
    }

    /// Returns everything that is wrong with the way of records.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        self.lock().troubles.values().cloned().collect()
    }

    /// Returns whether requests wait for room.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.blocks && self.lock().bytes >= self.bytes_max
    }

    /// Returns whether no batch is in the ring or with a poster.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().held == 0
    }
}

impl State {
    fn note_gaps(&mut self, worker: usize, seqs: &Runs, reason: GapReason) {
        let (waiting, time_us) = (&mut self.gaps[worker], now_us());
        for Run { first, last } in seqs.runs().iter().copied() {
            let count = last - first + 1;
            match waiting.last_mut() {
                Some(gap) if gap.seq + gap.count == first && gap.reason == reason => gap.count += count,
                _ => waiting.push(Gap { time_us, seq: first, count, reason }),
            }
        }
        bound(waiting);
    }
}

fn bound(gaps: &mut Vec<Gap>) {
    let surplus = gaps.len().saturating_sub(GAPS_MAX);
    gaps.drain(..surplus);
}
