//! How long frames stay: until every sink and the hot rows are past them, and the ledger that remembers them is stored.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tollgate_clock::now_us;
use tollgate_journal::Journal;
use tollgate_sink::Position;

use crate::delivery::sink_state::SinkState;
use crate::ingest::intake::IntakeState;
use crate::store::checkpoint;
use crate::store::committed::Committed;

/// What decides how long frames stay.
#[derive(Clone)]
pub(crate) struct Retention {
    pub journal: Arc<Journal>,
    pub intake: Arc<IntakeState>,
    pub committed: Arc<Committed>,
    pub sinks: Vec<Arc<SinkState>>,
    pub data: PathBuf,
    /// Sinks that pass over frames rather than fill the journal.
    pub skipping: Vec<String>,
    /// The journal's bytes from which on they do.
    pub pressure_bytes: u64,
    pub remember: Duration,
}

impl Retention {
    pub(crate) async fn run(self, every: Duration, stop: CancellationToken) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => return,
            }
            self.check_place().await;
            // Frames that every sink has go first: a sink passes over frames only if that was not enough.
            self.trim().await;
            self.relieve();
        }
    }

    /// Looks for the journal's files also while no post comes: readiness and the alert follow from it.
    async fn check_place(&self) {
        let journal = Arc::clone(&self.journal);
        // The journal keeps and logs what was found.
        let _found = spawn_blocking(move || journal.check_place(true)).await;
    }

    /// First position that a sink or the hot rows still need.
    fn needed_from(&self) -> Position {
        let committed = self.committed.last.borrow().map_or(0, |last| last + 1);
        let tail = self.committed.tail.as_ref().map(|tail| tail.needs_from());
        self.sinks.iter().map(|sink| sink.needs_from()).chain(tail).fold(committed, Position::min)
    }

    /// Asks the slowest sink to pass over a segment, if the journal is nearly full because of it and it may.
    fn relieve(&self) {
        if self.journal.bytes() < self.pressure_bytes {
            return;
        }
        let Some(slowest) = self.sinks.iter().min_by_key(|sink| sink.cursor()) else { return };
        if !self.skipping.iter().any(|name| name == slowest.name) {
            return;
        }
        if let Some(next) = self.journal.next_segment(slowest.cursor()) {
            slowest.ask_to_skip(next);
        }
    }

    /// Stores the ledger if there is something to delete, and deletes it.
    pub(crate) async fn trim(&self) {
        let before = self.needed_from();
        let first = self.journal.first_position();
        if self.journal.next_segment(first).is_none_or(|second| second > before) {
            return;
        }
        let retention = self.clone();
        let trimmed = spawn_blocking(move || {
            retention.checkpoint().map_err(|error| error.to_string())?;
            retention.journal.trim(before).map_err(|error| error.to_string())
        });
        match trimmed.await {
            Ok(Ok(segments)) => tracing::debug!(segments, before, "journal trimmed"),
            Ok(Err(error)) => tracing::error!(error, "cannot trim the journal"),
            Err(error) => tracing::error!(%error, "cannot trim the journal"),
        }
    }

    /// Stores the ledger, without producers that were silent for too long. Not into a folder that has taken the place of the
    /// journal's: the ledger would call batches stored that are not there.
    pub(crate) fn checkpoint(&self) -> io::Result<()> {
        self.journal.check_place(true).map_err(io::Error::other)?;
        let remember_us = i64::try_from(self.remember.as_micros()).unwrap_or(i64::MAX);
        checkpoint::write(&self.data, &self.intake.ledger(now_us().saturating_sub(remember_us)))
    }
}
