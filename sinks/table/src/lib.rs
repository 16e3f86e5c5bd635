//! The columnar table as a sink.
//!
//! ```text
//!   journal ──▶ HotRowsObserver ──▶ Table::show_hot          at once, so that the rows can be queried
//!      │
//!      └──────▶ TableSink ────────▶ TableWriter::append …    held until a commit is worth it
//! ```
//! The table itself is `tollgate_table`; this crate says what each of its errors means to the collector:
//!
//! | error | [`SinkError`] |
//! |---|---|
//! | [`TableError::Malformed`]: no retry will make the batch fit | `Reject`, with the batch's position |
//! | [`TableError::Overtaken`]: another process stores the same journal | `Rebuild`: the position comes from the table again |
//! | any other: the disk is full, the log cannot be read, … | `Retry` |

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tollgate_sink::{Delivery, LiveObserver, Position, Sink, SinkError};
use tollgate_storage::Pinned;
use tollgate_table::TableWriter;

pub use tollgate_table::{Table, TableConfig, TableError};

/// Opens the table in `config.dir` for writing on behalf of the journal of this name: see [`tollgate_table::open`].
///
/// # Errors
/// As [`tollgate_table::open`].
pub async fn open(config: TableConfig, journal: &str) -> Result<(TableSink, Arc<Table>), TableError> {
    let (writer, table) = tollgate_table::open(config, journal).await?;
    let place = [table.root().to_owned(), table.root().join(LOG_DIR)]
        .map(|path| Pinned::at(&path).map_err(|source| (path, source)));
    let place = place.into_iter().collect::<Result<_, _>>();
    let place = place.map_err(|(path, source)| TableError::Io { path, source })?;
    Ok((TableSink { writer, place }, table))
}

/// Folder of the table's log.
const LOG_DIR: &str = "_delta_log";

/// Stores every journaled record in the table, exactly once.
pub struct TableSink {
    writer: TableWriter,
    /// The table's folder and its log's: a commit into others of their names would be found by nobody, and the journal trimmed.
    place: Vec<Pinned>,
}

impl TableSink {
    fn check_place(&self) -> Result<(), String> {
        self.place
            .iter()
            .try_for_each(Pinned::check)
            .map_err(|error| format!("{error}; put it back, or restart the collector"))
    }

    /// Nothing is written into a folder that is not the table's.
    fn before_commit(&self) -> Result<(), SinkError> {
        self.check_place().map_err(|reason| SinkError::Retry { reason, after: None })
    }

    /// A position is answered only for a commit that a restart finds; else the table is asked again what it holds.
    fn after_commit(&self, through: Option<Position>) -> Result<Option<Position>, SinkError> {
        match through {
            Some(_) => self.check_place().map(|()| through).map_err(|reason| SinkError::Rebuild { reason }),
            None => Ok(None),
        }
    }
}

#[async_trait]
impl Sink for TableSink {
    fn name(&self) -> &'static str {
        "table"
    }

    async fn recover(&mut self) -> Result<Option<Position>, SinkError> {
        self.before_commit()?;
        self.writer.recover().await.map_err(sink_error)
    }

    async fn deliver(&mut self, frames: &[Delivery]) -> Result<Option<Position>, SinkError> {
        self.before_commit()?;
        for frame in frames {
            self.writer
                .append(frame.position, &frame.batch)
                .await
                .map_err(|error| frame_error(frame.position, error))?;
        }
        let through = self.writer.commit_if_due().await.map_err(sink_error)?;
        self.after_commit(through)
    }

    async fn replay(&mut self, frame: &Delivery) -> Result<(), SinkError> {
        self.before_commit()?;
        self.writer.replay(frame.position, &frame.batch).await.map_err(|error| frame_error(frame.position, error))
    }

    fn poll_interval(&self) -> Duration {
        self.writer.poll_interval()
    }

    async fn close(&mut self) -> Result<Option<Position>, SinkError> {
        self.before_commit()?;
        let through = self.writer.close().await.map_err(sink_error)?;
        self.after_commit(through)
    }
}

/// What an error means when the frame at this position was given to the writer.
fn frame_error(position: Position, error: TableError) -> SinkError {
    match error {
        TableError::Malformed(reason) => SinkError::Reject { position, reason },
        other => sink_error(other),
    }
}

fn sink_error(error: TableError) -> SinkError {
    let reason = error.to_string();
    match error {
        TableError::Overtaken => SinkError::Rebuild { reason },
        _ => SinkError::Retry { reason, after: None },
    }
}

/// Shows every journaled batch as hot rows of the table.
pub struct HotRowsObserver(pub Arc<Table>);

impl LiveObserver for HotRowsObserver {
    fn needs_from(&self) -> Position {
        self.0.needs_from()
    }

    fn append(&self, delivery: Delivery) {
        self.0.show_hot(delivery.position, &delivery.batch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_the_table_says_what_the_collector_does_next() {
        let malformed = frame_error(7, TableError::Malformed("no column time".to_owned()));
        assert!(
            matches!(&malformed, SinkError::Reject { position: 7, reason } if reason == "no column time"),
            "{malformed}"
        );
        let others =
            || [TableError::AlreadyStored, TableError::Inconsistent("x".to_owned()), TableError::Locked("x".into())];
        for mapped in [sink_error, |error| frame_error(7, error)] {
            let overtaken = mapped(TableError::Overtaken);
            let text = TableError::Overtaken.to_string();
            assert!(matches!(&overtaken, SinkError::Rebuild { reason } if *reason == text), "{overtaken}");
            for error in others() {
                let text = error.to_string();
                let error = mapped(error);
                assert!(matches!(&error, SinkError::Retry { reason, after: None } if *reason == text), "{error}");
            }
        }
    }
}
