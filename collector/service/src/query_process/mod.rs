//! A query server as a process of its own, on a table that a collector writes.
//!
//! ```text
//!   collector ──▶ table ◀── query process 1 ── psql, Grafana, HTTP
//!      │                ◀── query process 2 ── …
//!      └── hot rows: only its own query servers have them
//! ```
//! It only reads: any number of them stand beside one collector, on the same machine or wherever the table's folder is mounted,
//! and none can delay the receipt of records. It follows the table's log, so that it sees each commit soon after it is made.
//! Files that a compaction or the retention replaces stay for a day, and so a query that runs over them ends well.

mod admin;
mod file;
mod follow;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tollgate_table::Table;
use tollgate_telemetry::register_build_info;

use crate::error::ServiceError;
use crate::query_metrics::QueryMetrics;
use crate::query_servers::QueryServers;
use crate::table_metrics::TableMetrics;
use admin::{Page, Readiness};
use follow::Followed;

pub use file::{QueryFile, ReadTable, read as read_query_file};

/// The process, as the metric `tollgate_build_info` names it.
const PROCESS: &str = "tollgate-query";

/// A query process that runs.
pub struct QueryProcess {
    admin: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    readiness: Arc<Readiness>,
    file: QueryFile,
    registry: Registry,
    servers: Option<QueryServers>,
    followers: Vec<JoinHandle<()>>,
}

impl QueryProcess {
    /// Opens the admin address. Nothing is answered yet.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start(file: QueryFile) -> Result<Self, ServiceError> {
        let registry = Registry::new();
        register_build_info(&registry, env!("CARGO_PKG_VERSION"), PROCESS)?;
        let address = file.admin.address;
        let listened = TcpListener::bind(address).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (admin, listener) = listened.map_err(|source| ServiceError::Admin { address, source })?;
        let (stop, readiness) = (CancellationToken::new(), Arc::new(Readiness::default()));
        let page = Page { registry: registry.clone(), readiness: readiness.clone() };
        let serving = tokio::spawn(admin::serve(listener, page, stop.clone()));
        Ok(Self { admin, stop, serving, readiness, file, registry, servers: None, followers: Vec::new() })
    }

    /// Waits for the table, and then answers queries. A table that is not there yet is waited for: the collector makes it at its
    /// start. Meanwhile `/readyz` says so.
    ///
    /// # Errors
    /// An address of a query server cannot be listened on, or the engine does not start.
    pub async fn open(&mut self) -> Result<(), ServiceError> {
        let (dir, every) = (self.file.table.dir.to_path_buf(), self.file.table.refresh_every.duration());
        let table = wait_for_table(&dir, every, &self.readiness).await;
        let followed = Followed::new(table.clone(), &self.registry, self.readiness.clone())?;
        let servers = QueryServers::start(&self.file.queries, followed.clone()).await?;
        let queries = QueryMetrics::new(&self.registry)?.follow(servers.engine().clone());
        let metrics = TableMetrics::new(&self.registry)?.follow(table);
        let following = followed.follow(every, self.stop.clone());
        self.followers = vec![tokio::spawn(queries), tokio::spawn(metrics), tokio::spawn(following)];
        self.servers = Some(servers);
        self.readiness.set(None);
        Ok(())
    }

    /// Where metrics and health are.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Where the query server under this key of `queries` listens, if it runs.
    pub fn query_server(&self, key: &str) -> Option<SocketAddr> {
        self.servers.as_ref()?.address(key)
    }

    /// Says where everything listens.
    pub fn log_endpoints(&self) {
        tracing::info!(address = %self.admin, "metrics and health");
        if let Some(servers) = &self.servers {
            servers.log();
        }
    }

    /// Stops the query servers; queries under way get a short grace.
    ///
    /// # Errors
    /// A query server panicked.
    pub async fn stop(self) -> Result<(), ServiceError> {
        self.readiness.set(Some("stopping".to_owned()));
        if let Some(servers) = self.servers {
            servers.stop().await?;
        }
        for follower in self.followers {
            follower.abort();
        }
        self.stop.cancel();
        self.serving.await?;
        Ok(())
    }
}

/// Opens the table as soon as there is one.
async fn wait_for_table(dir: &Path, every: Duration, readiness: &Readiness) -> Arc<Table> {
    let mut told = false;
    loop {
        match Table::open_read_only(dir).await {
            Ok(table) => return table,
            Err(error) => {
                let reason = format!(
                    "there is no table to read in {}: {error}; a collector makes it at its start, where its sinks.table.dir \
                     names this folder",
                    dir.display()
                );
                if !told {
                    tracing::warn!("{reason}");
                    told = true;
                }
                readiness.set(Some(reason));
            }
        }
        tokio::time::sleep(every).await;
    }
}
