//! The same records as plain Parquet files, as other engines like them: to compare answers and times.
//!
//! Rows stand nearly in the order of time. All columns of the record are there, ids as bytes, and `request_id` as text.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use tollgate_record::id::{RequestId, producer_tag};
use tollgate_record::vocabulary::Kind;
use tollgate_record::{Batch, DecodeError, DecodeLimits, SealedBatch, decode};

/// Rows of a row group: what DuckDB writes, and spreads over its threads.
const ROW_GROUP_ROWS: usize = 122_880;
/// Rows of a file.
const FILE_ROWS: usize = 16 * ROW_GROUP_ROWS;

/// Why the files cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ParquetFilesError {
    /// The folder or a file cannot be created.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Folder or file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Writing fails.
    #[error(transparent)]
    Parquet(#[from] ParquetError),
    /// A batch cannot be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A batch lacks a column.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

/// A folder of Parquet files that is being written.
pub struct ParquetFiles {
    dir: PathBuf,
    files: usize,
    rows: usize,
    writer: Option<ArrowWriter<File>>,
}

impl ParquetFiles {
    /// Writes into a folder, which is created if it is absent.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn create(dir: &Path) -> Result<Self, ParquetFilesError> {
        let refused = |source| ParquetFilesError::Io { path: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(refused)?;
        Ok(Self { dir: dir.to_owned(), files: 0, rows: 0, writer: None })
    }

    /// Appends the records of a batch.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn append(&mut self, batch: &SealedBatch) -> Result<(), ParquetFilesError> {
        let records = with_request_id(&decode(&batch.bytes, &DecodeLimits::default())?)?;
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.next_file(&records)?,
        };
        writer.write(&records)?;
        self.rows += records.num_rows();
        if self.rows >= FILE_ROWS {
            self.rows = 0;
            writer.close()?;
        } else {
            self.writer = Some(writer);
        }
        Ok(())
    }

    fn next_file(&mut self, records: &RecordBatch) -> Result<ArrowWriter<File>, ParquetFilesError> {
        let path = self.dir.join(format!("records-{:04}.parquet", self.files));
        self.files += 1;
        let file = File::create(&path).map_err(|source| ParquetFilesError::Io { path, source })?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        Ok(ArrowWriter::try_new(file, records.schema(), Some(properties))?)
    }

    /// Ends the last file.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn close(mut self) -> Result<(), ParquetFilesError> {
        if let Some(writer) = self.writer.take() {
            writer.close()?;
        }
        Ok(())
    }
}

/// The records with the column that Tollgate computes and other engines have to store.
fn with_request_id(batch: &Batch) -> Result<RecordBatch, ArrowError> {
    let records = &batch.records;
    let column = |name: &str| {
        records.column_by_name(name).ok_or_else(|| ArrowError::SchemaError(format!("there is no column {name}")))
    };
    let times = column("time")?.as_primitive::<TimestampMicrosecondType>();
    let seqs = column("seq")?.as_primitive::<Int64Type>();
    let kinds = column("kind")?.as_any_dictionary_opt();
    let kinds = kinds.ok_or_else(|| ArrowError::SchemaError("kind is no dictionary".to_owned()))?;
    let is_gap: Vec<bool> =
        kinds.values().as_string::<i32>().iter().map(|kind| kind == Some(Kind::Gap.as_str())).collect();
    let tag = producer_tag(&batch.meta.producer);
    let mut ids = StringBuilder::with_capacity(records.num_rows(), records.num_rows() * RequestId::TEXT_BYTES);
    let mut text = [0; RequestId::TEXT_BYTES];
    for (row, kind) in kinds.normalized_keys().into_iter().enumerate() {
        if is_gap[kind] {
            ids.append_null();
            continue;
        }
        let id = RequestId::from_parts(times.value(row), tag, seqs.value(row));
        ids.append_value(id.encode(&mut text));
    }
    let schema = records.schema();
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("request_id", DataType::Utf8, true)));
    let mut columns: Vec<ArrayRef> = records.columns().to_vec();
    columns.push(Arc::new(ids.finish()));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}
