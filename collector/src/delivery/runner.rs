//! Brings the journal to one sink, at the sink's own pace.
//!
//! ```text
//!   recover ─▶ next = what the sink stored + 1, or the cursor
//!      ▲            │
//!      │Rebuild     ▼
//!      ├───── take frames ─▶ deliver ─▶ through ─▶ cursor = through + 1, stored at most every 200 ms
//!      │            ▲           ├─ Retry: the same frames, after a wait that doubles
//!      └────────────┴───────────┴─ Reject: that frame, or some of its rows, to the dead letters, then the others again
//! ```
//! The cursor moves past a refused frame only once its dead letter is durable. Letters that an operator moved to
//! `replay/` are delivered in between, one at a time; they do not move the cursor.
//!
//! This file has the loop. `deliver` gives frames to the sink and acts on its answer, `replay` offers it dead letters again, and
//! `cursor` stores how far it is and passes over frames.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tollgate_journal::JournalError;
use tollgate_retry::Backoff;
use tollgate_sink::{Position, Sink, SinkError};

use super::cursor::Cursor;
use super::sink_state::{Phase, SinkState};
use super::source::Source;
use crate::config::DeliveryConfig;
use crate::dlq::store::DeadLetters;
use crate::metrics::Metrics;
use crate::store::committed::Committed;

/// One sink and everything that serves it.
pub(crate) struct Runner {
    pub sink: Box<dyn Sink>,
    pub state: Arc<SinkState>,
    pub cursor: Cursor,
    pub source: Source,
    pub letters: DeadLetters,
    pub committed: Arc<Committed>,
    pub metrics: Metrics,
    pub config: DeliveryConfig,
    pub stop: CancellationToken,
    /// Whether this is the sink that stores the hot rows: it knows itself how far it is.
    pub stores_tail: bool,
    /// Position of the next frame to give to the sink.
    pub next: Position,
    /// Refused or lost positions at or after the cursor, which moves over them without waiting for the sink.
    pub passed: Vec<Range<Position>>,
    /// When letters to replay were last looked for.
    pub replayed_at: Option<Instant>,
}

/// Why the delivery loop ended.
pub(super) enum LoopEnd {
    /// The collector stops.
    Stopped,
    /// The sink asked to be recovered.
    Rebuild,
}

impl Runner {
    /// Runs until the collector stops; then the sink stores what it holds.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::new(self.config.retry_min.duration(), self.config.retry_max.duration());
        while !self.stop.is_cancelled() {
            self.state.set_phase(Phase::Recovering);
            let recovered = match self.sink.recover().await {
                Ok(stored) => self.start_from(stored).await,
                Err(error) => {
                    self.note("recover", &error.to_string());
                    let asked = match error {
                        SinkError::Retry { after, .. } => after,
                        SinkError::Rebuild { .. } | SinkError::Reject { .. } | SinkError::RejectRows { .. } => None,
                    };
                    self.wait(backoff.next_wait_asked(asked)).await;
                    continue;
                }
            };
            if !recovered {
                self.wait(backoff.next_wait()).await;
                continue;
            }
            self.state.set_recovered();
            match self.deliver_all(&mut backoff).await {
                LoopEnd::Stopped => break,
                LoopEnd::Rebuild => self.wait(backoff.next_wait()).await,
            }
        }
        self.close().await;
    }

    /// Decides where the sink goes on after it was recovered: where it says itself, or at its cursor.
    async fn start_from(&mut self, stored: Option<Position>) -> bool {
        self.state.forget_held();
        self.passed.clear();
        let (first, end) = self.source.held();
        if let Some(stored) = stored {
            if stored >= end.max(self.cursor.position) {
                // Frames at these positions are not the ones that the sink stored: the journal was replaced.
                self.note(
                    "ahead",
                    &format!("holds position {stored}, the journal ends at {end}: delivered from there"),
                );
            }
            // The cursor may be further: refused and skipped frames. Where the journal still holds them they come again.
            self.cursor.position = (stored + 1).min(end.max(self.cursor.position));
            self.next = self.cursor.position;
            if self.cursor.position < first {
                return self.skip(first, "the sink stored less than the journal is past").await;
            }
        } else if self.stores_tail && self.cursor.position > first {
            self.note("behind", &format!("knows no position any more: delivered again from {first}"));
            self.cursor.position = first;
        }
        self.next = self.cursor.position;
        self.store_cursor_now().await
    }

    async fn deliver_all(&mut self, backoff: &mut Backoff) -> LoopEnd {
        let mut committed = self.committed.last.subscribe();
        loop {
            if self.stop.is_cancelled() {
                return LoopEnd::Stopped;
            }
            if !self.skip_if_asked().await {
                self.wait(backoff.next_wait()).await;
                continue;
            }
            self.state.set_phase(Phase::Delivering);
            if let Some(ended) = self.replay_letters().await {
                return ended;
            }
            committed.mark_unchanged();
            let taken = match self.source.take(self.next).await {
                Ok(taken) => taken,
                Err(JournalError::Trimmed { first, .. }) => {
                    if !self.skip(first, "the journal does not hold these positions any more").await {
                        self.wait(backoff.next_wait()).await;
                    }
                    continue;
                }
                Err(error) => {
                    self.note("journal", &error.to_string());
                    self.wait(backoff.next_wait()).await;
                    continue;
                }
            };
            let is_idle = taken.is_empty();
            if let Some(ended) = self.deliver(taken, backoff).await {
                return ended;
            }
            self.store_cursor().await;
            if is_idle {
                let poll = self.sink.poll_interval();
                tokio::select! {
                    _ = committed.changed() => {}
                    () = sleep(poll) => {}
                    () = self.state.skip_asked.notified() => {}
                    () = self.stop.cancelled() => {}
                }
            }
        }
    }

    async fn close(&mut self) {
        let answer = timeout(self.config.close_timeout.duration(), self.sink.close()).await;
        match answer {
            Ok(Ok(through)) => self.took(&[], self.next, through),
            Ok(Err(error)) => self.note("close", &error.to_string()),
            Err(_) => {
                self.note("close", "did not store what it holds in time; it is delivered again after the restart")
            }
        }
        self.store_cursor_now().await;
        self.state.set_phase(Phase::Stopped);
    }

    pub(super) fn note(&self, class: &str, reason: &str) {
        self.metrics.errors.with_label_values(&[self.state.name, class]).inc();
        self.state.set_error(reason);
        tracing::warn!(sink = self.state.name, class, reason, "sink failed");
    }

    pub(super) async fn wait(&mut self, wait: Duration) {
        tokio::select! {
            () = sleep(wait) => {}
            () = self.state.skip_asked.notified() => {}
            () = self.stop.cancelled() => {}
        }
    }
}

/// Runs file work where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}
