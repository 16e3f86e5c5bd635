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
//!                        └─ Err(Reject)  one frame to the dead-letter file with its reason, then on
//! ```
//!
//! What a sink must keep to, whatever it writes to, is checked by `testkit`.

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
        /// What went wrong, for the log and the status page.
        reason: String,
        /// A wait that the destination asked for; otherwise the collector's own backoff applies.
        after: Option<Duration>,
    },
    /// The sink's client is broken for good: it is recovered, and delivery resumes from the position it then answers.
    #[error("{reason}")]
    Rebuild {
        /// What went wrong.
        reason: String,
    },
    /// The destination refuses this frame whatever is done: it goes to the dead-letter file.
    #[error("frame {position}: {reason}")]
    Reject {
        /// The frame that is refused.
        position: Position,
        /// What the destination said.
        reason: String,
    },
}

/// Somewhere that every record goes.
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

    /// Takes one frame that was refused earlier, stands at a position which may be long past, and is offered again because
    /// somebody asked for it. The cursor has nothing to do with it: `Ok` says that the frame is durable at the destination.
    async fn replay(&mut self, frame: &Delivery) -> Result<(), SinkError> {
        let position = frame.position;
        if self.deliver(std::slice::from_ref(frame)).await? == Some(position) {
            return Ok(());
        }
        // A sink that keeps its own place takes nothing from before it.
        let reason = "the sink did not store it: it is past this position".to_owned();
        Err(SinkError::Reject { position, reason })
    }

    /// How often [`Sink::deliver`] must be called even without frames.
    fn poll_interval(&self) -> Duration {
        Duration::from_millis(500)
    }

    /// Stores what is held, before the process stops. Answers like [`Sink::deliver`].
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
