//! Why a batch was refused.

use crate::RECORD_VERSION;

/// Why bytes are no batch. All of these are the producer's fault, and sending the same bytes again will not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is not one intact zstd frame.
    #[error("not a zstd frame: {0}; send one zstd frame around one arrow stream")]
    NotZstd(String),
    /// It passes a limit.
    #[error("{what} is more than {max}; send smaller batches or raise the limit")]
    TooLarge {
        /// What passes it, with its size.
        what: String,
        /// The limit.
        max: usize,
    },
    /// It ends early.
    #[error("the batch ends before its last message; send the whole of it")]
    Truncated,
    /// Something follows its end.
    #[error("{bytes} bytes follow the end of {what}; send exactly one batch in one zstd frame")]
    TrailingBytes {
        /// How many.
        bytes: usize,
        /// What they follow: the zstd frame or the arrow stream.
        what: &'static str,
    },
    /// It is not an Arrow stream of one record batch.
    #[error(
        "not an arrow ipc stream of one record batch: {0}; write it with an arrow library, without compressed buffers"
    )]
    NotArrow(String),
    /// A column is not of its type.
    #[error("column `{column}` must be {expected}, but is {found}; write it as docs/record.md says")]
    WrongSchema {
        /// Which.
        column: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// It is of a version too far from ours.
    #[error(
        "record version {found} is not supported; this release reads {oldest} to {newest}: upgrade the older side",
        oldest = RECORD_VERSION.saturating_sub(1),
        newest = RECORD_VERSION + 1
    )]
    UnsupportedVersion {
        /// Its version.
        found: String,
    },
    /// It does not say something it must.
    #[error("schema metadata `{key}` is missing; a producer must set it on every batch")]
    MissingMetadata {
        /// What.
        key: &'static str,
    },
    /// It contradicts itself.
    #[error("the batch contradicts itself: {0}; fix the producer")]
    Inconsistent(String),
}

impl DecodeError {
    /// A short stable name, for metrics and dead-letter files.
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
