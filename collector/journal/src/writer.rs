//! The one thread that writes. While it waits for a sync, the next group forms in its queue.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tollgate_failpoint::{Point, reach};

use crate::error::AppendError;
use crate::frame::{self, Entry};
use crate::options::Options;
use crate::segment::{self, Header, SEGMENT_HEADER_BYTES, Seed};
use crate::shared::{Segment, Shared};
use crate::storage::{StorageFile, Unsynced, create_whole};

pub(crate) type AppendAnswer = oneshot::Sender<Result<u64, AppendError>>;

/// A frame to write, and who waits for it.
pub(crate) struct Pending {
    pub entry: Entry,
    pub answer: AppendAnswer,
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    options: Options,
    active: Option<Active>,
    next_position: u64,
    /// Where the last segment ended: differs from `next_position` only after a jump to the floor.
    ended_at: u64,
    generation: u64,
    /// After an error: when the next segment may be tried, and what the error was.
    retry: Option<(Instant, AppendError)>,
    /// When the journal's files were last looked for after they were not where they had been.
    place_checked: Option<Instant>,
    /// Encoded frames that are not written yet, and who waits for them.
    group: Vec<u8>,
    answers: Vec<AppendAnswer>,
}

struct Active {
    file: Box<dyn StorageFile>,
    generation: u64,
    seed: Seed,
    offset: u64,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, options: Options, next_position: u64, ended_at: u64) -> Self {
        let generation = shared.segments().len() as u64;
        Self {
            shared,
            options,
            active: None,
            next_position,
            ended_at,
            generation,
            retry: None,
            place_checked: None,
            group: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// Writes until the queue is closed and empty.
    pub(crate) fn run(mut self, mut queue: mpsc::Receiver<Pending>) {
        let mut waiting = Vec::with_capacity(self.options.group_frames_max);
        while queue.blocking_recv_many(&mut waiting, self.options.group_frames_max) > 0 {
            let free_bytes = self.shared.storage.free_bytes();
            for pending in waiting.drain(..) {
                self.stage(pending, &free_bytes);
            }
            self.flush();
        }
        self.seal();
    }

    /// Puts one frame into the forming group, or answers why not.
    fn stage(&mut self, pending: Pending, free_bytes: &io::Result<u64>) {
        let Pending { entry, answer } = pending;
        match self.admit(&entry, free_bytes) {
            Ok(()) => {}
            Err(error) => return drop(answer.send(Err(error))),
        }
        let Some(active) = &self.active else { return };
        let position = self.next_position + self.answers.len() as u64;
        // Fits: a segment is at most SEGMENT_BYTES_MAX long.
        let group_start = u32::try_from(active.offset).unwrap_or(u32::MAX);
        frame::encode(&entry, position, group_start, active.seed, &mut self.group);
        self.answers.push(answer);
    }

    /// Makes room for the frame, which may mean writing the group so far and opening a segment.
    fn admit(&mut self, entry: &Entry, free_bytes: &io::Result<u64>) -> Result<(), AppendError> {
        self.check_place()?;
        let bytes = entry.padded_bytes() as u64;
        let bytes_max = self.options.frame_bytes_max().min(frame::FRAME_BYTES_MAX as u64);
        if bytes > bytes_max {
            return Err(AppendError::TooLarge { bytes, bytes_max });
        }
        if entry.producer.len() > frame::PRODUCER_BYTES_MAX {
            let (bytes, bytes_max) = (entry.producer.len() as u64, frame::PRODUCER_BYTES_MAX as u64);
            return Err(AppendError::TooLarge { bytes, bytes_max });
        }
        let used = self.shared.used_bytes() + self.group.len() as u64;
        if used + bytes > self.options.high_water_bytes {
            return Err(full(format!("{used} bytes stored, high water is {}", self.options.high_water_bytes)));
        }
        match free_bytes {
            Ok(free) if *free < self.options.disk_free_min_bytes => {
                let floor = self.options.disk_free_min_bytes;
                return Err(full(format!("the disk has {free} bytes left, {floor} are kept free")));
            }
            Ok(_) => {}
            Err(error) => {
                self.shared.check_place(true).map_err(|reason| AppendError::Displaced { reason })?;
                return Err(AppendError::Unavailable { reason: error.to_string() });
            }
        }
        let fits = |active: &Active, group: usize| {
            active.offset + group as u64 + bytes <= self.options.segment_bytes
                && (group == 0 || group + bytes as usize <= self.options.group_bytes_max)
        };
        if self.active.as_ref().is_some_and(|active| fits(active, self.group.len())) {
            return Ok(());
        }
        self.flush();
        if self.active.as_ref().is_some_and(|active| active.offset + bytes <= self.options.segment_bytes) {
            return Ok(());
        }
        self.seal();
        self.open_segment()
    }

    /// Writes and syncs the group, then answers everybody in it.
    fn flush(&mut self) {
        let Some(active) = &mut self.active else { return };
        if self.answers.is_empty() {
            return;
        }
        let started = Instant::now();
        let stored = active.file.write_all_at(&self.group, active.offset);
        let stored = stored.and_then(|()| reach(Point::JournalWritten)).and_then(|()| active.file.sync_data());
        let stored = stored.and_then(|()| reach(Point::JournalSynced));
        if let Err(error) = stored {
            return self.poison(&error.to_string(), &refusal(&error));
        }
        // The sync may have reached a file that no path leads to any more.
        if let Err(reason) = self.shared.check_place(false) {
            return self.poison(&reason.clone(), &AppendError::Displaced { reason });
        }
        active.offset += self.group.len() as u64;
        let frames = self.answers.len();
        let first = self.next_position;
        self.next_position += frames as u64;
        self.ended_at = self.next_position;
        self.publish();
        self.shared.observer.synced(started.elapsed(), frames, self.group.len());
        self.group.clear();
        for (position, answer) in (first..).zip(self.answers.drain(..)) {
            // The one who asked may be gone; the frame stays.
            let _ = answer.send(Ok(position));
        }
    }

    /// Readers see the group from here on.
    fn publish(&self) {
        let Some(active) = &self.active else { return };
        let mut segments = self.shared.segments();
        if let Some(last) = segments.back_mut().filter(|last| last.generation == active.generation) {
            last.end_offset = active.offset;
            last.end_position = self.next_position;
        }
        drop(segments);
        self.shared.next_position.store(self.next_position, Ordering::Release);
        self.shared.durable.send_replace(Some(self.next_position - 1));
    }

    /// After a failed write or sync nothing more goes into this segment: the kernel may have dropped the dirty pages
    /// and would call the next sync of the same file good (<https://lwn.net/Articles/752063/>).
    fn poison(&mut self, reason: &str, refusal: &AppendError) {
        tracing::error!(error = reason, frames = self.answers.len(), "journal write failed, its frames are refused");
        self.shared.failures.fetch_add(1, Ordering::Relaxed);
        self.shared.observer.failed(reason);
        self.group.clear();
        self.seal();
        let mut segments = self.shared.segments();
        // Nothing is stored in it, and the next one takes its name.
        if segments.back().is_some_and(|last| last.end_position == last.first) {
            segments.pop_back();
        }
        drop(segments);
        for answer in self.answers.drain(..) {
            let _ = answer.send(Err(refusal.clone()));
        }
    }

    /// Gives back what was preallocated and not used. That the cut may get lost does no harm: zeros end a segment, and
    /// refused frames stand at positions that the next segment holds.
    fn seal(&mut self) {
        let Some(active) = self.active.take() else { return };
        if let Err(error) = active.file.truncate(active.offset) {
            tracing::warn!(%error, "cannot cut a finished journal segment");
            return;
        }
        let mut segments = self.shared.segments();
        if let Some(last) = segments.back_mut().filter(|last| last.generation == active.generation) {
            last.file_bytes = active.offset;
        }
    }

    /// Refuses while the journal's files are not where they were; looks again after [`Options::retry_interval`].
    fn check_place(&mut self) -> Result<(), AppendError> {
        let Some(reason) = self.shared.displaced() else { return Ok(()) };
        if self.place_checked.is_some_and(|at| at.elapsed() < self.options.retry_interval) {
            return Err(AppendError::Displaced { reason });
        }
        self.place_checked = Some(Instant::now());
        self.shared.check_place(true).map_err(|reason| AppendError::Displaced { reason })
    }

    /// Opens the segment for the next frame; after an error, not before [`Options::retry_interval`] has passed.
    pub(crate) fn open_segment(&mut self) -> Result<(), AppendError> {
        if let Some((at, error)) = &self.retry
            && Instant::now() < *at
        {
            return Err(error.clone());
        }
        self.retry = None;
        self.shared.check_place(true).map_err(|reason| AppendError::Displaced { reason })?;
        let allocated = self.shared.allocated_bytes();
        if allocated + self.options.segment_bytes > self.options.bytes_max {
            return Err(full(format!("{allocated} bytes allocated, the cap is {}", self.options.bytes_max)));
        }
        self.create_segment().map_err(|error| {
            let reason = error.to_string();
            tracing::error!(error = reason, "cannot open a journal segment");
            self.shared.failures.fetch_add(1, Ordering::Relaxed);
            self.shared.observer.failed(&reason);
            let refusal = refusal(&error);
            self.retry = Some((Instant::now() + self.options.retry_interval, refusal.clone()));
            refusal
        })
    }

    /// The name appears only once the header is durable under another one, and replaces an empty segment at once.
    fn create_segment(&mut self) -> io::Result<()> {
        let first = self.next_position;
        let name = segment::name(first);
        let unborn = format!("{}{}", name.trim_end_matches(".seg"), segment::UNBORN_SUFFIX);
        let storage = &self.shared.storage;
        let header = Header { first, continues_from: self.ended_at };
        // The next try creates the segment of the same position and replaces this one. Until then, and after a crash, this
        // one is an empty segment, which recovery knows.
        let unsynced = Unsynced::Stays;
        let file = create_whole(&**storage, &unborn, &name, self.options.segment_bytes, &header.encode(), unsynced)?;
        let identity = file.identity()?;
        self.generation += 1;
        let offset = SEGMENT_HEADER_BYTES as u64;
        self.active = Some(Active { file, generation: self.generation, seed: Seed::of(first), offset });
        self.shared.segments().push_back(Segment {
            generation: self.generation,
            first,
            name,
            end_offset: offset,
            end_position: first,
            bad: Vec::new(),
            identity,
            file_bytes: self.options.segment_bytes,
        });
        Ok(())
    }
}

fn full(reason: String) -> AppendError {
    AppendError::Full { reason }
}

fn refusal(error: &io::Error) -> AppendError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => full(error.to_string()),
        _ => AppendError::Unavailable { reason: error.to_string() },
    }
}
