//! Small files that are replaced whole, so that a reader finds the old or the new one and never a part.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use tollgate_failpoint::{Point, reach};

/// Writes beside the file, syncs, renames over it, syncs the folder.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_past(path, bytes, &[])
}

/// As [`replace`], past places where a test may end it: once the new file is synced, and once it has its name.
pub(crate) fn replace_past(path: &Path, bytes: &[u8], points: &[Point]) -> io::Result<()> {
    let past = |step: usize| points.get(step).map_or(Ok(()), |point| reach(*point));
    let unborn = path.with_extension("new");
    let mut file = File::create(&unborn)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    past(0)?;
    fs::rename(&unborn, path)?;
    past(1)?;
    sync_parent(path)
}

/// Makes a file's entry in its folder durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
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
