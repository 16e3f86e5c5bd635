//! Where the rows come from.

use std::fmt::Debug;
use std::sync::Arc;

use object_store::ObjectStore;
use tollgate_table::{Snapshot, Table};

/// Something that can be asked for one consistent picture of all records.
pub trait Source: Debug + Send + Sync {
    /// The files and the hot rows of this moment: no row in both.
    fn snapshot(&self) -> Snapshot;

    /// Where the snapshot's files are.
    fn store(&self) -> Arc<dyn ObjectStore>;
}

impl Source for Table {
    fn snapshot(&self) -> Snapshot {
        Table::snapshot(self)
    }

    fn store(&self) -> Arc<dyn ObjectStore> {
        Table::store(self)
    }
}
