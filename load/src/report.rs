//! What became of the load.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tollgate_sketch::Sketch;

/// Different reasons that are told apart.
const REASONS_MAX: usize = 32;

/// Counts while the load runs; shared by those who send and those who show it.
#[derive(Debug)]
pub struct Counters {
    started: Instant,
    made: AtomicU64,
    taken: AtomicU64,
    again: AtomicU64,
    refused: Mutex<BTreeMap<String, u64>>,
    waits: Mutex<Sketch>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            made: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            again: AtomicU64::new(0),
            refused: Mutex::default(),
            waits: Mutex::new(Sketch::new()),
        }
    }
}

impl Counters {
    pub(crate) fn made(&self, records: u64) {
        self.made.fetch_add(records, Ordering::Relaxed);
    }

    pub(crate) fn taken(&self, records: u64, waited: Duration) {
        self.taken.fetch_add(records, Ordering::Relaxed);
        let waited_us = waited.as_secs_f64() * 1e6;
        self.waits.lock().unwrap_or_else(PoisonError::into_inner).add(waited_us);
    }

    /// Records that were made and are in a file.
    pub fn written(&self, records: u64) {
        self.made(records);
        self.taken(records, Duration::ZERO);
    }

    pub(crate) fn again(&self) {
        self.again.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self, reason: &str, records: u64) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = refused.len() < REASONS_MAX || refused.contains_key(reason);
        *refused.entry(if is_known { reason } else { "others" }.to_owned()).or_default() += records;
    }

    /// Records acknowledged, or requests answered, so far.
    pub fn taken_so_far(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// What there is to say now.
    pub fn report(&self) -> Report {
        let waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        let ms = |quantile| waits.quantile(quantile).map_or(0.0, |us| (us / 10.0).round() / 100.0);
        let seconds = self.started.elapsed().as_secs_f64();
        let taken = self.taken.load(Ordering::Relaxed);
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Report {
            made: self.made.load(Ordering::Relaxed),
            acknowledged: taken,
            refused,
            sent_again: self.again.load(Ordering::Relaxed),
            seconds: (seconds * 1e3).round() / 1e3,
            per_second: (taken as f64 / seconds.max(1e-9)).round(),
            ack_ms: BTreeMap::from([("p50", ms(0.5)), ("p95", ms(0.95)), ("p99", ms(0.99)), ("p999", ms(0.999))]),
        }
    }
}

/// What became of the load.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Records made, or requests begun.
    pub made: u64,
    /// Records acknowledged, or requests answered.
    pub acknowledged: u64,
    /// Records refused for good or given up, or requests that failed, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Batches that were sent again.
    pub sent_again: u64,
    /// How long it took.
    pub seconds: f64,
    /// Acknowledged a second.
    pub per_second: f64,
    /// Wait for an acknowledgement, or an answer, in milliseconds, within 1 %.
    pub ack_ms: BTreeMap<&'static str, f64>,
}

impl Report {
    /// Records, or requests, that were made and not acknowledged.
    pub fn lost(&self) -> u64 {
        self.made.saturating_sub(self.acknowledged)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { made, acknowledged, seconds, per_second, sent_again, .. } = self;
        writeln!(f, "made          {made}")?;
        writeln!(f, "acknowledged  {acknowledged} in {seconds:.1} s, {per_second} a second")?;
        let waits: Vec<String> = self.ack_ms.iter().map(|(name, ms)| format!("{name} {ms} ms")).collect();
        writeln!(f, "wait          {}", waits.join(", "))?;
        if *sent_again > 0 {
            writeln!(f, "sent again    {sent_again} batches")?;
        }
        for (reason, records) in &self.refused {
            writeln!(f, "refused       {records}: {reason}")?;
        }
        write!(f, "lost          {}", self.lost())
    }
}
