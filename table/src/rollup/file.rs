//! The files of roll-ups.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_schema::DataType;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::Rollup;
use super::build::order_of;
use super::merge::Cells;
use crate::TableError;

/// Cells of a page: those of one service are in few of them.
const PAGE_CELLS: usize = 1_024;
/// Cells of a row group.
const ROW_GROUP_CELLS: usize = 128 * 1_024;
/// Cells that a merge reads of an input at once.
const READ_CELLS: usize = 1_024;
const ZSTD_LEVEL: i32 = 3;

/// Writes the cells of a roll-up, which come in its order.
pub(crate) struct CellWriter<W: Write + Send> {
    writer: ArrowWriter<W>,
}

impl<W: Write + Send> CellWriter<W> {
    pub(crate) fn new(rollup: &Rollup, out: W) -> Result<Self, TableError> {
        let properties = properties(rollup)?;
        let writer = ArrowWriter::try_new(out, rollup.schema(), Some(properties)).map_err(failed)?;
        Ok(Self { writer })
    }

    pub(crate) fn write(&mut self, cells: &RecordBatch) -> Result<(), TableError> {
        self.writer.write(cells).map_err(failed)
    }

    /// Ends the file; answers where it was written to.
    pub(crate) fn finish(self) -> Result<W, TableError> {
        self.writer.into_inner().map_err(failed)
    }
}

fn failed(error: ParquetError) -> TableError {
    TableError::Rows { action: "write a roll-up", source: Box::new(error) }
}

/// Numbers of neighbouring cells are of all sizes, a service with millions of rows beside one with three: packed as differences
/// they would all take the bits of the largest. Split into streams of bytes, the bytes that are zero cost nothing: a cell takes
/// 53 bytes in place of 61 (`examples/sidecar.rs`). Ranges of pages for the columns that cells are ordered by and found by; none for sketches, whose ranges say nothing.
fn properties(rollup: &Rollup) -> Result<WriterProperties, TableError> {
    let level = ZstdLevel::try_new(ZSTD_LEVEL).map_err(TableError::rows("choose the compression"))?;
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_CELLS))
        .set_data_page_row_count_limit(PAGE_CELLS)
        .set_write_batch_size(PAGE_CELLS / 4)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by(format!("tollgate {}", env!("CARGO_PKG_VERSION")));
    for field in rollup.schema().fields() {
        let column = || ColumnPath::from(field.name().as_str());
        let ordered = order_of(rollup).any(|name| name == field.name());
        if ordered {
            builder = builder.set_column_statistics_enabled(column(), EnabledStatistics::Page);
        }
        match field.data_type() {
            DataType::Binary if !ordered => {
                builder = builder
                    .set_column_dictionary_enabled(column(), false)
                    .set_column_statistics_enabled(column(), EnabledStatistics::None);
            }
            DataType::Int64 | DataType::Timestamp(..) if !ordered => {
                builder = builder
                    .set_column_dictionary_enabled(column(), false)
                    .set_column_encoding(column(), Encoding::BYTE_STREAM_SPLIT);
            }
            _ => {}
        }
    }
    Ok(builder.build())
}

/// The cells of a file, in its order.
///
/// # Errors
/// If it cannot be opened or is no Parquet.
pub(crate) fn read(path: &Path) -> Result<Cells<'static>, TableError> {
    let failed = |error: ParquetError| TableError::Rows { action: "read a roll-up", source: Box::new(error) };
    let file = File::open(path).map_err(|source| TableError::io(path, source))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(failed)?;
    let cells = reader.with_batch_size(READ_CELLS).build().map_err(failed)?;
    Ok(Box::new(cells.map(|batch| batch.map_err(TableError::rows("read a roll-up")))))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray, new_null_array};
    use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
    use parquet::file::page_index::column_index::ColumnIndexMetaData;

    use super::*;

    /// Cells of 20,000 services in two buckets each.
    fn cells(rollup: &Rollup) -> RecordBatch {
        let schema = rollup.schema();
        let columns = schema.fields().iter().map(|field| -> ArrayRef {
            let buckets = (0..40_000).map(|cell| i64::from(cell % 2) * 300_000_000);
            match field.name().as_str() {
                "bucket" => Arc::new(TimestampMicrosecondArray::from_iter_values(buckets).with_timezone("UTC")),
                "service" => {
                    Arc::new(StringArray::from_iter_values((0..40_000).map(|cell| format!("{:05}", cell / 2))))
                }
                _ if !field.is_nullable() => Arc::new(Int64Array::from(vec![1; 40_000])),
                _ => new_null_array(field.data_type(), 40_000),
            }
        });
        RecordBatch::try_new(rollup.schema(), columns.collect()).unwrap()
    }

    #[test]
    fn a_service_is_in_one_page_or_two() {
        let rollup = Rollup::named("service_5m").unwrap();
        let mut writer = CellWriter::new(rollup, Vec::new()).unwrap();
        writer.write(&cells(rollup)).unwrap();
        let file = bytes::Bytes::from(writer.finish().unwrap());
        let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
        let metadata = reader.parse_and_finish(&file).unwrap();
        let pages = metadata.column_index().unwrap()[0].clone();
        let at = rollup.schema().index_of("service").unwrap();
        let ColumnIndexMetaData::BYTE_ARRAY(services) = &pages[at] else { panic!("{:?}", pages[at]) };
        let with = (0..services.num_pages() as usize).filter(|page| {
            services.min_value(*page).unwrap() <= b"00700".as_slice()
                && services.max_value(*page).unwrap() >= b"00700".as_slice()
        });
        assert!(services.num_pages() >= 30 && with.count() <= 2);
        let bucket = rollup.schema().index_of("bucket").unwrap();
        assert!(matches!(pages[bucket], ColumnIndexMetaData::INT64(_)));
        // Every column has its pages, so that what a page of one rules out is skipped in all.
        let offsets = &metadata.offset_index().unwrap()[0];
        assert!(offsets.iter().all(|column| column.page_locations().len() >= 30));
    }
}
