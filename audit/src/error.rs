//! Why an audit cannot tell.

use std::io;
use std::path::PathBuf;

use arrow::error::ArrowError;

/// What a source says when it does not answer; its chain of causes is printed.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// Why an audit cannot tell whether all is accounted for. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The table, the collector or Kafka does not answer.
    #[error("{asked}")]
    Unanswered {
        /// What was asked.
        asked: &'static str,
        /// What the source said.
        source: SourceError,
    },
    /// As [`Self::Unanswered`], where the source says itself what was asked.
    #[error(transparent)]
    Source(SourceError),
    /// An answer is not the Arrow that was asked for.
    #[error("reading the answer")]
    Answer(#[from] ArrowError),
    /// An answer lacks a column, or the column has another type.
    #[error("{0}")]
    Column(String),
    /// What the table says of itself is not what was expected.
    #[error("reading what the table holds")]
    Contents(#[from] serde_json::Error),
    /// One answer cannot name all producers.
    #[error("there are too many producers for one answer ({0}): audit one node at a time with --producer")]
    TooManyProducers(String),
    /// The producer that was asked for has no record in the range. A misspelt name is most often the reason, and must not pass for
    /// a proof.
    #[error("--producer: `{0}` has no record in that time; `tollgate audit` without it names all that have")]
    NoSuchProducer(String),
    /// Rows are missing, and rows that were received are hidden from every answer: nothing can be concluded.
    #[error(
        "{missing} numbers are in no row, but {evicted} received rows wait in the journal and are in no answer: audit again after \
         the table's next commit (sinks.table.commit_every), or raise sinks.table.hot_bytes_max"
    )]
    RowsEvicted {
        /// Numbers without a row.
        missing: u64,
        /// Rows in the journal alone.
        evicted: u64,
    },
    /// The folder of the dead letters is no journal's.
    #[error("--journal")]
    NoJournal(#[source] tollgate_collector::NoJournal),
    /// The dead letters cannot be read.
    #[error("--journal: reading the dead letters in {}", .folder.display())]
    DeadLetters {
        /// The journal's folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder of batches cannot be read.
    #[error(
        "--set-aside: {} cannot be read; give the folder of `records.spool.dir` or `records.quarantine_dir`", .folder.display()
    )]
    SetAside {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
