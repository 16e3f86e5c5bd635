//! Data files: Parquet, zstd, synced before anything names them.
//!
//! Encodings, and why:
//! - times, sequence numbers, durations and sizes: DELTA_BINARY_PACKED without a dictionary. They hardly repeat, and a
//!   dictionary of distinct integers costs both bytes and time.
//! - ids that are unique to a row (`trace_id`, `span_id`, `correlation_id`): no dictionary either.
//! - everything else (names, addresses, status codes, hashes of credentials) repeats: dictionary, the default.
//!
//! Rows come with the dictionaries of the wire and go into the writer with them, which the file does not show: its schema,
//! and what it says of Arrow's, are the table's plain types. A row group is written column by column: only one column of it
//! is in memory, put together, ordered and encoded.
//!
//! Bloom filters: `trace_id` and `correlation_id`, because support looks single transactions up by them and their ranges
//! prune nothing, and `client_ip`, because an incident starts from one address as often. `request_id` needs none (it holds
//! its time), and `producer`, `service` and the like have too few values for one to prune.
//! The page index (per-page ranges) is on, as the rows are sorted: by time in a commit's file, by service and time after
//! compaction.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use arrow::compute::take;
use arrow_array::UInt32Array;
use arrow_schema::{DataType, Schema};
use chrono::NaiveDate;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowWriterOptions, compute_leaves};
use parquet::arrow::{ArrowWriter, add_encoded_arrow_schema_to_metadata};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedRowGroupWriter;
use parquet::schema::types::ColumnPath;
use tollgate_failpoint::{Point, reach};
use tollgate_record::schema;
use uuid::Uuid;

use crate::TableError;
use crate::calendar::format_day;
use crate::durable::Disk;
use crate::rows::RowBatches;
use crate::statistics::FileStatistics;
use crate::tags::FileTags;

/// Rows in a row group: the unit of work of a query thread, and of the bloom filters.
pub(crate) const ROW_GROUP_ROWS: usize = 128 * 1024;
/// Rows put in order at once.
const CHUNK_ROWS: usize = 16 * 1024;
/// False positives of a bloom filter: one row group in a hundred is read for nothing.
const BLOOM_FALSE_POSITIVES: f64 = 0.01;

const BLOOM_COLUMNS: [&str; 3] = ["trace_id", "correlation_id", "client_ip"];
const UNIQUE_COLUMNS: [&str; 3] = ["trace_id", "span_id", "correlation_id"];
/// Integers that repeat: a dictionary of run lengths beats packed deltas.
const REPEATING_INTEGERS: [&str; 2] = ["gap_count", "client_cert_not_after"];

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

/// Writes the rows of one part as `date=DAY/NAME.parquet`, and syncs the file and its directories.
pub(crate) fn write(
    disk: &Disk,
    root: &Path,
    name: &str,
    day: Option<NaiveDate>,
    rows: &RowBatches,
    order: &UInt32Array,
    level: i32,
) -> Result<NewFile, TableError> {
    let date = day.map(format_day);
    let directory = format!("date={}", date.as_deref().unwrap_or(NULL_PARTITION));
    let path = format!("{directory}/{name}.parquet");
    let absolute = root.join(&path);
    let directory = root.join(directory);
    disk.create_directories(&directory).map_err(|source| TableError::io(&directory, source))?;
    let written = write_synced(disk, &absolute, rows, order, level);
    let written = written.and_then(|statistics| {
        let failed = |source| TableError::io(&directory, source);
        reach(Point::FileSynced).and_then(|()| disk.sync_directory(&directory)).map_err(failed)?;
        reach(Point::FileEntered).map_err(failed)?;
        let size = fs::metadata(&absolute).map_err(|source| TableError::io(&absolute, source))?.len();
        Ok(NewFile { path, date, size, statistics, tags: FileTags::default() })
    });
    if written.is_err() {
        // Most likely the disk is full: give back what was taken.
        let _ = fs::remove_file(&absolute);
    }
    written
}

fn write_synced(
    disk: &Disk,
    path: &Path,
    rows: &RowBatches,
    order: &UInt32Array,
    level: i32,
) -> Result<FileStatistics, TableError> {
    let file = File::create_new(path).map_err(|source| TableError::io(path, source))?;
    reach(Point::FileCreated).map_err(|source| TableError::io(path, source))?;
    let mut properties = properties(&schema::table(), level)?;
    add_encoded_arrow_schema_to_metadata(&schema::table(), &mut properties);
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let writer = ArrowWriter::try_new_with_options(BufWriter::new(file), schema::wire(), options);
    let (mut writer, columns) = writer.and_then(ArrowWriter::into_serialized_writer).map_err(failed)?;
    let mut statistics = FileStatistics::default();
    for (group, at) in (0..order.len()).step_by(ROW_GROUP_ROWS).enumerate() {
        let order = order.slice(at, ROW_GROUP_ROWS.min(order.len() - at));
        let columns = columns.create_column_writers(group).map_err(failed)?;
        let group = writer.next_row_group().map_err(failed)?;
        write_group(group, columns, rows, &order, &mut statistics)?;
    }
    let buffered = writer.into_inner().map_err(failed)?;
    let file = buffered.into_inner().map_err(|error| TableError::io(path, error.into_error()))?;
    let synced = reach(Point::FileWritten).and_then(|()| disk.sync_file(&file));
    synced.map_err(|source| TableError::io(path, source))?;
    Ok(statistics)
}

/// Writes the rows that `order` names as one row group. Every column of a record has one leaf, lists too.
fn write_group(
    mut group: SerializedRowGroupWriter<'_, BufWriter<File>>,
    columns: Vec<ArrowColumnWriter>,
    rows: &RowBatches,
    order: &UInt32Array,
    statistics: &mut FileStatistics,
) -> Result<(), TableError> {
    statistics.add_rows(order.len());
    let (rows, order) = &rows.restricted_to(order);
    for (field, mut column) in schema::wire().fields().iter().zip(columns) {
        let values = rows.column(field.name())?;
        for at in (0..order.len()).step_by(CHUNK_ROWS) {
            let order = order.slice(at, CHUNK_ROWS.min(order.len() - at));
            let values = take(&values, &order, None).map_err(TableError::rows("order the rows of a commit"))?;
            statistics.add(field.name(), &values)?;
            for leaf in compute_leaves(field, &values).map_err(failed)? {
                column.write(&leaf).map_err(failed)?;
            }
        }
        column.close().and_then(|chunk| chunk.append_to_row_group(&mut group)).map_err(failed)?;
    }
    group.close().map_err(failed)?;
    Ok(())
}

fn failed(error: ParquetError) -> TableError {
    TableError::Rows { action: "write a Parquet file", source: Box::new(error) }
}

fn properties(schema: &Schema, level: i32) -> Result<WriterProperties, TableError> {
    let level = ZstdLevel::try_new(level).map_err(TableError::rows("choose the compression"))?;
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_created_by(format!("tollgate {}", env!("CARGO_PKG_VERSION")));
    for field in schema.fields() {
        let column = || ColumnPath::from(field.name().as_str());
        let name = field.name().as_str();
        let wide = matches!(field.data_type(), DataType::Int64 | DataType::Timestamp(..));
        if wide && !REPEATING_INTEGERS.contains(&name) {
            builder = builder
                .set_column_dictionary_enabled(column(), false)
                .set_column_encoding(column(), Encoding::DELTA_BINARY_PACKED);
        }
        if UNIQUE_COLUMNS.contains(&name) {
            builder = builder.set_column_dictionary_enabled(column(), false);
        }
        if BLOOM_COLUMNS.contains(&name) {
            // Sized for a full row group, and folded to what the values need when it is written.
            builder = builder
                .set_column_bloom_filter_enabled(column(), true)
                .set_column_bloom_filter_fpp(column(), BLOOM_FALSE_POSITIVES)
                .set_column_bloom_filter_max_ndv(column(), ROW_GROUP_ROWS as u64);
        }
    }
    Ok(builder.build())
}
