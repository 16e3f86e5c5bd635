//! One writer per table and journal.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::TableError;

/// Longest wait for another writer that is just closing the table.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(3);
const LOCK_RETRY: Duration = Duration::from_millis(50);

/// Keeps a second process from writing the same journal's positions to the same table: both would be right by the log's
/// conflict check, and neither would get on. The operating system gives it back when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct WriterLock {
    _file: File,
}

impl WriterLock {
    pub(crate) async fn acquire(dir: &Path, journal: &str) -> Result<Self, TableError> {
        fs::create_dir_all(dir).map_err(|source| TableError::io(dir, source))?;
        let name: String = journal.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let path = dir.join(format!("_writer-{name}.lock"));
        let deadline = Instant::now() + LOCK_WAIT_MAX;
        loop {
            match Self::try_acquire(&path)? {
                Some(lock) => return Ok(lock),
                None if Instant::now() >= deadline => return Err(TableError::Locked(path)),
                None => tokio::time::sleep(LOCK_RETRY).await,
            }
        }
    }

    fn try_acquire(path: &Path) -> Result<Option<Self>, TableError> {
        let file = File::options().create(true).append(true).open(path);
        let file = file.map_err(|source| TableError::io(path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(TableError::io(path, source)),
        }
    }
}
