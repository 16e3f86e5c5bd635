//! Reading durable frames in order, while others are written.

use std::ops::Range;
use std::sync::Arc;

use tokio::sync::watch;

use crate::error::JournalError;
use crate::frame::{self, FRAME_HEADER_BYTES, Frame};
use crate::quarantine::{self, DamageKind};
use crate::scan;
use crate::segment::{SEGMENT_HEADER_BYTES, Seed};
use crate::shared::{Segment, Shared};
use crate::storage::StorageFile;

/// Reads frames from a position on. Calls block for as long as the disk takes.
pub struct Reader {
    shared: Arc<Shared>,
    durable: watch::Receiver<Option<u64>>,
    position: u64,
    at: Option<At>,
    lost: u64,
}

/// The open file, and the offset of the next frame in it.
struct At {
    file: Box<dyn StorageFile>,
    generation: u64,
    offset: u64,
    /// Position that should stand there.
    expected: u64,
}

/// The next thing in the file: a frame, or damaged bytes to pass over.
enum Step {
    Frame(Frame),
    Damage(Range<usize>),
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, position: u64) -> Self {
        let durable = shared.durable.subscribe();
        Self { shared, durable, position, at: None, lost: 0 }
    }

    /// Position of the frame that [`Reader::next`] answers, unless it is damaged.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Positions that this reader passed over because their bytes are damaged and in quarantine.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Moves the reader to another position.
    pub fn seek(&mut self, position: u64) {
        if position < self.position {
            self.at = None;
        }
        self.position = position;
    }

    /// The next durable frame, or `None` if there is none yet.
    ///
    /// # Errors
    /// [`JournalError::Trimmed`] if the position is no longer held, [`JournalError::Io`] if the disk fails; the reader
    /// stays where it was.
    #[expect(clippy::should_implement_trait, reason = "an iterator would end for good at the first `None`")]
    pub fn next(&mut self) -> Result<Option<Frame>, JournalError> {
        loop {
            let Some(segment) = self.segment()? else { return Ok(None) };
            if self.at.as_ref().is_none_or(|at| at.generation != segment.generation) {
                let file = self.shared.storage.open(&segment.name).map_err(JournalError::io("open", &segment.name))?;
                let offset = SEGMENT_HEADER_BYTES as u64;
                self.at = Some(At { file, generation: segment.generation, offset, expected: segment.first });
            }
            let Some(at) = &mut self.at else { return Ok(None) };
            if at.offset >= segment.end_offset {
                // Damage at the very end of the segment: its last positions are not there.
                self.lost += segment.end_position - self.position;
                self.position = segment.end_position;
                continue;
            }
            match step(&self.shared, at, &segment)? {
                Step::Damage(bytes) => at.offset = bytes.end as u64,
                Step::Frame(frame) => {
                    at.offset += frame_bytes(&frame);
                    at.expected = frame.position + 1;
                    if frame.position >= self.position {
                        self.lost += frame.position - self.position;
                        self.position = frame.position + 1;
                        return Ok(Some(frame));
                    }
                }
            }
        }
    }

    /// Waits until there is a frame to read. `false` if the journal is closed and there will be none.
    pub async fn ready(&mut self) -> bool {
        let position = self.position;
        self.durable.wait_for(|durable| durable.is_some_and(|last| last >= position)).await.is_ok()
    }

    /// The segment that holds the reader's position, if any does yet.
    fn segment(&mut self) -> Result<Option<Segment>, JournalError> {
        let segments = self.shared.segments();
        let first = segments.front().map_or(0, |segment| segment.first);
        if self.position < first {
            return Err(JournalError::Trimmed { position: self.position, first });
        }
        let found = segments.iter().find(|segment| self.position < segment.end_position);
        if let Some(segment) = found {
            // Positions before a segment that no segment holds were skipped on purpose, or reported at the start.
            self.position = self.position.max(segment.first);
        }
        Ok(found.cloned())
    }
}

fn frame_bytes(frame: &Frame) -> u64 {
    frame::padded(FRAME_HEADER_BYTES + frame.producer.len() + frame.payload.len()) as u64
}

fn step(shared: &Shared, at: &At, segment: &Segment) -> Result<Step, JournalError> {
    if let Some(bad) = segment.bad.iter().find(|bad| bad.start as u64 == at.offset) {
        return Ok(Step::Damage(bad.clone()));
    }
    let rest = segment.end_offset - at.offset;
    let mut bytes = vec![0; FRAME_HEADER_BYTES.min(usize::try_from(rest).unwrap_or(usize::MAX))];
    let read = |buffer: &mut [u8], offset| {
        at.file.read_exact_at(buffer, offset).map_err(JournalError::io("read", &segment.name))
    };
    read(&mut bytes, at.offset)?;
    if let Some(length) = frame::plausible(&bytes).filter(|length| *length as u64 <= rest) {
        bytes.resize(length, 0);
        read(&mut bytes[FRAME_HEADER_BYTES..], at.offset + FRAME_HEADER_BYTES as u64)?;
        if let Some(parsed) = frame::parse(&bytes, Seed::of(segment.first)) {
            return Ok(Step::Frame(parsed.to_frame()));
        }
    }
    let mut whole = vec![0; usize::try_from(segment.end_offset).unwrap_or(usize::MAX)];
    read(&mut whole, 0)?;
    quarantine_at(shared, segment, &whole, at.offset as usize, at.expected)
}

/// Bytes that were good when they were written, or when the journal opened, are not any more.
fn quarantine_at(
    shared: &Shared,
    segment: &Segment,
    whole: &[u8],
    start: usize,
    expected: u64,
) -> Result<Step, JournalError> {
    let mut budget = usize::MAX;
    let next = scan::next_good(whole, start, expected, Seed::of(segment.first), &mut budget);
    let (end, next_position) = next.map_or((whole.len(), segment.end_position), |(at, parsed)| (at, parsed.position));
    let bytes = start..end;
    let positions = expected..next_position;
    let damage = quarantine::keep(&*shared.storage, DamageKind::Corrupt, &segment.name, whole, bytes, positions)
        .map_err(JournalError::io("write the quarantine copy of", &segment.name))?;
    tracing::error!(segment = segment.name, offset = start, bytes = damage.bytes.len(), file = ?damage.file,
        positions = ?damage.positions, "journal is damaged: stored frames cannot be read any more");
    shared.report_damage(segment.generation, &damage);
    Ok(Step::Damage(damage.bytes))
}
