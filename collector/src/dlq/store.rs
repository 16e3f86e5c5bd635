//! Stores what a sink refused for good, and notes what it passed over.
//!
//! ```text
//!   dlq/kafka/00000000000000000713.arrows.zst   the frame's payload, as it was posted
//!   dlq/kafka/00000000000000000713.json         why, and where it came from
//!   dlq/kafka/skipped.jsonl                     one line for each gap that a full journal forced
//!   dlq/kafka/replay/                           letters moved here are offered to this sink again
//! ```
//! A letter that the sink takes from `replay/` is deleted; one that it refuses again is moved back. Posting its batch to the
//! ingest again would not help: the ledger knows the batch, and answers that it is a duplicate.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tollgate_journal::{FRAME_BYTES_MAX, Frame};
use tollgate_sink::Position;

use crate::store::durable_file;

/// Folder of dead letters, inside the data folder.
pub const DEAD_LETTER_DIR: &str = "dlq";

/// Folder of the letters that are to be delivered again, inside a sink's.
pub(crate) const REPLAY_DIR: &str = "replay";
pub(crate) const PAYLOAD_SUFFIX: &str = ".arrows.zst";
/// The notes of what was passed over, one a line.
pub(crate) const SKIPPED_FILE: &str = "skipped.jsonl";

/// A letter that is to be delivered again.
pub(crate) struct Replay {
    /// The frame's position in the journal.
    pub position: Position,
    /// When the collector received it; `None` if the file of the reason is lost or damaged.
    pub received_us: Option<i64>,
    /// As it was posted.
    pub payload: Vec<u8>,
}

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
        let [payload, why] = names(frame.position);
        durable_file::replace(&self.dir.join(payload), &frame.payload)?;
        durable_file::replace(&self.dir.join(why), &serde_json::to_vec_pretty(&letter)?)
    }

    /// Notes a gap; the note is durable when this returns.
    pub(crate) fn skip(&self, skipped: &Skipped) -> io::Result<()> {
        self.ensure_dir()?;
        let path = self.dir.join(SKIPPED_FILE);
        let mut line = serde_json::to_vec(skipped)?;
        line.push(b'\n');
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.write_all(&line)?;
        file.sync_data()?;
        durable_file::sync_parent(&path)
    }

    /// The first letter after this position that was moved to `replay/`, if any.
    pub(crate) fn next_to_replay(&self, after: Option<Position>) -> io::Result<Option<Replay>> {
        let dir = self.dir.join(REPLAY_DIR);
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut first = None;
        for entry in entries {
            let name = entry?.file_name();
            let position = name.to_str().and_then(|name| name.strip_suffix(PAYLOAD_SUFFIX)?.parse::<Position>().ok());
            let Some(position) = position.filter(|position| after.is_none_or(|after| *position > after)) else {
                continue;
            };
            first = Some(first.map_or(position, |first: Position| first.min(position)));
        }
        let Some(position) = first else { return Ok(None) };
        let [payload, letter] = names(position).map(|name| dir.join(name));
        if fs::metadata(&payload)?.len() > FRAME_BYTES_MAX as u64 {
            return Err(io::Error::other(format!("{} is larger than any frame", payload.display())));
        }
        let payload = fs::read(&payload)?;
        let beside = match durable_file::read_if_there(&letter)? {
            Some(letter) => Some(letter),
            None => durable_file::read_if_there(&self.dir.join(&names(position)[1]))?,
        };
        let letter = beside.and_then(|letter| serde_json::from_slice::<serde_json::Value>(&letter).ok());
        let received_us = letter.and_then(|letter| letter["received_us"].as_i64());
        Ok(Some(Replay { position, received_us, payload }))
    }

    /// Deletes a letter that was delivered; it is gone for good when this returns.
    pub(crate) fn replayed(&self, position: Position) -> io::Result<()> {
        let dir = self.dir.join(REPLAY_DIR);
        let [payload, letter] = names(position);
        fs::remove_file(dir.join(&payload))?;
        for file in [dir.join(&letter), self.dir.join(&letter)] {
            durable_file::remove_if_there(&file)?;
        }
        durable_file::sync_parent(&dir.join(payload))?;
        durable_file::sync_parent(&dir)
    }

    /// Moves a letter that was refused again out of `replay/`, and notes why.
    pub(crate) fn put_back(&self, position: Position, reason: &str) -> io::Result<()> {
        let dir = self.dir.join(REPLAY_DIR);
        let [payload, letter] = names(position);
        note_refusal(&dir.join(&letter), reason)?;
        if dir.join(&letter).exists() {
            fs::rename(dir.join(&letter), self.dir.join(&letter))?;
        }
        fs::rename(dir.join(&payload), self.dir.join(&payload))?;
        durable_file::sync_parent(&dir)?;
        durable_file::sync_parent(&dir.join(payload))
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

/// Adds to a letter why its replay was refused. One that cannot be read is left as it is.
fn note_refusal(letter: &Path, reason: &str) -> io::Result<()> {
    let Some(bytes) = durable_file::read_if_there(letter)? else { return Ok(()) };
    let Ok(mut told) = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&bytes) else {
        return Ok(());
    };
    told.insert("replay_refused".to_owned(), reason.into());
    durable_file::replace(letter, &serde_json::to_vec_pretty(&told)?)
}

/// The names of a letter's two files: the payload, and the reason.
pub(crate) fn names(position: Position) -> [String; 2] {
    [format!("{position:020}{PAYLOAD_SUFFIX}"), format!("{position:020}.json")]
}
