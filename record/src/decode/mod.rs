//! Decoding: bytes from outside become a canonical batch or a typed error.
//!
//! [`decode`] is total: it neither panics nor allocates past its limits, whatever the bytes are. It works in steps, and each bounds
//! the next:
//!
//! 1. [`frame`]: exactly one zstd frame, decompressed to at most `raw_bytes_max`.
//! 2. [`walk`]: the messages of the stream, verified as flatbuffers under tight limits: one schema, one dictionary
//!    per dictionary column at most, one record batch. Compressed buffers (a second bomb) are refused; row counts and
//!    buffers must be covered by bytes that are there, and types must be on a list ([`layout`]).
//! 3. arrow-ipc reads the arrays, with validation on.
//! 4. [`canonical`]: known columns in the order and types of [`schema::wire`](crate::schema::wire).
//! 5. [`check`]: the rows agree with the batch's metadata.

mod canonical;
mod check;
mod error;
mod frame;
mod layout;
mod meta;
mod strings;
mod walk;

pub use error::DecodeError;

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;

use crate::batch::BatchMeta;

/// Limits on a batch from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Compressed size in bytes; 8 MiB by default.
    pub compressed_bytes_max: usize,
    /// Decompressed size in bytes, and, counted apart, the bytes that converting columns may add; 64 MiB by default.
    pub raw_bytes_max: usize,
    /// Rows; 65,536 by default.
    pub rows_max: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { compressed_bytes_max: 8 << 20, raw_bytes_max: 64 << 20, rows_max: 65_536 }
    }
}

/// A batch from outside whose rows agree with its metadata.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The metadata of the batch.
    pub meta: BatchMeta,
    /// Its rows, in the schema of [`schema::wire`](crate::schema::wire): all columns in order, columns that this
    /// version does not know left out, columns that the producer left out null.
    pub records: RecordBatch,
}

/// Reads the bytes of a batch: a wire body, a spool file, a journal frame's payload or a batch file.
pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Batch, DecodeError> {
    // The walk leaves arrow-ipc nothing that is known to make it panic. Should there be more, a panic here would end a worker
    // for one bad batch: so a belt to the braces. Nothing that it touches outlives it, hence the assertion.
    catch_unwind(AssertUnwindSafe(|| decode_guarded(bytes, limits)))
        .unwrap_or_else(|_| Err(DecodeError::NotArrow("its structure is malformed".to_owned())))
}

fn decode_guarded(bytes: &[u8], limits: &DecodeLimits) -> Result<Batch, DecodeError> {
    let raw = frame::decompress(bytes, limits)?;
    let stream = walk::walk(&raw, limits)?;
    let records = read(raw, stream.end)?;
    let meta = meta::read(records.schema_ref().metadata())?;
    let records = canonical::canonical(&records, limits.raw_bytes_max)?;
    check::check(&meta, &records)?;
    Ok(Batch { meta, records })
}

/// Reads the one record batch in `raw[..end]`.
fn read(raw: Vec<u8>, end: usize) -> Result<RecordBatch, DecodeError> {
    let mut buffer = Buffer::from_vec(raw).slice_with_length(0, end);
    let mut decoder = StreamDecoder::new();
    match decoder.decode(&mut buffer) {
        Ok(Some(records)) => Ok(records),
        Ok(None) => Err(DecodeError::Truncated),
        Err(error) => Err(DecodeError::NotArrow(error.to_string())),
    }
}
