//! Reads a journal's folder from outside. It writes nothing and takes no lock, so it reads a live journal too; the frame
//! that is being written may then look unfinished.

use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};
use std::path::Path;

use crate::error::JournalError;
use crate::frame::Frame;
use crate::quarantine::QUARANTINE_DIR;
use crate::scan::{self, Tail};
use crate::segment;
use crate::storage::{Folder, Storage};

/// One segment, as its file reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentSummary {
    /// File name.
    pub name: String,
    /// Length of the file.
    pub file_bytes: u64,
    /// Bytes of it that are header and frames; what follows is preallocated.
    pub used_bytes: u64,
    /// Positions, from the first good frame's to the one after the last good frame's.
    pub positions: Range<u64>,
    /// Good frames.
    pub frames: u64,
    /// Records in them.
    pub rows: u64,
    /// When the first and the last of them were received, in microseconds since the Unix epoch.
    pub received_us: Option<(i64, i64)>,
    /// Names of the producers whose frames are in it.
    pub producers: Vec<String>,
    /// Bytes at the end of the newest segment that are no whole frame: a write that is under way, or was when its collector
    /// was killed. No frame that was acknowledged is in them; the next start copies them aside and cuts them off.
    pub unfinished: Option<Range<usize>>,
    /// Problems, each in a sentence.
    pub problems: Vec<String>,
}

/// The result of checking a whole folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FolderCheck {
    /// Good frames.
    pub frames: u64,
    /// Records in them.
    pub rows: u64,
    /// Bytes of header and frames that were checked.
    pub used_bytes: u64,
    /// Problems, each with its segment.
    pub problems: Vec<String>,
    /// The newest segment, and the bytes at its end that are no whole frame, if there are any.
    pub unfinished: Option<(String, Range<usize>)>,
    /// Copies of damaged and torn bytes that were set aside, with their lengths.
    pub quarantine: Vec<(String, u64)>,
}

/// The segments in a folder, oldest first. Reads and checks every byte.
///
/// # Errors
/// The folder or a file cannot be read, or was written by another version.
pub fn ls(dir: &Path) -> Result<Vec<SegmentSummary>, JournalError> {
    let mut summaries = Vec::new();
    walk(dir, 0..u64::MAX, |summary, _| {
        summaries.push(summary);
        ControlFlow::Continue(())
    })?;
    Ok(summaries)
}

/// Checks every frame and that no position is missing.
///
/// # Errors
/// As [`ls`]. Problems of the contents are in the answer and are no error.
pub fn verify(dir: &Path) -> Result<FolderCheck, JournalError> {
    let mut check = FolderCheck::default();
    for segment in ls(dir)? {
        check.frames += segment.frames;
        check.rows += segment.rows;
        check.used_bytes += segment.used_bytes;
        if let Some(bytes) = segment.unfinished {
            check.unfinished = Some((segment.name.clone(), bytes));
        }
        check.problems.extend(segment.problems.iter().map(|problem| format!("{}: {problem}", segment.name)));
    }
    let quarantine = Folder::existing(dir).list(QUARANTINE_DIR).map_err(JournalError::io("list", QUARANTINE_DIR))?;
    check.quarantine = quarantine;
    check.quarantine.sort();
    Ok(check)
}

/// Hands over the good frames at these positions, in order.
///
/// # Errors
/// As [`ls`].
pub fn cat(dir: &Path, positions: Range<u64>, mut each: impl FnMut(Frame)) -> Result<(), JournalError> {
    frames(dir, positions, |frame| {
        each(frame);
        ControlFlow::Continue(())
    })
}

/// As [`cat`], until `each` breaks. Segments without these positions are not read.
///
/// # Errors
/// As [`ls`].
pub fn frames(
    dir: &Path,
    positions: Range<u64>,
    mut each: impl FnMut(Frame) -> ControlFlow<()>,
) -> Result<(), JournalError> {
    walk(dir, positions.clone(), |_, scan| {
        scan.frames
            .iter()
            .filter(|parsed| positions.contains(&parsed.position))
            .try_for_each(|parsed| each(parsed.to_frame()))
    })
}

/// Reads the segments that may hold these positions, oldest first.
fn walk(
    dir: &Path,
    positions: Range<u64>,
    mut each: impl FnMut(SegmentSummary, &scan::Scan<'_>) -> ControlFlow<()>,
) -> Result<(), JournalError> {
    let folder = Folder::existing(dir);
    let files = folder.list("").map_err(JournalError::io("list", dir.display().to_string()))?;
    let mut firsts: Vec<u64> = files.iter().filter_map(|(name, _)| segment::first_of(name)).collect();
    firsts.sort_unstable();
    // None until the first segment is read: positions before it were trimmed.
    let mut expected: Option<u64> = None;
    for (index, first) in firsts.iter().enumerate() {
        let limit = firsts.get(index + 1).copied();
        if *first >= positions.end || limit.is_some_and(|limit| limit <= positions.start) {
            continue;
        }
        let name = segment::name(*first);
        let bytes = match std::fs::read(dir.join(&name)) {
            // A live collector trimmed it meanwhile: it trims the oldest segments.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && expected.is_none() => continue,
            bytes => bytes.map_err(JournalError::io("read", &name))?,
        };
        let scan = scan::segment(&bytes, *first, limit)?;
        let continues_from = scan.header.map_or(*first, |header| header.continues_from);
        let mut problems = problems(&scan, limit);
        if let Some(expected) = expected.filter(|expected| *expected < continues_from) {
            problems.insert(0, format!("positions {expected}..{first} are missing before it"));
        }
        expected = Some(scan.next_position);
        if let (Tail::Torn(_), Some(limit)) = (&scan.tail, limit) {
            expected = Some(limit);
        }
        if each(summary(name, bytes.len() as u64, *first, limit, &scan, problems), &scan).is_break() {
            break;
        }
    }
    Ok(())
}

fn summary(
    name: String,
    file_bytes: u64,
    first: u64,
    limit: Option<u64>,
    scan: &scan::Scan<'_>,
    problems: Vec<String>,
) -> SegmentSummary {
    let start = scan.frames.first().map_or(first, |parsed| parsed.position);
    let producers: BTreeSet<&str> = scan.frames.iter().map(|parsed| parsed.producer).collect();
    SegmentSummary {
        name,
        file_bytes,
        used_bytes: scan.end as u64,
        positions: start..scan.next_position,
        frames: scan.frames.len() as u64,
        rows: scan.frames.iter().map(|parsed| u64::from(parsed.rows)).sum(),
        received_us: scan.frames.first().zip(scan.frames.last()).map(|(a, b)| (a.received_us, b.received_us)),
        producers: producers.into_iter().map(str::to_owned).collect(),
        unfinished: match (&scan.tail, limit) {
            (Tail::Torn(torn), None) => Some(torn.clone()),
            _ => None,
        },
        problems,
    }
}

fn problems(scan: &scan::Scan<'_>, limit: Option<u64>) -> Vec<String> {
    let mut problems = Vec::new();
    if scan.header.is_none() {
        problems.push("header is damaged".to_owned());
    }
    for run in &scan.damaged {
        let what = if run.known_durable || limit.is_some() { "damaged" } else { "torn" };
        let Range { start, end } = run.bytes;
        problems.push(format!("bytes {start}..{end} are {what}: positions {:?} are lost", run.positions));
    }
    if let (Tail::Torn(torn), Some(limit)) = (&scan.tail, limit)
        && scan.next_position < limit
    {
        problems.push(format!("bytes {torn:?} are damaged: positions {}..{limit} are lost", scan.next_position));
    }
    problems
}

/// Reads bytes as a segment and checks that the answer holds together; for the fuzz target.
///
/// # Panics
/// When the answer contradicts itself, which the fuzz target looks for.
#[doc(hidden)]
pub fn check_bytes(bytes: &[u8], first: u64, limit: Option<u64>) {
    // Once as they are, and once with the checksums that a fuzzer does not guess.
    for bytes in [bytes.to_vec(), scan::with_checksums(bytes, first)] {
        let Ok(scan) = scan::segment(&bytes, first, limit) else { continue };
        assert!(scan.end <= bytes.len());
        assert!(scan.frames.windows(2).all(|pair| pair[0].position < pair[1].position));
        assert!(scan.frames.iter().all(|frame| limit.is_none_or(|limit| frame.position < limit)));
        assert!(scan.frames.last().is_none_or(|last| scan.next_position == last.position.saturating_add(1)));
        let lost: u64 = scan.damaged.iter().map(|run| run.positions.end - run.positions.start).sum();
        assert_eq!(scan.next_position - first, scan.frames.len() as u64 + lost);
        assert!(scan.damaged.iter().all(|run| run.bytes.start < run.bytes.end && run.bytes.end <= scan.end));
    }
}
