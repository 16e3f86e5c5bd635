//! The table's state as metrics, brought up to date every second.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{IntCounter, IntGauge, Registry};
use tollgate_table::Table;
use tollgate_telemetry::{MetricError, counter, int_gauge, names};

/// How often the metrics are brought up to date.
const UPDATE_EVERY: Duration = Duration::from_secs(1);

const US_PER_SECOND: u64 = 1_000_000;

/// The table's metrics.
pub(crate) struct TableMetrics {
    hot_rows: IntGauge,
    hot_bytes: IntGauge,
    hot_rows_evicted: IntCounter,
    version: IntGauge,
    files: IntGauge,
    doubles: IntCounter,
    sidecars_damaged: IntCounter,
    merge_runs: IntCounter,
    merges: IntCounter,
    merge_files_in: IntCounter,
    merge_files_out: IntCounter,
    merge_rows: IntCounter,
    merge_bytes: IntCounter,
    merge_seconds: IntCounter,
    unmerged_seconds: IntGauge,
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
            merge_runs: counter(registry, names::TABLE_MERGE_RUNS_TOTAL)?,
            merges: counter(registry, names::TABLE_MERGES_TOTAL)?,
            merge_files_in: counter(registry, names::TABLE_MERGE_FILES_IN_TOTAL)?,
            merge_files_out: counter(registry, names::TABLE_MERGE_FILES_OUT_TOTAL)?,
            merge_rows: counter(registry, names::TABLE_MERGE_ROWS_TOTAL)?,
            merge_bytes: counter(registry, names::TABLE_MERGE_BYTES_TOTAL)?,
            merge_seconds: counter(registry, names::TABLE_MERGE_SECONDS_TOTAL)?,
            unmerged_seconds: int_gauge(registry, names::TABLE_UNMERGED_SECONDS)?,
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
        self.version.set(stats.version);
        self.files.set(gauge(stats.files));
        self.unmerged_seconds.set(gauge(stats.unmerged_age_us / US_PER_SECOND));
        let totals = [
            (&self.hot_rows_evicted, stats.hot_rows_evicted_total),
            (&self.doubles, stats.doubles_total),
            (&self.sidecars_damaged, tollgate_table::sidecars_damaged_total()),
            (&self.merge_runs, stats.merge_runs_total),
            (&self.merges, stats.compactions_total),
            (&self.merge_files_in, stats.merge_files_in_total),
            (&self.merge_files_out, stats.merge_files_out_total),
            (&self.merge_rows, stats.merge_rows_total),
            (&self.merge_bytes, stats.merge_bytes_total),
            (&self.merge_seconds, stats.merge_us_total / US_PER_SECOND),
        ];
        for (counter, total) in totals {
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
