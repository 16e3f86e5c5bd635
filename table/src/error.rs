//! Why the table cannot be opened, read or written.

use std::path::{Path, PathBuf};

use deltalake::DeltaTableError;

/// Why the table cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A file or directory cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The folder is no table and must not be made one.
    #[error("{}: no Delta table here", .0.display())]
    Absent(PathBuf),
    /// The table has a schema that records do not fit.
    #[error("the table's schema does not fit: {0}")]
    Schema(String),
    /// Another process writes to the table.
    #[error("{}: held by another process; stop it, or give this one another journal name", .0.display())]
    Locked(PathBuf),
    /// The Delta log refused.
    #[error("{action}: {source}")]
    Log {
        /// What was tried.
        action: &'static str,
        /// What the log said.
        source: Box<DeltaTableError>,
    },
    /// Rows cannot be sorted, converted or written as Parquet.
    #[error("{action}: {source}")]
    Rows {
        /// What was tried.
        action: &'static str,
        /// What failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another process has stored some of these batches meanwhile: a proxy had posted them to both.
    #[error("another process has stored some of these batches meanwhile")]
    AlreadyStored,
    /// Another process has committed positions of the same journal.
    #[error("another process stores the same journal in this table; stop one of them")]
    Overtaken,
    /// A batch does not have the record's columns, and no retry will change that.
    #[error("{0}")]
    Malformed(String),
    /// Maintenance was stopped, as the writer is closing.
    #[error("maintenance was stopped")]
    Stopped,
    /// A checkpoint or a compaction was not what it should be, and was taken back.
    #[error("{0}")]
    Inconsistent(String),
}

impl TableError {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn log(action: &'static str) -> impl Fn(DeltaTableError) -> Self {
        move |source| Self::Log { action, source: Box::new(source) }
    }

    pub(crate) fn rows<E: std::error::Error + Send + Sync + 'static>(action: &'static str) -> impl Fn(E) -> Self {
        move |source| Self::Rows { action, source: Box::new(source) }
    }
}
