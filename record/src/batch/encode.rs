//! Encoding: arrays to Arrow IPC to zstd.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_ipc::MetadataVersion;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow_schema::{ArrowError, Schema};
use bytes::Bytes;
use zstd::bulk::Compressor;
use zstd::zstd_safe::compress_bound;

use super::SealedBatch;
use super::meta::{self, BatchHeader};
use crate::id::ProducerError;
use crate::schema;

/// Buffers in the stream start at multiples of this, the alignment of the widest type in a record. Arrow's usual 64 would double the
/// size of a batch of one row.
const ALIGNMENT: usize = 8;

/// Why rows could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// There are no rows.
    #[error("the batch has no rows; append at least one before sealing")]
    Empty,
    /// There are more gaps than a batch can hold rows.
    #[error("{0} gaps do not fit one batch; send at most {max} at a time", max = super::ROWS_MAX)]
    TooManyGaps(usize),
    /// A `seq` is outside of the range of a producer.
    #[error("seq {0} is outside of 1 to 2^42 - 1; number the records of a producer from 1 on")]
    Seq(i64),
    /// Two rows cover the same `seq`.
    #[error("seq {0} occurs twice in the batch; number each record once")]
    DuplicateSeq(i64),
    /// The producer's name is malformed.
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// The header's node id is not the producer's.
    #[error("node_id `{0}` is not the first part of the producer's name; give both the same")]
    NodeId(String),
    /// Arrow refused the rows.
    #[error("could not write the batch as an arrow stream")]
    Arrow(#[from] ArrowError),
    /// Zstd refused the bytes.
    #[error("could not compress the batch; check that the zstd level is between 1 and 22")]
    Zstd(#[source] std::io::Error),
}

/// Buffers and compressor, kept from batch to batch.
pub(crate) struct Encoder {
    raw: Vec<u8>,
    compressed: Vec<u8>,
    /// The compressor and the level it is set to.
    compressor: Option<(i32, Compressor<'static>)>,
}

impl Encoder {
    pub(crate) fn new() -> Self {
        Self { raw: Vec::new(), compressed: Vec::new(), compressor: None }
    }

    /// Encodes the batch that `sealed` describes.
    pub(crate) fn encode(
        &mut self,
        header: &BatchHeader,
        sealed: &SealedBatch,
        arrays: Vec<ArrayRef>,
        level: i32,
    ) -> Result<Bytes, EncodeError> {
        let fields = schema::wire().fields().clone();
        let schema = Arc::new(Schema::new_with_metadata(fields, meta::to_schema(header, sealed)));
        let batch = RecordBatch::try_new(schema.clone(), arrays)?;
        self.raw.clear();
        let options = IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5)?;
        let mut writer = StreamWriter::try_new_with_options(&mut self.raw, &schema, options)?;
        writer.write(&batch)?;
        writer.finish()?;
        drop(writer);
        self.compress(level).map_err(EncodeError::Zstd)
    }

    fn compress(&mut self, level: i32) -> std::io::Result<Bytes> {
        if self.compressor.as_ref().is_none_or(|(set, _)| *set != level) {
            let mut compressor = Compressor::new(level)?;
            // The checksum costs four bytes, and detects a spool file that rots on disk.
            compressor.include_checksum(true)?;
            self.compressor = Some((level, compressor));
        }
        let Some((_, compressor)) = &mut self.compressor else {
            return Err(std::io::Error::other("no compressor"));
        };
        self.compressed.clear();
        self.compressed.reserve(compress_bound(self.raw.len()));
        compressor.compress_to_buffer(&self.raw, &mut self.compressed)?;
        Ok(Bytes::copy_from_slice(&self.compressed))
    }
}
