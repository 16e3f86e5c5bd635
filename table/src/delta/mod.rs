//! The Delta log: the one place that knows the `deltalake` crate.
//!
//! `deltalake` reads tables, creates them, writes checkpoints and vacuums. Commits are made here, for two reasons:
//! - After each commit `deltalake` 1.1 reads all active files into its snapshot again. With thousands of files that takes
//!   longer than the commit. This log applies the few actions of each new entry.
//! - Its conflict check ignores removals without a change of data. Two compactions of the same files would both succeed, and
//!   double their rows.
//!
//! Here a commit is a compare-and-swap: it is built against one version, and put in place as the next (`PutMode::Create`).
//! If another writer was faster, that writer's entries are applied first, and the commit is rebuilt or given up.

mod actions;
mod create;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use deltalake::kernel::transaction::CommitData;
use deltalake::kernel::{Action, Transaction};
use deltalake::logstore::{LogStoreRef, StorageConfig, commit_uri_from_version, default_logstore, get_actions};
use deltalake::operations::vacuum::VacuumMode;
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::table::state::DeltaTableState;
use deltalake::{DeltaTable, DeltaTableError, checkpoints};
use object_store::{Error as StoreError, ObjectStoreExt as _, PutMode, PutOptions};
use url::Url;

#[cfg(test)]
pub(crate) use create::fields;

use self::actions::{add_actions, added_file, parsed_tag, remove_action, viewed_file};
use crate::batches::BatchSet;
use crate::clock::Clock;
use crate::durable::{Disk, DurableStore};
use crate::parquet_file::NewFile;
use crate::snapshot::DataFile;
use crate::{TableConfig, TableError};

/// The partition column: the UTC day of `time`.
pub(crate) const DATE: &str = "date";
/// Retries of a commit at later versions while other writers are faster.
const CONFLICTS_MAX: u64 = 20;

/// The log of one table, at one version.
#[derive(Clone)]
pub(crate) struct Log {
    store: LogStoreRef,
    clock: Clock,
    /// The application whose transactions are read: one for each journal.
    app_id: String,
    version: u64,
    files: BTreeMap<String, DataFile>,
    /// The tags of the active files.
    tags: BTreeMap<String, Arc<BatchSet>>,
    /// All batches in the table's published version, shared with the table's readers.
    published: Arc<RwLock<BatchSet>>,
    /// Batches of entries that are not published yet.
    unpublished: BatchSet,
    /// The version that `app_id` last committed.
    app_version: Option<i64>,
}

impl Log {
    /// Reads the log of the table in `root`, an absolute path of an existing directory.
    pub(crate) async fn open(root: &Path, disk: &Arc<Disk>, clock: &Clock, app_id: &str) -> Result<Self, TableError> {
        let store = log_store(root, disk)?;
        let failed = TableError::log("look for the table");
        if !store.is_delta_table_location().await.map_err(failed)? {
            return Err(TableError::Absent(root.to_owned()));
        }
        Self::load(store, clock, app_id, None).await
    }

    /// As [`Log::open`], but creates the table if there is none, and adds the columns that it lacks.
    pub(crate) async fn open_or_create(
        root: &Path,
        disk: &Arc<Disk>,
        clock: &Clock,
        config: &TableConfig,
        app_id: &str,
    ) -> Result<Self, TableError> {
        match Self::open(root, disk, clock, app_id).await {
            Err(TableError::Absent(_)) => create::create(log_store(root, disk)?, config).await?,
            opened => {
                let log = opened?;
                if !create::add_missing_columns(&log.store, &log.state().await?).await? {
                    return Ok(log);
                }
            }
        }
        Self::open(root, disk, clock, app_id).await
    }

    async fn load(store: LogStoreRef, clock: &Clock, app_id: &str, version: Option<u64>) -> Result<Self, TableError> {
        let failed = TableError::log("read the table's log");
        let state = DeltaTableState::try_new(store.as_ref(), version).await.map_err(&failed)?;
        create::check_schema(&state)?;
        let views = state.snapshot().try_log_data().map_err(&failed)?;
        let (mut files, mut tags) = (BTreeMap::new(), BTreeMap::new());
        for view in views.iter() {
            let (file, tag) = viewed_file(&view);
            tags.extend(tag.map(|tag| (file.path.clone(), tag)));
            files.insert(file.path.clone(), file);
        }
        let mut unpublished = BatchSet::default();
        tags.values().for_each(|tag: &Arc<BatchSet>| unpublished.extend(tag));
        let app_version = state.snapshot().transaction_version(store.as_ref(), app_id).await.map_err(&failed)?;
        let version = state.version();
        let (clock, app_id, published) = (clock.clone(), app_id.to_owned(), Arc::default());
        Ok(Self { store, clock, app_id, version, files, tags, published, unpublished, app_version })
    }

    pub(crate) fn version(&self) -> i64 {
        i64::try_from(self.version).unwrap_or(i64::MAX)
    }

    /// The version that the application last committed.
    pub(crate) fn app_version(&self) -> Option<i64> {
        self.app_version
    }

    /// The batches of the version that readers see, shared with them. [`Log::publish_batches`] adds to it.
    pub(crate) fn published_batches(&self) -> Arc<RwLock<BatchSet>> {
        Arc::clone(&self.published)
    }

    /// Moves the batches of this version to those that readers see.
    pub(crate) fn publish_batches(&mut self) {
        let fresh = std::mem::take(&mut self.unpublished);
        if !fresh.is_empty() {
            self.published.write().unwrap_or_else(PoisonError::into_inner).extend(&fresh);
        }
    }

    /// Whether the table holds this batch at this version.
    pub(crate) fn holds(&self, producer: &str, batch_seq: u64) -> bool {
        let published = || self.published.read().unwrap_or_else(PoisonError::into_inner).contains(producer, batch_seq);
        self.unpublished.contains(producer, batch_seq) || published()
    }

    fn holds_any(&self, batches: &BatchSet) -> bool {
        let published = || self.published.read().unwrap_or_else(PoisonError::into_inner).intersects(batches);
        self.unpublished.intersects(batches) || published()
    }

    /// The active files by ascending time.
    pub(crate) fn data_files(&self) -> Vec<DataFile> {
        let mut files: Vec<_> = self.files.values().cloned().collect();
        files.sort_by(|a, b| (a.min_time_us, &a.path).cmp(&(b.min_time_us, &b.path)));
        files
    }

    /// Goes to the newest version.
    pub(crate) async fn refresh(&mut self) -> Result<(), TableError> {
        let failed = TableError::log("read the table's log");
        loop {
            let next = self.version + 1;
            match self.store.read_commit_entry(next).await.map_err(&failed)? {
                Some(entry) if self.apply(get_actions(next, &entry).map_err(&failed)?) => self.version = next,
                None if self.is_entry_there().await? => return Ok(()),
                // The schema has changed, or the entries in between are cleaned up: this process has slept.
                _ => self.load_newest().await?,
            }
        }
    }

    async fn load_newest(&mut self) -> Result<(), TableError> {
        let published = Arc::clone(&self.published);
        *self = Self::load(Arc::clone(&self.store), &self.clock, &self.app_id, None).await?;
        self.published = published;
        Ok(())
    }

    /// Whether the entry of this version is there. Entries are deleted from the oldest on, so then none is missing after it.
    async fn is_entry_there(&self) -> Result<bool, TableError> {
        let path = commit_uri_from_version(Some(self.version));
        match self.store.object_store(None).head(&path).await {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(TableError::log("read the table's log")(error.into())),
        }
    }

    /// Applies the actions of the next entry. Answers no, and applies none, if one of them changes the schema.
    fn apply(&mut self, actions: Vec<Action>) -> bool {
        if actions.iter().any(|action| matches!(action, Action::Metadata(_) | Action::Protocol(_))) {
            return false;
        }
        for action in actions {
            match action {
                Action::Add(add) => {
                    let file = added_file(&add);
                    if let Some(tag) = parsed_tag(add.tags.as_ref()) {
                        self.unpublished.extend(&tag);
                        self.tags.insert(add.path.clone(), tag);
                    }
                    self.files.insert(add.path, file);
                }
                Action::Remove(remove) => {
                    self.files.remove(&remove.path);
                    self.tags.remove(&remove.path);
                }
                Action::Txn(transaction) if transaction.app_id == self.app_id => {
                    self.app_version = Some(transaction.version);
                }
                _ => {}
            }
        }
        true
    }

    /// Adds files that hold these batches and sets the application's version, if there is one to set, in one commit;
    /// answers how many conflicts there were.
    ///
    /// # Errors
    /// [`TableError::Overtaken`] if someone else has set the application's version; [`TableError::AlreadyStored`] if the table
    /// holds one of the batches.
    pub(crate) async fn append(
        &mut self,
        files: &[NewFile],
        batches: &BatchSet,
        app_version: Option<i64>,
    ) -> Result<u64, TableError> {
        let now = self.now_ms();
        let before = self.app_version;
        let transaction =
            app_version.map(|version| Transaction::new_with_last_update(&self.app_id, version, Some(now)));
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: Some(vec![DATE.to_owned()]),
            predicate: None,
        };
        self.commit(operation, transaction, |log| {
            if log.app_version != before {
                return Err(TableError::Overtaken);
            }
            if log.holds_any(batches) {
                return Err(TableError::AlreadyStored);
            }
            Ok(add_actions(files, batches, now, true))
        })
        .await
    }

    /// Replaces files by others that hold the same rows, in one commit; answers how many conflicts there were.
    ///
    /// # Errors
    /// If one of the files is not active any more.
    pub(crate) async fn replace(&mut self, old: &BTreeSet<&str>, new: &[NewFile]) -> Result<u64, TableError> {
        let now = self.now_ms();
        let operation = DeltaOperation::Optimize { predicate: None, target_size: 0 };
        self.commit(operation, None, |log| {
            let mut actions = log.remove_actions(old, false)?;
            let mut batches = BatchSet::default();
            old.iter().filter_map(|path| log.tags.get(*path)).for_each(|tag| batches.extend(tag));
            actions.extend(add_actions(new, &batches, now, false));
            Ok(actions)
        })
        .await
    }

    /// Removes files and their rows; answers how many conflicts there were.
    ///
    /// # Errors
    /// If one of the files is not active any more.
    pub(crate) async fn remove(&mut self, old: &BTreeSet<&str>) -> Result<u64, TableError> {
        let operation = DeltaOperation::Delete { predicate: None };
        self.commit(operation, None, |log| log.remove_actions(old, true)).await
    }

    fn remove_actions(&self, old: &BTreeSet<&str>, data_change: bool) -> Result<Vec<Action>, TableError> {
        let gone = || {
            let problem = "another writer took files that were to be replaced or removed";
            TableError::Inconsistent(problem.to_owned())
        };
        let files = old.iter().map(|path| self.files.get(*path).ok_or_else(gone));
        files.map(|file| Ok(Action::Remove(remove_action(file?, self.now_ms(), data_change)))).collect()
    }

    fn now_ms(&self) -> i64 {
        self.clock.now_us() / 1_000
    }

    /// Commits what `actions` answers for the newest version, as the version after it.
    async fn commit(
        &mut self,
        operation: DeltaOperation,
        transaction: Option<Transaction>,
        actions: impl Fn(&Self) -> Result<Vec<Action>, TableError>,
    ) -> Result<u64, TableError> {
        let mut conflicts = 0;
        loop {
            self.refresh().await?;
            let transactions = transaction.clone().into_iter().collect();
            let data = CommitData::new(actions(self)?, operation.clone(), HashMap::new(), transactions);
            let entry = data.get_bytes().map_err(|error| TableError::log("commit")(error.into()))?;
            let path = commit_uri_from_version(Some(self.version + 1));
            let create = PutOptions::from(PutMode::Create);
            match self.store.object_store(None).put_opts(&path, entry.into(), create).await {
                Ok(_) => {
                    self.version += 1;
                    self.apply(data.actions);
                    return Ok(conflicts);
                }
                Err(StoreError::AlreadyExists { .. }) if conflicts < CONFLICTS_MAX => conflicts += 1,
                Err(error) => return Err(TableError::log("commit")(error.into())),
            }
        }
    }

    /// Writes a checkpoint of this version.
    pub(crate) async fn write_checkpoint(&self) -> Result<(), TableError> {
        let table = self.table().await?;
        checkpoints::create_checkpoint(&table, None).await.map_err(TableError::log("write a checkpoint"))
    }

    /// Reads this version afresh, from the newest checkpoint that fits.
    pub(crate) async fn reread(&self) -> Result<Self, TableError> {
        Self::load(Arc::clone(&self.store), &self.clock, &self.app_id, Some(self.version)).await
    }

    /// Deletes log entries past `delta.logRetentionDuration` that a checkpoint covers; answers how many.
    pub(crate) async fn clean_up(&self) -> Result<usize, TableError> {
        let table = self.table().await?;
        checkpoints::cleanup_metadata(&table, None).await.map_err(TableError::log("clean up the log"))
    }

    /// Deletes data files that no version within `delta.deletedFileRetentionDuration` names; answers how many.
    pub(crate) async fn vacuum(&self) -> Result<usize, TableError> {
        let vacuum = self.table().await?.vacuum();
        let vacuum = vacuum.with_mode(VacuumMode::Full).with_enforce_retention_duration(false);
        let done = vacuum.with_commit_properties(create::quiet()).await;
        let (_, metrics) = done.map_err(TableError::log("delete files that nobody needs"))?;
        Ok(metrics.files_deleted.len())
    }

    async fn table(&self) -> Result<DeltaTable, TableError> {
        let mut table = DeltaTable::new(Arc::clone(&self.store));
        table.load_version(self.version).await.map_err(TableError::log("read the table's log"))?;
        Ok(table)
    }

    async fn state(&self) -> Result<DeltaTableState, TableError> {
        let state = DeltaTableState::try_new(self.store.as_ref(), Some(self.version)).await;
        state.map_err(TableError::log("read the table's log"))
    }
}

fn log_store(root: &Path, disk: &Arc<Disk>) -> Result<LogStoreRef, TableError> {
    let url = Url::from_directory_path(root).map_err(|()| TableError::Absent(root.to_owned()))?;
    let prefixed = DurableStore::rooted(root, Arc::clone(disk)).map_err(DeltaTableError::from);
    let prefixed = prefixed.map_err(TableError::log("open the table's folder"))?;
    let whole = DurableStore::whole(Arc::clone(disk));
    Ok(default_logstore(Arc::new(prefixed), Arc::new(whole), &url, &StorageConfig::default()))
}
