//! Concatenates files: copies their column chunks as they are, with their page indexes. Nothing is decoded, so it takes hardly
//! any memory, and what the rows of a row group have in common stays.

use std::fs::File;
use std::io::BufWriter;
use std::sync::Arc;
use std::time::Instant;

use arrow_array::new_null_array;
use parquet::arrow::arrow_writer::ArrowRowGroupWriterFactory;
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use tollgate_record::schema;

use super::plan::{BUCKET_US, Merge};
use super::{Context, name};
use crate::TableError;
use crate::encoding::Purpose;
use crate::parquet_file::{NewFile, Place, failed, write};
use crate::sidecar;
use crate::snapshot::DataFile;
use crate::statistics::FileStatistics;
use crate::tags::{FileTags, RowOrder};
use crate::values;

/// Writes one file with the row groups of all, in their order.
pub(super) fn concatenate(context: &Context, merge: &Merge) -> Result<NewFile, TableError> {
    let files = &merge.files;
    let first = files.first().ok_or_else(|| TableError::Inconsistent("a merge of no files".to_owned()))?;
    let day = first.date.as_deref().and_then(|date| date.parse().ok());
    let place = Place::new(&context.disk, &context.root, day, &name(merge, first.failures, first.max_time_us))?;
    let (mut writer, factory) = place.create(Purpose::Merge)?;
    for file in files {
        let began = Instant::now();
        append(context, file, &mut writer, &factory)?;
        context.pace.rest(began)?;
    }
    let sidecar = sidecar::concatenate(&context.disk, &context.root, files, place.path())?;
    let tags = FileTags {
        order: order(files),
        values: Arc::new(values::union(files.iter().map(|file| &*file.values))),
        level: merge.level,
        failures: first.failures,
        sidecar: Arc::new(sidecar),
    };
    place.finish(writer, FileStatistics::of_files(files), tags)
}

fn append(
    context: &Context,
    file: &DataFile,
    writer: &mut SerializedFileWriter<BufWriter<File>>,
    factory: &ArrowRowGroupWriterFactory,
) -> Result<(), TableError> {
    let path = context.root.join(&file.path);
    let source = File::open(&path).map_err(|source| TableError::io(&path, source))?;
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
    let metadata = reader.parse_and_finish(&source).map_err(TableError::rows("read a file to be merged"))?;
    let rows = metadata.file_metadata().num_rows();
    if u64::try_from(rows) != Ok(file.rows) {
        let problem = format!("{} holds {rows} rows, and the log says {}", file.path, file.rows);
        return Err(TableError::Inconsistent(problem));
    }
    for group in 0..metadata.num_row_groups() {
        let at = writer.flushed_row_groups().len();
        let out = writer.next_row_group().map_err(failed)?;
        append_group(&source, &metadata, group, out, &|| factory.create_column_writers(at))?;
    }
    Ok(())
}

/// Copies one row group. Columns that it lacks are null, and those that a record has not are left out.
fn append_group(
    source: &File,
    metadata: &ParquetMetaData,
    group: usize,
    mut out: SerializedRowGroupWriter<'_, BufWriter<File>>,
    writers: &dyn Fn() -> parquet::errors::Result<Vec<parquet::arrow::arrow_writer::ArrowColumnWriter>>,
) -> Result<(), TableError> {
    let rows = usize::try_from(metadata.row_group(group).num_rows()).unwrap_or(0);
    let mut lacking = None;
    for (at, field) in schema::wire().fields().iter().enumerate() {
        // Every column of a record has one leaf, whose path begins with its name.
        let chunks = metadata.row_group(group).columns();
        let column = chunks.iter().position(|chunk| chunk.column_path().parts().first() == Some(field.name()));
        let Some(column) = column else {
            let writers = match &mut lacking {
                Some(writers) => writers,
                none => none.insert(writers().map_err(failed)?.into_iter().map(Some).collect::<Vec<_>>()),
            };
            if let Some(mut writer) = writers[at].take() {
                write(&mut writer, field, &new_null_array(field.data_type(), rows))?;
                writer.close().and_then(|chunk| chunk.append_to_row_group(&mut out)).map_err(failed)?;
            }
            continue;
        };
        let chunk = &chunks[column];
        let close = ColumnCloseResult {
            bytes_written: u64::try_from(chunk.compressed_size()).unwrap_or(0),
            rows_written: rows as u64,
            metadata: chunk.clone(),
            bloom_filter: None,
            column_index: metadata.column_index().map(|index| index[group][column].clone()),
            offset_index: metadata.offset_index().map(|index| index[group][column].clone()),
        };
        out.append_column(source, close).map_err(failed)?;
    }
    out.close().map_err(failed)?;
    Ok(())
}

/// The order of the rows of all, if each file's five minutes come after those of the file before it.
fn order(files: &[DataFile]) -> RowOrder {
    let is_sorted = files.iter().all(|file| file.order == RowOrder::Service);
    let bucket = |time_us: i64| time_us.div_euclid(BUCKET_US);
    let follows = |pair: &[DataFile]| bucket(pair[0].max_time_us) < bucket(pair[1].min_time_us);
    if is_sorted && files.windows(2).all(follows) { RowOrder::Service } else { RowOrder::Unknown }
}
