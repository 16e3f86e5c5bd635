//! The metrics of the way of records.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, Registry};
use tollgate_telemetry::{MetricError, counter, counter_vec, histogram, int_gauge, names};

/// Counters and gauges, shared by all threads.
#[derive(Debug)]
pub struct ShipMetrics {
    pub(crate) batches_sealed: IntCounter,
    pub(crate) batches_acked: IntCounter,
    pub(crate) records_acked: IntCounter,
    pub(crate) records_shed: IntCounterVec,
    pub(crate) batches_refused: IntCounterVec,
    pub(crate) ring_bytes: IntGauge,
    pub(crate) spool_bytes: IntGauge,
    pub(crate) ship_errors: IntCounterVec,
    pub(crate) ship_duration: Histogram,
}

impl ShipMetrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// A name that the telemetry registry does not know, or one registered twice.
    pub fn register(registry: &Registry) -> Result<Self, MetricError> {
        let r = registry;
        Ok(Self {
            batches_sealed: counter(r, names::PROXY_BATCHES_SEALED_TOTAL)?,
            batches_acked: counter(r, names::PROXY_BATCHES_ACKED_TOTAL)?,
            records_acked: counter(r, names::PROXY_RECORDS_ACKED_TOTAL)?,
            records_shed: counter_vec(r, names::PROXY_RECORDS_SHED_TOTAL)?,
            batches_refused: counter_vec(r, names::PROXY_BATCHES_REFUSED_TOTAL)?,
            ring_bytes: int_gauge(r, names::PROXY_RING_BYTES)?,
            spool_bytes: int_gauge(r, names::PROXY_SPOOL_BYTES)?,
            ship_errors: counter_vec(r, names::PROXY_SHIP_ERRORS_TOTAL)?,
            ship_duration: histogram(r, names::PROXY_SHIP_DURATION_SECONDS)?,
        })
    }
}
