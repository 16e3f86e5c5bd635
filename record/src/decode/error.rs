//! Why a batch was refused.

use crate::RECORD_VERSION;

/// Why bytes are refused as a batch. Every one of these is the producer's fault, and the same bytes will be refused again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not one intact zstd frame.
    #[error("not a zstd frame: {0}; send one zstd frame around one arrow stream")]
    NotZstd(String),
    /// The batch exceeds a limit.
    #[error("{what} is more than {max}; send smaller batches or raise the limit")]
    TooLarge {
        /// What exceeds the limit, with its size.
        what: String,
        /// The limit.
        max: usize,
    },
    /// The bytes end before the batch does.
    #[error("the batch ends before its last message; send the whole of it")]
    Truncated,
    /// Bytes follow the end of the batch.
    #[error("{bytes} bytes follow the end of {what}; send exactly one batch in one zstd frame")]
    TrailingBytes {
        /// How many bytes.
        bytes: usize,
        /// What they follow: the zstd frame or the arrow stream.
        what: &'static str,
    },
    /// The frame does not hold an Arrow stream of one record batch.
    #[error(
        "not an arrow ipc stream of one record batch: {0}; write it with an arrow library, without compressed buffers"
    )]
    NotArrow(String),
    /// A column has the wrong type.
    #[error("column `{column}` must be {expected}, but is {found}; write it as docs/record.md says")]
    WrongSchema {
        /// The column.
        column: String,
        /// The type of the registry.
        expected: String,
        /// The type in the batch.
        found: String,
    },
    /// The record version is neither ours nor a neighbour of it.
    #[error(
        "record version {found} is not supported; this release reads {oldest} to {newest}: upgrade the older side",
        oldest = RECORD_VERSION.saturating_sub(1),
        newest = RECORD_VERSION + 1
    )]
    UnsupportedVersion {
        /// The version in the batch.
        found: String,
    },
    /// A required key of the schema metadata is missing.
    #[error("schema metadata `{key}` is missing; a producer must set it on every batch")]
    MissingMetadata {
        /// The key.
        key: &'static str,
    },
    /// Rows and metadata contradict each other.
    #[error("the batch contradicts itself: {0}; fix the producer")]
    Inconsistent(String),
}

impl DecodeError {
    /// Returns a short name that does not change between versions, for metrics and dead letters.
    pub fn reason(&self) -> &'static str {
        match self {
            DecodeError::NotZstd(_) => "not_zstd",
            DecodeError::TooLarge { .. } => "too_large",
            DecodeError::Truncated => "truncated",
            DecodeError::TrailingBytes { .. } => "trailing_bytes",
            DecodeError::NotArrow(_) => "not_arrow",
            DecodeError::WrongSchema { .. } => "wrong_schema",
            DecodeError::UnsupportedVersion { .. } => "unsupported_version",
            DecodeError::MissingMetadata { .. } => "missing_metadata",
            DecodeError::Inconsistent(_) => "inconsistent",
        }
    }
}
