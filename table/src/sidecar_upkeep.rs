//! What the table does with the sidecars of its data files after they are written: it checks them, and deletes those that are
//! left over.

use std::time::{Duration, SystemTime};

use crate::TableError;
use crate::sidecar;
use crate::snapshot::{DataFile, SIDECARS};
use crate::table::Table;

/// How old a folder without a data file must be.
const GRACE: Duration = Duration::from_secs(24 * 3_600);

impl Table {
    /// Makes the parts of a data file's sidecar again out of its rows, and answers which of those on disk differ, and in what.
    /// It reads the whole data file.
    ///
    /// # Errors
    /// If the data file or a part cannot be read.
    pub async fn check_sidecar(&self, file: &DataFile) -> Result<Vec<String>, TableError> {
        let (root, file) = (self.root().to_owned(), file.clone());
        let task = tokio::task::spawn_blocking(move || sidecar::differences(&root, &file));
        task.await.map_err(TableError::rows("check a sidecar"))?
    }
}

impl Table {
    /// Deletes sidecars whose data file is neither active nor on disk; answers how many.
    ///
    /// # Errors
    /// If a folder cannot be read or deleted. The rest is left to the next run.
    pub(crate) async fn collect_sidecars(&self) -> Result<usize, TableError> {
        self.collect_sidecars_older_than(GRACE).await
    }

    pub(crate) async fn collect_sidecars_older_than(&self, age: Duration) -> Result<usize, TableError> {
        let (root, files) = (self.root().to_owned(), self.snapshot().files);
        let task = tokio::task::spawn_blocking(move || {
            let active: std::collections::HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
            let before = SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
            sidecar::collect(&root, &|path| active.contains(path), before)
        });
        let collected = task.await.map_err(TableError::rows("delete sidecars"))?;
        collected.map_err(|source| TableError::io(&self.root().join(SIDECARS), source))
    }
}
