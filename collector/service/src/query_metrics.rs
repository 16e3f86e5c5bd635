//! What the queries do, as metrics, brought up to date every second.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{IntGauge, Registry};
use tollgate_queries::Engine;
use tollgate_telemetry::{MetricError, int_gauge, names};

/// How often the metrics are brought up to date.
const UPDATE_EVERY: Duration = Duration::from_secs(1);

/// The queries' metrics.
pub(crate) struct QueryMetrics {
    running: IntGauge,
    waiting: IntGauge,
    memory_bytes: IntGauge,
    spilled_bytes: IntGauge,
}

impl QueryMetrics {
    /// Registers them.
    pub(crate) fn new(registry: &Registry) -> Result<Self, MetricError> {
        Ok(Self {
            running: int_gauge(registry, names::QUERIES_RUNNING)?,
            waiting: int_gauge(registry, names::QUERIES_WAITING)?,
            memory_bytes: int_gauge(registry, names::QUERIES_MEMORY_BYTES)?,
            spilled_bytes: int_gauge(registry, names::QUERIES_SPILLED_BYTES)?,
        })
    }

    /// Follows the engine until the task is dropped.
    pub(crate) async fn follow(self, engine: Arc<Engine>) {
        let mut ticks = tokio::time::interval(UPDATE_EVERY);
        loop {
            ticks.tick().await;
            let load = engine.load();
            self.running.set(gauge(load.running as u64));
            self.waiting.set(gauge(load.waiting as u64));
            self.memory_bytes.set(gauge(load.memory_bytes as u64));
            self.spilled_bytes.set(gauge(load.spilled_bytes));
        }
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
