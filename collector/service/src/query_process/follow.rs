//! The table as a query process sees it: its newest commit, without hot rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use object_store::ObjectStore;
use prometheus::{IntCounter, Registry};
use tokio_util::sync::CancellationToken;
use tollgate_queries::Source;
use tollgate_table::{Snapshot, Table};
use tollgate_telemetry::{MetricError, counter, names};

use super::admin::Readiness;

/// Looks in a row that may fail before the process says that it is not ready: one may meet a log that is being written.
const FAILURES_MAX: u32 = 10;

/// A table that is followed.
#[derive(Debug)]
pub(super) struct Followed {
    table: Arc<Table>,
    failures_total: IntCounter,
    /// In a row.
    failures: AtomicU32,
    readiness: Arc<Readiness>,
}

impl Followed {
    pub fn new(table: Arc<Table>, registry: &Registry, readiness: Arc<Readiness>) -> Result<Arc<Self>, MetricError> {
        let failures_total = counter(registry, names::TABLE_REFRESH_FAILURES_TOTAL)?;
        Ok(Arc::new(Self { table, failures_total, failures: AtomicU32::new(0), readiness }))
    }

    /// Looks for newer versions until `stop`. A look that fails is tried again: answers then are of the last version.
    pub async fn follow(self: Arc<Self>, every: Duration, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => self.look().await,
            }
        }
    }

    async fn look(&self) {
        let Err(error) = self.table.refresh().await else {
            if self.failures.swap(0, Ordering::AcqRel) >= FAILURES_MAX {
                tracing::info!("the table can be read again");
                self.readiness.set(None);
            }
            return;
        };
        self.failures_total.inc();
        let failures = self.failures.fetch_add(1, Ordering::AcqRel) + 1;
        if failures == FAILURES_MAX {
            tracing::warn!(%error, "the table's newest version cannot be read; answers are of an older one");
            self.readiness.set(Some(format!("the table's newest version cannot be read: {error}")));
        }
    }
}

impl Source for Followed {
    fn snapshot(&self) -> Snapshot {
        self.table.snapshot()
    }

    fn store(&self) -> Arc<dyn ObjectStore> {
        self.table.store()
    }

    fn notice(&self) -> Option<String> {
        let version = self.table.snapshot().version;
        let behind = match self.failures.load(Ordering::Acquire) {
            failures if failures >= FAILURES_MAX => ", which may be old: newer ones cannot be read",
            _ => "",
        };
        Some(format!(
            "answered from version {version} of the table{behind}; rows that the collector has not committed yet are only in \
             its own answers"
        ))
    }
}
