//! The steps of a commit, each a function of its own: seal, write, commit, publish.

use std::path::Path;
use std::sync::atomic::Ordering;

use tollgate_failpoint::{Point, reach};

use super::pending::PendingBatch;
use crate::batches::BatchSet;
use crate::delta::Log;
use crate::durable::Disk;
use crate::encoding::Purpose;
use crate::parquet_file::{self, ColumnFile, NewFile, Place, column_order, discard, even_groups};
use crate::rows::{self, Part, RowBatches};
use crate::table::Table;
use crate::tags::{FileTags, RowOrder};
use crate::{Position, TableError};

/// The rows of one commit, in order.
pub(crate) struct SealedRows {
    rows: RowBatches,
    parts: Vec<Part>,
    first: Position,
    last: Position,
}

/// The files of one commit, on stable storage, named by no commit yet.
pub(crate) struct WrittenFiles {
    pub(super) files: Vec<NewFile>,
    pub(super) last: Position,
    /// What the files hold. Kept until the commit, as they may have to be written again without some of it.
    pub(super) batches: Vec<PendingBatch>,
    pub(super) set: BatchSet,
}

impl WrittenFiles {
    /// No rows, no file: the commit then brings the position only.
    pub(super) fn none(last: Position) -> Self {
        Self { files: Vec::new(), last, batches: Vec::new(), set: BatchSet::default() }
    }
}

/// Orders the pending rows by time and splits them by day.
pub(crate) fn seal(batches: &[PendingBatch], first: Position, last: Position) -> Result<SealedRows, TableError> {
    let rows = RowBatches::of(batches.iter().map(|batch| batch.records.clone()).collect());
    let order = rows::order_by(&rows, &["time"])?;
    let parts = rows::split_by_day(&rows, &order)?;
    Ok(SealedRows { rows, parts, first, last })
}

/// Writes and syncs one file a day.
pub(crate) fn write(
    disk: &Disk,
    root: &Path,
    sealed: &SealedRows,
    batches: Vec<PendingBatch>,
) -> Result<WrittenFiles, TableError> {
    reach(Point::TableSealed).map_err(|source| TableError::io(root, source))?;
    let name = format!("{:012}-{:012}-{}", sealed.first, sealed.last, parquet_file::unique_id());
    let mut files = Vec::with_capacity(sealed.parts.len());
    for part in &sealed.parts {
        match write_part(disk, root, &name, &sealed.rows, part) {
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
    Ok(WrittenFiles { files, last: sealed.last, batches, set })
}

fn write_part(disk: &Disk, root: &Path, name: &str, rows: &RowBatches, part: &Part) -> Result<NewFile, TableError> {
    let (rows, order) = rows.restricted_to(&part.order);
    let place = Place::new(disk, root, part.day, name)?;
    let mut file = ColumnFile::create(place, Purpose::Commit, &even_groups(order.len()), false)?;
    for name in column_order() {
        file.add(name, &rows.column(name)?, &order)?;
    }
    file.finish(FileTags { order: RowOrder::Time, ..FileTags::default() })
}

/// Commits files and position at once.
pub(crate) async fn commit(table: &Table, log: &mut Log, written: &WrittenFiles) -> Result<(), TableError> {
    let position = i64::try_from(written.last);
    let position = position.map_err(TableError::rows("record the journal position"))?;
    let conflicts = log.append(&written.files, &written.set, Some(position)).await?;
    table.counters.commits.fetch_add(1, Ordering::Relaxed);
    table.counters.commit_conflicts.fetch_add(conflicts, Ordering::Relaxed);
    Ok(())
}

/// Commits files and position at once, and shows them to readers.
pub(super) async fn commit_and_publish(table: &Table, written: &WrittenFiles) -> Result<Position, TableError> {
    let mut log = table.log().await;
    commit(table, &mut log, written).await?;
    table.publish(&mut log);
    Ok(written.last)
}
