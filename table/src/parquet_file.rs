//! Data files: Parquet, zstd, synced before anything names them.
//!
//! Rows come with the dictionaries of the wire and go into the writer with them, which the file does not show: its schema,
//! and what it says of Arrow's, are the table's plain types. A file is written column by column: only one column of its rows is
//! in memory plain, put together, ordered and encoded. The encoded columns wait, compressed, until the last one is there.
//! `encoding` says how each column is encoded. The page index is on, as the rows are ordered.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::compute::take;
use arrow_array::{ArrayRef, UInt32Array};
use arrow_schema::Field;
use chrono::NaiveDate;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriterOptions, compute_leaves,
};
use parquet::arrow::{ArrowWriter, add_encoded_arrow_schema_to_metadata};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;
use tollgate_failpoint::{Point, reach};
use tollgate_record::columns::COLUMNS;
use tollgate_record::schema;
use uuid::Uuid;

use crate::TableError;
use crate::calendar::format_day;
use crate::durable::Disk;
use crate::encoding::{self, Purpose};
use crate::sidecar::{self, SidecarBuilder};
use crate::statistics::FileStatistics;
use crate::tags::FileTags;
use crate::values::Values;

/// Rows put in order at once.
const CHUNK_ROWS: usize = 16 * 1024;

/// The directory of rows without a plausible day, as Hive and Delta name it.
const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// A data file on stable storage that no commit names yet.
#[derive(Debug)]
pub(crate) struct NewFile {
    /// Relative to the table's root.
    pub(crate) path: String,
    pub(crate) date: Option<String>,
    pub(crate) size: u64,
    pub(crate) statistics: FileStatistics,
    pub(crate) tags: FileTags,
}

/// An id that no other file of the table has, of this writer or another.
pub(crate) fn unique_id() -> impl std::fmt::Display {
    Uuid::new_v4().simple()
}

/// Deletes files that no commit names, and what stands beside them.
pub(crate) fn discard(root: &Path, files: &[NewFile]) {
    files.iter().for_each(|file| discard_path(root, &file.path));
}

fn discard_path(root: &Path, path: &str) {
    // What cannot be deleted stays unread.
    let _ = fs::remove_file(root.join(path));
    sidecar::discard(root, path);
}

/// The columns of a record in the order in which a [`ColumnFile`] wants them: those first that something beside the file is
/// made of.
pub(crate) fn column_order() -> Vec<&'static str> {
    let first = SidecarBuilder::columns();
    let names = COLUMNS.iter().map(|column| column.name);
    first.iter().copied().chain(names.filter(|name| !first.contains(name))).collect()
}

/// The place of a file that is being written. It is given back unless the file is finished: most likely the disk is full.
pub(crate) struct Place<'a> {
    disk: &'a Disk,
    root: &'a Path,
    directory: PathBuf,
    absolute: PathBuf,
    path: String,
    date: Option<String>,
    is_kept: bool,
}

impl<'a> Place<'a> {
    /// `date=DAY/NAME.parquet` in the table's root.
    pub(crate) fn new(disk: &'a Disk, root: &'a Path, day: Option<NaiveDate>, name: &str) -> Result<Self, TableError> {
        let date = day.map(format_day);
        let directory = format!("date={}", date.as_deref().unwrap_or(NULL_PARTITION));
        let path = format!("{directory}/{name}.parquet");
        let (absolute, directory) = (root.join(&path), root.join(directory));
        disk.create_directories(&directory).map_err(|source| TableError::io(&directory, source))?;
        Ok(Self { disk, root, directory, absolute, path, date, is_kept: false })
    }

    /// Creates the file; answers its writer, and what makes writers of its columns.
    pub(crate) fn create(
        &self,
        purpose: Purpose,
    ) -> Result<(SerializedFileWriter<BufWriter<File>>, ArrowRowGroupWriterFactory), TableError> {
        let failed_io = |source| TableError::io(&self.absolute, source);
        let file = File::create_new(&self.absolute).map_err(failed_io)?;
        reach(Point::FileCreated).map_err(failed_io)?;
        let mut properties = encoding::properties(&schema::table(), purpose)?;
        add_encoded_arrow_schema_to_metadata(&schema::table(), &mut properties);
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(BufWriter::new(file), schema::wire(), options);
        writer.and_then(ArrowWriter::into_serialized_writer).map_err(failed)
    }

    /// Where the file is, relative to the table's root.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Syncs the file that is written, and its directories.
    pub(crate) fn finish(
        mut self,
        writer: SerializedFileWriter<BufWriter<File>>,
        statistics: FileStatistics,
        tags: FileTags,
    ) -> Result<NewFile, TableError> {
        let buffered = writer.into_inner().map_err(failed)?;
        let file = buffered.into_inner().map_err(|error| TableError::io(&self.absolute, error.into_error()))?;
        let synced = reach(Point::FileWritten).and_then(|()| self.disk.sync_file(&file));
        synced.map_err(|source| TableError::io(&self.absolute, source))?;
        let failed = |source| TableError::io(&self.directory, source);
        reach(Point::FileSynced).and_then(|()| self.disk.sync_directory(&self.directory)).map_err(failed)?;
        reach(Point::FileEntered).map_err(failed)?;
        let size = file.metadata().map_err(|source| TableError::io(&self.absolute, source))?.len();
        self.is_kept = true;
        let (path, date) = (std::mem::take(&mut self.path), self.date.take());
        Ok(NewFile { path, date, size, statistics, tags })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            discard_path(self.root, &self.path);
        }
    }
}

/// A data file that is being written, column by column, in the order of [`column_order`].
pub(crate) struct ColumnFile<'a> {
    place: Place<'a>,
    writer: SerializedFileWriter<BufWriter<File>>,
    groups: Vec<RowGroup>,
    statistics: FileStatistics,
    values: Values,
    sidecar: SidecarBuilder,
}

/// A row group whose columns come one by one. Every column of a record has one leaf, lists too.
struct RowGroup {
    rows: usize,
    writers: Vec<Option<ArrowColumnWriter>>,
    chunks: Vec<Option<ArrowColumnChunk>>,
}

impl<'a> ColumnFile<'a> {
    /// Creates a file with so many rows in each row group, with roll-ups beside it or with ids alone.
    pub(crate) fn create(
        place: Place<'a>,
        purpose: Purpose,
        row_groups: &[usize],
        rollups: bool,
    ) -> Result<Self, TableError> {
        let (writer, factory) = place.create(purpose)?;
        let mut statistics = FileStatistics::default();
        let group = |(at, &rows): (usize, &usize)| {
            statistics.add_rows(rows);
            let writers: Vec<_> = factory.create_column_writers(at).map_err(failed)?.into_iter().map(Some).collect();
            let chunks = writers.iter().map(|_| None).collect();
            Ok(RowGroup { rows, writers, chunks })
        };
        let groups = row_groups.iter().enumerate().map(group).collect::<Result<_, TableError>>()?;
        let sidecar = SidecarBuilder::new(row_groups, rollups);
        Ok(Self { place, writer, groups, statistics, values: Values::default(), sidecar })
    }

    /// Writes one column: the values that `order` names, in its order.
    pub(crate) fn add(&mut self, name: &str, values: &ArrayRef, order: &UInt32Array) -> Result<(), TableError> {
        let wire = schema::wire();
        let Some((column, field)) = wire.fields().find(name) else {
            return Err(TableError::Schema(format!("a record has no column `{name}`")));
        };
        let mut from = 0;
        for (at_group, group) in self.groups.iter_mut().enumerate() {
            let order = order.slice(from, group.rows);
            from += group.rows;
            let Some(mut writer) = group.writers[column].take() else {
                return Err(TableError::Inconsistent(format!("column `{name}` was written twice")));
            };
            for at in (0..order.len()).step_by(CHUNK_ROWS) {
                let order = order.slice(at, CHUNK_ROWS.min(order.len() - at));
                let values = take(values, &order, None).map_err(TableError::rows("order rows"))?;
                self.statistics.add(name, &values)?;
                self.values.add(name, &values)?;
                self.sidecar.add(at_group, name, &values)?;
                write(&mut writer, field, &values)?;
            }
            group.chunks[column] = Some(writer.close().map_err(failed)?);
        }
        Ok(())
    }

    /// Puts the columns together, and syncs the file and its directories. The tags get the values that occur.
    pub(crate) fn finish(mut self, mut tags: FileTags) -> Result<NewFile, TableError> {
        for group in self.groups {
            let mut out = self.writer.next_row_group().map_err(failed)?;
            for chunk in group.chunks {
                let lacking = || TableError::Inconsistent("a column was not written".to_owned());
                chunk.ok_or_else(lacking)?.append_to_row_group(&mut out).map_err(failed)?;
            }
            out.close().map_err(failed)?;
        }
        tags.values = Arc::new(self.values.into_sets());
        tags.sidecar = Arc::new(self.sidecar.write(self.place.disk, self.place.root, &self.place.path)?);
        self.place.finish(self.writer, self.statistics, tags)
    }
}

/// Writes values of one leaf.
pub(crate) fn write(writer: &mut ArrowColumnWriter, field: &Field, values: &ArrayRef) -> Result<(), TableError> {
    for leaf in compute_leaves(field, values).map_err(failed)? {
        writer.write(&leaf).map_err(failed)?;
    }
    Ok(())
}

pub(crate) fn failed(error: ParquetError) -> TableError {
    TableError::Rows { action: "write a Parquet file", source: Box::new(error) }
}

/// Row groups for so many rows: as few as the bound allows, and of one size.
pub(crate) fn even_groups(rows: usize) -> Vec<usize> {
    let groups = rows.div_ceil(encoding::ROW_GROUP_ROWS_MAX).max(1);
    (0..groups).map(|at| rows * (at + 1) / groups - rows * at / groups).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::ROW_GROUP_ROWS_MAX as MAX;

    #[test]
    fn row_groups_are_few_and_even() {
        assert_eq!(even_groups(1), [1]);
        assert_eq!(even_groups(MAX), [MAX]);
        assert_eq!(even_groups(MAX + 1), [MAX / 2, MAX / 2 + 1]);
        assert_eq!(even_groups(2 * MAX), [MAX, MAX]);
        assert_eq!(even_groups(2 * MAX + 1).iter().sum::<usize>(), 2 * MAX + 1);
    }
}
