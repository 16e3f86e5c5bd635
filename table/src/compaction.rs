//! Compaction: the many small files of a finished hour become few large ones, sorted by service and time.
//!
//! A commit every 10 seconds leaves 8,640 files a day. A merge reads some of them, writes their rows to new files, and commits
//! the removal of the old and the addition of the new at once, with `dataChange = false`: the rows are the same. Appends go on
//! meanwhile, as they touch other files. Readers of an older snapshot still find the old files, which stay on disk for
//! a day (`retention`). A crash before the commit leaves files that no commit names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use tollgate_clock::now_us;
use tollgate_failpoint::{Point, reach};
use tollgate_record::schema;

use crate::TableError;
use crate::calendar::day_of;
use crate::parquet_file::{self, NewFile};
use crate::rows::{self, Part, RowBatches};
use crate::snapshot::DataFile;
use crate::table::Table;
use crate::writer::discard;

const HOUR_US: i64 = 3_600_000_000;
/// How long after its end an hour is left to stragglers.
const GRACE_US: i64 = 5 * 60 * 1_000_000;
/// Files of this size are left as they are.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Fewer files than this are not worth a merge.
const FILES_MIN: usize = 8;
/// Most rows of one merge. It bounds memory: dictionaries keep a row at some 300 bytes.
const ROWS_MAX: u64 = 256 * 1024;
/// Most merges of one run; the rest waits for the next.
const MERGES_MAX: usize = 64;
/// Better compression for files that stay.
const ZSTD_LEVEL: i32 = 3;
const READ_ROWS: usize = 16 * 1024;

/// Small files of one hour.
#[derive(Debug, PartialEq)]
struct Merge {
    hour: i64,
    files: Vec<DataFile>,
}

impl Table {
    /// Merges the small files of finished hours; answers how many files went.
    ///
    /// # Errors
    /// If files cannot be read or written, or another writer took them. What was merged before stays merged.
    pub async fn compact(&self) -> Result<usize, TableError> {
        self.compact_before(now_us() - GRACE_US).await
    }

    /// As [`Table::compact`], for hours that end before `end_us`.
    pub(crate) async fn compact_before(&self, end_us: i64) -> Result<usize, TableError> {
        let mut merged = 0;
        for merge in plan(&self.snapshot().files, end_us) {
            merged += merge.files.len();
            self.merge(merge).await?;
        }
        Ok(merged)
    }

    async fn merge(&self, merge: Merge) -> Result<(), TableError> {
        let (disk, root) = (Arc::clone(self.disk()), self.root().to_owned());
        let task = tokio::task::spawn_blocking(move || {
            let name = format!("compact-{}-{}", merge.hour, parquet_file::unique_id());
            let written = write_merged(&disk, &root, &name, &merge.files);
            (merge, written)
        });
        let (merge, written) = task.await.map_err(TableError::rows("merge files"))?;
        let new = written?;
        reach(Point::MergeWritten).map_err(|source| TableError::io(self.root(), source))?;
        let old: BTreeSet<&str> = merge.files.iter().map(|file| file.path.as_str()).collect();
        let mut log = self.log().await;
        let conflicts = match log.replace(&old, &new).await {
            Ok(conflicts) => conflicts,
            Err(error) => {
                drop(log);
                self.discard_unless_committed(&new).await;
                return Err(error);
            }
        };
        reach(Point::MergeCommitted).map_err(|source| TableError::io(self.root(), source))?;
        self.publish(&mut log);
        self.counters.compactions.fetch_add(1, Ordering::Relaxed);
        self.counters.commit_conflicts.fetch_add(conflicts, Ordering::Relaxed);
        tracing::debug!(hour = merge.hour, from = old.len(), to = new.len(), "files merged");
        Ok(())
    }

    /// Deletes the files of a merge that failed, if the log can say that it did not happen after all.
    async fn discard_unless_committed(&self, new: &[NewFile]) {
        if self.refresh().await.is_ok() {
            let active = self.snapshot().files;
            if !active.iter().any(|file| new.iter().any(|new| new.path == file.path)) {
                discard(self.root(), new);
            }
        }
    }
}

fn plan(files: &[DataFile], end_us: i64) -> Vec<Merge> {
    let mut hours: BTreeMap<(Option<&str>, i64), Vec<&DataFile>> = BTreeMap::new();
    for file in files {
        let hour = file.min_time_us.div_euclid(HOUR_US);
        let known = file.min_time_us != i64::MIN && file.max_time_us != i64::MAX && file.rows > 0;
        let finished = known && file.max_time_us < end_us && (hour + 1) * HOUR_US <= end_us;
        // The rows of the null partition have no order worth making, and no bound on their days.
        if finished && file.date.is_some() && file.size < FILE_BYTES_MAX && file.rows < ROWS_MAX {
            hours.entry((file.date.as_deref(), hour)).or_default().push(file);
        }
    }
    let mut merges = Vec::new();
    for ((_, hour), files) in hours {
        for files in bounded(&files) {
            if files.len() >= FILES_MIN && merges.len() < MERGES_MAX {
                merges.push(Merge { hour, files });
            }
        }
    }
    merges
}

/// Groups of files with at most [`ROWS_MAX`] rows.
fn bounded(files: &[&DataFile]) -> Vec<Vec<DataFile>> {
    let mut groups: Vec<(u64, Vec<DataFile>)> = Vec::new();
    for &file in files {
        match groups.last_mut() {
            Some((rows, group)) if *rows + file.rows <= ROWS_MAX => {
                *rows += file.rows;
                group.push(file.clone());
            }
            _ => groups.push((file.rows, vec![file.clone()])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

fn write_merged(
    disk: &crate::durable::Disk,
    root: &Path,
    name: &str,
    files: &[DataFile],
) -> Result<Vec<NewFile>, TableError> {
    let mut batches = Vec::new();
    for file in files {
        read(&root.join(&file.path), &mut batches)?;
    }
    let rows = RowBatches::of(batches);
    let expected: u64 = files.iter().map(|file| file.rows).sum();
    if rows.len() as u64 != expected {
        let problem = format!("files hold {} rows, and the log says {expected}", rows.len());
        return Err(TableError::Inconsistent(problem));
    }
    let order = rows::order_by(&rows, &["service", "time"])?;
    let day = files.first().and_then(|file| day_of(file.min_time_us));
    let part = Part { day, order };
    let new = parquet_file::write(disk, root, name, part.day, &rows, &part.order, ZSTD_LEVEL)?;
    if new.statistics.rows() != expected {
        discard(root, &[new]);
        return Err(TableError::Inconsistent("a merge lost rows on the way".to_owned()));
    }
    Ok(vec![new])
}

/// Reads a data file in the wire schema: dictionaries stay dictionaries, columns that it lacks are null, and others are
/// left out.
fn read(path: &Path, batches: &mut Vec<RecordBatch>) -> Result<(), TableError> {
    let failed = || TableError::rows("read a file to be merged");
    let file = File::open(path).map_err(|source| TableError::io(path, source))?;
    let plain = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(failed())?;
    let options = ArrowReaderOptions::new().with_schema(wire_types(plain.schema()));
    let metadata = ArrowReaderMetadata::try_new(Arc::clone(plain.metadata()), options).map_err(failed())?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata);
    let known = plain.schema().fields().iter().enumerate();
    let known = known.filter(|(_, field)| schema::wire().field_with_name(field.name()).is_ok()).map(|(at, _)| at);
    let mask = ProjectionMask::roots(builder.parquet_schema(), known);
    let reader = builder.with_projection(mask).with_batch_size(READ_ROWS).build().map_err(failed())?;
    for batch in reader {
        let batch = batch.map_err(TableError::rows("read a file to be merged"))?;
        batches.push(to_wire(&batch)?);
    }
    Ok(())
}

/// The file's schema, with dictionaries where the wire has them.
fn wire_types(file: &SchemaRef) -> SchemaRef {
    let wire = schema::wire();
    let fields = file.fields().iter().map(|field| match wire.field_with_name(field.name()) {
        Ok(wire) if matches!(wire.data_type(), DataType::Dictionary(..)) => {
            Arc::new(Field::new(field.name(), wire.data_type().clone(), field.is_nullable()))
        }
        _ => Arc::clone(field),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn to_wire(batch: &RecordBatch) -> Result<RecordBatch, TableError> {
    let wire = schema::wire();
    let failed = TableError::rows("read a file to be merged");
    let columns = wire.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(column) => arrow::compute::cast(column, field.data_type()).map_err(&failed),
        None => Ok(arrow_array::new_null_array(field.data_type(), batch.num_rows())),
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(wire, columns).map_err(&failed)
}
