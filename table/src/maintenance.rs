//! Maintenance beside the commits, which never wait for it: checkpoints of the log, compaction and retention.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tollgate_failpoint::{Point, reach};

use crate::delta::Log;
use crate::snapshot::DataFile;
use crate::table::{LOG_DIRECTORY, Table};
use crate::{TableConfig, TableError};

/// Time between two removals of days past their retention and of files that no version names.
const VACUUM_EVERY: Duration = Duration::from_secs(3_600);

#[derive(Debug, Default, PartialEq)]
struct Due {
    checkpoint: bool,
    compaction: bool,
    vacuum: bool,
}

/// Starts maintenance when it is due; at most one runs at a time.
pub(crate) struct Maintenance {
    table: Arc<Table>,
    checkpoint_commits: u64,
    commits: u64,
    compact_every: Option<Duration>,
    compacted: Instant,
    keep_days: Option<u32>,
    vacuumed: Instant,
    running: Option<JoinHandle<()>>,
}

impl Maintenance {
    pub(crate) fn new(table: Arc<Table>, config: &TableConfig) -> Self {
        Self {
            table,
            checkpoint_commits: config.checkpoint_commits.max(1),
            commits: 0,
            compact_every: config.compact_every.map(|every| every.0),
            compacted: Instant::now(),
            keep_days: config.keep_days,
            vacuumed: Instant::now(),
            running: None,
        }
    }

    /// Counts a commit, and starts in the background what is due.
    pub(crate) fn after_commit(&mut self) {
        self.commits += 1;
        if self.running.as_ref().is_some_and(|running| !running.is_finished()) {
            return;
        }
        let due = self.due();
        if due == Due::default() {
            return;
        }
        let (table, keep_days) = (Arc::clone(&self.table), self.keep_days);
        self.running = Some(tokio::spawn(async move { maintain(&table, due, keep_days).await }));
    }

    /// Returns what is due, and counts it as done.
    fn due(&mut self) -> Due {
        let due = Due {
            checkpoint: self.commits >= self.checkpoint_commits,
            compaction: self.compact_every.is_some_and(|every| self.compacted.elapsed() >= every),
            vacuum: self.vacuumed.elapsed() >= VACUUM_EVERY,
        };
        if due.checkpoint {
            self.commits = 0;
        }
        if due.compaction {
            self.compacted = Instant::now();
        }
        if due.vacuum {
            self.vacuumed = Instant::now();
        }
        due
    }

    /// Ends what is running. It can be ended at any point: a compaction is one commit, and a checkpoint repeats the log.
    pub(crate) fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
        }
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn maintain(table: &Table, due: Due, keep_days: Option<u32>) {
    if due.compaction {
        report("compaction", table.compact().await.map(drop));
    }
    if due.vacuum {
        if let Some(days) = keep_days {
            report("retention", table.expire(days).await.map(drop));
        }
        report("vacuum", table.vacuum().await.map(drop));
    }
    if due.checkpoint {
        report("checkpoint", table.checkpoint().await);
    }
}

fn report(what: &'static str, done: Result<(), TableError>) {
    if let Err(error) = done {
        tracing::warn!(%error, "{what} of the table failed and will be tried again");
    }
}

impl Table {
    /// Writes a checkpoint of the current version, and proves that it holds the same files before anyone relies on it;
    /// then deletes log entries past their retention.
    ///
    /// # Errors
    /// If it cannot be written, or does not hold the same files: then it is deleted again.
    pub async fn checkpoint(&self) -> Result<(), TableError> {
        let log = self.log().await.clone();
        let before = log.data_files();
        // The writer of checkpoints blocks its thread.
        let runtime = tokio::runtime::Handle::current();
        let task = tokio::task::spawn_blocking(move || runtime.block_on(async { (log.write_checkpoint().await, log) }));
        let (written, log) = task.await.map_err(TableError::rows("write a checkpoint"))?;
        written?;
        let failed = |source| TableError::io(self.root(), source);
        reach(Point::CheckpointWritten).map_err(failed)?;
        verify_checkpoint(self.root(), &log, &before).await?;
        reach(Point::CheckpointChecked).map_err(failed)?;
        self.counters.checkpoints.fetch_add(1, Ordering::Relaxed);
        let deleted = log.clean_up().await?;
        tracing::debug!(version = log.version(), files = before.len(), deleted, "checkpoint written");
        Ok(())
    }
}

/// Reads the checkpoint back, with a reader of its own, and deletes it if it holds something else.
async fn verify_checkpoint(root: &Path, log: &Log, before: &[DataFile]) -> Result<(), TableError> {
    let key = |files: &[DataFile]| files.iter().map(|f| (f.path.clone(), f.size, f.rows)).collect::<Vec<_>>();
    let problem = match log.reread().await {
        Ok(reread) => {
            let after = reread.data_files();
            if key(&after) == key(before) && reread.app_version() == log.app_version() {
                return Ok(());
            }
            format!("a checkpoint held {} files in place of {}, or another position", after.len(), before.len())
        }
        Err(error) => format!("a checkpoint cannot be read back: {error}"),
    };
    let directory = root.join(LOG_DIRECTORY);
    let checkpoint = format!("{:020}.checkpoint.parquet", log.version());
    for name in ["_last_checkpoint", &checkpoint] {
        let _ = std::fs::remove_file(directory.join(name));
    }
    Err(TableError::Inconsistent(problem))
}
