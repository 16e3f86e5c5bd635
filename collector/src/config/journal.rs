//! Where batches are made durable, and how much of them is kept: the section `journal`.

use serde::{Deserialize, Serialize};
use tollgate_config::{ByteSize, ConfigDuration, ConfigPath, Diagnostic};

use super::{at_least_one, defaults};

/// What a frame and its segment add to a batch, at most.
const FRAME_OVERHEAD_BYTES: u64 = 512;

/// Where batches are made durable, and how much of them is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalConfig {
    /// The data folder: segments, cursors, dead letters, the ledger of batches seen.
    pub dir: ConfigPath,
    /// Size of a segment file.
    #[serde(default = "JournalConfig::segment_bytes")]
    pub segment_bytes: ByteSize,
    /// All segment files together never exceed this.
    #[serde(default = "JournalConfig::bytes_max")]
    pub bytes_max: ByteSize,
    /// Posts are answered 503 once this much is stored and not yet delivered everywhere.
    #[serde(default = "JournalConfig::high_water_bytes")]
    pub high_water_bytes: ByteSize,
    /// Posts are answered 503 when the disk has less than this left.
    #[serde(default = "JournalConfig::disk_free_min_bytes")]
    pub disk_free_min_bytes: ByteSize,
    /// Frames that may wait for the writer.
    #[serde(default = "JournalConfig::queue_frames_max")]
    pub queue_frames_max: usize,
    /// Starts although segment files are missing, and reports which positions are gone.
    #[serde(default = "JournalConfig::accept_missing")]
    pub accept_missing: bool,
    /// How long a batch is remembered, so that a resend of it is not stored again.
    #[serde(default = "JournalConfig::remember_batches")]
    pub remember_batches: ConfigDuration,
}

defaults! {
    JournalConfig { dir: ConfigPath }
    segment_bytes: ByteSize = ByteSize::mib(64);
    bytes_max: ByteSize = ByteSize::gib(10);
    high_water_bytes: ByteSize = ByteSize::gib(9);
    disk_free_min_bytes: ByteSize = ByteSize::mib(256);
    queue_frames_max: usize = 1024;
    accept_missing: bool = false;
    remember_batches: ConfigDuration = ConfigDuration::hours(7 * 24);
}

impl JournalConfig {
    /// The defaults, in this folder.
    pub fn new(dir: ConfigPath) -> Self {
        Self::with_defaults(dir)
    }

    /// Everything that the types do not rule out, by the key below `journal`. `batch_bytes_max` is the largest batch that ingest
    /// takes: it must fit into a segment.
    pub fn check(&self, batch_bytes_max: ByteSize) -> Vec<Diagnostic> {
        let mut problems = at_least_one([("queue_frames_max", self.queue_frames_max)]);
        let mut check = |holds: bool, key: &str, problem: String| {
            if !holds {
                problems.push(Diagnostic::of_key(key, problem));
            }
        };
        let segment = self.segment_bytes.bytes();
        let (smallest, largest) = (tollgate_journal::SEGMENT_BYTES_MIN, tollgate_journal::SEGMENT_BYTES_MAX);
        check(
            (smallest..=largest).contains(&segment),
            "segment_bytes",
            format!("must be between {smallest} and {largest} bytes"),
        );
        check(
            segment >= batch_bytes_max.bytes() + FRAME_OVERHEAD_BYTES,
            "segment_bytes",
            format!(
                "must be larger than ingest.batch_bytes_max ({batch_bytes_max}) by at least {FRAME_OVERHEAD_BYTES} bytes"
            ),
        );
        check(
            self.high_water_bytes.bytes() >= segment,
            "high_water_bytes",
            format!("must be at least journal.segment_bytes ({})", self.segment_bytes),
        );
        check(
            self.bytes_max.bytes() >= self.high_water_bytes.bytes().saturating_add(segment),
            "bytes_max",
            format!(
                "must leave room for journal.high_water_bytes ({}) and one segment ({})",
                self.high_water_bytes, self.segment_bytes
            ),
        );
        problems
    }
}
