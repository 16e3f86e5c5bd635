//! Recovery: reads the segments that are there, sets damage aside, and decides where the next frame goes.

use std::collections::VecDeque;
use std::ops::Range;

use crate::error::JournalError;
use crate::options::Options;
use crate::quarantine::{self, Damage, DamageKind};
use crate::scan::{self, Scan, Tail};
use crate::segment;
use crate::shared::Segment;
use crate::storage::{Storage, read_all};

/// What the journal found when it opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Good frames.
    pub frames: u64,
    /// Bytes cut from the end of the last segment: a group that no acknowledgement is known of.
    pub truncated_bytes: u64,
    /// Runs of bytes that had been synced and are no good frame any more.
    pub quarantined: u64,
    /// Each run of damaged or torn bytes, with the file that keeps a copy.
    pub damage: Vec<Damage>,
    /// Positions whose segment files are gone; only with [`Options::accept_missing`].
    pub missing: Vec<Range<u64>>,
    /// First position held.
    pub first_position: u64,
    /// Position of the next frame.
    pub next_position: u64,
}

/// Where the next segment continues.
pub(crate) struct Recovered {
    pub segments: VecDeque<Segment>,
    pub report: Recovery,
    /// Where the last segment ended, before any jump to [`Options::position_floor`].
    pub ended_at: u64,
}

pub(crate) fn recover(storage: &dyn Storage, options: &Options) -> Result<Recovered, JournalError> {
    let mut firsts = Vec::new();
    for (name, _) in storage.list("").map_err(JournalError::io("list", "the journal folder"))? {
        if name.ends_with(segment::UNBORN_SUFFIX) {
            storage.remove(&name).map_err(JournalError::io("delete", &name))?;
        }
        firsts.extend(segment::first_of(&name));
    }
    firsts.sort_unstable();
    let mut recovered = Recovered {
        segments: VecDeque::new(),
        report: Recovery::default(),
        ended_at: firsts.first().copied().unwrap_or(0),
    };
    for (index, first) in firsts.iter().enumerate() {
        recovered.read_segment(storage, options, *first, firsts.get(index + 1).copied())?;
    }
    let report = &mut recovered.report;
    report.next_position = report.next_position.max(options.position_floor);
    report.first_position = recovered.segments.front().map_or(report.next_position, |segment| segment.first);
    Ok(recovered)
}

impl Recovered {
    fn read_segment(
        &mut self,
        storage: &dyn Storage,
        options: &Options,
        first: u64,
        limit: Option<u64>,
    ) -> Result<(), JournalError> {
        let name = segment::name(first);
        let bytes = read_all(storage, &name).map_err(JournalError::io("read", &name))?;
        let scan = scan::segment(&bytes, first, limit)?;
        self.check_continuity(&scan, options, first, &name)?;
        let mut bad = Vec::new();
        if scan.header.is_none() && !bytes.is_empty() {
            let header = 0..bytes.len().min(segment::SEGMENT_HEADER_BYTES);
            self.keep(storage, DamageKind::Corrupt, &name, &bytes, header, 0..0)?;
        }
        for run in &scan.damaged {
            let is_last = limit.is_none();
            let kind = if is_last && !run.known_durable { DamageKind::Torn } else { DamageKind::Corrupt };
            bad.push(run.bytes.clone());
            self.keep(storage, kind, &name, &bytes, run.bytes.clone(), run.positions.clone())?;
        }
        self.settle_tail(storage, &scan, &name, &bytes, limit)?;
        self.report.frames += scan.frames.len() as u64;
        self.report.next_position = scan.next_position;
        if limit.is_none() && scan.frames.is_empty() {
            // The writer creates the segment again under the same name; it continues from the same position.
            let continues_from = scan.header.map_or(self.ended_at, |header| header.continues_from);
            self.ended_at = continues_from.min(first);
        } else {
            self.ended_at = match (&scan.tail, limit) {
                (Tail::Torn(_), Some(limit)) => limit,
                _ => scan.next_position,
            };
            let identity = storage.identity(&name).map_err(JournalError::io("look at", &name))?;
            self.segments.push_back(Segment {
                identity,
                generation: self.segments.len() as u64,
                first,
                name,
                end_offset: scan.end as u64,
                end_position: self.ended_at,
                bad,
                file_bytes: scan.end as u64,
            });
        }
        Ok(())
    }

    /// Positions between this segment and the one before it must have been skipped on purpose.
    fn check_continuity(
        &mut self,
        scan: &Scan<'_>,
        options: &Options,
        first: u64,
        name: &str,
    ) -> Result<(), JournalError> {
        let from = self.ended_at;
        let skipped = scan.header.is_some_and(|header| header.continues_from <= from);
        if from >= first || skipped {
            return Ok(());
        }
        // A damaged header does not say whether positions were skipped. The damage is reported by itself.
        if !options.accept_missing && scan.header.is_some() {
            return Err(JournalError::MissingSegment { from, to: first, segment: name.to_owned() });
        }
        tracing::error!(from, to = first, segment = name, "journal goes on without missing segments");
        self.report.missing.push(from..first);
        Ok(())
    }

    fn settle_tail(
        &mut self,
        storage: &dyn Storage,
        scan: &Scan<'_>,
        name: &str,
        bytes: &[u8],
        limit: Option<u64>,
    ) -> Result<(), JournalError> {
        match (&scan.tail, limit) {
            // Writes that failed and were answered so: the next segment holds what came instead.
            (Tail::Clean | Tail::Leftover(_), Some(_)) => Ok(()),
            (Tail::Torn(torn), Some(limit)) if scan.next_position < limit => {
                self.keep(storage, DamageKind::Corrupt, name, bytes, torn.clone(), scan.next_position..limit)
            }
            (Tail::Torn(_), Some(_)) => Ok(()),
            (tail, None) => {
                let mut kept = true;
                if let Tail::Torn(torn) = tail {
                    self.keep(storage, DamageKind::Torn, name, bytes, torn.clone(), 0..0)?;
                    kept = self.report.damage.last().is_some_and(|damage| damage.file.is_some());
                }
                seal_last(storage, scan, name, bytes, kept)
            }
        }
    }

    fn keep(
        &mut self,
        storage: &dyn Storage,
        kind: DamageKind,
        name: &str,
        whole: &[u8],
        bytes: Range<usize>,
        positions: Range<u64>,
    ) -> Result<(), JournalError> {
        let damage = quarantine::keep(storage, kind, name, whole, bytes, positions)
            .map_err(JournalError::io("write the quarantine copy of", name))?;
        match damage.kind {
            DamageKind::Corrupt => {
                self.report.quarantined += 1;
                tracing::error!(segment = name, offset = damage.bytes.start, bytes = damage.bytes.len(),
                    positions = ?damage.positions, file = ?damage.file, "journal is damaged: frames were lost after they were stored");
            }
            DamageKind::Torn => {
                self.report.truncated_bytes += damage.bytes.len() as u64;
                tracing::warn!(segment = name, offset = damage.bytes.start, bytes = damage.bytes.len(),
                    file = ?damage.file, "journal ends in a torn write, which was cut off");
            }
        }
        self.report.damage.push(damage);
        Ok(())
    }
}

/// Cuts what follows the last good frame and makes sure of what precedes it. The last group may have been readable only
/// because a failed sync left its pages in memory, marked clean: written again, they are synced for certain.
fn seal_last(storage: &dyn Storage, scan: &Scan<'_>, name: &str, bytes: &[u8], cut: bool) -> Result<(), JournalError> {
    let Some(last) = scan.frames.last() else { return Ok(()) };
    let file = storage.open(name).map_err(JournalError::io("open", name))?;
    let unsure = (last.group_start as usize).clamp(segment::SEGMENT_HEADER_BYTES, scan.end);
    file.write_all_at(&bytes[unsure..scan.end], unsure as u64).map_err(JournalError::io("rewrite the end of", name))?;
    if cut {
        file.truncate(scan.end as u64).map_err(JournalError::io("truncate", name))?;
    }
    file.sync_data().map_err(JournalError::io("sync", name))
}
