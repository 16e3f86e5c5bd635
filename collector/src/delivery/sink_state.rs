//! How a sink stands: written by its runner, read by trimming, metrics and the status page.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::sync::Notify;
use tollgate_sink::Position;

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
pub(crate) struct Held {
    pub position: Position,
    pub received_us: i64,
    pub rows: u64,
}

/// Shared between a runner and those who look at it.
pub(crate) struct SinkState {
    pub name: &'static str,
    /// Next position to store, as it stands in the cursor file: what is before it may be trimmed.
    cursor: AtomicU64,
    /// Whether the sink has said how far it is: until then it may need what is before the cursor.
    recovered: AtomicBool,
    /// Positions before this are to be passed over.
    skip_to: AtomicU64,
    pub skip_asked: Notify,
    told: Mutex<Told>,
}

#[derive(Debug, Clone)]
struct Told {
    phase: Phase,
    last_error: Option<String>,
    last_error_us: i64,
    held: VecDeque<Held>,
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
        let told = Told {
            phase: Phase::Recovering,
            last_error: None,
            last_error_us: 0,
            held: VecDeque::new(),
            waiting_since_us: None,
        };
        Self {
            name,
            cursor: AtomicU64::new(cursor),
            recovered: AtomicBool::new(false),
            skip_to: AtomicU64::new(0),
            skip_asked: Notify::new(),
            told: Mutex::new(told),
        }
    }

    fn told<T>(&self, change: impl FnOnce(&mut Told) -> T) -> T {
        change(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
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
        self.told(|told| told.phase = phase);
    }

    pub(crate) fn set_error(&self, error: &str) {
        self.told(|told| {
            told.last_error = Some(error.to_owned());
            told.last_error_us = now_us();
        });
    }

    pub(crate) fn hold(&self, frames: impl Iterator<Item = Held>) {
        self.told(|told| told.held.extend(frames));
    }

    /// Frames waiting to be given, if any, and since when.
    pub(crate) fn set_waiting(&self, since_us: Option<i64>) {
        self.told(|told| told.waiting_since_us = since_us);
    }

    /// Drops what is stored now and answers its records.
    pub(crate) fn release(&self, before: Position) -> u64 {
        self.told(|told| {
            let stored = told.held.partition_point(|held| held.position < before);
            told.held.drain(..stored).map(|held| held.rows).sum()
        })
    }

    pub(crate) fn forget_held(&self) {
        self.told(|told| told.held.clear());
    }

    pub(crate) fn status(&self, committed: Option<Position>) -> SinkStatus {
        let cursor = self.cursor();
        let lag_frames = committed.map_or(0, |last| (last + 1).saturating_sub(cursor));
        self.told(|told| {
            let oldest = told.held.front().map(|held| held.received_us).or(told.waiting_since_us);
            let age_us = oldest.filter(|_| lag_frames > 0).map_or(0, |since| (now_us() - since).max(0));
            SinkStatus {
                name: self.name,
                phase: told.phase,
                next_position: cursor,
                lag_frames,
                lag_age_seconds: age_us as f64 / 1e6,
                last_error: told.last_error.clone(),
                last_error_us: told.last_error.is_some().then_some(told.last_error_us),
            }
        })
    }
}

/// Microseconds since the Unix epoch.
pub(crate) fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}
