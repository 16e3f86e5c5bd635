//! The sink: holds frames back until a commit is worth it, then seal, Parquet, commit, publish.
//!
//! Each step is a function of its own, and a crash between any two leaves a state that [`TableSink::recover`] reads right:
//!
//! | crash after | on disk | after the restart |
//! |---|---|---|
//! | seal | nothing | the frames come again |
//! | write | files that no commit names | the frames come again, and go to other files |
//! | commit | files, log entry with the position | the position is answered, the frames are ignored |
//! | publish | the same | the same |
//!
//! Batches that the table holds already are left out: another collector received them too, and was faster. They are looked for
//! before the files are written, and again by the commit itself, which then fails and is made anew without them.
//!
//! A commit whose outcome is unknown (the log entry is there, but the sync of its directory failed) is looked up in the log
//! before it is tried again.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arrow_array::RecordBatch;
use async_trait::async_trait;
use tollgate_failpoint::{Point, reach};
use tollgate_record::{Batch, schema};
use tollgate_sink::{Delivery, Position, Sink, SinkError};

use crate::batches::BatchSet;
use crate::delta::Log;
use crate::durable::Disk;
use crate::maintenance::Maintenance;
use crate::parquet_file::{self, NewFile};
use crate::rows::{self, Part, Rows};
use crate::table::{Table, position};
use crate::{TableConfig, TableError};

/// Fast compression for files that compaction rewrites within hours.
const COMMIT_ZSTD_LEVEL: i32 = 1;
/// How long a table that another writer is just closing is waited for.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(3);
const LOCK_RETRY: Duration = Duration::from_millis(50);
/// How often, at most, an idle sink looks for what other writers have committed.
const LOOK_EVERY_MIN: Duration = Duration::from_secs(1);

/// Stores every journaled record in the table, exactly once.
pub struct TableSink {
    config: TableConfig,
    table: Arc<Table>,
    maintenance: Maintenance,
    /// The last position in the table, on stable storage.
    through: Option<Position>,
    held: Held,
    /// Files that wait for their commit, after one that failed.
    written: Option<Written>,
    /// Whether the last commit may have happened although it failed.
    unsure: bool,
    /// When the log was last looked at for commits of other writers.
    looked_at: Instant,
    _lock: WriterLock,
}

/// One batch on its way into the table.
#[derive(Clone)]
pub(crate) struct HeldBatch {
    producer: Arc<str>,
    batch_seq: u64,
    records: RecordBatch,
}

/// Frames that wait for the next commit.
#[derive(Default)]
struct Held {
    batches: Vec<HeldBatch>,
    rows: usize,
    bytes: usize,
    first: Position,
    last: Position,
    since: Option<Instant>,
}

/// The rows of one commit, in order.
pub(crate) struct Sealed {
    rows: Rows,
    parts: Vec<Part>,
    first: Position,
    last: Position,
}

/// The files of one commit, on stable storage.
pub(crate) struct Written {
    files: Vec<NewFile>,
    last: Position,
    /// What the files hold. Kept until the commit, as they may have to be written again without some of it.
    batches: Vec<HeldBatch>,
    set: BatchSet,
}

impl TableSink {
    pub(crate) fn new(config: TableConfig, table: Arc<Table>, lock: WriterLock) -> Self {
        let maintenance = Maintenance::new(Arc::clone(&table), &config);
        let through = table.snapshot().through;
        let (held, looked_at) = (Held::default(), Instant::now());
        Self { config, table, maintenance, through, held, written: None, unsure: false, looked_at, _lock: lock }
    }

    /// Keeps a frame, unless it was seen before.
    fn hold(&mut self, frame: &Delivery) -> Result<(), SinkError> {
        let seen = self.held.since.map(|_| self.held.last);
        let seen = seen.or(self.written.as_ref().map(|written| written.last)).max(self.through);
        if seen.is_some_and(|seen| frame.position <= seen) {
            return Ok(());
        }
        let records = &frame.batch.records;
        if let Err(reason) = check_canonical(records) {
            return Err(SinkError::Reject { position: frame.position, reason });
        }
        self.held.push(frame.position, HeldBatch::of(&frame.batch));
        Ok(())
    }

    /// Whether so much is held that no more may be, or a commit is to be tried again.
    fn is_full(&self) -> bool {
        let many = self.held.rows >= self.config.commit_rows_max;
        many || self.held.bytes >= self.config.commit_bytes_max || self.written.is_some()
    }

    fn is_due(&self) -> bool {
        let old = self.held.since.is_some_and(|since| since.elapsed() >= self.config.commit_every);
        old || self.is_full()
    }

    async fn try_store(&mut self) -> Result<(), SinkError> {
        let stored = self.store().await;
        stored.map_err(|error| self.sink_error(&error))
    }

    /// Stores all that is held, and before it what an earlier, failed commit has left.
    async fn store(&mut self) -> Result<(), TableError> {
        if self.unsure {
            self.look_up_commit().await?;
        }
        loop {
            if self.written.is_none() {
                if self.held.since.is_none() {
                    return Ok(());
                }
                self.written = Some(self.write_held().await?);
            }
            let Some(written) = &self.written else { return Ok(()) };
            self.unsure = true;
            match commit_and_publish(&self.table, written).await {
                Err(TableError::Doubled) => {
                    self.unsure = false;
                    self.hold_again();
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

    /// Takes back what was written: some of it is in the table by now.
    fn hold_again(&mut self) {
        let Some(written) = self.written.take() else { return };
        discard(self.table.root(), &written.files);
        // Nothing else is held: no frame is taken while files wait for their commit.
        for batch in written.batches {
            self.held.push(written.last, batch);
        }
    }

    async fn write_held(&mut self) -> Result<Written, TableError> {
        let batches = self.leave_out_stored(self.held.batches.clone()).await?;
        let (first, last) = (self.held.first, self.held.last);
        let written = self.write_batches(batches, first, last).await?;
        // Not before: whoever drops this future half-way finds the frames still held.
        self.held = Held::default();
        Ok(written)
    }

    pub(crate) async fn write_batches(
        &self,
        batches: Vec<HeldBatch>,
        first: Position,
        last: Position,
    ) -> Result<Written, TableError> {
        let (disk, root) = (Arc::clone(self.table.disk()), self.table.root().to_owned());
        let task = tokio::task::spawn_blocking(move || {
            // No rows, no file: the commit then brings the position only.
            if batches.is_empty() {
                return Ok(Written { files: Vec::new(), last, batches, set: BatchSet::default() });
            }
            let sealed = seal(&batches, first, last)?;
            write(&disk, &root, &sealed, batches)
        });
        task.await.map_err(TableError::rows("write a commit's files"))?
    }

    /// The batches that are not in the table yet, each once; the rows of the others are counted.
    async fn leave_out_stored(&self, batches: Vec<HeldBatch>) -> Result<Vec<HeldBatch>, TableError> {
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
        if self.looked_at.elapsed() < self.config.commit_every.max(LOOK_EVERY_MIN) {
            return Ok(());
        }
        self.looked_at = Instant::now();
        self.table.refresh().await
    }

    /// Commits a batch by itself, if the table does not hold it, and leaves the journal's position as it is.
    async fn store_alone(&self, frame: &Delivery) -> Result<(), TableError> {
        let position = frame.position;
        let batches = self.leave_out_stored(vec![HeldBatch::of(&frame.batch)]).await?;
        let written = self.write_batches(batches, position, position).await?;
        if written.files.is_empty() {
            return Ok(());
        }
        let mut log = self.table.log().await;
        match log.append(&written.files, &written.set, None).await {
            // Another process was faster, or an earlier try of ours had succeeded.
            Err(TableError::Doubled) => discard(self.table.root(), &written.files),
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
    pub(crate) fn pretend_commit_failed(&mut self, written: Written) {
        self.written = Some(written);
        self.unsure = true;
    }

    fn sink_error(&self, error: &TableError) -> SinkError {
        self.table.counters.commit_failures.fetch_add(1, Ordering::Relaxed);
        let reason = error.to_string();
        if matches!(error, TableError::Overtaken) {
            return SinkError::Rebuild { reason };
        }
        SinkError::Retry { reason, after: None }
    }
}

/// Refuses what would stop a commit for good.
fn check_canonical(records: &RecordBatch) -> Result<(), String> {
    let wire = schema::wire();
    if records.schema_ref().fields() != wire.fields() {
        return Err("the batch is not in the canonical schema".to_owned());
    }
    // A dictionary can hide a null behind a key that is none.
    let required = wire.fields().iter().zip(records.columns()).filter(|(field, _)| !field.is_nullable());
    for (field, column) in required {
        if column.logical_null_count() > 0 {
            return Err(format!("column `{}` has rows without a value", field.name()));
        }
    }
    Ok(())
}

/// Orders the held rows by time and splits them by day.
pub(crate) fn seal(batches: &[HeldBatch], first: Position, last: Position) -> Result<Sealed, TableError> {
    let rows = Rows::of(batches.iter().map(|batch| batch.records.clone()).collect());
    let order = rows::order_by(&rows, &["time"])?;
    let parts = rows::split_by_day(&rows, &order)?;
    Ok(Sealed { rows, parts, first, last })
}

/// Writes and syncs one file a day.
pub(crate) fn write(disk: &Disk, root: &Path, sealed: &Sealed, batches: Vec<HeldBatch>) -> Result<Written, TableError> {
    reach(Point::TableSealed).map_err(|source| TableError::io(root, source))?;
    let name = format!("{:012}-{:012}-{}", sealed.first, sealed.last, unique_id());
    let mut files = Vec::with_capacity(sealed.parts.len());
    for part in &sealed.parts {
        let (rows, order) = (&sealed.rows, &part.order);
        match parquet_file::write(disk, root, &name, part.day, rows, order, COMMIT_ZSTD_LEVEL) {
            Ok(file) => files.push(file),
            Err(error) => {
                discard(root, &files);
                return Err(error);
            }
        }
    }
    let mut set = BatchSet::default();
    for batch in &batches {
        set.insert(&batch.producer, batch.batch_seq);
    }
    Ok(Written { files, last: sealed.last, batches, set })
}

/// Commits files and position at once, and shows them to readers.
async fn commit_and_publish(table: &Table, written: &Written) -> Result<Position, TableError> {
    let mut log = table.log().await;
    commit(table, &mut log, written).await?;
    table.publish(&mut log);
    Ok(written.last)
}

pub(crate) async fn commit(table: &Table, log: &mut Log, written: &Written) -> Result<(), TableError> {
    let position = i64::try_from(written.last);
    let position = position.map_err(TableError::rows("record the journal position"))?;
    let conflicts = log.append(&written.files, &written.set, Some(position)).await?;
    table.counters.commits.fetch_add(1, Ordering::Relaxed);
    table.counters.commit_conflicts.fetch_add(conflicts, Ordering::Relaxed);
    Ok(())
}

/// Deletes files that no commit names.
pub(crate) fn discard(root: &Path, files: &[NewFile]) {
    for file in files {
        // What cannot be deleted stays unread.
        let _ = fs::remove_file(root.join(&file.path));
    }
}

/// An id that no other file of the table has: time in nanoseconds, and a counter for the clock's grain.
pub(crate) fn unique_id() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{:x}{:04x}{:05x}", now.as_nanos(), count & 0xffff, std::process::id())
}

impl HeldBatch {
    pub(crate) fn of(batch: &Batch) -> Self {
        let meta = &batch.meta;
        Self { producer: meta.producer.as_str().into(), batch_seq: meta.batch_seq, records: batch.records.clone() }
    }
}

impl Held {
    fn push(&mut self, position: Position, batch: HeldBatch) {
        let records = &batch.records;
        if self.since.is_none() {
            self.since = Some(Instant::now());
            self.first = position;
        }
        self.last = position;
        self.rows += records.num_rows();
        let columns = records.columns().iter();
        self.bytes += columns.map(|column| column.to_data().get_slice_memory_size().unwrap_or(0)).sum::<usize>();
        self.batches.push(batch);
    }
}

#[async_trait]
impl Sink for TableSink {
    fn name(&self) -> &'static str {
        "table"
    }

    async fn recover(&mut self) -> Result<Option<Position>, SinkError> {
        self.held = Held::default();
        self.unsure = true;
        let looked_up = self.look_up_commit().await;
        looked_up.map_err(|error| self.sink_error(&error))?;
        // Its files stay: a commit whose future was dropped may still be on its way to the disk. Nobody reads them otherwise,
        // and a vacuum deletes them.
        self.written = None;
        Ok(self.through)
    }

    async fn deliver(&mut self, frames: &[Delivery]) -> Result<Option<Position>, SinkError> {
        for frame in frames {
            // Before the frame: one that is refused does not hold up those before it.
            if self.is_full() {
                self.try_store().await?;
            }
            self.hold(frame)?;
        }
        if self.is_due() {
            self.try_store().await?;
        }
        let looked = self.look_around().await;
        looked.map_err(|error| self.sink_error(&error))?;
        Ok(self.through)
    }

    /// Stores one batch that stands at a position which the table is past: what counts is whether it holds the batch.
    async fn replay(&mut self, frame: &Delivery) -> Result<(), SinkError> {
        if let Err(reason) = check_canonical(&frame.batch.records) {
            return Err(SinkError::Reject { position: frame.position, reason });
        }
        let replayed = self.store_alone(frame).await;
        replayed.map_err(|error| self.sink_error(&error))
    }

    fn poll_interval(&self) -> Duration {
        (self.config.commit_every / 2).clamp(Duration::from_millis(10), Duration::from_millis(500))
    }

    async fn close(&mut self) -> Result<Option<Position>, SinkError> {
        let stored = self.try_store().await;
        self.maintenance.stop();
        stored.map(|()| self.through)
    }
}

/// Keeps a second process from writing the same journal's positions to the same table: both would be right by the log's
/// conflict check, and neither would get on. The operating system gives it back when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct WriterLock {
    _file: File,
}

impl WriterLock {
    pub(crate) async fn acquire(dir: &Path, journal: &str) -> Result<Self, TableError> {
        fs::create_dir_all(dir).map_err(|source| TableError::io(dir, source))?;
        let name: String = journal.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let path = dir.join(format!("_writer-{name}.lock"));
        let deadline = Instant::now() + LOCK_WAIT_MAX;
        loop {
            match Self::try_acquire(&path)? {
                Some(lock) => return Ok(lock),
                None if Instant::now() >= deadline => return Err(TableError::Locked(path)),
                None => tokio::time::sleep(LOCK_RETRY).await,
            }
        }
    }

    fn try_acquire(path: &PathBuf) -> Result<Option<Self>, TableError> {
        let file = File::options().create(true).append(true).open(path);
        let file = file.map_err(|source| TableError::io(path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(TableError::io(path, source)),
        }
    }
}
