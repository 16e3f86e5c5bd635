//! Deletes what stands beside data files that are gone.
//!
//! Delta's vacuum spares the folder, as its name begins with `_`. So this runs after it: a folder goes when no version names its
//! data file any more, the data file is not on disk, and the folder is older than the grace period. A process that dies in
//! between leaves a folder that the next run deletes. A writer creates its data file before the folder beside it, and vacuum
//! deletes no data file that is younger than a day, so the grace period is for what cannot be foreseen.

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use crate::snapshot::SIDECARS;

pub(crate) fn collect(root: &Path, is_active: &dyn Fn(&str) -> bool, before: SystemTime) -> io::Result<usize> {
    let mut deleted = 0;
    for day in folders(&root.join(SIDECARS))? {
        let day_path = root.join(SIDECARS).join(&day);
        for name in folders(&day_path)? {
            let data_path = format!("{day}/{name}.parquet");
            let folder = day_path.join(&name);
            let is_needed = is_active(&data_path) || root.join(&data_path).try_exists()?;
            if !is_needed && is_older(&folder, before)? {
                match fs::remove_dir_all(&folder) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => deleted += 1,
                }
            }
        }
        // Fails where there is something in it. A writer that is about to make its folder would fail, so only an old one goes.
        if is_older(&day_path, before)? {
            let _ = fs::remove_dir(&day_path);
        }
    }
    Ok(deleted)
}

/// Whether a folder is there, and was not changed since. Another collector may have deleted it meanwhile.
fn is_older(folder: &Path, before: SystemTime) -> io::Result<bool> {
    match fs::metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        metadata => Ok(metadata?.modified()? < before),
    }
}

/// The names of the folders in a folder that may not be there.
fn folders(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    Ok(names)
}
