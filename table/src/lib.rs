//! The columnar table of transaction records, and the hot rows in front of it.
//!
//! A record is queryable as soon as it is durable in the journal: first as a hot row in memory, then, at most
//! `commit_every` later, in a Parquet file of a Delta Lake table. [`Table::snapshot`] shows both as one picture.
//!
//! ```text
//!   journal ──Tail::append──▶ hot rows ─────────────────────────┐
//!      │                         ▲ dropped when committed       ├─▶ Snapshot ─▶ queries
//!      └──Sink::deliver──▶ held ─┴▶ seal ▶ parquet ▶ commit ▶ publish
//!                                 (sort)  (fsync)   (fsync)   (one lock)
//! ```
//!
//! # On disk
//!
//! ```text
//!   DIR/_delta_log/00000000000000000042.json    one commit: add actions with statistics, and txn(app id, position)
//!   DIR/_delta_log/….checkpoint.parquet         all active files, every `checkpoint_commits` commits
//!   DIR/date=2026-11-23/FIRST-LAST-ID.parquet   the rows of journal frames FIRST to LAST, by ascending time
//!   DIR/date=2026-11-23/compact-HOUR-ID.parquet rows of many small files of one hour, by (service, time)
//!   DIR/date=__HIVE_DEFAULT_PARTITION__/…       rows of days with hardly any (a clock that jumps)
//! ```
//! The partition column `date` is the UTC day of `time`. It is in the Delta schema only, not in the files, and exists so that
//! retention is a metadata operation and that other engines prune by day; our own queries prune by the range of `time`.
//! The table asks for reader version 1 and writer version 2, the plainest there are, so that any reader of Delta Lake takes
//! it; `tests/readers.rs` reads it with Python's `deltalake` and pyarrow, and its files with DuckDB.
//!
//! # Exactly once
//!
//! One Delta commit carries the data files and the transaction `txn("tollgate-journal-JOURNAL", p)`, where `p` is the last
//! journal position whose rows are in the table. After a restart `recover` reads `p` back, and frames up to it are ignored.
//! A crash between the files and the commit leaves files that no commit names: nobody reads them.
//! Several collectors may write to one table, each with the name of its own journal. A batch that two of them received is
//! stored by the first and left out by the second: see `batches`.
//! A position is answered only after the data files, the log entry and the directories of both are on stable storage;
//! the local store of `object_store` never syncs, so [`DurableStore`] stands in for it.
#![deny(rustdoc::broken_intra_doc_links)]

mod batches;
mod compaction;
mod delta;
mod durable;
mod hot;
mod maintenance;
mod parquet_file;
mod retention;
mod rows;
mod sink;
mod snapshot;
mod statistics;
mod table;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use deltalake::DeltaTableError;

pub use durable::{DurableStore, SyncCounts};
pub use sink::TableSink;
pub use snapshot::{ColumnRange, DataFile, HotBatch, Snapshot, TableStats};
pub use table::Table;

/// What one table is, and its bounds.
#[derive(Debug, Clone)]
pub struct TableConfig {
    /// The table's folder; created if absent.
    pub dir: PathBuf,
    /// Identity of the journal that feeds it. It must change when the journal starts again from position 0, as positions
    /// up to the last one committed under this name are taken for stored.
    pub journal: String,
    /// The longest that rows are held back to make larger commits.
    pub commit_every: Duration,
    /// Rows held at which a commit is made at once.
    pub commit_rows_max: usize,
    /// Bytes held at which a commit is made at once.
    pub commit_bytes_max: usize,
    /// Bound on the memory of the hot rows; beyond it the oldest are evicted, and counted.
    pub hot_bytes_max: usize,
    /// Commits after which a checkpoint of the log is written.
    pub checkpoint_commits: u64,
    /// How often small files of finished hours are merged; `None` = never.
    pub compact_every: Option<Duration>,
    /// How many days of records are kept, today among them; `None` = all.
    pub keep_days: Option<u32>,
}

impl TableConfig {
    /// The defaults for a table in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            journal: "default".to_owned(),
            commit_every: Duration::from_secs(10),
            commit_rows_max: 65_536,
            commit_bytes_max: 32 << 20,
            hot_bytes_max: 32 << 20,
            checkpoint_commits: 100,
            compact_every: Some(Duration::from_secs(600)),
            keep_days: None,
        }
    }
}

/// Opens the table in `config.dir` for writing, and creates it if it is absent. A table of an older version gets the columns
/// that it lacks.
///
/// # Errors
/// If the folder cannot be read or written, holds a table with a column of another type, or is open for writing by another
/// process under the same journal name.
pub async fn open(config: TableConfig) -> Result<(TableSink, Arc<Table>), TableError> {
    let lock = sink::WriterLock::acquire(&config.dir, &config.journal).await?;
    let table = Arc::new(Table::open(&config).await?);
    Ok((TableSink::new(config, Arc::clone(&table), lock), table))
}

/// Why the table cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A file or directory cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The folder is no table and must not be made one.
    #[error("{}: no Delta table here", .0.display())]
    Absent(PathBuf),
    /// The table has a schema that records do not fit.
    #[error("the table's schema does not fit: {0}")]
    Schema(String),
    /// Another process writes to the table.
    #[error("{}: held by another process; stop it, or give this one another journal name", .0.display())]
    Locked(PathBuf),
    /// The Delta log refused.
    #[error("{action}: {source}")]
    Log {
        /// What was tried.
        action: &'static str,
        /// What the log said.
        source: Box<DeltaTableError>,
    },
    /// Rows cannot be sorted, converted or written as Parquet.
    #[error("{action}: {source}")]
    Rows {
        /// What was tried.
        action: &'static str,
        /// What failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another process has stored some of these batches meanwhile: a proxy had posted them to both.
    #[error("another process has stored some of these batches meanwhile")]
    Doubled,
    /// Another process has committed positions of the same journal.
    #[error("another process stores the same journal in this table; stop one of them")]
    Overtaken,
    /// A checkpoint or a compaction was not what it should be, and was taken back.
    #[error("{0}")]
    Inconsistent(String),
}

impl TableError {
    fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    fn log(action: &'static str) -> impl Fn(DeltaTableError) -> Self {
        move |source| Self::Log { action, source: Box::new(source) }
    }

    fn rows<E: std::error::Error + Send + Sync + 'static>(action: &'static str) -> impl Fn(E) -> Self {
        move |source| Self::Rows { action, source: Box::new(source) }
    }
}
