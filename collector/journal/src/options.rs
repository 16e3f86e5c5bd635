//! Limits and choices.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::JournalError;
use crate::quarantine::Damage;
use crate::segment::SEGMENT_HEADER_BYTES;

/// Smallest segment: a few small frames.
pub const SEGMENT_BYTES_MIN: u64 = 4096;
/// Largest segment: offsets are 32 bits, and recovery reads a segment into memory.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// Bounds of the journal, and how it opens.
#[derive(Clone)]
pub struct Options {
    /// Size of a segment file, preallocated.
    pub segment_bytes: u64,
    /// All segment files together never exceed this.
    pub bytes_max: u64,
    /// Appends are refused once this much is stored.
    pub high_water_bytes: u64,
    /// Appends are refused when the disk has less than this left.
    pub disk_free_min_bytes: u64,
    /// Frames are synced together up to this many bytes …
    pub group_bytes_max: usize,
    /// … and this many frames.
    pub group_frames_max: usize,
    /// Frames waiting for the writer; further appends wait for room.
    pub queue_frames_max: usize,
    /// After a disk error, how long appends are refused before a new segment is tried.
    pub retry_interval: Duration,
    /// Opens although segment files are missing between others, and reports the positions.
    pub accept_missing: bool,
    /// No position below this is given out: what sinks already store must not be overwritten by new frames when the
    /// journal's files were lost.
    pub position_floor: u64,
    /// Files of others in the journal's folder without which it is another journal. Those that are there when it opens must
    /// stay there, as the segments must.
    pub companions: &'static [&'static str],
    /// Receives the journal's events.
    pub observer: Arc<dyn Observer>,
}

/// Receives the journal's events, for metrics and alarms. The writer's thread calls it, so it must not block.
pub trait Observer: Send + Sync + 'static {
    /// A group is on stable storage.
    fn synced(&self, _took: Duration, _frames: usize, _bytes: usize) {}
    /// Stored bytes turned out to be damaged.
    fn damaged(&self, _damage: &Damage) {}
    /// A write or sync failed; its frames were refused.
    fn failed(&self, _reason: &str) {}
}

/// Ignores every event.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            bytes_max: 10 << 30,
            high_water_bytes: 9 << 30,
            disk_free_min_bytes: 256 << 20,
            group_bytes_max: 8 << 20,
            group_frames_max: 256,
            queue_frames_max: 1024,
            retry_interval: Duration::from_secs(1),
            accept_missing: false,
            position_floor: 0,
            companions: &[],
            observer: Arc::new(NoObserver),
        }
    }
}

impl Options {
    /// Largest frame, header and producer included.
    pub fn frame_bytes_max(&self) -> u64 {
        self.segment_bytes - SEGMENT_HEADER_BYTES as u64
    }

    pub(crate) fn validate(&self) -> Result<(), JournalError> {
        let refuse = |key, problem| Err(JournalError::Options { key, problem });
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            let problem =
                format!("{} is not within {SEGMENT_BYTES_MIN}..={SEGMENT_BYTES_MAX} bytes", self.segment_bytes);
            return refuse("segment_bytes", problem);
        }
        if self.high_water_bytes < self.segment_bytes {
            let problem = format!("{} is less than one segment ({})", self.high_water_bytes, self.segment_bytes);
            return refuse("high_water_bytes", problem);
        }
        if self.bytes_max < self.high_water_bytes.saturating_add(self.segment_bytes) {
            let problem = format!(
                "{} must leave room for high_water_bytes ({}) and one segment ({})",
                self.bytes_max, self.high_water_bytes, self.segment_bytes
            );
            return refuse("bytes_max", problem);
        }
        let counts = [
            ("group_bytes_max", self.group_bytes_max),
            ("group_frames_max", self.group_frames_max),
            ("queue_frames_max", self.queue_frames_max),
        ];
        match counts.iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => refuse(key, "must be at least 1".to_owned()),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("segment_bytes", &self.segment_bytes)
            .field("bytes_max", &self.bytes_max)
            .field("high_water_bytes", &self.high_water_bytes)
            .field("disk_free_min_bytes", &self.disk_free_min_bytes)
            .field("group_bytes_max", &self.group_bytes_max)
            .field("group_frames_max", &self.group_frames_max)
            .field("queue_frames_max", &self.queue_frames_max)
            .finish_non_exhaustive()
    }
}
