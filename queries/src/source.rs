//! The source of the rows.

use std::fmt::Debug;
use std::sync::Arc;

use object_store::ObjectStore;
use tollgate_table::{Snapshot, Table};

/// A source of consistent snapshots of all records.
pub trait Source: Debug + Send + Sync {
    /// The files and the hot rows of this moment: no row in both.
    fn snapshot(&self) -> Snapshot;

    /// The store of the snapshot's files.
    fn store(&self) -> Arc<dyn ObjectStore>;

    /// What the reader of every answer must know about this source, if anything.
    fn notice(&self) -> Option<String> {
        None
    }
}

impl Source for Table {
    fn snapshot(&self) -> Snapshot {
        Table::snapshot(self)
    }

    fn store(&self) -> Arc<dyn ObjectStore> {
        Table::store(self)
    }
}
