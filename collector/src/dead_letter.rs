//! What a sink refused for good, and what it skipped.
//!
//! ```text
//!   dlq/kafka/00000000000000000713.arrows.zst   the frame's payload, as it was posted
//!   dlq/kafka/00000000000000000713.json         why, and where it came from
//!   dlq/kafka/skipped.jsonl                     one line for each gap that a full journal forced
//! ```
//! `curl --data-binary @dlq/kafka/….arrows.zst` posts one again.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tollgate_journal::Frame;

use crate::durable_file;

/// Folder of dead letters, inside the data folder.
pub const DEAD_LETTER_DIR: &str = "dlq";

#[derive(Serialize)]
struct Letter<'a> {
    sink: &'a str,
    position: u64,
    producer: &'a str,
    batch_seq: u64,
    first_seq: i64,
    last_seq: i64,
    rows: u32,
    received_us: i64,
    rejected_us: i64,
    reason: &'a str,
}

/// Frames that a sink passed over because the journal was nearly full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Skipped {
    /// First position passed over.
    pub from: u64,
    /// First position that is delivered again.
    pub to: u64,
    /// Frames passed over, as far as they could still be read.
    pub frames: u64,
    /// Records in them.
    pub rows: u64,
    /// When, in microseconds since the Unix epoch.
    pub at_us: i64,
    /// Why.
    pub reason: String,
}

/// One sink's dead letters.
#[derive(Debug, Clone)]
pub(crate) struct DeadLetters {
    dir: PathBuf,
    sink: &'static str,
}

impl DeadLetters {
    pub(crate) fn of(data: &Path, sink: &'static str) -> Self {
        Self { dir: data.join(DEAD_LETTER_DIR).join(sink), sink }
    }

    /// Stores a frame and why it was refused; both are durable when this returns.
    pub(crate) fn reject(&self, frame: &Frame, reason: &str, rejected_us: i64) -> io::Result<()> {
        self.ensure_dir()?;
        let letter = Letter {
            sink: self.sink,
            position: frame.position,
            producer: &frame.producer,
            batch_seq: frame.batch_seq,
            first_seq: frame.first_seq,
            last_seq: frame.last_seq,
            rows: frame.rows,
            received_us: frame.received_us,
            rejected_us,
            reason,
        };
        let name = format!("{:020}", frame.position);
        durable_file::replace(&self.dir.join(format!("{name}.arrows.zst")), &frame.payload)?;
        durable_file::replace(&self.dir.join(format!("{name}.json")), &serde_json::to_vec_pretty(&letter)?)
    }

    /// Notes a gap; the note is durable when this returns.
    pub(crate) fn skip(&self, skipped: &Skipped) -> io::Result<()> {
        self.ensure_dir()?;
        let path = self.dir.join("skipped.jsonl");
        let mut line = serde_json::to_vec(skipped)?;
        line.push(b'\n');
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.write_all(&line)?;
        file.sync_data()?;
        durable_file::sync_parent(&path)
    }

    fn ensure_dir(&self) -> io::Result<()> {
        if let Some(parent) = self.dir.parent() {
            durable_file::ensure_dir(parent)?;
        }
        if !self.dir.is_dir() {
            fs::create_dir(&self.dir)?;
            durable_file::sync_parent(&self.dir)?;
        }
        Ok(())
    }
}
