//! Starts and stops everything that the configuration asks for.

use std::net::SocketAddr;
use std::sync::Arc;

use prometheus::Registry;
use tokio::task::JoinHandle;
use tollgate_collector::{Parts, Running, journal_id};
use tollgate_queries::QueriesConfig;
use tollgate_sink::LiveObserver;
use tollgate_sink_table::HotRowsObserver;
use tollgate_table::Table;
use tollgate_telemetry::register_build_info;

use crate::error::ServiceError;
use crate::file::CollectorFile;
use crate::query_metrics::QueryMetrics;
use crate::query_servers::QueryServers;
use crate::sinks::{OpenSinks, Surroundings};
use crate::table_metrics::TableMetrics;

/// The process, as the metric `tollgate_build_info` names it.
const PROCESS: &str = "tollgate";

/// A collector that runs, with its sinks and query servers.
pub struct Service {
    collector: Running,
    /// What the query servers are started on, until they are.
    queries: Option<(QueriesConfig, Arc<Table>)>,
    query_servers: Option<QueryServers>,
    table_metrics: Option<JoinHandle<()>>,
    query_metrics: Option<JoinHandle<()>>,
    metrics: Registry,
}

/// Starts everything but the query servers. Dropped half-way, it has received nothing.
///
/// # Errors
/// A sink or the collector does not start.
pub async fn start(file: CollectorFile) -> Result<Service, ServiceError> {
    let metrics = Registry::new();
    register_build_info(&metrics, env!("CARGO_PKG_VERSION"), PROCESS)?;
    let journal_id = match file.sinks.table {
        Some(_) => journal_id(&file.journal.dir)?,
        None => String::new(),
    };
    let surroundings = Surroundings { metrics: &metrics, journal_id: &journal_id };
    let OpenSinks { sinks, table } = file.sinks.open(&surroundings).await?;
    let table_metrics = match &table {
        Some(table) => Some(tokio::spawn(TableMetrics::new(&metrics)?.follow(Arc::clone(table)))),
        None => None,
    };
    let tail = table.clone().map(|table| Arc::new(HotRowsObserver(table)) as Arc<dyn LiveObserver>);
    let collector =
        tollgate_collector::start(file.collector(), Parts { sinks, tail, metrics: metrics.clone() }).await?;
    let queries = file.queries.zip(table);
    Ok(Service { collector, queries, query_servers: None, table_metrics, query_metrics: None, metrics })
}

impl Service {
    /// Starts the query servers that are configured. They come after everything else, as the rows that only the journal holds could
    /// not be seen before.
    ///
    /// # Errors
    /// An address cannot be listened on.
    pub async fn open_queries(&mut self) -> Result<(), ServiceError> {
        if let Some((queries, table)) = self.queries.take() {
            let servers = QueryServers::start(&queries, table).await?;
            let metrics = QueryMetrics::new(&self.metrics)?.follow(Arc::clone(servers.engine()));
            self.query_metrics = Some(tokio::spawn(metrics));
            self.query_servers = Some(servers);
        }
        Ok(())
    }

    /// Where batches are received.
    pub fn ingest(&self) -> SocketAddr {
        self.collector.ingest_addr
    }

    /// Where metrics, health and state are.
    pub fn admin(&self) -> SocketAddr {
        self.collector.admin_addr
    }

    /// Where the query server under this key of `queries` listens, if it runs.
    pub fn query_server(&self, key: &str) -> Option<SocketAddr> {
        self.query_servers.as_ref()?.address(key)
    }

    /// Says where everything listens.
    pub fn log_endpoints(&self) {
        tracing::info!(address = %self.ingest(), "batches are received");
        tracing::info!(address = %self.admin(), "metrics, health and state");
        if let Some(servers) = &self.query_servers {
            servers.log();
        }
    }

    /// Stops in order: the query servers, then ingest and the sinks, which store what they hold.
    ///
    /// # Errors
    /// A query server panicked.
    pub async fn stop(self) -> Result<(), ServiceError> {
        if let Some(task) = self.query_metrics {
            task.abort();
        }
        if let Some(servers) = self.query_servers {
            servers.stop().await?;
        }
        self.collector.stop().await;
        if let Some(task) = self.table_metrics {
            task.abort();
        }
        Ok(())
    }
}
