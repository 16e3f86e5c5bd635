//! The record: its columns, ids and batches, and what is redacted from it.
//!
//! One row per API transaction, born columnar: [`BatchBuilder::append`] puts a [`Record`] into column builders,
//! [`BatchBuilder::seal`] makes a [`SealedBatch`] of them, and its bytes travel unchanged as wire body, spool file and journal
//! frame until [`decode`] reads them for SQL. The crate does no I/O and starts no thread; it reads a clock only for the age of a batch.
//!
//! # The format
//!
//! ```text
//! batch file, .arrows.zst
//! '- one zstd frame, with its content's size and checksum
//!    '- one Arrow IPC stream, buffers aligned to 8 and not compressed again
//!       |- schema        the columns of the registry; metadata: producer, batch_seq, first_seq, last_seq, version …
//!       |- dictionaries  one per dictionary column: only the values that this batch uses
//!       |- record batch  1 to 65,536 rows, in any order of seq
//!       '- end of stream
//! ```
//!
//! `zstd -dc batch.arrows.zst` and pyarrow's `ipc.open_stream` open it.
//!
//! # Identity
//!
//! A producer numbers its records in `seq`, its batches in `batch_seq`, both from 1 on. (producer, `batch_seq`)
//! recognises a batch that is sent again, (producer, `seq`) proves that no record is missing, and [`id::RequestId`] is
//! computed from (time, producer, `seq`) both ways. Records that were shed leave [`gap_batch`]es, whose rows say how many and why.
//!
//! # Where to look
//!
//! | module | holds |
//! |---|---|
//! | [`columns`] | the registry: everything else about columns follows from it |
//! | [`vocabulary`] | the closed lists, as enums |
//! | [`schema`] | the Arrow schemas of wire and table |
//! | [`id`] | request ids and producers' names |
//! | [`redact`] | what may leave the proxy: paths, queries, headers, credentials |
//! | [`extract`], [`json`] | values of a decoded row, and the row as JSON |
//! | [`runs`] | sets of `seq` |
//! | [`document`] | `docs/record.md`, made from the registry |
//!
//! # Limits
//!
//! | limit | value |
//! |---|---|
//! | [`SealLimits`] | seal at 4,096 rows, 512 KiB or 200 ms |
//! | [`ROWS_MAX`], [`RAW_BYTES_MAX`] | 65,536 rows and 64 MiB in one builder, whatever its limits say |
//! | [`DecodeLimits`] | 8 MiB compressed, 64 MiB raw, 65,536 rows |
//! | [`columns::TEXT_BYTES_MAX`] and [`columns::Column::bytes_max`] | the most bytes of each text |
//! | [`columns::LIST_ITEMS_MAX`] | 64 elements of a list |
//! | [`id::SEQ_MAX`] | 2^42 - 1 records a producer |
//!
//! # Versions
//!
//! This crate writes version [`RECORD_VERSION`] and reads its neighbours: a column that it does not know is left out, one that it
//! misses is null.

pub mod columns;
pub mod document;
pub mod extract;
pub mod id;
pub mod json;
pub mod redact;
pub mod runs;
pub mod schema;
pub mod vocabulary;

mod batch;
mod decode;
mod part;
mod record;

pub use batch::{
    BatchBuilder, BatchHeader, BatchMeta, EncodeError, Gap, RAW_BYTES_MAX, ROWS_MAX, SealLimits, SealedBatch,
    gap_batch, key,
};
pub use decode::{Batch, DecodeError, DecodeLimits, decode};
pub use record::Record;

/// The version of the record that this crate writes.
pub const RECORD_VERSION: u32 = 1;
