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
use tollgate_table::TableWriter;

pub use tollgate_table::{Table, TableConfig, TableError};

/// Opens the table in `config.dir` for writing on behalf of the journal of this name: see [`tollgate_table::open`].
///
/// # Errors
/// As [`tollgate_table::open`].
pub async fn open(config: TableConfig, journal: &str) -> Result<(TableSink, Arc<Table>), TableError> {
    let (writer, table) = tollgate_table::open(config, journal).await?;
    Ok((TableSink { writer }, table))
}

/// Stores every journaled record in the table, exactly once.
pub struct TableSink {
    writer: TableWriter,
}

#[async_trait]
impl Sink for TableSink {
    fn name(&self) -> &'static str {
        "table"
    }

    async fn recover(&mut self) -> Result<Option<Position>, SinkError> {
        self.writer.recover().await.map_err(sink_error)
    }

    async fn deliver(&mut self, frames: &[Delivery]) -> Result<Option<Position>, SinkError> {
        for frame in frames {
            self.writer
                .append(frame.position, &frame.batch)
                .await
                .map_err(|error| frame_error(frame.position, error))?;
        }
        self.writer.commit_if_due().await.map_err(sink_error)
    }

    async fn replay(&mut self, frame: &Delivery) -> Result<(), SinkError> {
        self.writer.replay(frame.position, &frame.batch).await.map_err(|error| frame_error(frame.position, error))
    }

    fn poll_interval(&self) -> Duration {
        self.writer.poll_interval()
    }

    async fn close(&mut self) -> Result<Option<Position>, SinkError> {
        self.writer.close().await.map_err(sink_error)
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
