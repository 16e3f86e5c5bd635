//! Copies of bytes that are no good frame. Nothing is cut off a segment before its copy is synced.

use std::io;
use std::ops::Range;

use crate::storage::Storage;

/// Folder, inside the journal's.
pub const QUARANTINE_DIR: &str = "quarantine";
/// Torn tails kept; older ones are deleted. Damage is never deleted.
pub const TORN_FILES_MAX: usize = 16;

/// Why the bytes are no frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamageKind {
    /// The bytes had been synced, and frames in them may have been acknowledged: an operator must look at them.
    Corrupt,
    /// The last group before a crash, of which no acknowledgement is known.
    Torn,
}

impl DamageKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Corrupt => "corrupt",
            Self::Torn => "torn",
        }
    }
}

/// One run of bytes that no frame was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Whether acknowledged frames may be among them.
    pub kind: DamageKind,
    /// The segment's file name.
    pub segment: String,
    /// Offsets in the segment.
    pub bytes: Range<usize>,
    /// Positions lost with them; empty where a torn tail's positions are given out again.
    pub positions: Range<u64>,
    /// Where the copy is, relative to the journal's folder; none if the disk was full, and then nothing is cut off.
    pub file: Option<String>,
}

fn file_name(kind: DamageKind, segment: &str, offset: usize) -> String {
    let segment = segment.trim_end_matches(".seg");
    format!("{QUARANTINE_DIR}/{segment}-{offset:010}-{}.bytes", kind.as_str())
}

/// Copies damaged bytes aside and syncs the copy. Damage that was copied before keeps the kind that it was given then.
pub(crate) fn keep(
    storage: &dyn Storage,
    kind: DamageKind,
    segment: &str,
    whole: &[u8],
    bytes: Range<usize>,
    positions: Range<u64>,
) -> io::Result<Damage> {
    let known = storage.list(QUARANTINE_DIR)?;
    let is_known = |kind| {
        let name = file_name(kind, segment, bytes.start);
        known.iter().any(|(file, length)| name.ends_with(file.as_str()) && *length == bytes.len() as u64)
    };
    let judged = [DamageKind::Corrupt, DamageKind::Torn].into_iter().find(|kind| is_known(*kind));
    let kind = judged.unwrap_or(kind);
    let name = file_name(kind, segment, bytes.start);
    let copied = match judged {
        Some(_) => Ok(()),
        None => drop_old_torn(storage, &known)
            .and_then(|()| copy(storage, &name, whole.get(bytes.clone()).unwrap_or_default())),
    };
    let file = match copied {
        Ok(()) => Some(name),
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => None,
        Err(error) => return Err(error),
    };
    Ok(Damage { kind, segment: segment.to_owned(), bytes, positions, file })
}

fn copy(storage: &dyn Storage, name: &str, bytes: &[u8]) -> io::Result<()> {
    let copy = storage.create(name, 0)?;
    copy.write_all_at(bytes, 0)?;
    copy.sync_data()?;
    storage.sync_dir(QUARANTINE_DIR)
}

fn drop_old_torn(storage: &dyn Storage, known: &[(String, u64)]) -> io::Result<()> {
    let suffix = format!("-{}.bytes", DamageKind::Torn.as_str());
    let mut torn: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).filter(|n| n.ends_with(&suffix)).collect();
    torn.sort_unstable();
    for name in torn.iter().take((torn.len() + 1).saturating_sub(TORN_FILES_MAX)) {
        storage.remove(&format!("{QUARANTINE_DIR}/{name}"))?;
    }
    Ok(())
}
