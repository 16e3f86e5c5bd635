//! Batches on disk, for when the collector is away longer than the ring lasts.
//!
//! Each batch has one file (see [`batch_file`]). Replay is in the order of (start, worker, batch_seq), also by a later
//! process with another producer's name. Batches of a node that the collector forbids are skipped. One process holds
//! the folder, by a lock on `spool.lock`.
//!
//! ```text
//! spool/
//!   spool.lock
//!   gate-1-64a1f3c2b8e00-0-17.4096-9ae0daaf.arrows.zst        a batch
//!   gate-1-64a1f3c2b8e00-0-18.4096-17ab0021.arrows.zst.tmp    not whole: deleted when the spool opens
//!   gap-0.reserve                                             room for a last gap batch, kept while the disk is full
//!   bad/                                                      what cannot be read back
//! ```
//! * A file counts against the bound with the blocks of 4 KiB that it takes of the disk. The number of files has a
//!   bound too, because each costs some 100 bytes of memory.
//! * A batch whose write has returned survives a power cut. A deleted batch may reappear after one: it is sent again,
//!   and the collector knows it as a duplicate.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tollgate_record::SealedBatch;
use tollgate_storage::{Folder, Storage, Unsynced, publish};

use crate::batch_file::{self, BatchName, SUFFIX, UNFINISHED};

/// Folder inside the spool for damaged files.
const BAD: &str = "bad";
/// Files kept in that folder; further ones are deleted.
const BAD_FILES_MAX: usize = 64;
/// Unit of the disk that a file takes.
const BLOCK_BYTES: u64 = 4_096;
/// Bytes reserved for a worker's last gap batch.
const RESERVE_BYTES: u64 = 256 * 1024;
/// Suffix of the files that reserve them.
const RESERVE: &str = ".reserve";

/// A batch file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolFile {
    /// Name of the file.
    pub name: BatchName,
    /// Size of the file.
    pub bytes: u64,
}

impl SpoolFile {
    /// Returns the bytes of the disk that the file takes.
    fn cost(&self) -> u64 {
        cost(self.bytes)
    }
}

fn cost(bytes: u64) -> u64 {
    bytes.max(1).next_multiple_of(BLOCK_BYTES)
}

/// Bounds of the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolLimits {
    /// Bytes of the disk.
    pub bytes_max: u64,
    /// Files.
    pub files_max: usize,
}

/// The list of batches on disk. Reading and writing the files is for threads that may block.
pub struct Spool {
    storage: Arc<dyn Storage>,
    limits: SpoolLimits,
    bytes: u64,
    files: usize,
    /// Files that no poster has taken, by node. There are several nodes only in a folder that another proxy left.
    waiting: BTreeMap<Arc<str>, BTreeMap<BatchName, u64>>,
    _lock: Option<File>,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("bytes", &self.bytes).field("files", &self.files).finish_non_exhaustive()
    }
}

impl Spool {
    /// Opens the folder, creates it if it is absent, and lists what an earlier process left.
    ///
    /// # Errors
    /// The folder cannot be created, read or locked.
    pub fn open(dir: &Path, limits: SpoolLimits) -> io::Result<Self> {
        let folder = Folder::create(dir)?;
        let lock = File::options().create(true).truncate(false).write(true).open(dir.join("spool.lock"))?;
        lock.try_lock().map_err(|_| io::Error::new(io::ErrorKind::WouldBlock, "another process uses this folder"))?;
        Self::open_on(Arc::new(folder), limits, Some(lock))
    }

    /// Opens a spool on any storage.
    ///
    /// # Errors
    /// The storage cannot be read.
    pub fn open_on(storage: Arc<dyn Storage>, limits: SpoolLimits, lock: Option<File>) -> io::Result<Self> {
        let found = storage.list("")?;
        let mut spool = Self { storage, limits, bytes: 0, files: 0, waiting: BTreeMap::new(), _lock: lock };
        for (name, bytes) in found {
            if name.ends_with(UNFINISHED) {
                spool.storage.remove(&name)?;
            } else if let Some(parsed) = BatchName::parse(&name) {
                spool.add(SpoolFile { name: parsed, bytes });
            } else if name.ends_with(SUFFIX) {
                tracing::warn!(name, "a file in the spool has a name that no batch has, and is set aside");
                set_aside(&*spool.storage, &name)?;
            }
        }
        Ok(spool)
    }

    /// Returns the bytes of the disk that all batches take, including those with the posters.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns whether a batch of this size fits.
    #[must_use]
    pub fn fits(&self, bytes: u64) -> bool {
        self.bytes + cost(bytes) <= self.limits.bytes_max && self.files < self.limits.files_max
    }

    /// Adds a file that [`write`] has written.
    pub fn add(&mut self, file: SpoolFile) {
        self.bytes += file.cost();
        self.files += 1;
        self.put_back(file);
    }

    /// Takes the oldest file of a node that is not `skipped`. The file counts until [`Spool::forget`].
    pub fn take(&mut self, skipped: impl Fn(&str) -> bool) -> Option<SpoolFile> {
        let nodes = self.waiting.iter().filter(|(node, _)| !skipped(node));
        let oldest = nodes.filter_map(|(node, files)| Some((files.first_key_value()?.0, node)));
        let node = oldest.min()?.1.clone();
        let files = self.waiting.get_mut(&node)?;
        let (name, bytes) = files.pop_first()?;
        if files.is_empty() {
            self.waiting.remove(&node);
        }
        Some(SpoolFile { name, bytes })
    }

    /// Returns a file that could not be sent.
    pub fn put_back(&mut self, mut file: SpoolFile) {
        // All files of a node share one copy of its name.
        if let Some((node, _)) = self.waiting.get_key_value(&file.name.node) {
            file.name.node = node.clone();
        }
        self.waiting.entry(file.name.node.clone()).or_default().insert(file.name, file.bytes);
    }

    /// Stops counting a file that was taken and is gone.
    pub fn forget(&mut self, file: &SpoolFile) {
        self.bytes -= file.cost();
        self.files -= 1;
    }

    /// Returns the storage of the files.
    #[must_use]
    pub fn storage(&self) -> Arc<dyn Storage> {
        self.storage.clone()
    }
}

/// Writes a batch durably; `records` = rows that are no gap records. Blocks.
///
/// # Errors
/// The disk is full or fails; nothing is left under the final name then.
pub fn write(storage: &dyn Storage, batch: &SealedBatch, records: u64) -> io::Result<SpoolFile> {
    let name = BatchName::of(batch, records)?;
    batch_file::put(storage, &name.to_string(), &batch.bytes)?;
    Ok(SpoolFile { name, bytes: batch.bytes.len() as u64 })
}

/// Reserves room for a worker's last gap batch, unless it is reserved. Blocks.
///
/// # Errors
/// The disk is full or fails.
pub fn keep_reserve(storage: &dyn Storage, worker: usize) -> io::Result<()> {
    let name = format!("gap-{worker}{RESERVE}");
    match storage.open(&name).and_then(|file| file.bytes()) {
        Ok(RESERVE_BYTES..) => Ok(()),
        _ => {
            let file = storage.create(&name, RESERVE_BYTES)?;
            file.sync_data()?;
            storage.sync_dir("")
        }
    }
}

/// Writes a worker's last gap batch, into the reserved room if the disk is full. Blocks.
///
/// # Errors
/// There is no room, reserved or not, or the disk fails.
pub fn write_last(storage: &dyn Storage, worker: usize, batch: &SealedBatch) -> io::Result<SpoolFile> {
    write(storage, batch, 0).or_else(|full| {
        let (name, bytes) = (BatchName::of(batch, 0)?, batch.bytes.len() as u64);
        let reserve = format!("gap-{worker}{RESERVE}");
        let file = storage.open(&reserve).map_err(|_| full)?;
        if file.bytes()? < bytes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.write_all_at(&batch.bytes, 0)?;
        file.truncate(bytes)?;
        file.sync_data()?;
        publish(storage, &reserve, &name.to_string(), Unsynced::Removed)?;
        Ok(SpoolFile { name, bytes })
    })
}

/// Moves a damaged file into the folder for them, or deletes it if that folder is full. Blocks.
///
/// # Errors
/// The disk fails.
pub fn set_aside(storage: &dyn Storage, name: &str) -> io::Result<()> {
    if storage.list(BAD)?.len() >= BAD_FILES_MAX {
        return storage.remove(name);
    }
    storage.rename(name, &format!("{BAD}/{name}"))
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tollgate_record::id::ProducerName;
    use tollgate_record::runs::Runs;

    use super::*;
    use crate::batch_file::{ReadError, read};

    const LIMITS: SpoolLimits = SpoolLimits { bytes_max: 16_384, files_max: 100 };

    fn batch(node: &str, start: i64, batch_seq: u64) -> SealedBatch {
        SealedBatch {
            producer: ProducerName { node_id: node.into(), start_us: start, worker: 3 }.to_string().into(),
            batch_seq,
            rows: 7,
            seqs: Runs::between(1, 7),
            bytes: Bytes::from(format!("batch {node} {start} {batch_seq}")),
        }
    }

    #[test]
    fn a_later_process_replays_in_order_and_sees_damage() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::existing(dir.path());
        for (start, batch_seq) in [(20, 1), (10, 2), (10, 10), (10, 1)] {
            write(&folder, &batch("gate-1.eu", start, batch_seq), 7).unwrap();
        }
        std::fs::write(dir.path().join("half.tmp"), "x").unwrap();
        std::fs::write(dir.path().join("unrelated"), "x").unwrap();
        std::fs::write(dir.path().join("nonsense.arrows.zst"), "x").unwrap();
        let mut spool = Spool::open(dir.path(), LIMITS).unwrap();
        assert!(Spool::open(dir.path(), LIMITS).is_err(), "the folder is locked");
        assert!(!dir.path().join("half.tmp").exists());
        assert!(dir.path().join("bad/nonsense.arrows.zst").exists());
        let files: Vec<_> = std::iter::from_fn(|| spool.take(|_| false)).collect();
        let keys: Vec<_> = files.iter().map(|file| (file.name.start_us, file.name.batch_seq)).collect();
        assert_eq!(keys, [(10, 1), (10, 2), (10, 10), (20, 1)]);
        assert_eq!(read(&folder, &files[0].name).unwrap(), batch("gate-1.eu", 10, 1).bytes);
        assert_eq!(files[0].name.records, 7);
        std::fs::write(dir.path().join(files[1].name.to_string()), "damaged").unwrap();
        assert!(matches!(read(&folder, &files[1].name), Err(ReadError::Checksum)));
        set_aside(&folder, &files[1].name.to_string()).unwrap();
        assert!(matches!(read(&folder, &files[1].name), Err(error) if !error.may_pass()));
        assert_eq!(spool.bytes(), 4 * BLOCK_BYTES);
        spool.forget(&files[0]);
        assert_eq!(spool.bytes(), 3 * BLOCK_BYTES);
    }

    #[test]
    fn both_bounds_hold() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::existing(dir.path());
        let mut spool = Spool::open(dir.path(), SpoolLimits { bytes_max: 3 * BLOCK_BYTES, files_max: 2 }).unwrap();
        assert!(spool.fits(3 * BLOCK_BYTES) && !spool.fits(3 * BLOCK_BYTES + 1));
        spool.add(write(&folder, &batch("a", 1, 1), 7).unwrap());
        assert!(spool.fits(2 * BLOCK_BYTES) && !spool.fits(2 * BLOCK_BYTES + 1), "a small file takes a block");
        spool.add(write(&folder, &batch("a", 1, 2), 7).unwrap());
        assert!(!spool.fits(1), "files have a bound too");
    }

    #[test]
    fn a_node_that_may_not_speak_holds_up_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::existing(dir.path());
        for (node, start) in [("old", 10), ("old", 11), ("new", 20), ("newer", 15)] {
            write(&folder, &batch(node, start, 1), 7).unwrap();
        }
        let mut spool = Spool::open(dir.path(), LIMITS).unwrap();
        let oldest = spool.take(|_| false).unwrap();
        assert_eq!(&*oldest.name.node, "old");
        spool.put_back(oldest);
        let starts: Vec<_> = std::iter::from_fn(|| spool.take(|node| node == "old")).map(|f| f.name.start_us).collect();
        assert_eq!(starts, [15, 20]);
        assert_eq!(spool.take(|_| false).unwrap().name.start_us, 10);
    }

    #[test]
    fn damage_has_a_bound_too() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::existing(dir.path());
        for number in 0..BAD_FILES_MAX + 3 {
            let name = format!("{number}{SUFFIX}");
            std::fs::write(dir.path().join(&name), "x").unwrap();
            set_aside(&folder, &name).unwrap();
        }
        assert_eq!(folder.list(BAD).unwrap().len(), BAD_FILES_MAX);
        assert!(folder.list("").unwrap().is_empty());
    }
}
