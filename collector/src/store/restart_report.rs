//! What was found in the data folder when the collector started.

use serde::Serialize;
use tollgate_journal::Recovery;

/// What was found and done when the collector started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RestartReport {
    /// Good frames in the journal.
    pub frames: u64,
    /// First position held.
    pub first_position: u64,
    /// Position of the next frame.
    pub next_position: u64,
    /// Frames put into the hot rows again before ingest answered.
    pub frames_replayed: u64,
    /// Bytes of a torn write that were cut off.
    pub truncated_bytes: u64,
    /// Runs of stored bytes that are damaged, kept in `quarantine/`.
    pub quarantined: u64,
    /// Each of them, and each torn write, in a sentence.
    pub damage: Vec<String>,
    /// Positions whose segment files were gone.
    pub missing: Vec<String>,
    /// Producers remembered.
    pub producers: u64,
    /// Cursors and checkpoints that were damaged, and what was done without them.
    pub lost_state: Vec<String>,
}

impl RestartReport {
    pub(crate) fn of(recovery: &Recovery) -> Self {
        let damage = recovery.damage.iter().map(|damage| {
            let kept = damage.file.as_deref().unwrap_or("no copy, the disk was full");
            format!(
                "{}: bytes {}..{} {:?}, positions {}..{} ({kept})",
                damage.segment,
                damage.bytes.start,
                damage.bytes.end,
                damage.kind,
                damage.positions.start,
                damage.positions.end
            )
        });
        Self {
            frames: recovery.frames,
            first_position: recovery.first_position,
            next_position: recovery.next_position,
            truncated_bytes: recovery.truncated_bytes,
            quarantined: recovery.quarantined,
            damage: damage.collect(),
            missing: recovery.missing.iter().map(|range| format!("{}..{}", range.start, range.end)).collect(),
            ..Self::default()
        }
    }

    pub(crate) fn log(&self) {
        let report = self;
        tracing::info!(
            frames = report.frames,
            first_position = report.first_position,
            next_position = report.next_position,
            frames_replayed = report.frames_replayed,
            truncated_bytes = report.truncated_bytes,
            quarantined = report.quarantined,
            producers = report.producers,
            "journal opened"
        );
        for lost in &report.lost_state {
            tracing::error!("{lost}");
        }
    }
}
