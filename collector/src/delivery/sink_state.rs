//! The state of a sink: written by its runner, read by trimming, metrics and the status page.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::Notify;
use tollgate_sink::Position;

use tollgate_clock::now_us;

/// What a runner is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    Recovering,
    Delivering,
    Retrying,
    Stopped,
}

/// A frame that the sink was given and has not yet stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeldFrame {
    pub position: Position,
    pub received_us: i64,
    pub rows: u64,
}

/// The state of one sink, shared by its runner and its readers.
pub(crate) struct SinkState {
    pub name: &'static str,
    /// Next position to store, as the cursor file says. Frames before it may be trimmed.
    cursor: AtomicU64,
    /// Whether the sink was recovered. Until then it may need what is before the cursor.
    recovered: AtomicBool,
    /// Positions before this are to be passed over.
    skip_to: AtomicU64,
    pub skip_asked: Notify,
    progress: Mutex<Progress>,
}

/// What changes with every delivery.
#[derive(Debug, Clone)]
struct Progress {
    phase: Phase,
    last_error: Option<String>,
    last_error_us: i64,
    held: BTreeMap<Position, HeldFrame>,
    waiting_since_us: Option<i64>,
}

/// A sink on the status page.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SinkStatus {
    pub name: &'static str,
    pub phase: Phase,
    pub next_position: Position,
    pub lag_frames: u64,
    pub lag_age_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error_us: Option<i64>,
}

impl SinkState {
    pub(crate) fn new(name: &'static str, cursor: Position) -> Self {
        let progress = Progress {
            phase: Phase::Recovering,
            last_error: None,
            last_error_us: 0,
            held: BTreeMap::new(),
            waiting_since_us: None,
        };
        Self {
            name,
            cursor: AtomicU64::new(cursor),
            recovered: AtomicBool::new(false),
            skip_to: AtomicU64::new(0),
            skip_asked: Notify::new(),
            progress: Mutex::new(progress),
        }
    }

    fn with_progress<T>(&self, change: impl FnOnce(&mut Progress) -> T) -> T {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn cursor(&self) -> Position {
        self.cursor.load(Ordering::Acquire)
    }

    /// First position that the sink may ask for.
    pub(crate) fn needs_from(&self) -> Position {
        if self.recovered.load(Ordering::Acquire) { self.cursor() } else { 0 }
    }

    pub(crate) fn set_recovered(&self) {
        self.recovered.store(true, Ordering::Release);
    }

    pub(crate) fn set_cursor(&self, cursor: Position) {
        self.cursor.store(cursor, Ordering::Release);
    }

    pub(crate) fn ask_to_skip(&self, to: Position) {
        self.skip_to.fetch_max(to, Ordering::AcqRel);
        self.skip_asked.notify_one();
    }

    pub(crate) fn skip_to(&self) -> Position {
        self.skip_to.load(Ordering::Acquire)
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.with_progress(|progress| progress.phase = phase);
    }

    pub(crate) fn set_error(&self, error: &str) {
        self.with_progress(|progress| {
            progress.last_error = Some(error.to_owned());
            progress.last_error_us = now_us();
        });
    }

    pub(crate) fn hold(&self, frames: impl Iterator<Item = HeldFrame>) {
        self.with_progress(|progress| progress.held.extend(frames.map(|frame| (frame.position, frame))));
    }

    /// Whether the sink was given this frame and has not stored it yet.
    pub(crate) fn is_held(&self, position: Position) -> bool {
        self.with_progress(|progress| progress.held.contains_key(&position))
    }

    /// Forgets a held frame that was refused.
    pub(crate) fn forget(&self, position: Position) {
        self.with_progress(|progress| progress.held.remove(&position));
    }

    /// Notes since when frames wait to be given; `None` if none do.
    pub(crate) fn set_waiting(&self, since_us: Option<i64>) {
        self.with_progress(|progress| progress.waiting_since_us = since_us);
    }

    /// Forgets held frames before this position, which are stored now. Returns their records.
    pub(crate) fn release(&self, before: Position) -> u64 {
        self.with_progress(|progress| {
            let rest = progress.held.split_off(&before);
            std::mem::replace(&mut progress.held, rest).into_values().map(|held| held.rows).sum()
        })
    }

    pub(crate) fn forget_held(&self) {
        self.with_progress(|progress| progress.held.clear());
    }

    pub(crate) fn status(&self, committed: Option<Position>) -> SinkStatus {
        let cursor = self.cursor();
        let lag_frames = committed.map_or(0, |last| (last + 1).saturating_sub(cursor));
        self.with_progress(|progress| {
            let oldest =
                progress.held.first_key_value().map(|(_, held)| held.received_us).or(progress.waiting_since_us);
            let age_us = oldest.filter(|_| lag_frames > 0).map_or(0, |since| (now_us() - since).max(0));
            SinkStatus {
                name: self.name,
                phase: progress.phase,
                next_position: cursor,
                lag_frames,
                lag_age_seconds: age_us as f64 / 1e6,
                last_error: progress.last_error.clone(),
                last_error_us: progress.last_error.is_some().then_some(progress.last_error_us),
            }
        })
    }
}
