//! The contract between the collector and a sink.
//!
//! The collector reads its journal once per sink, in order of position, and hands over what it read. A sink answers how
//! far it has *durably* got; the collector persists that as the sink's cursor and trims the journal behind the slowest
//! one. A sink may hold deliveries back (a table collects rows for a larger commit): it then answers a position behind
//! the last one it was given, and must be ready to see the held ones again after a restart.
//!
//! ```text
//!   journal ──▶ deliver(frames p..q) ──▶ Ok(Some(through)) ──▶ cursor = through + 1 (fsynced) ──▶ trim
//!                        │
//!                        ├─ Err(Retry)   same frames again, after a backoff
//!                        ├─ Err(Rebuild) recover() again, then from the position it answers
//!                        ├─ Err(Reject)  one frame to the dead-letter file with its reason, then on
//!                        └─ Err(RejectRows) some of its rows to the dead-letter file, then on: the others are stored
//! ```
//! A refusal may concern a frame of an earlier call that the sink holds back.
//!
//! `testkit` checks these promises for any destination.

#[cfg(any(test, feature = "testkit"))]
pub mod testkit;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tollgate_record::Batch;

/// Index of a frame in the journal: 0, 1, 2 … across all segments.
pub type Position = u64;

/// One journaled batch on its way to a sink.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Where the batch stands in the journal.
    pub position: Position,
    /// When the collector received it, in microseconds since the Unix epoch.
    pub received_us: i64,
    /// The decoded batch, shared with the other sinks and the hot rows.
    pub batch: Arc<Batch>,
}

/// Why a delivery failed, and so what the collector does next.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The destination is unreachable or busy: the same frames are offered again after a backoff.
    #[error("{reason}")]
    Retry {
        /// The cause, for the log and the status page.
        reason: String,
        /// A wait that the destination asked for; the collector waits at least `delivery.retry_min`. Otherwise its own
        /// backoff applies.
        after: Option<Duration>,
    },
    /// The sink's client is broken for good: it is recovered, and delivery resumes from the position it then answers.
    #[error("{reason}")]
    Rebuild {
        /// The cause.
        reason: String,
    },
    /// The destination will never take this frame: it goes to the dead-letter file.
    #[error("frame {position}: {reason}")]
    Reject {
        /// The frame that is refused.
        position: Position,
        /// The destination's words.
        reason: String,
    },
    /// The destination will never take these rows of a frame and has stored all others of it: they alone go to the
    /// dead-letter file.
    #[error("{} rows of frame {position}: {reason}", .rows.len())]
    RejectRows {
        /// The frame that they are in.
        position: Position,
        /// Their places in the frame, ascending; at least one.
        rows: Vec<usize>,
        /// The destination's words.
        reason: String,
    },
}

/// A destination that gets every record.
#[async_trait]
pub trait Sink: Send {
    /// Short, stable name: the label of its metrics and the file name of its cursor.
    fn name(&self) -> &'static str;

    /// Connects or reconnects, and answers the last position that the destination itself knows to be stored (a table
    /// keeps it in its commit), or `None` where only the collector's cursor tells.
    async fn recover(&mut self) -> Result<Option<Position>, SinkError>;

    /// Takes frames in ascending order of position and answers the last position that is now durable, if any is.
    /// Called with no frames at least every [`Sink::poll_interval`], so that held rows are stored in time.
    async fn deliver(&mut self, frames: &[Delivery]) -> Result<Option<Position>, SinkError>;

    /// Takes one frame from the dead letters, which an operator asked to replay. Its position may be long past, and the cursor
    /// does not move. `Ok` says that the frame is durable at the destination.
    async fn replay(&mut self, frame: &Delivery) -> Result<(), SinkError> {
        let position = frame.position;
        if self.deliver(std::slice::from_ref(frame)).await? == Some(position) {
            return Ok(());
        }
        // A sink whose destination keeps the position ignores frames before it.
        let reason = "the sink did not store it: it is past this position".to_owned();
        Err(SinkError::Reject { position, reason })
    }

    /// How often [`Sink::deliver`] must be called even without frames.
    fn poll_interval(&self) -> Duration {
        Duration::from_millis(500)
    }

    /// Stores the frames that are held back, before the process stops. Answers like [`Sink::deliver`]; after an error the frames come
    /// again when the next process starts.
    async fn close(&mut self) -> Result<Option<Position>, SinkError> {
        self.deliver(&[]).await
    }
}

/// Observes every batch as soon as it is durable, before any sink does: the hot rows of the table.
pub trait LiveObserver: Send + Sync {
    /// The first position that the observer still needs after a restart (everything before it is in the table).
    fn needs_from(&self) -> Position;

    /// Takes a durable batch. Called in ascending order of position; must not block.
    fn append(&self, delivery: Delivery);
}
