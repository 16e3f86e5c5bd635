//! The table that its readers share: the published files and the hot rows, under one lock.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use arrow_schema::SchemaRef;
use object_store::ObjectStore;
use tollgate_record::{Batch, schema};

use crate::batches::BatchSet;
use crate::clock::Clock;
use crate::delta::Log;
use crate::durable::{Disk, DurableStore, SyncCounts};
use crate::hot::HotRows;
use crate::snapshot::{DataFile, HotBatch, Snapshot, TableStats};
use crate::{Position, TableConfig, TableError};

/// Name of the log's directory.
pub(crate) const LOG_DIRECTORY: &str = "_delta_log";

/// A table of records. The one handle that the writer, the journal's observer, maintenance and queries share.
pub struct Table {
    root: PathBuf,
    store: Arc<dyn ObjectStore>,
    schema: SchemaRef,
    disk: Arc<Disk>,
    clock: Clock,
    /// Held while a commit is made and published, so that versions are published in order.
    log: tokio::sync::Mutex<Log>,
    published: Mutex<Published>,
    /// The batches in the published files. Taken under the lock of `published`, never the other way round.
    batches: Arc<RwLock<BatchSet>>,
    pub(crate) counters: Counters,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) commit_failures: AtomicU64,
    pub(crate) commit_conflicts: AtomicU64,
    pub(crate) compactions: AtomicU64,
    pub(crate) merge_runs: AtomicU64,
    pub(crate) merged_files: AtomicU64,
    pub(crate) merge_files: AtomicU64,
    pub(crate) merged_rows: AtomicU64,
    pub(crate) merged_bytes: AtomicU64,
    pub(crate) merge_us: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
    pub(crate) doubles: AtomicU64,
}

struct Published {
    version: i64,
    through: Option<Position>,
    files: Arc<Vec<DataFile>>,
    hot: HotRows,
}

impl Table {
    /// Opens the table in `dir` for queries only: without hot rows, at the newest version. [`Table::refresh`] moves to a newer
    /// one. Nothing is written; another process may write to the table at the same time.
    ///
    /// # Errors
    /// If there is no table, or it cannot be read.
    pub async fn open_read_only(dir: impl AsRef<Path>) -> Result<Arc<Self>, TableError> {
        let dir = dir.as_ref();
        let root = dir.canonicalize().map_err(|source| TableError::io(dir, source))?;
        let disk = Arc::<Disk>::default();
        let clock = Clock::default();
        let log = Log::open(&root, &disk, &clock, "").await?;
        Ok(Arc::new(Self::with_log(root, disk, clock, log, 0)?))
    }

    pub(crate) async fn open(config: &TableConfig, clock: Clock, journal: &str) -> Result<Self, TableError> {
        let disk = Arc::<Disk>::default();
        let failed = |source| TableError::io(&config.dir, source);
        disk.create_directories(&config.dir).map_err(failed)?;
        let root = config.dir.canonicalize().map_err(failed)?;
        let app_id = format!("tollgate-journal-{journal}");
        let log = Log::open_or_create(&root, &disk, &clock, config, &app_id).await?;
        let hot_bytes_max = usize::try_from(config.hot_bytes_max.0).unwrap_or(usize::MAX);
        let table = Self::with_log(root, disk, clock, log, hot_bytes_max)?;
        table.sync_log_directory()?;
        Ok(table)
    }

    fn with_log(
        root: PathBuf,
        disk: Arc<Disk>,
        clock: Clock,
        mut log: Log,
        hot_bytes_max: usize,
    ) -> Result<Self, TableError> {
        log.publish_batches();
        let store = DurableStore::rooted(&root, Arc::clone(&disk));
        let store = store.map_err(|error| TableError::log("open the table's folder")(error.into()))?;
        let published = Published {
            version: log.version(),
            through: position(&log),
            files: Arc::new(log.data_files()),
            hot: HotRows::new(hot_bytes_max),
        };
        Ok(Self {
            root,
            store: Arc::new(store),
            schema: schema::table(),
            disk,
            clock,
            batches: log.published_batches(),
            log: tokio::sync::Mutex::new(log),
            published: Mutex::new(published),
            counters: Counters::default(),
        })
    }

    /// One consistent picture of files and hot rows.
    pub fn snapshot(&self) -> Snapshot {
        let published = self.published();
        Snapshot {
            version: published.version,
            through: published.through,
            files: Arc::clone(&published.files),
            hot: published.hot.batches(),
            hot_evicted: published.hot.evicted_rows(),
            schema: Arc::clone(&self.schema),
        }
    }

    /// Moves to the newest version of the table, which another process may have written.
    ///
    /// # Errors
    /// If the log cannot be read; the last picture stays.
    pub async fn refresh(&self) -> Result<(), TableError> {
        let mut log = self.log.lock().await;
        log.refresh().await?;
        self.publish_newer(&mut log);
        Ok(())
    }

    /// The first journal position that is not in the table's files: hot rows are needed from there on.
    pub fn needs_from(&self) -> Position {
        self.published().through.map_or(0, |through| through + 1)
    }

    /// Makes a journaled batch queryable as hot rows, unless its rows are in the table's files already. To be called in
    /// ascending order of position.
    pub fn show_hot(&self, position: Position, batch: &Batch) {
        let batch = HotBatch::new(position, batch);
        let mut published = self.published();
        let is_stored = || {
            let batches = self.batches.read().unwrap_or_else(PoisonError::into_inner);
            batches.contains(&batch.producer, batch.batch_seq)
        };
        if published.through.is_none_or(|through| batch.position > through) && !is_stored() {
            published.hot.push(batch);
        }
    }

    /// The table's folder, as an absolute path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The table's folder as an object store: the paths of data files are relative to it.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store)
    }

    /// Counts for metrics and the status page.
    pub fn stats(&self) -> TableStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let unmerged_age_us = u64::try_from(self.unmerged_age_us(self.clock.now_us())).unwrap_or(0);
        let published = self.published();
        TableStats {
            version: published.version,
            files: published.files.len() as u64,
            file_rows: published.files.iter().map(|file| file.rows).sum(),
            file_bytes: published.files.iter().map(|file| file.size).sum(),
            hot_batches: published.hot.len(),
            hot_rows: published.hot.rows(),
            hot_bytes: published.hot.bytes(),
            hot_rows_evicted_total: published.hot.evicted_rows_total(),
            commits_total: count(&self.counters.commits),
            commit_failures_total: count(&self.counters.commit_failures),
            commit_conflicts_total: count(&self.counters.commit_conflicts),
            compactions_total: count(&self.counters.compactions),
            merge_runs_total: count(&self.counters.merge_runs),
            merge_files_in_total: count(&self.counters.merged_files),
            merge_files_out_total: count(&self.counters.merge_files),
            merge_rows_total: count(&self.counters.merged_rows),
            merge_bytes_total: count(&self.counters.merged_bytes),
            merge_us_total: count(&self.counters.merge_us),
            unmerged_age_us,
            checkpoints_total: count(&self.counters.checkpoints),
            doubles_total: count(&self.counters.doubles),
        }
    }

    /// How many files and directories were synced through this table since it was opened.
    pub fn sync_counts(&self) -> SyncCounts {
        self.disk.counts()
    }

    pub(crate) fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) async fn log(&self) -> tokio::sync::MutexGuard<'_, Log> {
        self.log.lock().await
    }

    /// Shows the log's version to readers and, under the same lock, drops the hot rows that it covers. Hot rows of batches
    /// that another writer has committed are dropped too. The caller holds the log's lock.
    pub(crate) fn publish(&self, log: &mut Log) {
        let files = Arc::new(log.data_files());
        let through = position(log);
        let mut published = self.published();
        published.version = log.version();
        published.files = files;
        published.through = published.through.max(through);
        log.publish_batches();
        if let Some(through) = published.through {
            published.hot.drop_through(through);
        }
        let batches = self.batches.read().unwrap_or_else(PoisonError::into_inner);
        published.hot.drop_where(|batch| batches.contains(&batch.producer, batch.batch_seq));
    }

    /// Publishes, unless readers see this version already.
    pub(crate) fn publish_newer(&self, log: &mut Log) {
        if self.published().version != log.version() {
            self.publish(log);
        }
    }

    /// Makes sure that every log entry which can be read is on stable storage: a process that died between linking an entry
    /// and syncing its directory leaves one that is not.
    pub(crate) fn sync_log_directory(&self) -> Result<(), TableError> {
        let directory = self.root.join(LOG_DIRECTORY);
        self.disk.sync_directory(&directory).map_err(|source| TableError::io(&directory, source))
    }

    fn published(&self) -> MutexGuard<'_, Published> {
        // A panic under the lock leaves whole values behind: every field is replaced at once.
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The journal position that the log holds.
pub(crate) fn position(log: &Log) -> Option<Position> {
    log.app_version().and_then(|version| Position::try_from(version).ok())
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("root", &self.root).field("stats", &self.stats()).finish_non_exhaustive()
    }
}
