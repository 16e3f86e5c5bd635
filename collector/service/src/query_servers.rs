//! The servers that answer queries: those that `tollgate_queries` has, each started and stopped in the same way.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tollgate_queries::{Engine, QueriesConfig, RunningService, Source};

use crate::error::ServiceError;

/// The servers that run.
pub(crate) struct QueryServers {
    engine: Arc<Engine>,
    running: Vec<RunningService>,
    shut: CancellationToken,
}

impl QueryServers {
    /// Starts all of them. Where one does not start, those before it end with the process.
    pub(crate) async fn start(queries: &QueriesConfig, source: Arc<dyn Source>) -> Result<Self, ServiceError> {
        let engine = Engine::new(source, queries.engine_limits());
        let mut engine = engine.map_err(|error| ServiceError::Engine(error.into()))?;
        if let Some(hasher) = queries.token_hasher() {
            engine = engine.with_token_hasher(hasher);
        }
        let engine = Arc::new(engine);
        let mut servers = Self { engine, running: Vec::new(), shut: CancellationToken::new() };
        for service in queries.services() {
            let shutdown = Box::pin(servers.shut.clone().cancelled_owned());
            let started = service.start(Arc::clone(&servers.engine), shutdown).await;
            let (server, address) = (service.name(), service.address().to_string());
            servers.running.push(started.map_err(|source| ServiceError::Address { server, address, source })?);
        }
        Ok(servers)
    }

    /// What answers all of them.
    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The address of the server under this key.
    pub(crate) fn address(&self, key: &str) -> Option<SocketAddr> {
        self.running.iter().find(|service| service.name == key).map(|service| service.address)
    }

    /// Logs where each listens.
    pub(crate) fn log(&self) {
        for service in &self.running {
            tracing::info!(server = service.name, address = %service.address, "queries are answered");
        }
    }

    /// Ends all of them; queries under way get a short grace.
    pub(crate) async fn stop(self) -> Result<(), ServiceError> {
        self.shut.cancel();
        for service in self.running {
            service.served.await?;
        }
        Ok(())
    }
}
