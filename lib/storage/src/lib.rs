//! Durable files: the interface that the journal and the proxy's spool have to a file system, and files that are
//! replaced whole.
//!
//! * [`Storage`] is the interface. [`Folder`] is the real file system. `simulated::Disk` (feature `simulated`, for
//!   tests) loses unsynced writes, runs full, fails and flips bits.
//! * [`create_whole`] and [`publish`] give a `Storage` a file whole or not at all.
//! * [`replace`] does the same for one path of the real file system, outside of any `Storage`.
//!
//! The simulated disk keeps apart what a read sees and what a power cut leaves, down to sectors and to the order of
//! changes in a folder. It is our own for two reasons: it models what a failed fsync leaves behind (pages that are
//! clean in memory and on no disk, see <https://lwn.net/Articles/752063/>), and it serves plain threads, while
//! turmoil-fs stands in for `std::fs` within turmoil's single-threaded simulation only.

mod publish;
mod replacement;
#[cfg(any(test, feature = "simulated"))]
pub mod simulated;

pub use publish::{Unsynced, create_whole, publish};
pub use replacement::{Replacement, Step, replace, sync_parent};

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// Which file a name or a handle leads to: while one of the two is held open, equal values are the same file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Number of the device.
    pub device: u64,
    /// Number of the inode.
    pub inode: u64,
}

impl Identity {
    fn of(metadata: &fs::Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// A file or folder that must stay where it is while the process runs: it is held open, so that no other gets its inode.
#[derive(Debug, Clone)]
pub struct Pinned {
    path: PathBuf,
    identity: Identity,
    _held: Arc<File>,
}

impl Pinned {
    /// Remembers what the path leads to now.
    ///
    /// # Errors
    /// Nothing is there, or it cannot be opened for reading.
    pub fn at(path: &Path) -> io::Result<Self> {
        let held = File::open(path)?;
        Ok(Self { path: path.to_owned(), identity: Identity::of(&held.metadata()?), _held: Arc::new(held) })
    }

    /// Checks that the path still leads to the same file or folder. Takes about a microsecond.
    ///
    /// # Errors
    /// It was deleted, moved or replaced; the message names it.
    pub fn check(&self) -> io::Result<()> {
        let path = self.path.display();
        let found = match fs::metadata(&self.path) {
            Ok(metadata) => Identity::of(&metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(io::Error::new(io::ErrorKind::NotFound, format!("{path} was deleted or moved")));
            }
            Err(error) => return Err(error),
        };
        if found == self.identity {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::NotFound, format!("{path} was replaced by another of the same name")))
    }
}

/// A folder of files. Names are relative and have at most one folder in them (`quarantine/…`).
///
/// Nothing here is durable before it was synced: contents by [`StorageFile::sync_data`], names by
/// [`Storage::sync_dir`].
pub trait Storage: Send + Sync + 'static {
    /// Lists the files directly in the folder `under` (`""`: the folder itself), with their lengths.
    fn list(&self, under: &str) -> io::Result<Vec<(String, u64)>>;
    /// Creates a file of this many zero bytes, whose blocks are allocated. A file of that name is replaced.
    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn StorageFile>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>>;
    /// Renames a file; a target that exists is replaced.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Deletes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and deletions in the folder `under` durable.
    fn sync_dir(&self, under: &str) -> io::Result<()>;
    /// Returns how many bytes can still be allocated.
    fn free_bytes(&self) -> io::Result<u64>;
    /// Returns which file a name leads to now.
    fn identity(&self, name: &str) -> io::Result<Identity>;
    /// Checks that the folder is still the one that was opened.
    fn in_place(&self) -> io::Result<()> {
        Ok(())
    }
}

/// An open file.
pub trait StorageFile: Send + Sync {
    /// Returns the present length.
    fn bytes(&self) -> io::Result<u64>;
    /// Fills `buffer` from `offset`, or fails.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Waits until everything written is on stable storage (fdatasync).
    fn sync_data(&self) -> io::Result<()>;
    /// Cuts the file to this length.
    fn truncate(&self, bytes: u64) -> io::Result<()>;
    /// Returns which file this is.
    fn identity(&self) -> io::Result<Identity>;
}

/// A folder of the real file system. One that was opened for writing refuses to create, rename and delete once its path
/// leads elsewhere: the files in it would not be found again, and another folder's are not its own.
#[derive(Debug, Clone)]
pub struct Folder {
    dir: PathBuf,
    /// Absent if it was opened for reading only.
    pinned: Option<Pinned>,
}

impl Folder {
    /// Opens the folder, or creates it and syncs its entry in the folder above.
    ///
    /// # Errors
    /// The folder cannot be created or synced.
    pub fn create(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            File::open(parent)?.sync_all()?;
        }
        Ok(Self { dir: dir.to_owned(), pinned: Some(Pinned::at(dir)?) })
    }

    /// Opens a folder for reading, and creates nothing.
    pub fn existing(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), pinned: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.dir.clone() } else { self.dir.join(name) }
    }

    /// Creates the one folder that a name may have in it.
    fn make_parent(&self, path: &Path) -> io::Result<()> {
        if let Some(parent) = path.parent().filter(|parent| *parent != self.dir)
            && !parent.exists()
        {
            fs::create_dir(parent)?;
            self.sync_dir("")?;
        }
        Ok(())
    }
}

impl Storage for Folder {
    fn list(&self, under: &str) -> io::Result<Vec<(String, u64)>> {
        let entries = match fs::read_dir(self.path(under)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !under.is_empty() => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry?;
            let metadata = match entry.metadata() {
                // Deleted since the listing: an offline tool looks at a journal that is in use.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                files.push((name, metadata.len()));
            }
        }
        Ok(files)
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn StorageFile>> {
        self.in_place()?;
        let path = self.path(name);
        self.make_parent(&path)?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        if bytes > 0 {
            allocate(&file, bytes)?;
        }
        Ok(Box::new(file))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(self.path(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.in_place()?;
        self.make_parent(&self.path(to))?;
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.in_place()?;
        fs::remove_file(self.path(name))
    }

    fn sync_dir(&self, under: &str) -> io::Result<()> {
        File::open(self.path(under))?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = statvfs(&self.dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn identity(&self, name: &str) -> io::Result<Identity> {
        Ok(Identity::of(&fs::metadata(self.path(name))?))
    }

    fn in_place(&self) -> io::Result<()> {
        self.pinned.as_ref().map_or(Ok(()), Pinned::check)
    }
}

/// Reserves blocks. Where the file system cannot, it writes zeros, which proves as well that there is room.
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
            static CHUNK: [u8; 64 * 1024] = [0; 64 * 1024];
            let mut rest = bytes as usize;
            let mut file = file;
            while rest > 0 {
                let chunk = rest.min(CHUNK.len());
                file.write_all(&CHUNK[..chunk])?;
                rest -= chunk;
            }
            Ok(())
        }
        answer => Ok(answer?),
    }
}

impl StorageFile for File {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn identity(&self) -> io::Result<Identity> {
        Ok(Identity::of(&self.metadata()?))
    }
}

/// Reads a whole file.
///
/// # Errors
/// The file cannot be read, or is larger than an address space.
pub fn read_all(storage: &dyn Storage, name: &str) -> io::Result<Vec<u8>> {
    let file = storage.open(name)?;
    let bytes = usize::try_from(file.bytes()?).map_err(io::Error::other)?;
    let mut all = vec![0; bytes];
    file.read_exact_at(&mut all, 0)?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_the_opened_one_is_not_written() {
        let above = tempfile::tempdir().unwrap();
        let (dir, aside) = (above.path().join("data"), above.path().join("aside"));
        let folder = Folder::create(&dir).unwrap();
        folder.create("a", 8).unwrap();
        fs::rename(&dir, &aside).unwrap();
        for replaced in [false, true] {
            if replaced {
                fs::create_dir(&dir).unwrap();
                fs::write(dir.join("a"), "another").unwrap();
            }
            assert!(folder.create("b", 8).is_err() && folder.rename("a", "c").is_err() && folder.remove("a").is_err());
            let told = folder.in_place().unwrap_err().to_string();
            assert!(told.contains(if replaced { "replaced" } else { "deleted or moved" }), "{told}");
        }
        assert_eq!(fs::read(dir.join("a")).unwrap(), b"another");
        fs::remove_dir_all(&dir).unwrap();
        fs::rename(&aside, &dir).unwrap();
        folder.create("b", 8).unwrap();
    }

    #[test]
    fn a_new_file_never_passes_for_a_deleted_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ID");
        fs::write(&path, "one").unwrap();
        let pinned = Pinned::at(&path).unwrap();
        pinned.check().unwrap();
        // The inode of a file that nobody holds open is often given to the next one.
        for _ in 0..8 {
            fs::remove_file(&path).unwrap();
            fs::write(&path, "one").unwrap();
            assert!(pinned.check().is_err());
        }
    }
}
