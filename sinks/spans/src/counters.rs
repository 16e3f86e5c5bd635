//! What the sink counts.

use prometheus::{IntCounter, Registry};
use tollgate_telemetry::{MetricError, counter, names};

/// Metrics of the sink.
#[derive(Debug, Clone)]
pub(crate) struct Counters {
    /// Spans that the receiver took.
    pub(crate) exported: IntCounter,
    /// Transactions that were not to be exported.
    pub(crate) sampled_out: IntCounter,
    /// Spans that the receiver refused and took the others.
    pub(crate) refused: IntCounter,
}

impl Counters {
    pub(crate) fn new(registry: &Registry) -> Result<Self, MetricError> {
        Ok(Self {
            exported: counter(registry, names::SPANS_EXPORTED_TOTAL)?,
            sampled_out: counter(registry, names::SPANS_SAMPLED_OUT_TOTAL)?,
            refused: counter(registry, names::SPANS_REFUSED_TOTAL)?,
        })
    }
}
