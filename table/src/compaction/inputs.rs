//! The files that a merge reads, column by column, in the wire schema: dictionaries stay dictionaries, columns that a file
//! lacks are null, and others are left out.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::compute::{cast, concat};
use arrow_array::{Array, ArrayRef, new_null_array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use tollgate_record::schema;

use crate::TableError;
use crate::snapshot::DataFile;

const READ_ROWS: usize = 64 * 1024;
/// Memory of a row's sort key and its place in the order, in bytes.
const KEY_BYTES: u64 = 32;
/// Memory that a row takes in what is made beside the file, in bytes.
const SIDECAR_BYTES: u64 = 64;

/// Files that are open for a merge.
pub(super) struct Inputs {
    files: Vec<Input>,
}

struct Input {
    file: File,
    metadata: ArrowReaderMetadata,
    rows: usize,
}

impl Inputs {
    /// Opens files, and compares their rows with what the log says.
    pub(super) fn open(root: &Path, files: &[DataFile]) -> Result<Self, TableError> {
        let open = |file: &DataFile| {
            let input = Input::open(&root.join(&file.path))?;
            if input.rows as u64 == file.rows {
                return Ok(input);
            }
            let problem = format!("{} holds {} rows, and the log says {}", file.path, input.rows, file.rows);
            Err(TableError::Inconsistent(problem))
        };
        Ok(Self { files: files.iter().map(open).collect::<Result<_, _>>()? })
    }

    pub(super) fn rows(&self) -> usize {
        self.files.iter().map(|input| input.rows).sum()
    }

    /// How many of the files, from the first on, fit into so much memory: one at least.
    pub(super) fn that_fit(&self, memory_max: u64) -> usize {
        (1..=self.files.len()).rev().find(|count| planned_bytes(&self.files[..*count]) <= memory_max).unwrap_or(1)
    }

    pub(super) fn truncate(&mut self, count: usize) {
        self.files.truncate(count);
    }

    /// One column of all rows.
    pub(super) fn column(&self, name: &str) -> Result<ArrayRef, TableError> {
        let wire = schema::wire();
        let field = wire.field_with_name(name).map_err(failed())?;
        let mut parts = Vec::new();
        for input in &self.files {
            input.read(field, &mut parts)?;
        }
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        concat(&parts).map_err(failed())
    }
}

/// Memory that a merge of these files takes, in bytes: the largest column, as read and as put together; all of the new file's
/// columns, compressed; the order of the rows; and what is made beside the file.
fn planned_bytes(files: &[Input]) -> u64 {
    let mut columns: BTreeMap<String, i64> = BTreeMap::new();
    let mut compressed = 0;
    for group in files.iter().flat_map(|input| input.metadata.metadata().row_groups()) {
        for chunk in group.columns() {
            *columns.entry(chunk.column_path().string()).or_insert(0) += plain_bytes(chunk);
            compressed += chunk.compressed_size();
        }
    }
    let largest = columns.values().max().copied().unwrap_or(0);
    let rows: usize = files.iter().map(|input| input.rows).sum();
    u64::try_from(2 * largest + compressed).unwrap_or(0) + (KEY_BYTES + SIDECAR_BYTES) * rows as u64
}

/// Memory of a column chunk as Arrow has it.
fn plain_bytes(chunk: &ColumnChunkMetaData) -> i64 {
    let name = chunk.column_path().parts().first().cloned().unwrap_or_default();
    let wire = schema::wire();
    let is_dictionary =
        wire.field_with_name(&name).is_ok_and(|field| matches!(field.data_type(), DataType::Dictionary(..)));
    let keys_or_offsets = 4 * chunk.num_values();
    let values = match chunk.unencoded_byte_array_data_bytes() {
        Some(bytes) if !is_dictionary => bytes,
        _ => chunk.uncompressed_size(),
    };
    keys_or_offsets + values.max(4 * chunk.num_values())
}

impl Input {
    fn open(path: &Path) -> Result<Self, TableError> {
        let file = File::open(path).map_err(|source| TableError::io(path, source))?;
        let plain = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(failed())?;
        let options = ArrowReaderOptions::new().with_schema(wire_types(plain.schema()));
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(plain.metadata()), options).map_err(failed())?;
        let rows = metadata.metadata().file_metadata().num_rows();
        Ok(Self { file, metadata, rows: usize::try_from(rows).unwrap_or(0) })
    }

    fn read(&self, field: &Field, parts: &mut Vec<ArrayRef>) -> Result<(), TableError> {
        let column = self.metadata.schema().fields().find(field.name()).map(|(at, _)| at);
        let Some(column) = column.filter(|_| !is_all_null(self.metadata.metadata(), field)) else {
            parts.push(new_null_array(field.data_type(), self.rows));
            return Ok(());
        };
        let file = self.file.try_clone().map_err(failed())?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone());
        let mask = ProjectionMask::roots(builder.parquet_schema(), [column]);
        let reader = builder.with_projection(mask).with_batch_size(READ_ROWS).build().map_err(failed())?;
        let mut rows = 0;
        for batch in reader {
            let batch = batch.map_err(failed())?;
            rows += batch.num_rows();
            parts.push(cast(batch.column(0), field.data_type()).map_err(failed())?);
        }
        if rows != self.rows {
            let problem = format!("column `{}` has {rows} values in a file of {} rows", field.name(), self.rows);
            return Err(TableError::Inconsistent(problem));
        }
        Ok(())
    }
}

/// Whether the file says that no row has a value.
fn is_all_null(metadata: &ParquetMetaData, field: &Field) -> bool {
    let is_null = |chunk: &ColumnChunkMetaData| {
        let nulls = chunk.statistics().and_then(|statistics| statistics.null_count_opt());
        nulls.is_some_and(|nulls| i64::try_from(nulls) == Ok(chunk.num_values()))
    };
    let of_group = |group: &RowGroupMetaData| {
        group.columns().iter().find(|chunk| chunk.column_path().string() == *field.name()).map(is_null)
    };
    !field.data_type().is_nested() && metadata.row_groups().iter().all(|group| of_group(group) == Some(true))
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

fn failed<E: std::error::Error + Send + Sync + 'static>() -> impl Fn(E) -> TableError {
    TableError::rows("read a file to be merged")
}
