//! One batch as one file: the same bytes that go over the wire, which `zstd -d` and pyarrow can open.
//!
//! ```text
//! {node}-{start}-{worker}-{batch_seq}.{records}-{crc32c}.arrows.zst
//!  gate-1-64a1f3c2b8e00-0-17.4096-9ae0daaf.arrows.zst
//! ```
//! A file is written under a `.tmp` name and synced, then renamed, then the folder is synced: a name without `.tmp` is
//! a whole batch. A name has one spelling, so that one batch has one file.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tollgate_record::SealedBatch;
use tollgate_record::id::{ProducerName, is_node_id};
use tollgate_storage::{Storage, Unsynced, create_whole, read_all};

/// Suffix of a batch file.
pub const SUFFIX: &str = ".arrows.zst";
/// Suffix of a file that is being written.
pub const UNFINISHED: &str = ".tmp";

/// The name of a batch file, in its parts. Names are ordered as batches are replayed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BatchName {
    /// Start of the process that sealed the batch, in microseconds since 1970.
    pub start_us: i64,
    /// Index of the worker in that process.
    pub worker: u32,
    /// Number of the batch among the worker's.
    pub batch_seq: u64,
    /// The proxy instance.
    pub node: Arc<str>,
    /// Records in the batch, without gap records.
    pub records: u64,
    /// CRC32C of the file.
    pub crc: u32,
}

impl BatchName {
    /// Returns the name of a batch; `records` = rows that are no gap records.
    ///
    /// # Errors
    /// The name of the batch's producer is malformed.
    pub fn of(batch: &SealedBatch, records: u64) -> io::Result<Self> {
        let producer = ProducerName::parse(&batch.producer).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self {
            start_us: producer.start_us,
            worker: producer.worker,
            batch_seq: batch.batch_seq,
            node: producer.node_id.into(),
            records,
            crc: crc32c::crc32c(&batch.bytes),
        })
    }

    /// Reads a file name; `None` = it is no batch's, or not in its one spelling.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (identity, check) = name.strip_suffix(SUFFIX)?.rsplit_once('.')?;
        let (records, crc) = check.split_once('-')?;
        let mut parts = identity.rsplitn(4, '-');
        let parsed = Self {
            batch_seq: parts.next()?.parse().ok()?,
            worker: parts.next()?.parse().ok()?,
            start_us: i64::from_str_radix(parts.next()?, 16).ok()?,
            node: parts.next().filter(|node| is_node_id(node))?.into(),
            records: records.parse().ok()?,
            crc: u32::from_str_radix(crc, 16).ok()?,
        };
        (parsed.to_string() == name).then_some(parsed)
    }
}

impl fmt::Display for BatchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start_us, worker, batch_seq, node, records, crc } = self;
        write!(f, "{node}-{start_us:x}-{worker}-{batch_seq}.{records}-{crc:08x}{SUFFIX}")
    }
}

/// Why a batch file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk fails; the file may be good.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The bytes are not those that were written.
    #[error("the checksum does not match")]
    Checksum,
}

impl ReadError {
    /// Returns whether another try may succeed.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() != io::ErrorKind::NotFound)
    }
}

/// Writes a file durably: once this returns, the whole file survives a power cut. Blocks.
///
/// # Errors
/// The disk is full or fails; nothing is left under the final name then.
pub fn put(storage: &dyn Storage, name: &str, bytes: &[u8]) -> io::Result<()> {
    let unfinished = format!("{name}{UNFINISHED}");
    create_whole(storage, &unfinished, name, bytes.len() as u64, bytes, Unsynced::Removed).map(drop)
}

/// Reads a batch and checks its CRC. Blocks.
///
/// # Errors
/// The disk fails, or the bytes are not those that were written.
pub fn read(storage: &dyn Storage, name: &BatchName) -> Result<Bytes, ReadError> {
    let bytes = read_all(storage, &name.to_string())?;
    if crc32c::crc32c(&bytes) == name.crc { Ok(bytes.into()) } else { Err(ReadError::Checksum) }
}

#[cfg(any(test, fuzzing))]
pub mod promises;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_spelling() {
        let text = "gate-1.eu-64a1f3c2b8e00-0-17.4096-9ae0daaf.arrows.zst";
        let name = BatchName::parse(text).unwrap();
        assert_eq!((&*name.node, name.worker, name.batch_seq, name.records), ("gate-1.eu", 0, 17, 4096));
        assert_eq!(name.to_string(), text);
        for wrong in [
            "gate-1.eu-64A1f3c2b8e00-0-17.4096-9ae0daaf.arrows.zst",
            "gate-1.eu-64a1f3c2b8e00-00-17.4096-9ae0daaf.arrows.zst",
            "gate-1.eu-64a1f3c2b8e00-0-+17.4096-9ae0daaf.arrows.zst",
            "gate-1.eu-64a1f3c2b8e00-0-17.4096-9ae0daa.arrows.zst",
            "-64a1f3c2b8e00-0-17.4096-9ae0daaf.arrows.zst",
            "gate/1-64a1f3c2b8e00-0-17.4096-9ae0daaf.arrows.zst",
            "gate-1.eu-64a1f3c2b8e00-0-17.4096-9ae0daaf.arrows.zst.tmp",
            ".arrows.zst",
            "",
        ] {
            assert_eq!(BatchName::parse(wrong), None, "{wrong}");
        }
    }
}
