//! Brings the journal to one sink, at the sink's own pace.
//!
//! ```text
//!   recover ─▶ next = what the sink stored + 1, or the cursor
//!      ▲            │
//!      │Rebuild     ▼
//!      ├───── take frames ─▶ deliver ─▶ through ─▶ cursor = through + 1, stored at most every 200 ms
//!      │            ▲           ├─ Retry: the same frames, after a wait that doubles
//!      └────────────┴───────────┴─ Reject: that frame to the dead letters, then the others again
//! ```
//! The cursor moves past a refused frame only once its dead letter is durable. Letters that somebody moved to `replay/`
//! are delivered in between, one at a time; the cursor has nothing to do with them.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tollgate_journal::{Frame, JournalError};
use tollgate_record::decode;
use tollgate_sink::{Delivery, Position, Sink, SinkError};

use crate::config::DeliveryConfig;
use crate::delivery::backoff::Backoff;
use crate::delivery::sink_state::{Held, Phase, SinkState, now_us};
use crate::delivery::source::{Source, Taken};
use crate::dlq::store::{DeadLetters, Replay, Skipped};
use crate::ingest::intake::Shared;
use crate::metrics::Metrics;
use crate::store::READ_LIMITS;
use crate::store::cursor_file::CursorFile;

/// One sink and everything that serves it.
pub(crate) struct Runner {
    pub sink: Box<dyn Sink>,
    pub state: Arc<SinkState>,
    pub cursor: Cursor,
    pub source: Source,
    pub letters: DeadLetters,
    pub shared: Arc<Shared>,
    pub metrics: Metrics,
    pub config: DeliveryConfig,
    pub stop: CancellationToken,
    /// Whether this is the sink that stores the hot rows: it knows itself how far it is.
    pub stores_tail: bool,
    /// Position of the next frame to give to the sink.
    pub next: Position,
    /// Refused or lost positions at or after the cursor: it moves over them by itself.
    pub passed: Vec<Range<Position>>,
    /// When letters to replay were last looked for.
    pub replayed_at: Option<Instant>,
}

/// Letters replayed at a time, before new frames get their turn.
const REPLAYED_MAX: usize = 64;

/// A cursor in memory and in its file.
pub(crate) struct Cursor {
    pub file: CursorFile,
    /// Next position to store.
    pub position: Position,
    /// What the file says.
    pub stored: Position,
    pub stored_at: Instant,
}

/// Why the delivery loop ended.
enum Ended {
    Stopped,
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
                        SinkError::Rebuild { .. } | SinkError::Reject { .. } => None,
                    };
                    self.wait(asked.unwrap_or_else(|| backoff.next())).await;
                    continue;
                }
            };
            if !recovered {
                self.wait(backoff.next()).await;
                continue;
            }
            self.state.set_recovered();
            match self.deliver_all(&mut backoff).await {
                Ended::Stopped => break,
                Ended::Rebuild => self.wait(backoff.next()).await,
            }
        }
        self.close().await;
    }

    /// Where the sink goes on after it was recovered.
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
        self.store_cursor(true).await
    }

    async fn deliver_all(&mut self, backoff: &mut Backoff) -> Ended {
        let mut committed = self.shared.committed.subscribe();
        loop {
            if self.stop.is_cancelled() {
                return Ended::Stopped;
            }
            if !self.skip_if_asked().await {
                self.wait(backoff.next()).await;
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
                        self.wait(backoff.next()).await;
                    }
                    continue;
                }
                Err(error) => {
                    self.note("journal", &error.to_string());
                    self.wait(backoff.next()).await;
                    continue;
                }
            };
            let is_idle = taken.is_empty();
            if let Some(ended) = self.deliver(taken, backoff).await {
                return ended;
            }
            self.store_cursor(false).await;
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

    /// Gives these frames to the sink until it takes them, or they are taken anew.
    async fn deliver(&mut self, taken: Vec<Taken>, backoff: &mut Backoff) -> Option<Ended> {
        let end = taken.last().map_or(self.next, |taken| taken.position() + 1);
        let is_poll = taken.is_empty();
        let Ok(mut deliveries) = self.split(taken).await else {
            self.wait(backoff.next()).await;
            return None;
        };
        while is_poll || !deliveries.is_empty() {
            self.state.set_waiting(deliveries.first().map(|delivery| delivery.received_us));
            let started = Instant::now();
            let answer = self.sink.deliver(&deliveries).await;
            if !is_poll {
                let seconds = started.elapsed().as_secs_f64();
                self.metrics.deliver_seconds.with_label_values(&[self.state.name]).observe(seconds);
            }
            match answer {
                Ok(through) => {
                    backoff.reset();
                    self.took(&deliveries, end, through);
                    return None;
                }
                Err(SinkError::Retry { reason, after }) => {
                    self.note("retry", &reason);
                    self.state.set_phase(Phase::Retrying);
                    self.wait(after.unwrap_or_else(|| backoff.next())).await;
                    // A full journal may have asked to pass these frames over meanwhile.
                    if is_poll || self.stop.is_cancelled() || self.state.skip_to() > self.cursor.position {
                        return None;
                    }
                }
                Err(SinkError::Rebuild { reason }) => {
                    self.note("rebuild", &reason);
                    return Some(Ended::Rebuild);
                }
                Err(SinkError::Reject { position, reason }) => {
                    self.note("reject", &reason);
                    if deliveries.iter().all(|delivery| delivery.position != position) {
                        self.note("reject", &format!("refused position {position}, which it was not given"));
                        return Some(Ended::Rebuild);
                    }
                    if !self.reject(position, &reason).await {
                        self.wait(backoff.next()).await;
                        return None;
                    }
                    deliveries.retain(|delivery| delivery.position != position);
                }
            }
        }
        self.took(&[], end, None);
        None
    }

    /// Frames that this build cannot decode go to the dead letters, and positions that are not there are passed.
    async fn split(&mut self, taken: Vec<Taken>) -> io::Result<Vec<Delivery>> {
        let mut deliveries = Vec::with_capacity(taken.len());
        let mut expected = self.next;
        for taken in taken {
            self.pass(expected..taken.position());
            expected = taken.position() + 1;
            match taken {
                Taken::Delivery(delivery) => deliveries.push(delivery),
                Taken::Undecodable(frame, reason) => {
                    self.note("undecodable", &reason);
                    self.bury(frame, reason).await?;
                }
            }
        }
        Ok(deliveries)
    }

    /// The sink took these, everything before `end` is dealt with, and everything up to `through` is stored.
    fn took(&mut self, deliveries: &[Delivery], end: Position, through: Option<Position>) {
        let held = |delivery: &Delivery| Held {
            position: delivery.position,
            received_us: delivery.received_us,
            rows: delivery.batch.records.num_rows() as u64,
        };
        self.state.set_waiting(None);
        self.state.hold(deliveries.iter().map(held));
        self.next = self.next.max(end);
        if let Some(through) = through {
            if through >= self.next {
                self.note("ahead", &format!("answered position {through}, was given positions before {}", self.next));
            }
            self.cursor.position = self.cursor.position.max((through + 1).min(self.next));
        }
        self.settle();
    }

    /// Moves the cursor over what is not to come any more, and counts what is stored.
    fn settle(&mut self) {
        while let Some(passed) = self.passed.iter().find(|passed| passed.contains(&self.cursor.position)) {
            self.cursor.position = passed.end;
        }
        let cursor = self.cursor.position;
        self.passed.retain(|passed| passed.end > cursor);
        let rows = self.state.release(cursor);
        self.metrics.delivered.with_label_values(&[self.state.name]).inc_by(rows);
    }

    fn pass(&mut self, positions: Range<Position>) {
        if !positions.is_empty() {
            self.passed.push(positions);
        }
    }

    async fn reject(&mut self, position: Position, reason: &str) -> bool {
        let frame = match self.source.frame(position).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return true,
            Err(error) => {
                self.note("dead_letter", &error.to_string());
                return false;
            }
        };
        self.bury(frame, reason.to_owned()).await.is_ok()
    }

    /// Stores a dead letter; the position counts as passed only then.
    async fn bury(&mut self, frame: Frame, reason: String) -> io::Result<()> {
        let (position, rows) = (frame.position, u64::from(frame.rows));
        let letters = self.letters.clone();
        let buried = blocking(move || letters.reject(&frame, &reason, now_us())).await;
        if let Err(error) = &buried {
            self.note("dead_letter", &format!("cannot store the dead letter of position {position}: {error}"));
            return buried;
        }
        self.metrics.rejected.with_label_values(&[self.state.name]).inc_by(rows);
        self.pass(position..position + 1);
        Ok(())
    }

    /// Offers the letters in `replay/` to the sink. What it takes is deleted, what it refuses again is moved back, and the
    /// rest waits for the next look.
    async fn replay_letters(&mut self) -> Option<Ended> {
        let every = self.config.trim_interval.duration();
        if self.replayed_at.is_some_and(|at| at.elapsed() < every) {
            return None;
        }
        self.replayed_at = Some(Instant::now());
        let mut after = None;
        for _ in 0..REPLAYED_MAX {
            if self.stop.is_cancelled() {
                break;
            }
            let letters = self.letters.clone();
            let replay = match blocking(move || letters.next_to_replay(after)).await {
                Ok(Some(replay)) => replay,
                Ok(None) => break,
                Err(error) => {
                    self.note("replay", &format!("cannot read a dead letter: {error}"));
                    break;
                }
            };
            let position = replay.position;
            after = Some(position);
            match self.replay(replay).await {
                Ok(()) => {}
                Err(SinkError::Retry { reason, .. }) => {
                    self.note("replay", &reason);
                    break;
                }
                Err(SinkError::Rebuild { reason }) => {
                    self.note("rebuild", &reason);
                    return Some(Ended::Rebuild);
                }
                Err(SinkError::Reject { reason, .. }) => {
                    self.note("replay", &format!("position {position} is put back: {reason}"));
                    let letters = self.letters.clone();
                    if let Err(error) = blocking(move || letters.put_back(position, &reason)).await {
                        self.note(
                            "replay",
                            &format!("cannot put back the dead letter of position {position}: {error}"),
                        );
                    }
                }
            }
        }
        None
    }

    /// Delivers one letter and deletes it.
    async fn replay(&mut self, replay: Replay) -> Result<(), SinkError> {
        let Replay { position, received_us, payload } = replay;
        let decoding = blocking(move || decode(&payload, &READ_LIMITS).map_err(io::Error::other)).await;
        let batch = decoding.map_err(|error| SinkError::Reject { position, reason: error.to_string() })?;
        let rows = batch.records.num_rows() as u64;
        let received_us = received_us.unwrap_or_else(now_us);
        self.sink.replay(&Delivery { position, received_us, batch: Arc::new(batch) }).await?;
        self.metrics.delivered.with_label_values(&[self.state.name]).inc_by(rows);
        tracing::info!(sink = self.state.name, position, rows, "dead letter delivered");
        let letters = self.letters.clone();
        let deleted = blocking(move || letters.replayed(position)).await;
        deleted
            .map_err(|error| SinkError::Retry { reason: format!("cannot delete a dead letter: {error}"), after: None })
    }

    /// Passes over what a nearly full journal cannot keep. `false` if that could not be noted, and so was not done.
    async fn skip_if_asked(&mut self) -> bool {
        let to = self.state.skip_to();
        to <= self.cursor.position || self.skip(to, "the journal was nearly full and this sink the slowest").await
    }

    async fn skip(&mut self, to: Position, reason: &str) -> bool {
        let from = self.cursor.position;
        let (frames, rows) = self.source.count(from, to).await.unwrap_or_default();
        let skipped = Skipped { from, to, frames, rows, at_us: now_us(), reason: reason.to_owned() };
        tracing::error!(sink = self.state.name, from, to, frames, rows, reason, "sink passed over frames");
        let letters = self.letters.clone();
        if let Err(error) = blocking(move || letters.skip(&skipped)).await {
            self.note("dead_letter", &format!("cannot note skipped positions: {error}"));
            return false;
        }
        self.metrics.skipped.with_label_values(&[self.state.name]).inc_by(rows);
        self.cursor.position = to.max(from);
        self.next = self.next.max(self.cursor.position);
        self.state.release(self.cursor.position);
        self.store_cursor(true).await
    }

    /// Stores the cursor, at once or if the last time is long enough ago.
    async fn store_cursor(&mut self, now: bool) -> bool {
        let Cursor { file, position, stored, stored_at } = &self.cursor;
        let is_due = now || stored_at.elapsed() >= self.config.cursor_interval.duration();
        if position == stored || !is_due {
            return true;
        }
        let (file, position) = (file.clone(), *position);
        let result = blocking(move || file.write(position)).await;
        self.cursor.stored_at = Instant::now();
        if let Err(error) = result {
            self.note("cursor", &format!("cannot store the cursor: {error}"));
            return false;
        }
        self.cursor.stored = position;
        self.state.set_cursor(position);
        true
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
        self.store_cursor(true).await;
        self.state.set_phase(Phase::Stopped);
    }

    fn note(&self, class: &str, reason: &str) {
        self.metrics.errors.with_label_values(&[self.state.name, class]).inc();
        self.state.set_error(reason);
        tracing::warn!(sink = self.state.name, class, reason, "sink failed");
    }

    async fn wait(&mut self, wait: Duration) {
        tokio::select! {
            () = sleep(wait) => {}
            () = self.state.skip_asked.notified() => {}
            () = self.stop.cancelled() => {}
        }
    }
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}
