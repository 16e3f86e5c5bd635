//! The columnar table of transaction records, and the hot rows in front of it.
//!
//! A record is queryable as soon as it is durable in the journal: first as a hot row in memory, then, at most
//! `commit_every` later, in a Parquet file of a Delta Lake table. [`Table::snapshot`] shows both as one picture.
//!
//! ```text
//!   journal ──Table::show_hot────▶ hot rows ────────────────────┐
//!      │                              ▲ dropped when committed  ├─▶ Snapshot ─▶ queries
//!      └──TableWriter::append──▶ pending ─▶ seal ▶ parquet ▶ commit ▶ publish
//!                                          (sort)  (fsync)   (fsync)   (one lock)
//! ```
//!
//! # On disk
//!
//! ```text
//!   DIR/_delta_log/00000000000000000042.json    one commit: add actions with statistics, and txn(app id, position)
//!   DIR/_delta_log/….checkpoint.parquet         all active files, every `checkpoint_commits` commits
//!   DIR/date=2026-11-23/FIRST-LAST-ID.parquet   the rows of journal frames FIRST to LAST, by ascending time
//!   DIR/date=2026-11-23/compact-LEVEL-HHMM-OUTCOME-ID.parquet   rows of merged files: `compaction`
//!   DIR/_tollgate/v1/date=2026-11-23/…          beside each data file: roll-ups and id filters (`sidecar`)
//!   DIR/date=__HIVE_DEFAULT_PARTITION__/…       rows of days with hardly any (a clock that jumps)
//! ```
//! Tags of each file say its order, the values that occur in it and what stands beside it (`tags`).
//! The partition column `date` is the UTC day of `time`. It is in the Delta schema only, not in the files. It makes
//! retention a metadata operation and lets other engines prune by day; our own queries prune by the range of `time`.
//! The table asks for reader version 1 and writer version 2, the lowest there are, so that any reader of Delta Lake takes
//! it; `tests/readers.rs` reads it with Python's `deltalake` and pyarrow, and its files with DuckDB.
//!
//! # Exactly once
//!
//! One Delta commit carries the data files and the transaction `txn("tollgate-journal-JOURNAL", p)`, where `p` is the last
//! journal position whose rows are in the table. After a restart [`TableWriter::recover`] reads `p` back, and frames up to
//! it are ignored. A crash between the files and the commit leaves files that no commit names: nobody reads them.
//! Several collectors may write to one table, each under the name of its own journal. A batch that two of them received is
//! stored by the first and left out by the second: see `batches`.
//! A position is answered only after the data files, the log entry and the directories of both are on stable storage;
//! the local store of `object_store` never syncs, so [`DurableStore`] stands in for it.
#![deny(rustdoc::broken_intra_doc_links)]

mod batches;
mod calendar;
mod clock;
mod compaction;
mod config;
mod damage;
mod delta;
mod durable;
mod encoding;
mod error;
mod hot;
pub mod ids;
mod maintenance;
mod outcome;
mod parquet_file;
mod part_file;
mod position;
mod retention;
pub mod rollup;
mod rows;
mod sidecar;
mod sidecar_upkeep;
mod snapshot;
mod statistics;
mod table;
mod tags;
#[cfg(test)]
mod tests;
mod values;
mod writer;

use std::sync::Arc;

pub use config::TableConfig;
pub use damage::sidecars_damaged_total;
pub use durable::{DurableStore, SyncCounts};
pub use error::TableError;
pub use ids::{candidates, row_groups_with};
pub use position::Position;
pub use sidecar::{sidecar_parts, verified};
pub use snapshot::{ColumnRange, DataFile, HotBatch, Snapshot, TableStats};
pub use table::Table;
pub use tags::{RowOrder, SidecarPart};
pub use writer::TableWriter;

/// Opens the table in `config.dir` for writing, and creates it if it is absent. A table of an older version gets the columns
/// that it lacks.
///
/// `journal` names the journal that feeds the table. The name must change when the journal starts again from position 0:
/// positions up to the last one committed under a name are taken for stored.
///
/// # Errors
/// If the folder cannot be read or written, holds a table with a column of another type, or is open for writing by another
/// process under the same journal name.
pub async fn open(config: TableConfig, journal: &str) -> Result<(TableWriter, Arc<Table>), TableError> {
    let lock = writer::WriterLock::acquire(&config.dir, journal).await?;
    let table = Arc::new(Table::open(&config, clock::Clock::default(), journal).await?);
    Ok((TableWriter::new(config, Arc::clone(&table), lock), table))
}
