//! The scope of one query: its snapshot, taken once, and a count of what its scans read.

use std::sync::Mutex;

use serde::Serialize;
use tollgate_table::Snapshot;

/// The scope of one query. It travels in the session configuration, so that all scans of the query (a self-join has two) see
/// the same rows.
#[derive(Debug)]
pub struct QueryScope {
    /// The one snapshot of this query.
    pub snapshot: Snapshot,
    scanned: Mutex<ScanCount>,
}

/// How much a query read, summed over its scans.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ScanCount {
    /// Scans of the table in the plan.
    pub scans: usize,
    /// Files in the snapshot, once per scan.
    pub files_total: usize,
    /// Files left after pruning by their statistics.
    pub files_read: usize,
    /// Hot batches in the snapshot, once per scan.
    pub hot_batches_total: usize,
    /// Hot batches left after pruning by time.
    pub hot_batches_read: usize,
}

impl QueryScope {
    /// A scope around a snapshot.
    pub fn new(snapshot: Snapshot) -> Self {
        Self { snapshot, scanned: Mutex::default() }
    }

    /// The count so far.
    pub fn scanned(&self) -> ScanCount {
        self.scanned.lock().map_or_else(|locked| *locked.into_inner(), |count| *count)
    }

    pub(super) fn add(&self, files_read: usize, hot_batches_read: usize) {
        let mut count = match self.scanned.lock() {
            Ok(count) => count,
            Err(poisoned) => poisoned.into_inner(),
        };
        count.scans += 1;
        count.files_total += self.snapshot.files.len();
        count.files_read += files_read;
        count.hot_batches_total += self.snapshot.hot.len();
        count.hot_batches_read += hot_batches_read;
    }
}
