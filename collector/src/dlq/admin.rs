//! Lists dead letters and has them delivered again, from outside the collector, also while it runs on the folder.
//!
//! ```text
//!   dlq/SINK/POSITION.arrows.zst, .json      waiting: the sink refused it, and the reason
//!   dlq/SINK/replay/POSITION.arrows.zst …    the collector offers it to the sink again, at its next look or start
//! ```
//! A replay is a rename. The letter moves first and its payload last, because the collector looks for payloads: a command that is
//! killed in between has moved nothing that counts, and the next one finishes the move. The collector deletes a letter that
//! the sink has stored and moves back one that it refuses again, so a letter is waiting, replaying or delivered, and never lost.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::dlq::store::{DEAD_LETTER_DIR, PAYLOAD_SUFFIX, REPLAY_DIR, SKIPPED_FILE, names};
use crate::store::durable_file;

/// Longest letter that is read, in bytes; it is a short JSON object.
const LETTER_BYTES_MAX: u64 = 1 << 20;

/// Where a letter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Set aside: nothing happens to it.
    Waiting,
    /// The collector offers it to the sink again.
    Replaying,
}

/// A frame that a sink refused.
#[derive(Debug, Clone, Serialize)]
pub struct DeadLetter {
    /// The sink.
    pub sink: String,
    /// The frame's position in the journal.
    pub position: u64,
    /// Where it is.
    pub place: Place,
    /// The file that holds the batch as it was posted.
    pub payload: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// What is written beside it; `None` if that is lost or damaged.
    pub letter: Option<Letter>,
}

/// What is written beside a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Who numbered the batch.
    pub producer: String,
    /// The producer's number for it.
    pub batch_seq: u64,
    /// Smallest record number in it.
    pub first_seq: i64,
    /// Largest record number in it.
    pub last_seq: i64,
    /// Records in it.
    pub rows: u32,
    /// When it was received, in microseconds since 1970.
    pub received_us: i64,
    /// When the sink refused it.
    pub rejected_us: i64,
    /// Why.
    pub reason: String,
    /// Why it was refused when it was last replayed, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_refused: Option<String>,
}

/// Positions that a sink passed over because the journal was nearly full, or no longer held them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedRange {
    /// The sink.
    #[serde(default)]
    pub sink: String,
    /// First position passed over.
    pub from: u64,
    /// First position that was delivered again.
    pub to: u64,
    /// Frames passed over, as far as they could still be read.
    pub frames: u64,
    /// Records in them.
    pub rows: u64,
    /// When, in microseconds since 1970.
    pub at_us: i64,
    /// Why.
    pub reason: String,
}

/// All dead letters beside a journal, by sink and position.
///
/// # Errors
/// The folder cannot be read. A folder without dead letters has none.
pub fn list(journal: &Path) -> io::Result<Vec<DeadLetter>> {
    let mut letters = Vec::new();
    for sink in sinks(journal)? {
        let dir = journal.join(DEAD_LETTER_DIR).join(&sink);
        for (place, within) in [(Place::Waiting, dir.clone()), (Place::Replaying, dir.join(REPLAY_DIR))] {
            for position in positions(&within)? {
                letters.extend(one(&sink, &dir, place, position)?);
            }
        }
    }
    letters.sort_by(|a, b| (&a.sink, a.position).cmp(&(&b.sink, b.position)));
    Ok(letters)
}

/// What was passed over, by sink, in the order in which it was.
///
/// # Errors
/// A file cannot be read.
pub fn skipped(journal: &Path) -> io::Result<Vec<SkippedRange>> {
    let mut all = Vec::new();
    for sink in sinks(journal)? {
        let file = journal.join(DEAD_LETTER_DIR).join(&sink).join(SKIPPED_FILE);
        let bytes = durable_file::read_if_there(&file)?.unwrap_or_default();
        // The last line may be half written.
        let lines =
            bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<SkippedRange>(line).ok());
        all.extend(lines.map(|range| SkippedRange { sink: sink.clone(), ..range }));
    }
    Ok(all)
}

/// Has the collector offer a letter to its sink again. A letter that is there already, or half way there, is fine.
///
/// # Errors
/// The letter cannot be moved: most often the user is another than the collector's.
pub fn replay(letter: &DeadLetter, journal: &Path) -> io::Result<()> {
    if letter.place == Place::Replaying {
        return Ok(());
    }
    let dir = journal.join(DEAD_LETTER_DIR).join(&letter.sink);
    let replay = dir.join(REPLAY_DIR);
    durable_file::ensure_dir(&replay)?;
    let [payload, beside] = names(letter.position);
    match fs::rename(dir.join(&beside), replay.join(&beside)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(dir.join(&payload), replay.join(&payload))?;
    durable_file::sync_parent(&replay.join(&payload))?;
    durable_file::sync_parent(&dir.join(payload))
}

/// Where the letter is now; `None` once its sink has it.
///
/// # Errors
/// The folder cannot be read.
pub fn place(journal: &Path, sink: &str, position: u64) -> io::Result<Option<DeadLetter>> {
    let dir = journal.join(DEAD_LETTER_DIR).join(sink);
    // A refused letter moves from the first place to the second: read in the other order, it could be missed in both.
    for place in [Place::Replaying, Place::Waiting] {
        if let Some(letter) = one(sink, &dir, place, position)? {
            return Ok(Some(letter));
        }
    }
    Ok(None)
}

/// The sinks that have a folder.
fn sinks(journal: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(journal)?;
    let entries = match fs::read_dir(journal.join(DEAD_LETTER_DIR)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut sinks = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let (true, Ok(name)) = (entry.file_type()?.is_dir(), entry.file_name().into_string()) {
            sinks.push(name);
        }
    }
    sinks.sort();
    Ok(sinks)
}

fn positions(dir: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut positions = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        positions.extend(name.to_str().and_then(|name| name.strip_suffix(PAYLOAD_SUFFIX)?.parse::<u64>().ok()));
    }
    Ok(positions)
}

/// The letter at this place; `None` if it is not there (any more).
fn one(sink: &str, dir: &Path, place: Place, position: u64) -> io::Result<Option<DeadLetter>> {
    let [payload, beside] = names(position);
    let replay = dir.join(REPLAY_DIR);
    let payload = if place == Place::Waiting { dir.join(payload) } else { replay.join(payload) };
    let bytes = match fs::metadata(&payload) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata?.len(),
    };
    let letter = [dir.join(&beside), replay.join(&beside)].iter().find_map(|path| read_letter(path));
    Ok(Some(DeadLetter { sink: sink.to_owned(), position, place, payload, bytes, letter }))
}

fn read_letter(path: &Path) -> Option<Letter> {
    if fs::metadata(path).ok()?.len() > LETTER_BYTES_MAX {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tollgate_journal::Frame;

    use super::*;
    use crate::dlq::store::DeadLetters;

    fn frame(position: u64) -> Frame {
        Frame {
            position,
            producer: Arc::from("edge-1/65f/0"),
            batch_seq: 3,
            first_seq: 10,
            last_seq: 12,
            rows: 3,
            received_us: 5,
            payload: bytes::Bytes::from_static(b"batch"),
        }
    }

    /// A journal's folder in which Kafka refused the frames 7 and 8.
    fn site() -> (tempfile::TempDir, DeadLetters) {
        let dir = tempfile::tempdir().expect("folder");
        let letters = DeadLetters::of(dir.path(), "kafka");
        for position in [8, 7] {
            letters.reject(&frame(position), "too large", 9).expect("stored");
        }
        (dir, letters)
    }

    #[test]
    fn letters_are_listed_with_their_reasons() {
        let (dir, _) = site();
        let listed = list(dir.path()).expect("reads");
        let told: Vec<_> =
            listed.iter().map(|letter| (letter.sink.as_str(), letter.position, letter.place, letter.bytes)).collect();
        assert_eq!(told, [("kafka", 7, Place::Waiting, 5), ("kafka", 8, Place::Waiting, 5)]);
        let letter = listed[0].letter.as_ref().expect("letter");
        assert_eq!((letter.reason.as_str(), letter.first_seq, letter.rows), ("too large", 10, 3));
        assert!(list(tempfile::tempdir().expect("folder").path()).expect("reads").is_empty());
        assert!(list(&dir.path().join("absent")).is_err());
    }

    #[test]
    fn a_replayed_letter_is_delivered_or_comes_back_with_the_new_reason() {
        let (dir, letters) = site();
        for letter in list(dir.path()).expect("reads") {
            replay(&letter, dir.path()).expect("moved");
        }
        assert!(list(dir.path()).expect("reads").iter().all(|letter| letter.place == Place::Replaying));
        assert_eq!(
            letters.next_to_replay(None).expect("reads").map(|replay| (replay.position, replay.received_us)),
            Some((7, Some(5)))
        );
        letters.replayed(7).expect("deleted");
        assert!(place(dir.path(), "kafka", 7).expect("reads").is_none());
        letters.put_back(8, "still too large").expect("moved back");
        let back = place(dir.path(), "kafka", 8).expect("reads").expect("there");
        let letter = back.letter.expect("letter");
        assert_eq!(
            (back.place, letter.reason.as_str(), letter.replay_refused.as_deref()),
            (Place::Waiting, "too large", Some("still too large"))
        );
    }

    #[test]
    fn a_replay_that_was_killed_half_way_is_finished_by_the_next() {
        let (dir, letters) = site();
        let [_, beside] = names(7);
        let kafka = dir.path().join(DEAD_LETTER_DIR).join("kafka");
        fs::create_dir(kafka.join(REPLAY_DIR)).expect("folder");
        fs::rename(kafka.join(&beside), kafka.join(REPLAY_DIR).join(&beside)).expect("half way");
        assert!(letters.next_to_replay(None).expect("reads").is_none(), "nothing that counts was moved");
        let letter = place(dir.path(), "kafka", 7).expect("reads").expect("there");
        assert_eq!((letter.place, letter.letter.is_some()), (Place::Waiting, true));
        replay(&letter, dir.path()).expect("moved");
        assert_eq!(letters.next_to_replay(None).expect("reads").map(|replay| replay.position), Some(7));
    }
}
