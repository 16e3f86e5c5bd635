//! The state of the collector, as the pages show it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use prometheus::Registry;
use serde::Serialize;
use tollgate_journal::{AppendError, Journal};

use crate::delivery::sink_state::{SinkState, SinkStatus};
use crate::ingest::intake::IntakeState;
use crate::ingest::refused::{RefusedPost, RefusedPosts};
use crate::metrics::Metrics;
use crate::store::committed::Committed;
use crate::store::restart_report::RestartReport;

/// The stage of the collector's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    Starting,
    Serving,
    Stopping,
}

/// What is known once the journal is open.
pub(crate) struct Opened {
    pub journal: Arc<Journal>,
    pub intake: Arc<IntakeState>,
    pub committed: Arc<Committed>,
    pub sinks: Vec<Arc<SinkState>>,
    pub restart: RestartReport,
}

/// Everything that the pages read.
pub(crate) struct Overview {
    pub registry: Registry,
    pub metrics: Metrics,
    pub refused: Arc<RefusedPosts>,
    stage: AtomicU8,
    opened: std::sync::OnceLock<Opened>,
    started_us: i64,
}

#[derive(Serialize)]
struct JournalStatus {
    first_position: u64,
    next_position: u64,
    segments: usize,
    used_bytes: u64,
    allocated_bytes: u64,
    quarantined: u64,
    failures: u64,
    /// What is not where it was: nothing is acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    displaced: Option<String>,
}

#[derive(Serialize)]
struct Status<'a> {
    version: &'static str,
    started_us: i64,
    stage: Stage,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusing: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    journal: Option<JournalStatus>,
    sinks: Vec<SinkStatus>,
    /// Posts refused for good, oldest first.
    refused: Vec<RefusedPost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restart: Option<&'a RestartReport>,
}

impl Overview {
    pub(crate) fn new(registry: Registry, metrics: Metrics) -> Self {
        let stage = AtomicU8::new(Stage::Starting as u8);
        Self {
            registry,
            metrics,
            refused: Arc::default(),
            stage,
            opened: std::sync::OnceLock::new(),
            started_us: tollgate_clock::now_us(),
        }
    }

    pub(crate) fn open(&self, opened: Opened) {
        // Set once, by the start.
        let _ = self.opened.set(opened);
    }

    pub(crate) fn opened(&self) -> Option<&Opened> {
        self.opened.get()
    }

    pub(crate) fn set_stage(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Release);
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            1 => Stage::Serving,
            2 => Stage::Stopping,
            _ => Stage::Starting,
        }
    }

    /// Why the collector does not take batches, if it does not.
    pub(crate) fn not_ready(&self) -> Option<String> {
        match self.stage() {
            Stage::Starting => Some("starting: the journal is being read".to_owned()),
            Stage::Stopping => Some("stopping".to_owned()),
            Stage::Serving => self.opened().and_then(|opened| match opened.journal.displaced() {
                Some(reason) => Some(AppendError::Displaced { reason }.to_string()),
                None => opened.intake.refusal(),
            }),
        }
    }

    fn sinks(&self) -> Vec<SinkStatus> {
        let Some(opened) = self.opened() else { return Vec::new() };
        let committed = *opened.committed.last.borrow();
        opened.sinks.iter().map(|sink| sink.status(committed)).collect()
    }

    /// Brings gauges up to date and answers the text format.
    pub(crate) fn exposition(&self) -> String {
        if let Some(opened) = self.opened() {
            let stats = opened.journal.stats();
            self.metrics.journal_bytes.set(as_gauge(stats.used_bytes));
            self.metrics.journal_displaced.set(i64::from(opened.journal.displaced().is_some()));
            self.metrics.journal_segments.set(as_gauge(stats.segments as u64));
            self.metrics.journal_last_position.set(as_gauge(stats.next_position) - 1);
        }
        for sink in self.sinks() {
            self.metrics.lag_frames.with_label_values(&[sink.name]).set(as_gauge(sink.lag_frames));
            self.metrics.lag_age.with_label_values(&[sink.name]).set(sink.lag_age_seconds);
        }
        tollgate_telemetry::exposition(&self.registry)
    }

    /// The status page, JSON.
    pub(crate) fn status(&self) -> serde_json::Result<String> {
        let journal = self.opened().map(|opened| {
            let stats = opened.journal.stats();
            JournalStatus {
                first_position: stats.first_position,
                next_position: stats.next_position,
                segments: stats.segments,
                used_bytes: stats.used_bytes,
                allocated_bytes: stats.allocated_bytes,
                quarantined: stats.quarantined,
                failures: stats.failures,
                displaced: opened.journal.displaced(),
            }
        });
        serde_json::to_string_pretty(&Status {
            version: env!("CARGO_PKG_VERSION"),
            started_us: self.started_us,
            stage: self.stage(),
            refusing: self.not_ready(),
            journal,
            sinks: self.sinks(),
            refused: self.refused.list(),
            restart: self.opened().map(|opened| &opened.restart),
        })
    }
}

fn as_gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
