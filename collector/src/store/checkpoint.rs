//! The ledger as a file. It is written before segments are deleted: a batch in neither would be forgotten, and a resend of it
//! stored again.
//!
//! ```text
//!   0       8         12       16          24
//!   ├ magic ┼ version ┼ CRC32C ┼ position ─┼ producers: u32 ┤
//!   then each producer: u16 length, name, i64 last stored, u32 runs, each run u64 first, u64 last
//! ```
//! The checksum covers everything but itself. Every count is checked against the bytes that are left before anything is
//! allocated for it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tollgate_failpoint::Point;
use tollgate_record::runs::{Run, Runs};

use crate::store::durable_file;
use crate::store::ledger::{Ledger, PRODUCERS_MAX, RUNS_MAX, Seen};

/// The file's name, inside the data folder.
pub const CHECKPOINT_FILE: &str = "ledger.checkpoint";

const MAGIC: &[u8; 8] = b"TGLEDGER";
const VERSION: u32 = 1;
const RUN_BYTES: usize = 16;

pub(crate) fn path(data: &Path) -> PathBuf {
    data.join(CHECKPOINT_FILE)
}

pub(crate) fn write(data: &Path, ledger: &Ledger) -> io::Result<()> {
    durable_file::replace_past(&path(data), &encode(ledger), [Point::LedgerStaged, Point::LedgerRenamed])
}

/// The ledger as it was checkpointed; `Err` if the file is there but is not a whole checkpoint.
pub(crate) fn read(data: &Path) -> io::Result<Result<Ledger, ()>> {
    let Some(bytes) = durable_file::read_if_there(&path(data))? else { return Ok(Ok(Ledger::default())) };
    Ok(decode(&bytes).ok_or(()))
}

pub(crate) fn encode(ledger: &Ledger) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&ledger.next_position.to_le_bytes());
    out.extend_from_slice(&(ledger.producers.len() as u32).to_le_bytes());
    for (name, seen) in &ledger.producers {
        out.extend_from_slice(&(name.len() as u16).to_le_bytes());
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&seen.last_us.to_le_bytes());
        out.extend_from_slice(&(seen.batches.runs().len() as u32).to_le_bytes());
        for run in seen.batches.runs() {
            out.extend_from_slice(&run.first.to_le_bytes());
            out.extend_from_slice(&run.last.to_le_bytes());
        }
    }
    let crc = checksum(&out);
    out[12..16].copy_from_slice(&crc.to_le_bytes());
    out
}

fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..])
}

/// `None` for anything that [`encode`] does not write.
pub(crate) fn decode(bytes: &[u8]) -> Option<Ledger> {
    let mut rest = Rest(bytes);
    let known = rest.take(8)? == MAGIC && rest.u32()? == VERSION;
    let crc = rest.u32()?;
    if !known || crc != checksum(bytes) {
        return None;
    }
    let next_position = rest.u64()?;
    let producers = rest.u32()? as usize;
    let mut ledger = Ledger { next_position, ..Ledger::default() };
    if producers > PRODUCERS_MAX {
        return None;
    }
    for _ in 0..producers {
        let length = usize::from(rest.u16()?);
        let name = std::str::from_utf8(rest.take(length)?).ok()?;
        let last_us = rest.u64()? as i64;
        let count = rest.u32()? as usize;
        if count > RUNS_MAX || count * RUN_BYTES > rest.0.len() {
            return None;
        }
        let runs =
            (0..count).map(|_| Some(Run { first: rest.u64()?, last: rest.u64()? })).collect::<Option<Vec<_>>>()?;
        let batches = Runs::from_canonical(runs)?;
        if ledger.producers.insert(Arc::from(name), Seen { batches, last_us }).is_some() {
            return None;
        }
    }
    rest.0.is_empty().then_some(ledger)
}

/// Whether these bytes are a whole checkpoint; for the fuzz target.
///
/// # Panics
/// What was read is not what it would be written as: that is what the fuzz target looks for.
#[doc(hidden)]
pub fn is_checkpoint(bytes: &[u8]) -> bool {
    decode(bytes).is_some_and(|ledger| {
        assert_eq!(decode(&encode(&ledger)), Some(ledger));
        true
    })
}

/// These bytes with magic, version and checksum as a checkpoint has them; for the fuzz target, which guesses none.
#[doc(hidden)]
pub fn with_checkpoint_checksum(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    if out.len() >= 16 {
        out[..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        let crc = checksum(&out);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
    }
    out
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ledger(stored: &[(u8, u64)]) -> Ledger {
        let mut ledger = Ledger::default();
        for (position, (producer, batch_seq)) in stored.iter().enumerate() {
            ledger.insert(position as u64, &Arc::from(format!("gw-{producer}/1/0")), *batch_seq, position as i64);
        }
        ledger
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(stored in prop::collection::vec((0u8..4, 0u64..1000), 0..100)) {
            let ledger = ledger(&stored);
            prop_assert_eq!(decode(&encode(&ledger)), Some(ledger));
        }

        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decode(&bytes), None);
        }

        #[test]
        fn damage_is_noticed(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut bytes = encode(&ledger(&[(1, 1), (1, 2), (2, 9), (2, 3)]));
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(decode(&bytes), None);
        }
    }

    proptest! {
        #[test]
        fn bytes_past_the_checksum_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            is_checkpoint(&with_checkpoint_checksum(&bytes));
        }
    }

    #[test]
    fn a_damaged_file_is_told_from_an_absent_one() {
        let dir = tempfile::tempdir().expect("folder");
        assert_eq!(read(dir.path()).expect("reads"), Ok(Ledger::default()));
        write(dir.path(), &ledger(&[(1, 1)])).expect("writes");
        assert_eq!(read(dir.path()).expect("reads"), Ok(ledger(&[(1, 1)])));
        std::fs::write(path(dir.path()), b"TGLEDGER").expect("overwrites");
        assert_eq!(read(dir.path()).expect("reads"), Err(()));
    }
}
