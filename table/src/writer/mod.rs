//! The writer: collects batches until a commit is worth it, then seal, Parquet, commit, publish.
//!
//! A crash between any two steps leaves a state that [`TableWriter::recover`] reads right:
//!
//! | crash after | on disk | after the restart |
//! |---|---|---|
//! | seal | nothing | the frames come again |
//! | write | files that no commit names | the frames come again, and go to other files |
//! | commit | files, log entry with the position | the position is answered, the frames are ignored |
//! | publish | the same | the same |
//!
//! Batches that the table holds already are left out: another collector received them too, and was faster. The writer looks
//! for them before it writes files; the commit looks again, and fails if there are any. The files are then written anew
//! without them.
//!
//! A commit whose outcome is unknown (the log entry is there, but the sync of its directory failed) is looked up in the log
//! before it is tried again.

mod commit;
mod lock;
mod pending;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tollgate_failpoint::{Point, reach};
use tollgate_record::Batch;

use self::commit::commit_and_publish;
use self::pending::{Pending, check_canonical};
use crate::batches::BatchSet;
use crate::maintenance::Maintenance;
use crate::parquet_file::discard;
use crate::table::{Table, position};
use crate::{Position, TableConfig, TableError};

#[cfg(test)]
pub(crate) use self::commit::commit;
pub(crate) use self::commit::{WrittenFiles, seal, write};
pub(crate) use self::lock::WriterLock;
pub(crate) use self::pending::PendingBatch;

/// How often, at most, an idle writer looks for what other writers have committed.
const LOOK_EVERY_MIN: Duration = Duration::from_secs(1);

/// Stores every journaled record in the table, exactly once.
pub struct TableWriter {
    config: TableConfig,
    table: Arc<Table>,
    maintenance: Maintenance,
    /// The last position in the table, on stable storage.
    through: Option<Position>,
    pending: Pending,
    /// Files that wait for their commit, after one that failed.
    written: Option<WrittenFiles>,
    /// Whether the last commit may have happened although it failed.
    unsure: bool,
    /// When the log was last looked at for commits of other writers.
    looked_at: Instant,
    _lock: WriterLock,
}

impl TableWriter {
    pub(crate) fn new(config: TableConfig, table: Arc<Table>, lock: WriterLock) -> Self {
        let maintenance = Maintenance::start(Arc::clone(&table), &config);
        let through = table.snapshot().through;
        let (pending, looked_at) = (Pending::default(), Instant::now());
        Self { config, table, maintenance, through, pending, written: None, unsure: false, looked_at, _lock: lock }
    }

    /// Forgets the pending batches and answers the last position in the table, from the log.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub async fn recover(&mut self) -> Result<Option<Position>, TableError> {
        self.pending = Pending::default();
        self.unsure = true;
        let looked_up = self.look_up_commit().await;
        self.counted(looked_up)?;
        // Its files stay: a commit whose future was dropped may still be on its way to the disk. Nobody reads them otherwise,
        // and a vacuum deletes them.
        self.written = None;
        Ok(self.through)
    }

    /// Takes the batch at `position`, unless it was taken before. What is pending is committed first when it has reached a
    /// bound.
    ///
    /// # Errors
    /// [`TableError::Malformed`] refuses this batch for good. After any other error the same batch may be given again,
    /// except that after [`TableError::Overtaken`] the writer must [`recover`](Self::recover).
    pub async fn append(&mut self, position: Position, batch: &Batch) -> Result<(), TableError> {
        // Before the batch is checked: one that is refused does not hold up those before it.
        if self.is_full() {
            self.commit().await?;
        }
        let seen = self.pending.since.map(|_| self.pending.last);
        let seen = seen.or(self.written.as_ref().map(|written| written.last)).max(self.through);
        if seen.is_some_and(|seen| position <= seen) {
            return Ok(());
        }
        check_canonical(&batch.records)?;
        self.pending.push(position, PendingBatch::of(batch));
        Ok(())
    }

    /// Commits what is pending if it has reached a bound or waited long enough, and shows what other writers have
    /// committed. Answers the last position in the table. To be called at least every [`TableWriter::poll_interval`].
    ///
    /// # Errors
    /// As [`TableWriter::append`].
    pub async fn commit_if_due(&mut self) -> Result<Option<Position>, TableError> {
        if self.is_due() {
            self.commit().await?;
        }
        let looked = self.look_around().await;
        self.counted(looked)?;
        Ok(self.through)
    }

    /// Commits all that is pending, and stops maintenance. Answers the last position in the table.
    ///
    /// # Errors
    /// As [`TableWriter::append`].
    pub async fn close(&mut self) -> Result<Option<Position>, TableError> {
        let stored = self.commit().await;
        self.maintenance.stop();
        stored.map(|()| self.through)
    }

    /// Commits a batch from a position that the table is past, by itself. Whether the table holds the batch decides, not its
    /// position.
    ///
    /// # Errors
    /// As [`TableWriter::append`].
    pub async fn replay(&mut self, position: Position, batch: &Batch) -> Result<(), TableError> {
        check_canonical(&batch.records)?;
        let stored = self.store_alone(position, batch).await;
        self.counted(stored)
    }

    /// Longest time between two calls of [`TableWriter::commit_if_due`] that still commits in time.
    pub fn poll_interval(&self) -> Duration {
        (self.config.commit_every.0 / 2).clamp(Duration::from_millis(10), Duration::from_millis(500))
    }

    /// Whether so much is pending that no more may be, or a commit is to be tried again.
    fn is_full(&self) -> bool {
        let many = self.pending.rows >= self.config.commit_rows_max;
        many || self.pending.bytes >= self.config.commit_bytes_max || self.written.is_some()
    }

    fn is_due(&self) -> bool {
        let old = self.pending.since.is_some_and(|since| since.elapsed() >= self.config.commit_every.0);
        old || self.is_full()
    }

    async fn commit(&mut self) -> Result<(), TableError> {
        let stored = self.store().await;
        self.counted(stored)
    }

    /// Counts a failure.
    fn counted<T>(&self, done: Result<T, TableError>) -> Result<T, TableError> {
        if done.is_err() {
            self.table.counters.commit_failures.fetch_add(1, Ordering::Relaxed);
        }
        done
    }

    /// Stores all that is pending, and before it what an earlier, failed commit has left.
    async fn store(&mut self) -> Result<(), TableError> {
        if self.unsure {
            self.look_up_commit().await?;
        }
        loop {
            if self.written.is_none() {
                if self.pending.since.is_none() {
                    return Ok(());
                }
                self.written = Some(self.write_pending().await?);
            }
            let Some(written) = &self.written else { return Ok(()) };
            self.unsure = true;
            match commit_and_publish(&self.table, written).await {
                Err(TableError::AlreadyStored) => {
                    self.unsure = false;
                    self.take_back_written();
                    continue;
                }
                stored => self.through = Some(stored?),
            }
            self.unsure = false;
            self.written = None;
            self.looked_at = Instant::now();
            self.maintenance.after_commit();
            reach(Point::TablePublished).map_err(|source| TableError::io(self.table.root(), source))?;
        }
    }

    /// Makes written batches pending again: the table holds some of them by now.
    fn take_back_written(&mut self) {
        let Some(written) = self.written.take() else { return };
        discard(self.table.root(), &written.files);
        // Nothing else is pending: no batch is taken while files wait for their commit.
        for batch in written.batches {
            self.pending.push(written.last, batch);
        }
    }

    async fn write_pending(&mut self) -> Result<WrittenFiles, TableError> {
        let batches = self.leave_out_stored(self.pending.batches.clone()).await?;
        let (first, last) = (self.pending.first, self.pending.last);
        let written = self.write_batches(batches, first, last).await?;
        // Not before: whoever drops this future half-way finds the batches still pending.
        self.pending = Pending::default();
        Ok(written)
    }

    pub(crate) async fn write_batches(
        &self,
        batches: Vec<PendingBatch>,
        first: Position,
        last: Position,
    ) -> Result<WrittenFiles, TableError> {
        if batches.is_empty() {
            return Ok(WrittenFiles::none(last));
        }
        let (disk, root) = (Arc::clone(self.table.disk()), self.table.root().to_owned());
        let task = tokio::task::spawn_blocking(move || {
            let sealed = seal(&batches, first, last)?;
            write(&disk, &root, &sealed, batches)
        });
        task.await.map_err(TableError::rows("write a commit's files"))?
    }

    /// The batches that are not in the table yet, each once; the rows of the others are counted.
    async fn leave_out_stored(&self, batches: Vec<PendingBatch>) -> Result<Vec<PendingBatch>, TableError> {
        let mut log = self.table.log().await;
        log.refresh().await?;
        self.table.publish_newer(&mut log);
        if position(&log) != self.through {
            return Err(TableError::Overtaken);
        }
        let mut taken = BatchSet::default();
        let (fresh, stored): (Vec<_>, Vec<_>) = batches.into_iter().partition(|batch| {
            !log.holds(&batch.producer, batch.batch_seq) && taken.insert(&batch.producer, batch.batch_seq)
        });
        if !stored.is_empty() {
            let rows: usize = stored.iter().map(|batch| batch.records.num_rows()).sum();
            self.table.counters.doubles.fetch_add(rows as u64, Ordering::Relaxed);
            tracing::info!(
                batches = stored.len(),
                rows,
                "the table holds these batches already, from another collector"
            );
        }
        Ok(fresh)
    }

    /// Shows what other writers have committed, if that was not looked for recently.
    async fn look_around(&mut self) -> Result<(), TableError> {
        if self.looked_at.elapsed() < self.config.commit_every.0.max(LOOK_EVERY_MIN) {
            return Ok(());
        }
        self.looked_at = Instant::now();
        self.table.refresh().await
    }

    /// Commits a batch by itself, if the table does not hold it, and leaves the journal's position as it is.
    async fn store_alone(&self, position: Position, batch: &Batch) -> Result<(), TableError> {
        let batches = self.leave_out_stored(vec![PendingBatch::of(batch)]).await?;
        let written = self.write_batches(batches, position, position).await?;
        if written.files.is_empty() {
            return Ok(());
        }
        let mut log = self.table.log().await;
        match log.append(&written.files, &written.set, None).await {
            // Another process was faster, or an earlier try of ours had succeeded.
            Err(TableError::AlreadyStored) => discard(self.table.root(), &written.files),
            appended => drop(appended?),
        }
        self.table.counters.commits.fetch_add(1, Ordering::Relaxed);
        self.table.publish(&mut log);
        Ok(())
    }

    /// Finds out whether the last commit happened after all.
    async fn look_up_commit(&mut self) -> Result<(), TableError> {
        let mut log = self.table.log().await;
        log.refresh().await?;
        let through = position(&log);
        self.table.sync_log_directory()?;
        self.table.publish(&mut log);
        drop(log);
        self.through = self.through.max(through);
        if self.written.as_ref().is_some_and(|written| Some(written.last) <= through) {
            self.written = None;
        }
        self.unsure = false;
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// As after a commit that answered an error.
    #[cfg(test)]
    pub(crate) fn pretend_commit_failed(&mut self, written: WrittenFiles) {
        self.written = Some(written);
        self.unsure = true;
    }
}
