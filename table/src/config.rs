//! The table's section of a configuration file.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tollgate_config::{ByteSize, ConfigDuration, ConfigPath, Diagnostic};

const MERGE_EVERY_MIN: Duration = Duration::from_secs(1);

/// Most rows that a merge puts in order, and so the most that a commit may have.
pub(crate) const MERGE_ROWS_MAX: u64 = 512 * 1024;

/// Where a table is, and its bounds.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TableConfig {
    /// The table's folder; created if absent.
    pub dir: ConfigPath,
    /// The longest that rows are held back to make larger commits; they are queryable all the while.
    #[serde(default = "TableConfig::commit_every")]
    pub commit_every: ConfigDuration,
    /// Rows held at which a commit is made at once.
    #[serde(default = "TableConfig::commit_rows_max")]
    pub commit_rows_max: usize,
    /// Bytes held at which a commit is made at once.
    #[serde(skip, default = "TableConfig::commit_bytes_max")]
    pub commit_bytes_max: usize,
    /// Bound on the memory of the hot rows; beyond it the oldest are evicted, and counted.
    #[serde(default = "TableConfig::hot_bytes_max")]
    pub hot_bytes_max: ByteSize,
    /// Commits after which a checkpoint of the log is written.
    #[serde(skip, default = "TableConfig::checkpoint_commits")]
    pub checkpoint_commits: u64,
    /// How often the files of five minutes, hours and days that are over are merged; `null` = never.
    #[serde(default = "TableConfig::merge_every")]
    pub merge_every: Option<ConfigDuration>,
    /// How many days of records are kept, today among them; absent = all.
    #[serde(default)]
    pub keep_days: Option<u32>,
    /// How large the table may grow before its oldest whole days leave it; today never does. Absent = no bound.
    #[serde(default)]
    pub keep_bytes: Option<ByteSize>,
}

impl TableConfig {
    /// Checks what types cannot express.
    pub fn check(&self) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        if self.commit_rows_max as u64 > MERGE_ROWS_MAX {
            let problem = format!("more than {MERGE_ROWS_MAX} rows, which one merge takes at most; commit fewer");
            found.push(Diagnostic::of_key("commit_rows_max", problem));
        }
        if self.merge_every.is_some_and(|every| every.0 < MERGE_EVERY_MIN) {
            let problem = "more often than every second finds nothing to do; use `1s` or more, or `null` for never";
            found.push(Diagnostic::of_key("merge_every", problem));
        }
        found
    }

    /// The defaults for a table in `dir`.
    pub fn new(dir: impl Into<ConfigPath>) -> Self {
        Self {
            dir: dir.into(),
            commit_every: Self::commit_every(),
            commit_rows_max: Self::commit_rows_max(),
            commit_bytes_max: Self::commit_bytes_max(),
            hot_bytes_max: Self::hot_bytes_max(),
            checkpoint_commits: Self::checkpoint_commits(),
            merge_every: Self::merge_every(),
            keep_days: None,
            keep_bytes: None,
        }
    }

    fn commit_every() -> ConfigDuration {
        ConfigDuration::secs(10)
    }

    fn commit_rows_max() -> usize {
        65_536
    }

    fn commit_bytes_max() -> usize {
        32 << 20
    }

    fn hot_bytes_max() -> ByteSize {
        ByteSize::mib(32)
    }

    fn checkpoint_commits() -> u64 {
        100
    }

    fn merge_every() -> Option<ConfigDuration> {
        Some(ConfigDuration::mins(5))
    }
}
