//! A snapshot: one consistent picture of the table's files and of the hot rows, for a query.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use object_store::path::Path as ObjectPath;

use crate::Position;
use crate::rollup::Rollup;
use crate::tags::{RowOrder, SidecarPart};

/// The folder of what stands beside data files. Other readers of Delta Lake skip names that begin with `_`, and their vacuum
/// spares them.
pub(crate) const SIDECARS: &str = "_tollgate/v1";

/// The table at one moment. Every journaled record up to that moment is in exactly one of `files` and `hot`,
/// save for `hot_evicted` rows that are in neither yet (they are in the journal, and the next commit brings them).
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Version of the Delta table.
    pub version: i64,
    /// The last journal position whose rows are in `files`; `None` before the first commit, and for a table opened
    /// read-only, which has no journal.
    pub through: Option<Position>,
    /// The active data files, by ascending `min_time_us`.
    pub files: Arc<Vec<DataFile>>,
    /// The journaled batches after `through`, by ascending position, without those that another collector has brought to
    /// the table.
    pub hot: Vec<Arc<HotBatch>>,
    /// Rows after `through` that were evicted from memory because the hot rows reached their bound: they are missing
    /// from this snapshot, and an answer from it must say so. A later commit brings them back.
    pub hot_evicted: u64,
    /// The schema of the data files: `tollgate_record::schema::table()`. A file may lack columns (an older writer; read
    /// them as null) and may have more (a newer one; leave them out).
    pub schema: SchemaRef,
}

impl Snapshot {
    /// Rows in the data files and the hot rows together.
    pub fn rows(&self) -> u64 {
        let in_files: u64 = self.files.iter().map(|file| file.rows).sum();
        let hot: usize = self.hot.iter().map(|batch| batch.records.num_rows()).sum();
        in_files + hot as u64
    }
}

/// One active Parquet file of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct DataFile {
    /// Where it is, relative to the table's root and not URL-encoded: `date=2026-11-23/…parquet`.
    pub path: String,
    /// Length in bytes.
    pub size: u64,
    /// When it was committed, in milliseconds since the Unix epoch.
    pub modified_ms: i64,
    /// Number of rows.
    pub rows: u64,
    /// The partition (UTC day of `time`, as `2026-11-23`); `None` for rows whose clock was implausible.
    pub date: Option<String>,
    /// Smallest `time` in microseconds; `i64::MIN` if the log does not have it.
    pub min_time_us: i64,
    /// Largest `time` in microseconds; `i64::MAX` if the log does not have it.
    pub max_time_us: i64,
    /// Smallest `seq`; `i64::MIN` if the log does not have it.
    pub min_seq: i64,
    /// Largest `seq`; `i64::MAX` if the log does not have it.
    pub max_seq: i64,
    /// Ranges of the other columns that the log keeps (`service`, `status`, …), by column name.
    pub stats: Arc<BTreeMap<String, ColumnRange>>,
    /// How its rows are ordered.
    pub order: RowOrder,
    /// Every value that occurs, for columns with few; null is not listed (see the null counts of `stats`). Of a column that is
    /// absent, nothing is known.
    pub values: Arc<BTreeMap<String, BTreeSet<String>>>,
    /// What stands beside the file: roll-ups by [`crate::rollup::Rollup::name`], and `ids`. Empty where nothing was made.
    pub sidecar: Arc<BTreeMap<String, SidecarPart>>,
    /// What its rows have been merged to: 0 a commit, 1 five minutes, 2 an hour, 3 a day.
    pub level: u8,
    /// Whether all of its rows are failures, or none is; `None` where nobody has looked.
    pub failures: Option<bool>,
}

impl DataFile {
    /// The file's place in [`crate::Table::store`].
    pub fn location(&self) -> ObjectPath {
        ObjectPath::from(self.path.as_str())
    }

    /// Where a part of what stands beside the file is, relative to the table's root: `_tollgate/v1/`, the file's path without
    /// its ending, and the part's name.
    pub fn sidecar_path(&self, part: &str) -> String {
        let path = self.path.strip_suffix(".parquet").unwrap_or(&self.path);
        // A roll-up is Parquet.
        let ending = if Rollup::named(part).is_some() { ".parquet" } else { "" };
        format!("{SIDECARS}/{path}/{part}{ending}")
    }

    /// Whether the file can hold rows with `time` in `[from_us, to_us]`, both inclusive.
    pub fn overlaps(&self, from_us: i64, to_us: i64) -> bool {
        self.min_time_us <= to_us && self.max_time_us >= from_us
    }
}

/// Range of one column of one file, from the Delta log.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ColumnRange {
    /// Smallest value (a JSON string or number), if any row has one. A text may be cut short, and is still a lower bound.
    pub min: Option<serde_json::Value>,
    /// Largest value. A text may be cut short and its last character raised: it is an upper bound, not a value.
    pub max: Option<serde_json::Value>,
    /// Rows without a value.
    pub nulls: Option<u64>,
}

/// A journaled batch that is not in the table's files yet.
#[derive(Debug)]
pub struct HotBatch {
    /// Its frame in the journal.
    pub position: Position,
    /// Its producer.
    pub producer: Arc<str>,
    /// Its number among its producer's batches.
    pub batch_seq: u64,
    /// The rows in the canonical wire schema (`tollgate_record::schema::wire()`, with dictionaries).
    pub records: RecordBatch,
    /// Smallest `time` in microseconds.
    pub min_time_us: i64,
    /// Largest `time` in microseconds.
    pub max_time_us: i64,
    /// Bytes of memory that the batch holds.
    pub bytes: usize,
}

/// Numbers for metrics and the status page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableStats {
    /// Version of the Delta table.
    pub version: i64,
    /// Active data files.
    pub files: u64,
    /// Rows in the active data files.
    pub file_rows: u64,
    /// Bytes in the active data files.
    pub file_bytes: u64,
    /// Batches in the hot rows.
    pub hot_batches: u64,
    /// Hot rows.
    pub hot_rows: u64,
    /// Bytes that the hot rows hold in memory.
    pub hot_bytes: u64,
    /// Rows evicted from the hot rows since the start.
    pub hot_rows_evicted_total: u64,
    /// Commits since the start.
    pub commits_total: u64,
    /// Commits that failed and were left to a retry, since the start.
    pub commit_failures_total: u64,
    /// Commits that met another writer's commit and were tried again at a later version, since the start.
    pub commit_conflicts_total: u64,
    /// Merges committed since the start.
    pub compactions_total: u64,
    /// Runs of compaction since the start, those that found nothing to do included.
    pub merge_runs_total: u64,
    /// Files that merges have replaced since the start.
    pub merge_files_in_total: u64,
    /// Files that merges have made since the start.
    pub merge_files_out_total: u64,
    /// Rows of the files that merges have replaced since the start; a row counts once a level.
    pub merge_rows_total: u64,
    /// Bytes of the files that merges have made since the start.
    pub merge_bytes_total: u64,
    /// Time that merges have taken since the start, their rests included, in microseconds.
    pub merge_us_total: u64,
    /// How long the oldest file waits that no merge has taken yet, in microseconds; 0 where there is none.
    pub unmerged_age_us: u64,
    /// Checkpoints written since the start.
    pub checkpoints_total: u64,
    /// Rows left out since the start because the table had their batch already: two collectors had received it.
    pub doubles_total: u64,
}
