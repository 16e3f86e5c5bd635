//! Small files that are replaced whole ([`tollgate_storage::replace`]), and what else is asked of their folders.

use std::fs;
use std::io;
use std::path::Path;

use tollgate_failpoint::{Point, reach};
use tollgate_storage::{Replacement, Step};
pub(crate) use tollgate_storage::{replace, sync_parent};

/// As [`replace`], past places where a test may end it: once the new file is synced, and once it has its name.
pub(crate) fn replace_past(path: &Path, bytes: &[u8], [synced, renamed]: [Point; 2]) -> io::Result<()> {
    Replacement::of(path).write_past(bytes, |step| match step {
        Step::Synced => reach(synced),
        Step::Renamed => reach(renamed),
    })
}

/// Makes a folder if it is absent, and its entry durable.
pub(crate) fn ensure_dir(dir: &Path) -> io::Result<()> {
    if !dir.is_dir() {
        fs::create_dir_all(dir)?;
        sync_parent(dir)?;
    }
    Ok(())
}

/// Deletes a file; one that is not there is fine.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What the file holds, or `None` if there is none.
pub(crate) fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
