//! The folder of what queries write to disk because it does not fit into their memory.
//!
//! ```text
//!   spill_dir/
//!     tollgate-queries-PID-N/   one for each engine; only its user may look into it, as it holds records
//!       lock                    locked while the engine lives
//!       datafusion-…/           files of running queries; each is deleted with its query
//! ```
//! An engine that starts removes the folders whose lock nobody holds: those of processes that were killed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};

use crate::error::{ErrorKind, QueryError};
use crate::limits::Limits;

/// How the name of an engine's folder begins.
const PREFIX: &str = "tollgate-queries-";
/// The file that is locked.
const LOCK: &str = "lock";
/// Where a configuration that names no folder spills: on disk also where `/tmp` is memory (Filesystem Hierarchy Standard
/// 3.0, section 5.15).
const DEFAULT_DIR: &str = "/var/tmp";
/// Files that one merge reads at the same time: each has a buffer.
const MERGE_FILES_MAX: usize = 64;

/// The folder of one engine. It is removed when it is dropped.
#[derive(Debug)]
pub(super) struct SpillFolder {
    path: PathBuf,
    _lock: File,
}

impl SpillFolder {
    /// Makes the engine's own folder, after removing those of engines that are gone. `None` where queries do not spill.
    ///
    /// # Errors
    /// The configured folder cannot be written to. Without a configured one, queries then do not spill.
    pub fn open(limits: &Limits) -> Result<Option<Self>, QueryError> {
        if limits.spill_bytes_max == 0 {
            return Ok(None);
        }
        let configured = limits.spill_dir.as_deref();
        let dir = configured.unwrap_or(Path::new(DEFAULT_DIR));
        match (Self::within(dir), configured) {
            (Ok(folder), _) => Ok(Some(folder)),
            (Err(error), Some(_)) => {
                Err(QueryError::new(ErrorKind::Internal, format!("queries cannot spill to {}: {error}", dir.display()))
                    .hint("let queries.limits.spill_dir name a folder on disk that this process may write to"))
            }
            (Err(error), None) => {
                tracing::warn!(dir = %dir.display(), %error,
                    "queries do not spill, and fail at their memory bound; queries.limits.spill_dir names another folder");
                Ok(None)
            }
        }
    }

    fn within(dir: &Path) -> io::Result<Self> {
        static FOLDERS: AtomicU64 = AtomicU64::new(0);
        fs::create_dir_all(dir)?;
        remove_abandoned(dir)?;
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        // It gets its name when it is locked: until then another engine could take it for abandoned.
        let (unlocked, path) = (dir.join(format!("new-{name}")), dir.join(name));
        fs::DirBuilder::new().mode(0o700).create(&unlocked)?;
        let lock = File::create(unlocked.join(LOCK))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        fs::rename(&unlocked, &path)?;
        Ok(Self { path, _lock: lock })
    }

    /// What DataFusion is to write with.
    pub fn disk_manager(folder: Option<&Self>, limits: &Limits) -> DiskManagerBuilder {
        match folder {
            Some(folder) => DiskManagerBuilder::default()
                .with_mode(DiskManagerMode::Directories(vec![folder.path.clone()]))
                .with_max_temp_directory_size(limits.spill_bytes_max)
                .with_max_spill_merge_fan_in(MERGE_FILES_MAX),
            None => DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
        }
    }
}

impl Drop for SpillFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(dir = %self.path.display(), %error, "a folder of spilled rows cannot be removed");
        }
    }
}

/// Removes the folders whose owner is gone. One that another process removes meanwhile, or that belongs to another user, is
/// passed over.
fn remove_abandoned(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if !is_ours || !entry.file_type()?.is_dir() {
            continue;
        }
        let Ok(lock) = open_lock(&entry.path().join(LOCK)) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            match fs::remove_dir_all(entry.path()) {
                Ok(()) => tracing::info!(dir = %entry.path().display(), "removed what killed queries had spilled"),
                Err(error) => tracing::debug!(dir = %entry.path().display(), %error, "not removed"),
            }
        }
    }
    Ok(())
}

/// Opens the lock of another engine, or of somebody who is none: in a folder for everybody a name may lead to a pipe, and to
/// open one waits for its other end.
fn open_lock(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(dir: &Path) -> Limits {
        Limits { spill_dir: Some(dir.to_owned()), ..Limits::default() }
    }

    #[test]
    fn folders_of_killed_engines_are_removed_and_those_of_living_ones_stay() {
        let dir = tempfile::tempdir().expect("folder");
        let abandoned = dir.path().join("tollgate-queries-1-0");
        fs::create_dir_all(abandoned.join("datafusion-x")).expect("made");
        fs::write(abandoned.join(LOCK), "").expect("written");
        let foreign = dir.path().join("something-else");
        fs::create_dir(&foreign).expect("made");
        let living = SpillFolder::open(&limits(dir.path())).expect("opened").expect("spills");
        assert!(!abandoned.exists() && foreign.exists() && living.path.exists());
        let second = SpillFolder::open(&limits(dir.path())).expect("opened").expect("spills");
        assert!(living.path.exists() && second.path.exists());
        let path = living.path.clone();
        drop(living);
        assert!(!path.exists() && second.path.exists());
    }

    #[test]
    fn a_configured_folder_that_cannot_be_written_to_is_an_error_that_says_what_to_do() {
        let dir = tempfile::tempdir().expect("folder");
        let file = dir.path().join("file");
        fs::write(&file, "").expect("written");
        let error = SpillFolder::open(&limits(&file)).expect_err("a file");
        assert!(error.to_string().contains("queries.limits.spill_dir"), "{error}");
        let off = Limits { spill_bytes_max: 0, ..limits(&file) };
        assert!(SpillFolder::open(&off).expect("off").is_none());
    }

    #[test]
    fn a_pipe_in_the_place_of_a_lock_holds_nobody_up() {
        let dir = tempfile::tempdir().expect("folder");
        let strange = dir.path().join("tollgate-queries-1-0");
        fs::create_dir(&strange).expect("made");
        let (pipe, mode) = (rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR);
        rustix::fs::mknodat(rustix::fs::CWD, strange.join(LOCK), pipe, mode, 0).expect("pipe");
        let limits = limits(dir.path());
        let (opened, done) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || opened.send(SpillFolder::open(&limits).is_ok()));
        assert_eq!(done.recv_timeout(std::time::Duration::from_secs(60)), Ok(true));
    }
}
