//! A collector that serves, and how it stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::admin::status::{Overview, Stage};
use crate::retention::Retention;
use crate::store::restart_report::RestartReport;

/// A collector that serves. Dropping it is like killing it: nothing is flushed, everything acknowledged is stored.
pub struct Running {
    /// Where batches are posted.
    pub ingest_addr: SocketAddr,
    /// Where metrics and status are.
    pub admin_addr: SocketAddr,
    pub(crate) overview: Arc<Overview>,
    pub(crate) retention: Retention,
    pub(crate) close_timeout: Duration,
    pub(crate) stop: Stops,
    pub(crate) ingest: JoinSet<()>,
    pub(crate) intake: JoinSet<()>,
    pub(crate) sinks: JoinSet<()>,
    pub(crate) retaining: JoinSet<()>,
    pub(crate) admin: JoinSet<()>,
}

/// One for each step of stopping.
#[derive(Default)]
pub(crate) struct Stops {
    pub ingest: CancellationToken,
    pub sinks: CancellationToken,
    pub admin: CancellationToken,
}

/// How long tasks may take to end by themselves once their own time is up; then they are aborted.
const ABORT_GRACE: Duration = Duration::from_secs(2);

impl Running {
    /// What was found when the collector started.
    pub fn restart_report(&self) -> RestartReport {
        self.overview.opened().map(|opened| opened.restart.clone()).unwrap_or_default()
    }

    /// Lets posts under way finish, has the sinks store what they hold, stores cursors and the ledger, closes the journal.
    pub async fn stop(mut self) {
        self.overview.set_stage(Stage::Stopping);
        self.stop.ingest.cancel();
        while self.ingest.join_next().await.is_some() {}
        // The intake's tasks end once the last post has gone and their queues are empty: what was queued is stored.
        let settled = timeout(ABORT_GRACE, async { while self.intake.join_next().await.is_some() {} }).await;
        if settled.is_err() {
            self.intake.shutdown().await;
        }
        self.stop.sinks.cancel();
        let closed =
            timeout(self.close_timeout + ABORT_GRACE, async { while self.sinks.join_next().await.is_some() {} });
        if closed.await.is_err() {
            tracing::warn!("a sink did not stop in time; it goes on from its cursor after the restart");
            self.sinks.shutdown().await;
        }
        while self.retaining.join_next().await.is_some() {}
        self.retention.trim().await;
        let retention = self.retention.clone();
        let closed = spawn_blocking(move || {
            let stored = retention.checkpoint();
            retention.journal.close();
            stored
        });
        if let Ok(Err(error)) = closed.await {
            tracing::warn!(%error, "cannot store the ledger; it is read from the journal at the next start");
        }
        self.stop.admin.cancel();
        let _ = timeout(ABORT_GRACE, async { while self.admin.join_next().await.is_some() {} }).await;
    }
}
