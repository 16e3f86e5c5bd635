//! Batches that a collector refused for good, with the reason, until a person has looked at them.
//!
//! ```text
//! quarantine/
//!   gate-1-64a1f3c2b8e00-0-17.4096-9ae0daaf.arrows.zst         the batch
//!   gate-1-64a1f3c2b8e00-0-17.4096-9ae0daaf.arrows.zst.json    {"status":400,"reason":"…","time_us":…}
//! ```
//! The reason is written first, so that no batch is ever without it. A full folder takes no more: the first batches
//! show what is wrong, and none is deleted while a person may be reading it.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tollgate_storage::{Folder, Storage, read_all};

use crate::batch_file::{self, BatchName, ReadError, UNFINISHED};

/// Suffix of a file with a reason, after the batch's name.
const REASON: &str = ".json";

/// Bounds of the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuarantineLimits {
    /// Bytes of batches.
    pub bytes_max: u64,
    /// Batches.
    pub batches_max: usize,
}

/// Why and when a batch was refused; the content of its `.json` file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalNote {
    /// Status of the collector's answer.
    pub status: u16,
    /// The collector's reason.
    pub reason: String,
    /// Time of the answer, in microseconds since 1970.
    pub time_us: i64,
}

/// A batch in the folder.
#[derive(Debug, Clone)]
pub struct QuarantinedBatch {
    /// Name of the batch, which is its file's name.
    pub name: BatchName,
    /// Size of the file.
    pub bytes: u64,
    /// Why the batch was refused; `None` = its file cannot be read.
    pub refusal: Option<RefusalNote>,
}

/// The quarantine folder.
pub struct Quarantine {
    folder: Folder,
    limits: QuarantineLimits,
    /// Held while a batch is written, so that two writers cannot pass the bounds together.
    keeping: Mutex<()>,
}

impl Quarantine {
    /// Opens the folder, and creates it if it is absent.
    ///
    /// # Errors
    /// The folder cannot be created or read.
    pub fn open(dir: &Path, limits: QuarantineLimits) -> io::Result<Self> {
        let folder = Folder::create(dir)?;
        for (name, _) in folder.list("")? {
            if name.ends_with(UNFINISHED) {
                folder.remove(&name)?;
            }
        }
        Ok(Self { folder, limits, keeping: Mutex::new(()) })
    }

    /// Returns the folder as it is, for reading beside the process that writes to it.
    #[must_use]
    pub fn existing(dir: &Path, limits: QuarantineLimits) -> Self {
        Self { folder: Folder::existing(dir), limits, keeping: Mutex::new(()) }
    }

    /// Writes a batch into the folder. Blocks.
    ///
    /// # Errors
    /// The folder's bounds are reached, or the disk is full or fails.
    pub fn keep(&self, name: &BatchName, bytes: &[u8], refusal: &RefusalNote) -> io::Result<()> {
        let _one_at_a_time = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = self.batches()?;
        let total: u64 = kept.iter().filter(|(other, _)| other != name).map(|(_, bytes)| bytes).sum();
        if kept.len() >= self.limits.batches_max || total + bytes.len() as u64 > self.limits.bytes_max {
            let full = "the quarantine folder is full; look at its batches, then replay or delete them";
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, full));
        }
        let reason = serde_json::to_vec(refusal).map_err(io::Error::other)?;
        batch_file::put(&self.folder, &format!("{name}{REASON}"), &reason)?;
        batch_file::put(&self.folder, &name.to_string(), bytes)
    }

    /// Lists every batch, in the order of replay.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(&self) -> io::Result<Vec<QuarantinedBatch>> {
        let with_reason = |(name, bytes): (BatchName, u64)| {
            let reason = read_all(&self.folder, &format!("{name}{REASON}"));
            let refusal = reason.ok().and_then(|reason| serde_json::from_slice(&reason).ok());
            QuarantinedBatch { name, bytes, refusal }
        };
        Ok(self.batches()?.into_iter().map(with_reason).collect())
    }

    fn batches(&self) -> io::Result<Vec<(BatchName, u64)>> {
        let files = self.folder.list("")?;
        let named = files.into_iter().filter_map(|(name, bytes)| Some((BatchName::parse(&name)?, bytes)));
        let mut batches: Vec<_> = named.collect();
        batches.sort();
        Ok(batches)
    }

    /// Reads a batch. Blocks.
    ///
    /// # Errors
    /// The disk fails, or the bytes are not those that were written.
    pub fn read(&self, name: &BatchName) -> Result<bytes::Bytes, ReadError> {
        batch_file::read(&self.folder, name)
    }

    /// Deletes a batch and its reason. Blocks.
    ///
    /// # Errors
    /// The disk fails.
    pub fn remove(&self, name: &BatchName) -> io::Result<()> {
        self.folder.remove(&name.to_string())?;
        match self.folder.remove(&format!("{name}{REASON}")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::*;

    fn name(batch_seq: u64, bytes: &[u8]) -> BatchName {
        BatchName { start_us: 10, worker: 0, batch_seq, node: "gate-1".into(), records: 7, crc: crc32c::crc32c(bytes) }
    }

    #[test]
    fn both_bounds_hold_and_reasons_stay_with_batches() {
        let dir = tempfile::tempdir().unwrap();
        let open =
            |bytes_max, batches_max| Quarantine::open(dir.path(), QuarantineLimits { bytes_max, batches_max }).unwrap();
        let why = RefusalNote { status: 400, reason: "seq: not ascending".into(), time_us: 5 };
        let quarantine = open(10, 100);
        quarantine.keep(&name(2, b"12345"), b"12345", &why).unwrap();
        quarantine.keep(&name(1, b"54321"), b"54321", &why).unwrap();
        assert!(quarantine.keep(&name(3, b"1"), b"1", &why).is_err(), "bytes");
        assert!(open(100, 2).keep(&name(3, b"1"), b"1", &why).is_err(), "batches");
        let kept = quarantine.list().unwrap();
        assert_eq!(kept.iter().map(|kept| kept.name.batch_seq).collect::<Vec<_>>(), [1, 2]);
        assert!(kept.iter().all(|kept| kept.refusal.as_ref() == Some(&why)));
        assert_eq!(&quarantine.read(&kept[0].name).unwrap()[..], b"54321");
        quarantine.remove(&kept[0].name).unwrap();
        quarantine.remove(&kept[1].name).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "reasons go with their batches");
    }
}
