//! The collector's metrics. Their names and help texts are in `tollgate_telemetry`.

use std::time::Duration;

use prometheus::{GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};
use tollgate_journal::{Damage, Observer};
use tollgate_telemetry::{
    MetricError, counter, counter_vec, gauge_vec, histogram, histogram_vec, int_gauge, int_gauge_vec, names,
};

/// Values of the label `outcome` of `tollgate_ingest_batches_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PostOutcome {
    Accepted,
    Duplicate,
    Malformed,
    TooLarge,
    Forbidden,
    Unavailable,
}

impl PostOutcome {
    pub(crate) const ALL: [Self; 6] =
        [Self::Accepted, Self::Duplicate, Self::Malformed, Self::TooLarge, Self::Forbidden, Self::Unavailable];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Forbidden => "forbidden",
            Self::Unavailable => "unavailable",
        }
    }
}

/// All of the collector's own metrics.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub batches: IntCounterVec,
    pub records: IntCounter,
    pub durable_records: IntCounter,
    pub bytes: IntCounter,
    pub ack_seconds: Histogram,
    pub journal_bytes: IntGauge,
    pub journal_bytes_max: IntGauge,
    pub journal_segments: IntGauge,
    pub journal_displaced: IntGauge,
    pub journal_last_position: IntGauge,
    pub quarantined: IntCounter,
    pub fsync_seconds: Histogram,
    pub delivered: IntCounterVec,
    pub lag_frames: IntGaugeVec,
    pub lag_age: GaugeVec,
    pub errors: IntCounterVec,
    pub rejected: IntCounterVec,
    pub skipped: IntCounterVec,
    pub deliver_seconds: HistogramVec,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, MetricError> {
        let metrics = Self {
            batches: counter_vec(registry, names::INGEST_BATCHES_TOTAL)?,
            records: counter(registry, names::INGEST_RECORDS_TOTAL)?,
            durable_records: counter(registry, names::INGEST_DURABLE_RECORDS_TOTAL)?,
            bytes: counter(registry, names::INGEST_BYTES_TOTAL)?,
            ack_seconds: histogram(registry, names::INGEST_ACK_SECONDS)?,
            journal_bytes: int_gauge(registry, names::JOURNAL_BYTES)?,
            journal_bytes_max: int_gauge(registry, names::JOURNAL_BYTES_MAX)?,
            journal_segments: int_gauge(registry, names::JOURNAL_SEGMENTS)?,
            journal_displaced: int_gauge(registry, names::JOURNAL_DISPLACED)?,
            journal_last_position: int_gauge(registry, names::JOURNAL_LAST_POSITION)?,
            quarantined: counter(registry, names::JOURNAL_QUARANTINED_FRAMES_TOTAL)?,
            fsync_seconds: histogram(registry, names::JOURNAL_FSYNC_SECONDS)?,
            delivered: counter_vec(registry, names::SINK_DELIVERED_RECORDS_TOTAL)?,
            lag_frames: int_gauge_vec(registry, names::SINK_LAG_FRAMES)?,
            lag_age: gauge_vec(registry, names::SINK_LAG_AGE_SECONDS)?,
            errors: counter_vec(registry, names::SINK_ERRORS_TOTAL)?,
            rejected: counter_vec(registry, names::SINK_REJECTED_RECORDS_TOTAL)?,
            skipped: counter_vec(registry, names::SINK_SKIPPED_RECORDS_TOTAL)?,
            deliver_seconds: histogram_vec(registry, names::SINK_DELIVER_SECONDS)?,
        };
        // Shown as 0 from the start, so that a rate over the first one is not missed.
        for outcome in PostOutcome::ALL {
            metrics.batches.with_label_values(&[outcome.as_str()]);
        }
        Ok(metrics)
    }

    pub(crate) fn answered(&self, outcome: PostOutcome) {
        self.batches.with_label_values(&[outcome.as_str()]).inc();
    }
}

impl Observer for Metrics {
    fn synced(&self, took: Duration, _frames: usize, _bytes: usize) {
        self.fsync_seconds.observe(took.as_secs_f64());
    }

    fn damaged(&self, damage: &Damage) {
        // Without a good header it is unknown how many frames a damaged run held: at least one.
        let frames = damage.positions.end.saturating_sub(damage.positions.start).max(1);
        self.quarantined.inc_by(frames);
    }
}
