//! Batches on disk, for when the collector is away longer than the ring lasts.
//!
//! One file a batch, the very bytes that go over the wire, so `zstd -d` and pyarrow open it:
//!
//! ```text
//! {node}-{start}-{worker}-{batch_seq}.{records}-{crc32c}.arrows.zst
//!  gate-1-64a1f3c2b8e00-0-17.4096-9ae0daaf.arrows.zst
//! ```
//! A file is written under a `.tmp` name, synced, renamed, and the folder synced: a name without `.tmp` is a whole
//! batch. Replay is in the order of (start, worker, batch_seq), also by a later process; a file whose checksum does
//! not match goes to `bad/` and is counted. One process holds the folder, by a lock on `spool.lock`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tollgate_record::SealedBatch;
use tollgate_record::id::ProducerName;

/// Suffix of a batch file.
pub const SUFFIX: &str = ".arrows.zst";
/// Folder inside the spool for files that cannot be read back.
const BAD: &str = "bad";

/// Order of replay.
type Key = (i64, u32, u64);

/// A batch file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolFile {
    key: Key,
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Records in it, without gap records.
    pub rows: u64,
    crc: u32,
}

/// Why a spooled batch cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk fails; the file may be good.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The bytes are not those that were written.
    #[error("the checksum does not match")]
    Checksum,
}

/// The folder.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    bytes_max: u64,
    bytes: u64,
    files: BTreeMap<Key, SpoolFile>,
    _lock: File,
}

impl Spool {
    /// Opens the folder, creating it if it is absent, and finds what an earlier process left.
    ///
    /// # Errors
    /// The folder cannot be created, read or locked.
    pub fn open(dir: &Path, bytes_max: u64) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let lock = File::options().create(true).truncate(false).write(true).open(dir.join("spool.lock"))?;
        lock.try_lock().map_err(|_| io::Error::new(io::ErrorKind::WouldBlock, "another process uses this folder"))?;
        let mut spool = Self { dir: dir.to_owned(), bytes_max, bytes: 0, files: BTreeMap::new(), _lock: lock };
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "tmp") {
                fs::remove_file(&path)?;
            } else if let Some(file) = parse(&path) {
                spool.bytes += file.bytes;
                spool.files.insert(file.key, file);
            }
        }
        Ok(spool)
    }

    /// Bytes of the batches in it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether a batch of this size fits.
    #[must_use]
    pub fn fits(&self, bytes: u64) -> bool {
        self.bytes + bytes <= self.bytes_max
    }

    /// Counts a file that [`write`] has written.
    pub fn add(&mut self, file: SpoolFile) {
        self.bytes += file.bytes;
        self.files.insert(file.key, file);
    }

    /// Takes the oldest file, to replay it. It still counts until [`Spool::forget`].
    pub fn take(&mut self) -> Option<SpoolFile> {
        self.files.pop_first().map(|(_, file)| file)
    }

    /// Puts a file back that could not be sent.
    pub fn put_back(&mut self, file: SpoolFile) {
        self.files.insert(file.key, file);
    }

    /// Forgets a file that was taken.
    pub fn forget(&mut self, file: &SpoolFile) {
        self.bytes -= file.bytes;
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Writes a batch into `dir` so that it is there, whole, after a power cut; `records` = rows that are no gap records. Blocks.
///
/// # Errors
/// The disk is full or fails; nothing is left under the final name then.
pub fn write(dir: &Path, batch: &SealedBatch, records: u64) -> io::Result<SpoolFile> {
    let producer = ProducerName::parse(&batch.producer).map_err(|error| io::Error::other(error.to_string()))?;
    let crc = crc32c::crc32c(&batch.bytes);
    let ProducerName { node_id, start_us, worker } = producer;
    let name = format!("{node_id}-{start_us:x}-{worker}-{}.{}-{crc:08x}{SUFFIX}", batch.batch_seq, records);
    let path = dir.join(&name);
    let unfinished = dir.join(format!("{name}.tmp"));
    let mut file = File::create(&unfinished)?;
    let written = file.write_all(&batch.bytes).and_then(|()| file.sync_all());
    if let Err(error) = written {
        let _already_failing = fs::remove_file(&unfinished);
        return Err(error);
    }
    fs::rename(&unfinished, &path)?;
    File::open(dir)?.sync_all()?;
    let key = (start_us, worker, batch.batch_seq);
    Ok(SpoolFile { key, path, bytes: batch.bytes.len() as u64, rows: records, crc })
}

/// Reads a batch back and checks it. Blocks.
///
/// # Errors
/// The disk fails, or the bytes are not those that were written.
pub fn read(file: &SpoolFile) -> Result<Bytes, ReadError> {
    let bytes = fs::read(&file.path)?;
    if crc32c::crc32c(&bytes) == file.crc { Ok(bytes.into()) } else { Err(ReadError::Checksum) }
}

/// Moves a batch to a folder that may be on another disk: by its name, else by its bytes. Blocks.
///
/// # Errors
/// The disk fails; the file stays then.
pub fn move_to(folder: &Path, file: &SpoolFile, bytes: &[u8]) -> io::Result<()> {
    let to = folder.join(file.path.file_name().unwrap_or_default());
    match fs::rename(&file.path, &to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let mut copy = File::create(&to)?;
            copy.write_all(bytes)?;
            copy.sync_all()?;
            fs::remove_file(&file.path)?;
        }
        renamed => renamed?,
    }
    File::open(folder)?.sync_all()
}

/// Moves a file that cannot be replayed out of the way. Blocks.
///
/// # Errors
/// The disk fails.
pub fn set_aside(file: &SpoolFile) -> io::Result<()> {
    let folder = file.path.parent().unwrap_or(Path::new(".")).join(BAD);
    fs::create_dir_all(&folder)?;
    fs::rename(&file.path, folder.join(file.path.file_name().unwrap_or_default()))
}

fn parse(path: &Path) -> Option<SpoolFile> {
    let stem = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    let (identity, check) = stem.rsplit_once('.')?;
    let (rows, crc) = check.split_once('-')?;
    let mut parts = identity.rsplitn(4, '-');
    let batch_seq = parts.next()?.parse().ok()?;
    let worker = parts.next()?.parse().ok()?;
    let start_us = i64::from_str_radix(parts.next()?, 16).ok()?;
    parts.next().filter(|node| !node.is_empty())?;
    let bytes = fs::metadata(path).ok()?.len();
    let (rows, crc) = (rows.parse().ok()?, u32::from_str_radix(crc, 16).ok()?);
    Some(SpoolFile { key: (start_us, worker, batch_seq), path: path.to_owned(), bytes, rows, crc })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(start: i64, batch_seq: u64) -> SealedBatch {
        SealedBatch {
            producer: ProducerName { node_id: "gate-1.eu".into(), start_us: start, worker: 3 }.to_string().into(),
            batch_seq,
            rows: 7,
            ranges: vec![(1, 7)],
            bytes: Bytes::from(format!("batch {start} {batch_seq}")),
        }
    }

    #[test]
    fn a_later_process_replays_in_order_and_sees_damage() {
        let dir = tempfile::tempdir().unwrap();
        for (start, batch_seq) in [(20, 1), (10, 2), (10, 10), (10, 1)] {
            write(dir.path(), &batch(start, batch_seq), 7).unwrap();
        }
        fs::write(dir.path().join("half.tmp"), "x").unwrap();
        fs::write(dir.path().join("unrelated"), "x").unwrap();
        let mut spool = Spool::open(dir.path(), 1_000).unwrap();
        assert!(Spool::open(dir.path(), 1_000).is_err(), "the folder is locked");
        assert!(!dir.path().join("half.tmp").exists());
        let files: Vec<_> = std::iter::from_fn(|| spool.take()).collect();
        let keys: Vec<_> = files.iter().map(|file| file.key).collect();
        assert_eq!(keys, [(10, 3, 1), (10, 3, 2), (10, 3, 10), (20, 3, 1)]);
        assert_eq!(read(&files[0]).unwrap(), batch(10, 1).bytes);
        assert_eq!(files[0].rows, 7);
        fs::write(&files[1].path, "damaged").unwrap();
        assert!(matches!(read(&files[1]), Err(ReadError::Checksum)));
        set_aside(&files[1]).unwrap();
        assert!(!files[1].path.exists());
        let bytes = spool.bytes();
        spool.forget(&files[0]);
        assert_eq!(spool.bytes(), bytes - files[0].bytes);
    }
}
