//! The system calls behind the store, and a count of the syncs among them.
//!
//! `tollgate_storage::replace` is for files that one process replaces. Several processes write to a table: a log entry must be
//! created, not replaced (a hard link fails where the name exists), under a temporary name that no other writer has and that
//! listings skip.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use object_store::PutPayload;
use tollgate_failpoint::{Point, reach};

/// How many files and directories a store has synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncCounts {
    /// Calls of fsync on files.
    pub files: u64,
    /// Calls of fsync on directories.
    pub directories: u64,
}

/// Does the system calls, and counts the syncs. Shared by the store and by the writer of data files.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    files: AtomicU64,
    directories: AtomicU64,
}

impl Disk {
    pub(crate) fn counts(&self) -> SyncCounts {
        SyncCounts { files: self.files.load(Ordering::Relaxed), directories: self.directories.load(Ordering::Relaxed) }
    }

    pub(crate) fn sync_file(&self, file: &File) -> io::Result<()> {
        file.sync_all()?;
        self.files.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()?;
        self.directories.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Creates a directory and its parents, each durably entered into the one above it.
    pub(crate) fn create_directories(&self, directory: &Path) -> io::Result<()> {
        if directory.is_dir() {
            return Ok(());
        }
        let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        self.create_directories(parent)?;
        match fs::create_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => self.sync_directory(parent),
        }
    }

    /// Writes `payload` to `target` so that after a crash it is there whole or not at all. With `create`, an existing
    /// target is an error of kind `AlreadyExists`.
    // Not `tollgate_storage::replace`: a commit must not replace an entry of the log, so it is a link that fails where one
    // exists; many processes may write one table; the payload comes in parts; listings must not show the temporary file.
    pub(super) fn write(&self, target: &Path, payload: &PutPayload, create: bool) -> io::Result<()> {
        let directory = target.parent().unwrap_or(Path::new("/"));
        self.create_directories(directory)?;
        let staged = Self::stage(target);
        // Only entries of the log are created so: whoever comes second must notice.
        let past = |point| if create { reach(point) } else { Ok(()) };
        let written = self.write_staged(&staged, payload).and_then(|()| past(Point::LogStaged));
        let written = written.and_then(|()| self.place(&staged, target, create));
        if written.is_err() || create {
            let _ = fs::remove_file(&staged);
        }
        written?;
        past(Point::LogLinked)?;
        self.sync_directory(directory)?;
        past(Point::LogSynced)
    }

    /// A name beside `target` that no other writer uses, in this process or another, and that listings skip
    /// (`LocalFileSystem` hides names that end in `#` and digits).
    fn stage(target: &Path) -> PathBuf {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let count = COUNTER.fetch_add(1, Ordering::Relaxed) % 10_000;
        let mut name = target.as_os_str().to_owned();
        name.push(format!("#{}{count:04}{:07}", now.as_nanos(), std::process::id()));
        PathBuf::from(name)
    }

    fn write_staged(&self, staged: &Path, payload: &PutPayload) -> io::Result<()> {
        let mut file = File::create_new(staged)?;
        for chunk in payload {
            file.write_all(chunk)?;
        }
        self.sync_file(&file)
    }

    fn place(&self, staged: &Path, target: &Path, create: bool) -> io::Result<()> {
        if create { fs::hard_link(staged, target) } else { fs::rename(staged, target) }
    }

    pub(super) fn copy(&self, from: &Path, to: &Path, create: bool) -> io::Result<()> {
        let payload = PutPayload::from(Bytes::from(fs::read(from)?));
        self.write(to, &payload, create)
    }

    pub(super) fn rename(&self, from: &Path, to: &Path, create: bool) -> io::Result<()> {
        let directory = to.parent().unwrap_or(Path::new("/"));
        self.create_directories(directory)?;
        self.sync_file(&File::open(from)?)?;
        self.place(from, to, create)?;
        if create {
            fs::remove_file(from)?;
        }
        self.sync_directory(directory)?;
        match from.parent() {
            Some(parent) if parent != directory => self.sync_directory(parent),
            _ => Ok(()),
        }
    }
}
