//! The cursor of one sink: in memory, in its file, and how it passes over frames.

use std::io;
use std::time::{Duration, Instant};

use tollgate_clock::now_us;
use tollgate_sink::Position;

use super::runner::{Runner, blocking};
use crate::dlq::store::Skipped;
use crate::store::cursor_file::CursorFile;

/// A cursor in memory and in its file.
pub(crate) struct Cursor {
    file: CursorFile,
    /// Next position to store.
    pub position: Position,
    /// What the file says.
    stored: Position,
    stored_at: Instant,
}

impl Cursor {
    /// A cursor whose file says this position.
    pub(crate) fn new(file: CursorFile, position: Position) -> Self {
        Self { file, position, stored: position, stored_at: Instant::now() }
    }

    /// Stores the position if it has moved and the last time was at least `interval` ago. Returns whether it was stored.
    async fn store(&mut self, interval: Duration) -> io::Result<bool> {
        if self.position == self.stored || self.stored_at.elapsed() < interval {
            return Ok(false);
        }
        let (file, position) = (self.file.clone(), self.position);
        let stored = blocking(move || file.write(position)).await;
        self.stored_at = Instant::now();
        stored?;
        self.stored = position;
        Ok(true)
    }
}

impl Runner {
    /// Passes over what a nearly full journal cannot keep. Returns `false` if the gap could not be noted: then nothing was passed
    /// over.
    pub(super) async fn skip_if_asked(&mut self) -> bool {
        let to = self.state.skip_to();
        to <= self.cursor.position || self.skip(to, "the journal was nearly full and this sink the slowest").await
    }

    /// Passes over everything before `to`. The gap is durable before the cursor moves.
    pub(super) async fn skip(&mut self, to: Position, reason: &str) -> bool {
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
        self.store_cursor_now().await
    }

    /// Stores the cursor at once. Returns `false` if that failed: what the sink stored since is delivered to it again after a crash.
    pub(super) async fn store_cursor_now(&mut self) -> bool {
        self.store_cursor_after(Duration::ZERO).await
    }

    /// Stores the cursor if the last time is long enough ago.
    pub(super) async fn store_cursor(&mut self) -> bool {
        self.store_cursor_after(self.config.cursor_interval.duration()).await
    }

    async fn store_cursor_after(&mut self, interval: Duration) -> bool {
        match self.cursor.store(interval).await {
            Ok(true) => {
                self.state.set_cursor(self.cursor.position);
                true
            }
            Ok(false) => true,
            Err(error) => {
                self.note("cursor", &format!("cannot store the cursor: {error}"));
                false
            }
        }
    }
}
