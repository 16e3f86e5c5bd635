//! Maintenance beside the commits, which never wait for it: merges, retention, and checkpoints of the log.
//!
//! It runs by the clock in a task of its own, from the writer's start to its end, also where no record comes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tollgate_failpoint::{Point, reach};

use crate::compaction::{Limits, Pace, next_run_us};
use crate::delta::Log;
use crate::snapshot::DataFile;
use crate::table::{LOG_DIRECTORY, Table};
use crate::{TableConfig, TableError};

/// Time between two removals of days past their retention and of files that no version names.
const VACUUM_EVERY: Duration = Duration::from_secs(3_600);
/// Longest time between two looks at the clock, which somebody may set.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The task that maintains a table while its writer is open.
pub(crate) struct Maintenance {
    commits: Arc<Commits>,
    stopped: Arc<AtomicBool>,
    task: Option<JoinHandle<()>>,
}

/// Commits that no checkpoint covers yet.
#[derive(Debug, Default)]
struct Commits {
    count: AtomicU64,
    came: Notify,
}

impl Maintenance {
    /// Starts the task, on the runtime that the caller runs on.
    pub(crate) fn start(table: Arc<Table>, config: &TableConfig) -> Self {
        let (commits, stopped) = (Arc::<Commits>::default(), Arc::<AtomicBool>::default());
        let keeper = Keeper::new(table, config, Arc::clone(&commits), Arc::clone(&stopped));
        Self { commits, stopped, task: Some(tokio::spawn(keeper.run())) }
    }

    /// Counts a commit: after some of them a checkpoint is due.
    pub(crate) fn after_commit(&self) {
        self.commits.count.fetch_add(1, Ordering::Relaxed);
        self.commits.came.notify_one();
    }

    /// Ends what is running. It can be ended at any point: a merge is one commit, and a checkpoint repeats the log.
    pub(crate) fn stop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Knows what is due when.
struct Keeper {
    table: Arc<Table>,
    commits: Arc<Commits>,
    stopped: Arc<AtomicBool>,
    checkpoint_commits: u64,
    merge_every_us: Option<i64>,
    /// The first run makes up for the time that the collector was down.
    next_merge_us: i64,
    keep_days: Option<u32>,
    keep_bytes: Option<u64>,
    vacuumed: Instant,
}

impl Keeper {
    fn new(table: Arc<Table>, config: &TableConfig, commits: Arc<Commits>, stopped: Arc<AtomicBool>) -> Self {
        let us = |every: Duration| i64::try_from(every.as_micros()).unwrap_or(i64::MAX);
        Self {
            table,
            commits,
            stopped,
            checkpoint_commits: config.checkpoint_commits.max(1),
            merge_every_us: config.merge_every.map(|every| us(every.0)),
            next_merge_us: i64::MIN,
            keep_days: config.keep_days,
            keep_bytes: config.keep_bytes.map(|bytes| bytes.bytes()),
            vacuumed: Instant::now(),
        }
    }

    async fn run(mut self) {
        loop {
            self.look().await;
            tokio::select! {
                () = self.commits.came.notified() => {}
                () = tokio::time::sleep(self.until_next_look()) => {}
            }
        }
    }

    fn until_next_look(&self) -> Duration {
        let left_us = self.next_merge_us.saturating_sub(self.table.clock().now_us());
        let left = Duration::from_micros(u64::try_from(left_us).unwrap_or(0));
        let left = if self.merge_every_us.is_some() { left } else { LOOK_EVERY };
        left.clamp(Duration::from_millis(10), LOOK_EVERY)
    }

    /// Does what is due.
    async fn look(&mut self) {
        self.checkpoint_if_due().await;
        let now_us = self.table.clock().now_us();
        if let Some(every_us) = self.merge_every_us
            && now_us >= self.next_merge_us
        {
            self.merge(now_us).await;
            self.next_merge_us = next_run_us(now_us, every_us);
        }
        if self.vacuumed.elapsed() >= VACUUM_EVERY {
            self.vacuumed = Instant::now();
            self.clean_up().await;
        }
    }

    async fn checkpoint_if_due(&self) {
        let count = self.commits.count.load(Ordering::Relaxed);
        if count >= self.checkpoint_commits {
            self.commits.count.fetch_sub(count, Ordering::Relaxed);
            report("checkpoint", self.table.checkpoint().await);
        }
    }

    /// Merges what is due. Checkpoints go on meanwhile: a run may take long after the collector was down.
    async fn merge(&self, now_us: i64) {
        let pace = Pace::easy(&self.stopped);
        let limits = Limits::default();
        let merged = self.beside_checkpoints(self.table.compact_at(now_us, &limits, &pace)).await;
        match merged {
            Ok(run) if run.merges > 0 => tracing::info!(
                merges = run.merges,
                files_in = run.files_in,
                files_out = run.files_out,
                rows = run.rows,
                bytes = run.bytes,
                seconds = run.took.as_secs_f64(),
                backlog_seconds = self.table.unmerged_age_us(self.table.clock().now_us()) / 1_000_000,
                "files of the table were merged"
            ),
            Ok(_) | Err(TableError::Stopped) => {}
            Err(error) => report("compaction", Err(error)),
        }
    }

    /// Does some work, and writes the checkpoints that become due meanwhile. Both go on at once: the work may wait with the
    /// log's lock in its hands, for which a checkpoint waits.
    async fn beside_checkpoints<T>(&self, work: impl Future<Output = T>) -> T {
        let done = Notify::new();
        let work = async {
            let worked = work.await;
            done.notify_one();
            worked
        };
        let checkpoints = async {
            loop {
                tokio::select! {
                    biased;
                    () = done.notified() => return,
                    () = self.commits.came.notified() => {}
                }
                self.checkpoint_if_due().await;
            }
        };
        tokio::join!(work, checkpoints).0
    }

    async fn clean_up(&self) {
        if let Some(days) = self.keep_days {
            report("retention", self.table.expire(days).await.map(drop));
        }
        if let Some(bytes) = self.keep_bytes {
            report("retention", self.table.expire_beyond(bytes).await.map(drop));
        }
        report("vacuum", self.table.vacuum().await.map(drop));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[tokio::test]
    async fn a_checkpoint_that_is_due_waits_for_work_that_holds_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let config = TableConfig { checkpoint_commits: 1, ..TableConfig::new(dir.path()) };
        let table = Arc::new(Table::open(&config, Clock::default(), "default").await.unwrap());
        let commits = Arc::<Commits>::default();
        let keeper = Keeper::new(Arc::clone(&table), &config, Arc::clone(&commits), Arc::default());
        let work = async {
            let _log = table.log().await;
            commits.count.fetch_add(1, Ordering::Relaxed);
            commits.came.notify_one();
            // The checkpoint begins, and waits for the log.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        };
        let both = tokio::time::timeout(Duration::from_secs(60), keeper.beside_checkpoints(work));
        assert!(both.await.is_ok(), "each waits for the other");
        assert_eq!(table.stats().checkpoints_total, 1);
    }
}
