//! The collector's write-ahead log: what it acknowledges is on stable storage.
//!
//! ```text
//!   append ─▶ bounded queue ─▶ writer thread: [group n: write, fdatasync] ─▶ acknowledge group n ─▶ readers see it
//!                                              [group n+1 forms in the queue meanwhile]
//!
//!   journal/
//!     LOCK                            held by the one collector that writes here
//!     00000000000000000000.seg        named by its first position, preallocated, cut to size when full
//!     00000000000000000713.seg
//!     00000000000000001402.seg.new    not born yet: renamed once its header is synced
//!     quarantine/00000000000000000713-0000010304-corrupt.bytes
//!
//!   segment   0        8         12        16        24                  32         60        64
//!             ├ magic ─┼ version ┼ zero ───┼ first ──┼ continues from ───┼ zero ────┼ CRC32C ─┤ frame, frame, …, zeros
//!
//!   frame     0        4         8         12        16        24         32        40        48        56
//!             ├ magic ─┼ length ─┼ CRC32C ─┼ rows ───┼ position┼ batch_seq┼first_seq┼ last_seq┼ received┤
//!             56            60              62     64
//!             ├ group start ┼ producer_len ┼ zero ┤ producer, payload, zeros up to a multiple of 8
//! ```
//! Integers are little-endian. `length` counts header, producer and payload; the checksum covers all of them but itself
//! and starts from a value that follows from the segment's name. `group start` is the offset from which on nothing was
//! synced when the frame was written: it tells, after a crash, a torn group from damage to what had been stored.
//!
//! # Rules
//! - An append succeeds only after the fdatasync that covers it; readers see no frame before that.
//! - Zeros end a segment. Bytes behind the last good frame that are not zeros are a torn tail: copied aside, cut off.
//! - Bytes between good frames that are no frame are damage: copied to `quarantine/`, counted, reported; the next good
//!   frame is found by its magic, a plausible position and its checksum. Positions are never given out twice for it.
//! - Positions missing between segments are an error that names them.
//! - A failed write or sync refuses its frames and ends the segment; the next append opens another. Frames that were
//!   refused but reached the disk stand at positions which that next segment holds, and so are never read.
//! - An append succeeds only if, after its sync, folder, lock, companions and segment are still what their paths lead to: a
//!   restart would not find the frame otherwise. Until they are back, appends are refused.
//! - Appends are refused at a high-water mark, at a cap, and before the disk is full.
//! - Whole segments are deleted, oldest first, with the folder synced after each, so that a crash leaves no hole.

mod error;
mod frame;
mod little_endian;
pub mod offline;
mod options;
mod quarantine;
mod reader;
mod recovery;
mod scan;
mod segment;
mod shared;
mod writer;

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::{mpsc, oneshot, watch};
use tollgate_failpoint::{Point, reach};

pub use error::{AppendError, JournalError};
pub use frame::{Entry, FRAME_ALIGN, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Frame, PRODUCER_BYTES_MAX};
pub use options::{NoObserver, Observer, Options, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};
pub use quarantine::{Damage, DamageKind, QUARANTINE_DIR, TORN_FILES_MAX};
pub use reader::Reader;
pub use recovery::Recovery;
pub use segment::{FORMAT_VERSION, SEGMENT_HEADER_BYTES};

pub use tollgate_storage as storage;

use shared::Shared;
use storage::{Folder, Pinned, Storage};
use writer::{Pending, Writer};

/// File whose lock says that a collector writes here.
pub const LOCK_FILE: &str = "LOCK";

/// The open journal. Dropping it waits for the writer to finish what is queued.
pub struct Journal {
    shared: Arc<Shared>,
    queue: Mutex<Option<mpsc::Sender<Pending>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Released when the writer is gone.
    _lock: Option<File>,
}

/// Positions, sizes and failures of an open journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// First position held.
    pub first_position: u64,
    /// Position of the next frame.
    pub next_position: u64,
    /// Segment files.
    pub segments: usize,
    /// Bytes of headers and frames.
    pub used_bytes: u64,
    /// Bytes of files, preallocation included.
    pub allocated_bytes: u64,
    /// Damaged runs of stored bytes, since the journal opened and found then.
    pub quarantined: u64,
    /// Failed writes, syncs and segment creations since the journal opened.
    pub failures: u64,
}

/// The answer to an append that is under way.
#[derive(Debug)]
pub struct Ticket(oneshot::Receiver<Result<u64, AppendError>>);

impl Ticket {
    /// Waits for the sync that covers the frame, and answers its position.
    ///
    /// # Errors
    /// The frame is not stored; it may be appended again.
    pub async fn stored(self) -> Result<u64, AppendError> {
        self.0.await.unwrap_or(Err(AppendError::Closed))
    }
}

impl Journal {
    /// Opens the journal in a folder, which is made if it is absent, and recovers it.
    ///
    /// # Errors
    /// The folder, a segment or an option is wrong; the message says what to do. Nothing is deleted in that case.
    pub fn open(dir: &Path, options: &Options) -> Result<(Self, Recovery), JournalError> {
        let shown = dir.display().to_string();
        let folder = Folder::create(dir).map_err(JournalError::io("create the folder", &shown))?;
        let lock = dir.join(LOCK_FILE);
        let lock = File::create(&lock).map_err(JournalError::io("create", lock.display().to_string()))?;
        match lock.try_lock() {
            Ok(()) => {
                let names = std::iter::once(&LOCK_FILE).chain(options.companions);
                let paths = names.map(|name| dir.join(name)).filter(|path| path.exists());
                let pinned = paths.map(|path| Pinned::at(&path)).collect::<Result<_, _>>();
                let pinned = pinned.map_err(JournalError::io("open the files of", &shown))?;
                Self::open_locked(Arc::new(folder), options, Some(lock), pinned)
            }
            Err(TryLockError::WouldBlock) => Err(JournalError::Locked { dir: dir.to_owned() }),
            Err(TryLockError::Error(error)) => Err(JournalError::io("lock", shown)(error)),
        }
    }

    /// Opens a journal on any storage, without a lock.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_on(storage: Arc<dyn Storage>, options: &Options) -> Result<(Self, Recovery), JournalError> {
        Self::open_locked(storage, options, None, Vec::new())
    }

    fn open_locked(
        storage: Arc<dyn Storage>,
        options: &Options,
        lock: Option<File>,
        pinned: Vec<Pinned>,
    ) -> Result<(Self, Recovery), JournalError> {
        options.validate()?;
        let recovered = recovery::recover(&*storage, options)?;
        let report = recovered.report;
        for damage in report.damage.iter().filter(|damage| damage.kind == DamageKind::Corrupt) {
            options.observer.damaged(damage);
        }
        let observer = Arc::clone(&options.observer);
        let next = report.next_position;
        let shared = Arc::new(Shared::new(storage, observer, recovered.segments, next, report.quarantined, pinned));
        let mut writer = Writer::new(Arc::clone(&shared), options.clone(), next, recovered.ended_at);
        if let Err(error) = writer.open_segment() {
            // The cause may pass: sinks catch up and trimming makes room. Appends are refused until then.
            tracing::warn!(%error, "journal opens without a segment to write to");
        }
        let (sender, queue) = mpsc::channel(options.queue_frames_max);
        let thread = thread::Builder::new()
            .name("journal-writer".to_owned())
            .spawn(move || writer.run(queue))
            .map_err(JournalError::io("start", "the writer thread"))?;
        let (queue, writer) = (Mutex::new(Some(sender)), Mutex::new(Some(thread)));
        Ok((Self { shared, queue, writer, _lock: lock }, report))
    }

    /// Appends a frame and answers its position once it is on stable storage.
    ///
    /// # Errors
    /// The frame is not stored; it may be appended again.
    pub async fn append(&self, entry: Entry) -> Result<u64, AppendError> {
        self.enqueue(entry).await?.stored().await
    }

    /// Queues a frame. Frames get their positions in the order in which this returns; a queued frame is written even
    /// if its ticket is dropped.
    ///
    /// # Errors
    /// [`AppendError::Closed`] only; everything else is answered through the ticket.
    pub async fn enqueue(&self, entry: Entry) -> Result<Ticket, AppendError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (answer, ticket) = oneshot::channel();
        let queue = queue.ok_or(AppendError::Closed)?;
        queue.send(Pending { entry, answer }).await.map_err(|_| AppendError::Closed)?;
        Ok(Ticket(ticket))
    }

    /// Reads durable frames from `from` on.
    pub fn reader(&self, from: u64) -> Reader {
        Reader::new(Arc::clone(&self.shared), from)
    }

    /// The last durable position, as it grows.
    pub fn durable(&self) -> watch::Receiver<Option<u64>> {
        self.shared.durable.subscribe()
    }

    /// First position held.
    pub fn first_position(&self) -> u64 {
        self.shared.segments().front().map_or_else(|| self.next_position(), |segment| segment.first)
    }

    /// Position that the next frame gets.
    pub fn next_position(&self) -> u64 {
        self.shared.next_position.load(Ordering::Acquire)
    }

    /// Where the segment after the one that holds `position` starts, if there is one.
    pub fn next_segment(&self, position: u64) -> Option<u64> {
        self.shared.segments().iter().map(|segment| segment.first).find(|first| *first > position)
    }

    /// Bytes of headers and frames stored.
    pub fn bytes(&self) -> u64 {
        self.shared.used_bytes()
    }

    /// Positions, sizes and failures of an open journal.
    pub fn stats(&self) -> Stats {
        // Taken alone: the guard would live to the end of the expression below, which locks again.
        let segments = self.shared.segments().len();
        Stats {
            first_position: self.first_position(),
            next_position: self.next_position(),
            segments,
            used_bytes: self.shared.used_bytes(),
            allocated_bytes: self.shared.allocated_bytes(),
            quarantined: self.shared.quarantined.load(Ordering::Relaxed),
            failures: self.shared.failures.load(Ordering::Relaxed),
        }
    }

    /// Checks that the journal's files are where they were, which a restart needs to find what was stored; with `whole`, all
    /// segments and not the newest only. While they are not, appends are refused. Looks at the disk.
    ///
    /// # Errors
    /// [`AppendError::Displaced`], with what is missing.
    pub fn check_place(&self, whole: bool) -> Result<(), AppendError> {
        self.shared.check_place(whole).map_err(|reason| AppendError::Displaced { reason })
    }

    /// What the last look at the journal's files found missing; does not look at the disk.
    pub fn displaced(&self) -> Option<String> {
        self.shared.displaced()
    }

    /// Deletes segments that hold only positions before `before`, and answers how many. The last segment always stays:
    /// its name holds the position.
    ///
    /// # Errors
    /// The disk fails; what could not be deleted is tried again at the next call.
    pub fn trim(&self, before: u64) -> Result<usize, JournalError> {
        let mut deleted = 0;
        loop {
            let name = {
                let mut segments = self.shared.segments();
                match segments.front() {
                    Some(front) if segments.len() > 1 && front.end_position <= before => {}
                    _ => return Ok(deleted),
                }
                // Readers look here first: after this none opens it any more.
                let Some(front) = segments.pop_front() else { return Ok(deleted) };
                if let Err(error) = self.shared.storage.remove(&front.name) {
                    let name = front.name.clone();
                    segments.push_front(front);
                    return Err(JournalError::io("delete", name)(error));
                }
                front.name
            };
            let synced = reach(Point::TrimRemoved).and_then(|()| self.shared.storage.sync_dir(""));
            let synced = synced.and_then(|()| reach(Point::TrimSynced));
            synced.map_err(JournalError::io("sync the folder after deleting", name))?;
            deleted += 1;
        }
    }

    /// Writes what is queued, then stops the writer. Blocks until the writer has ended; later appends are refused.
    pub fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the journal's writer panicked");
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}
