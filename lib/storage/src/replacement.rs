//! Files that are replaced whole: after a crash there is the old one or the new one, and never a part of either.
//!
//! ```text
//! write NAME.new ──▶ sync ──▶ rename to NAME ──▶ sync the folder
//! ```
//! Without the first sync the new name may lead to a file without its content after a power cut; without the second,
//! the old file may come back.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Permissions of a new file, before the process's umask.
const MODE: u32 = 0o666;

/// Replaces the file at `path`, or creates it. Blocks. One process at a time may do so.
///
/// # Errors
/// The disk is full or fails. The old file is there still, unless only the sync of the folder failed.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    Replacement::of(path).write(bytes)
}

/// Makes the names in the folder of `path` durable.
///
/// # Errors
/// The folder cannot be opened or synced.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// How far a replacement has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The new file is on stable storage, under its temporary name.
    Synced,
    /// The new file has its name, which a power cut may still take back.
    Renamed,
}

/// A replacement with settings of its own.
#[derive(Debug, Clone)]
pub struct Replacement<'a> {
    path: &'a Path,
    beside: PathBuf,
    mode: u32,
}

impl<'a> Replacement<'a> {
    /// The replacement of `path`. The temporary file has the ending `.new` in place of the file's own, so that one
    /// which a crash left behind is overwritten by the next.
    #[must_use]
    pub fn of(path: &'a Path) -> Self {
        Self { path, beside: path.with_extension("new"), mode: MODE }
    }

    /// Takes a temporary name that no other process or thread uses. A crash may leave a file of that name for good.
    #[must_use]
    pub fn by_many_processes(mut self) -> Self {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let mut name = self.path.file_name().map_or_else(OsString::new, OsString::from);
        name.push(format!(".{}-{}.new", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
        self.beside = self.path.with_file_name(name);
        self
    }

    /// Sets the file's permissions, which it has from its creation on.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Replaces the file by `bytes`. Blocks.
    ///
    /// # Errors
    /// As for [`replace`].
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.write_past(bytes, |_| Ok(()))
    }

    /// [`Replacement::write`], with a look at each step: what `past` answers ends the replacement there.
    ///
    /// # Errors
    /// As for [`replace`], and those of `past`.
    pub fn write_past(&self, bytes: &[u8], mut past: impl FnMut(Step) -> io::Result<()>) -> io::Result<()> {
        let renamed = self
            .write_beside(bytes)
            .and_then(|()| past(Step::Synced))
            .and_then(|()| fs::rename(&self.beside, self.path));
        if renamed.is_err() {
            // On a full disk, what was written of it is what others lack.
            let _already_failing = fs::remove_file(&self.beside);
        }
        renamed?;
        past(Step::Renamed)?;
        sync_parent(self.path)
    }

    fn write_beside(&self, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(self.mode).open(&self.beside)?;
        file.write_all(bytes)?;
        file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cursor");
        replace(&path, b"a longer text").unwrap();
        replace(&path, b"short").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"short");
        Replacement::of(&path).by_many_processes().mode(0o600).write(b"secret").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_ends_at_a_step_leaves_the_old_file_or_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cursor");
        replace(&path, b"old").unwrap();
        for (end, left) in [(Step::Synced, b"old"), (Step::Renamed, b"new")] {
            let past = |step| if step == end { Err(io::Error::other("killed")) } else { Ok(()) };
            assert!(Replacement::of(&path).write_past(b"new", past).is_err());
            assert_eq!(&fs::read(&path).unwrap(), left);
        }
    }

    #[test]
    fn a_disk_that_fails_keeps_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cursor");
        replace(&path, b"old").unwrap();
        fs::create_dir(dir.path().join("cursor.new")).unwrap();
        assert!(replace(&path, b"new").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }
}
