//! Every server that answers queries: one line each in [`SERVERS`].

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tollgate_config::{ByteSize, ConfigDuration, Diagnostics, Spanned};
use tollgate_queries::{Engine, Limits, serve_http, serve_postgres};
use tollgate_table::Table;

use crate::error::ServiceError;

/// Every query server: its key below `queries`, its section, and what serves it.
const SERVERS: [ServerKind; 2] = [
    ServerKind {
        key: "postgres",
        section: |queries| &queries.postgres,
        serve: |address, engine, shut| Box::pin(serve_postgres(address, engine, shut.cancelled_owned())),
    },
    ServerKind {
        key: "http",
        section: |queries| &queries.http,
        serve: |address, engine, shut| Box::pin(serve_http(address, engine, shut.cancelled_owned())),
    },
];

/// How one kind of server is found in the file and started.
struct ServerKind {
    key: &'static str,
    section: fn(&QueriesSection) -> &QueryServerConfig,
    serve: fn(SocketAddr, Arc<Engine>, CancellationToken) -> Starting,
}

/// A server on its way: the address that it got, and its task.
type Starting = Pin<Box<dyn Future<Output = io::Result<(SocketAddr, JoinHandle<()>)>> + Send>>;

/// The servers that run.
pub(crate) struct QueryServers {
    running: Vec<(&'static str, SocketAddr, JoinHandle<()>)>,
    shut: CancellationToken,
}

impl QueryServers {
    /// Starts all of them. Where one does not start, those before it end with the process.
    pub(crate) async fn start(queries: &QueriesSection, table: Arc<Table>) -> Result<Self, ServiceError> {
        let engine = Engine::new(table, queries.limits.engine());
        let engine = Arc::new(engine.map_err(|error| ServiceError::Engine(error.into()))?);
        let mut servers = Self { running: Vec::new(), shut: CancellationToken::new() };
        for kind in &SERVERS {
            let written = &(kind.section)(queries).address;
            let refused = |source| ServiceError::Address { server: kind.key, address: written.to_string(), source };
            let address: SocketAddr = written.parse().map_err(|error| refused(io::Error::other(error)))?;
            let serving = (kind.serve)(address, Arc::clone(&engine), servers.shut.clone());
            let (local, task) = serving.await.map_err(refused)?;
            servers.running.push((kind.key, local, task));
        }
        Ok(servers)
    }

    /// The address of the server under this key.
    pub(crate) fn address(&self, key: &str) -> Option<SocketAddr> {
        self.running.iter().find(|(known, ..)| *known == key).map(|(_, address, _)| *address)
    }

    /// Says where each listens.
    pub(crate) fn log(&self) {
        for (server, address, _) in &self.running {
            tracing::info!(server, %address, "queries are answered");
        }
    }

    /// Ends all of them; queries under way get a short grace.
    pub(crate) async fn stop(self) -> Result<(), ServiceError> {
        self.shut.cancel();
        for (_, _, task) in self.running {
            task.await?;
        }
        Ok(())
    }
}

/// Where questions are answered: the key `queries`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct QueriesSection {
    /// The PostgreSQL wire protocol.
    #[serde(default = "QueriesSection::postgres")]
    pub postgres: QueryServerConfig,
    /// HTTP and JSON.
    #[serde(default = "QueriesSection::http")]
    pub http: QueryServerConfig,
    /// What one query, and all together, may use.
    #[serde(default)]
    pub limits: QueryLimits,
}

impl QueriesSection {
    fn postgres() -> QueryServerConfig {
        QueryServerConfig { address: Spanned::nowhere("127.0.0.1:15432".into()) }
    }

    fn http() -> QueryServerConfig {
        QueryServerConfig { address: Spanned::nowhere("127.0.0.1:8088".into()) }
    }
}

/// One query server.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct QueryServerConfig {
    /// `ip:port`. Nobody is asked who they are: keep it on the loopback interface, or behind something that asks.
    pub address: Spanned<String>,
}

/// What one query, and all together, may use.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueryLimits {
    /// Longest that one query may run.
    pub time_max: ConfigDuration,
    /// Memory of all running queries.
    pub memory_bytes_max: ByteSize,
    /// Rows in one answer.
    pub rows_max: usize,
    /// Queries that run at the same time.
    pub concurrent_max: usize,
    /// Queries that wait for their turn; past it they are refused.
    pub queued_max: usize,
}

impl Default for QueryLimits {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            time_max: ConfigDuration(limits.time_max),
            memory_bytes_max: ByteSize(limits.memory_bytes_max as u64),
            rows_max: limits.rows_max,
            concurrent_max: limits.concurrent_max,
            queued_max: limits.queued_max,
        }
    }
}

impl QueryLimits {
    /// The engine's own limits.
    pub fn engine(&self) -> Limits {
        Limits {
            time_max: self.time_max.0,
            memory_bytes_max: usize::try_from(self.memory_bytes_max.0).unwrap_or(usize::MAX),
            rows_max: self.rows_max,
            concurrent_max: self.concurrent_max,
            queued_max: self.queued_max,
            ..Limits::default()
        }
    }
}

impl QueriesSection {
    /// Checks what types cannot express.
    pub(crate) fn check(&self, problems: &mut Diagnostics<'_>) {
        for kind in &SERVERS {
            let address = &(kind.section)(self).address;
            if address.parse::<SocketAddr>().is_err() {
                problems.at(address, format!("`{}` is no address; write it as 127.0.0.1:8088", **address));
            }
        }
    }
}
