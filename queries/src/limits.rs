//! Bounds of one query, and of all of them together: as a configuration file has them, and as the engine keeps them.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tollgate_config::{ByteSize, ConfigDuration, ConfigPath};

/// The bounds of an [`crate::Engine`]. Each is enforced whatever the server a query came through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest that one query may run: from its wait for a permit to its last row, a slow reader's time included.
    pub time_max: Duration,
    /// Memory of all running queries together: hash tables, sorts and collected results.
    pub memory_bytes_max: usize,
    /// Memory that keeps the footers and page indexes of files that were read, so that a scan does not read them again. It is
    /// beside `memory_bytes_max`. A file of half a million rows needs about 0.3 MB.
    pub metadata_bytes_max: usize,
    /// Where sorts and aggregates go on that do not fit into the memory; `None` is the folder for large temporary files.
    pub spill_dir: Option<PathBuf>,
    /// Bytes that all running queries together may write there; 0 is none: they then fail at the memory's bound.
    pub spill_bytes_max: u64,
    /// Rows in one answer; an answer that has more is cut there and says so.
    pub rows_max: usize,
    /// Queries that run at the same time.
    pub concurrent_max: usize,
    /// Queries that wait for a permit to run; past it a query is refused at once.
    pub queued_max: usize,
    /// Length of one SQL text.
    pub sql_bytes_max: usize,
    /// Threads that run queries, apart from those that receive and store records.
    pub threads: usize,
    /// Whether roll-ups may answer. Every answer is the same without them.
    pub rollups: bool,
    /// How far the threads of queries stand back behind others: 0 is not at all, 19 is furthest (`nice(2)`).
    pub nice: u8,
    /// Connections that each server holds open.
    pub connections_max: usize,
}

impl Default for Limits {
    /// As an empty section of the configuration has them.
    fn default() -> Self {
        Self::from(&QueryLimits::default())
    }
}

/// The bounds that a configuration file sets: the key `queries.limits`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueryLimits {
    /// Longest that one query may run.
    pub time_max: ConfigDuration,
    /// Memory of all running queries.
    pub memory_bytes_max: ByteSize,
    /// Memory for the footers and page indexes of files.
    pub metadata_bytes_max: ByteSize,
    /// Where sorts and aggregates go on that do not fit into the memory.
    pub spill_dir: Option<ConfigPath>,
    /// Bytes that all running queries may write there.
    pub spill_bytes_max: ByteSize,
    /// Rows in one answer.
    pub rows_max: usize,
    /// Queries that run at the same time.
    pub concurrent_max: usize,
    /// Queries that wait for their turn; past it they are refused.
    pub queued_max: usize,
    /// How far the threads of queries stand back behind those that receive and store records.
    pub nice: u8,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            time_max: ConfigDuration::secs(30),
            memory_bytes_max: ByteSize::mib(256),
            metadata_bytes_max: ByteSize::mib(384),
            spill_dir: None,
            spill_bytes_max: ByteSize::gib(8),
            rows_max: 1_000_000,
            concurrent_max: 8,
            queued_max: 32,
            nice: 10,
        }
    }
}

impl From<&QueryLimits> for Limits {
    fn from(limits: &QueryLimits) -> Self {
        Self {
            time_max: Duration::from(limits.time_max),
            memory_bytes_max: usize::try_from(limits.memory_bytes_max.0).unwrap_or(usize::MAX),
            metadata_bytes_max: usize::try_from(limits.metadata_bytes_max.0).unwrap_or(usize::MAX),
            spill_dir: limits.spill_dir.as_ref().map(|dir| dir.to_path_buf()),
            spill_bytes_max: limits.spill_bytes_max.0,
            rows_max: limits.rows_max,
            concurrent_max: limits.concurrent_max,
            queued_max: limits.queued_max,
            sql_bytes_max: 64 * 1024,
            rollups: true,
            threads: std::thread::available_parallelism().map_or(2, |threads| threads.get().min(8)),
            nice: limits.nice,
            connections_max: 100,
        }
    }
}
