//! The scope of one query: its snapshot, taken once, and a count of what its scans read.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tollgate_table::Snapshot;

/// The scope of one query. It travels in the session configuration, so that all scans of the query (a self-join has two) see
/// the same rows.
#[derive(Debug)]
pub struct QueryScope {
    /// The one snapshot of this query.
    pub snapshot: Snapshot,
    /// Whether roll-ups may answer.
    pub rollups: bool,
    scanned: Mutex<ScanCount>,
    scans_because: Mutex<Option<&'static str>>,
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
    /// Files that were answered from roll-ups.
    pub files_rolled_up: usize,
    /// Hot batches in the snapshot, once per scan.
    pub hot_batches_total: usize,
    /// Hot batches left after pruning by time.
    pub hot_batches_read: usize,
}

impl QueryScope {
    /// A scope around a snapshot.
    pub fn new(snapshot: Snapshot, rollups: bool) -> Self {
        Self { snapshot, rollups, scanned: Mutex::default(), scans_because: Mutex::default() }
    }

    /// Says why a GROUP BY of the query is not answered from roll-ups. `EXPLAIN` shows the first reason.
    pub(crate) fn scans_because(&self, reason: &'static str) {
        locked(&self.scans_because).get_or_insert(reason);
    }

    /// The reason that was given first.
    pub(crate) fn reason_to_scan(&self) -> Option<&'static str> {
        *locked(&self.scans_because)
    }

    /// The count so far.
    pub fn scanned(&self) -> ScanCount {
        *locked(&self.scanned)
    }

    pub(super) fn add(&self, files_read: usize, hot_batches_read: usize) {
        let mut count = locked(&self.scanned);
        count.scans += 1;
        count.files_total += self.snapshot.files.len();
        count.hot_batches_total += self.snapshot.hot.len();
        count.files_read += files_read;
        count.hot_batches_read += hot_batches_read;
    }

    /// Counts what is read beside cells.
    pub(super) fn add_rows(&self, files_read: usize, hot_batches_read: usize) {
        let mut count = locked(&self.scanned);
        count.files_read += files_read;
        count.hot_batches_read += hot_batches_read;
    }

    /// Counts a scan of cells.
    pub(crate) fn add_cells(&self, files: usize) {
        self.add(0, 0);
        locked(&self.scanned).files_rolled_up += files;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
