//! Batches made with arrow alone, as a producer of another project would make them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow_schema::{Field, Schema};
use tollgate_record::{Batch, DecodeLimits, decode};

use crate::plausible::{Facts, header};
use tollgate_record::{BatchBuilder, SealLimits, SealedBatch};

/// A sealed batch of plausible records 1 to `rows`.
pub fn sealed(rows: i64) -> SealedBatch {
    let mut builder = BatchBuilder::new(header(), SealLimits::default());
    for seq in 1..=rows {
        builder.append(&Facts::of(seq).record());
    }
    builder.seal(1).unwrap()
}

/// The same, decoded.
pub fn decoded(rows: i64) -> Batch {
    decode(&sealed(rows).bytes, &DecodeLimits::default()).unwrap()
}

/// The metadata of [`decoded`] with `rows` rows.
pub fn metadata(rows: i64) -> HashMap<String, String> {
    let header = header();
    let last_seq = rows.to_string();
    let pairs = [
        ("record_version", "1"),
        ("producer", &header.producer),
        ("node_id", &header.node_id),
        ("batch_seq", "1"),
        ("first_seq", "1"),
        ("last_seq", &last_seq),
    ];
    pairs.iter().map(|(key, value)| (format!("tollgate.{key}"), (*value).to_owned())).collect()
}

/// The stream of these columns, uncompressed.
pub fn stream(columns: Vec<(Field, ArrayRef)>, metadata: HashMap<String, String>) -> Vec<u8> {
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
    let batch = RecordBatch::try_new(schema.clone(), arrays).unwrap();
    written(&schema, &[batch], IpcWriteOptions::default())
}

/// The stream of these batches, uncompressed.
pub fn written(schema: &Schema, batches: &[RecordBatch], options: IpcWriteOptions) -> Vec<u8> {
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), schema, options).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.into_inner().unwrap()
}

/// The columns of a decoded batch, to be changed.
pub fn columns(batch: &RecordBatch) -> Vec<(Field, ArrayRef)> {
    let fields = batch.schema_ref().fields().iter().map(|field| field.as_ref().clone());
    fields.zip(batch.columns().iter().cloned()).collect()
}

/// Puts `array` in the place of column `name`, with its own type.
pub fn replace(columns: &mut [(Field, ArrayRef)], name: &str, array: ArrayRef) {
    for (field, old) in columns.iter_mut().filter(|(field, _)| field.name() == name) {
        *field = Field::new(name, array.data_type().clone(), true);
        *old = array.clone();
    }
}

/// One zstd frame around `raw`.
pub fn zstd(raw: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(raw, 1).unwrap()
}
