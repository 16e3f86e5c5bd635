//! The table's state as metrics, brought up to date every second.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{IntCounter, IntGauge, Registry};
use tollgate_table::Table;
use tollgate_telemetry::{MetricError, counter, int_gauge, names};

/// How often the metrics are brought up to date.
const UPDATE_EVERY: Duration = Duration::from_secs(1);

/// The table's metrics.
pub(crate) struct TableMetrics {
    hot_rows: IntGauge,
    hot_bytes: IntGauge,
    hot_rows_evicted: IntCounter,
    version: IntGauge,
    files: IntGauge,
    doubles: IntCounter,
    sidecars_damaged: IntCounter,
}

impl TableMetrics {
    /// Registers them.
    pub(crate) fn new(registry: &Registry) -> Result<Self, MetricError> {
        Ok(Self {
            hot_rows: int_gauge(registry, names::HOT_ROWS)?,
            hot_bytes: int_gauge(registry, names::HOT_BYTES)?,
            hot_rows_evicted: counter(registry, names::HOT_ROWS_EVICTED_TOTAL)?,
            version: int_gauge(registry, names::TABLE_VERSION)?,
            files: int_gauge(registry, names::TABLE_FILES)?,
            doubles: counter(registry, names::TABLE_DOUBLES_TOTAL)?,
            sidecars_damaged: counter(registry, names::TABLE_SIDECARS_DAMAGED_TOTAL)?,
        })
    }

    /// Follows the table until the task is dropped.
    pub(crate) async fn follow(self, table: Arc<Table>) {
        let mut ticks = tokio::time::interval(UPDATE_EVERY);
        loop {
            ticks.tick().await;
            self.update(&table);
        }
    }

    fn update(&self, table: &Table) {
        let stats = table.stats();
        self.hot_rows.set(gauge(stats.hot_rows));
        self.hot_bytes.set(gauge(stats.hot_bytes));
        self.hot_rows_evicted.inc_by(stats.hot_rows_evicted_total.saturating_sub(self.hot_rows_evicted.get()));
        self.version.set(stats.version);
        self.files.set(gauge(stats.files));
        self.doubles.inc_by(stats.doubles_total.saturating_sub(self.doubles.get()));
        let damaged = tollgate_table::sidecars_damaged_total();
        self.sidecars_damaged.inc_by(damaged.saturating_sub(self.sidecars_damaged.get()));
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
