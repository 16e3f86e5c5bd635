//! What one query, and all of them together, may use.

use std::time::Duration;

/// The bounds of an [`crate::Engine`]. Each is enforced whatever the door a query came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest that one query may run, its wait for a place included.
    pub time_max: Duration,
    /// Memory of all running queries together: hash tables, sorts and collected results. Nothing is spilled to disk.
    pub memory_bytes_max: usize,
    /// Rows in one answer; an answer that has more is cut there and says so.
    pub rows_max: usize,
    /// Queries that run at the same time.
    pub concurrent_max: usize,
    /// Queries that wait for a place; past it a query is refused at once.
    pub queued_max: usize,
    /// Length of one SQL text.
    pub sql_bytes_max: usize,
    /// Threads that run queries, apart from those that receive and store records.
    pub threads: usize,
    /// Connections that each door holds open.
    pub connections_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time_max: Duration::from_secs(30),
            memory_bytes_max: 256 * 1024 * 1024,
            rows_max: 100_000,
            concurrent_max: 8,
            queued_max: 32,
            sql_bytes_max: 64 * 1024,
            threads: std::thread::available_parallelism().map_or(2, |threads| threads.get().min(8)),
            connections_max: 100,
        }
    }
}
