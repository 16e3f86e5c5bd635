//! What all query servers have in common.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio::task::JoinHandle;

use crate::engine::Engine;

/// A protocol in which queries come and are answered.
///
/// A new one is a module of this crate that implements it, a key of [`QueriesConfig`](crate::QueriesConfig), and an entry of
/// [`QueriesConfig::services`](crate::QueriesConfig::services).
#[async_trait]
pub trait QueryService: Send + Sync {
    /// Its key in the configuration, which is also its name in the log.
    fn name(&self) -> &'static str;

    /// The address that it is to bind.
    fn address(&self) -> SocketAddr;

    /// Binds its address and answers queries until `shutdown` resolves.
    ///
    /// # Errors
    /// If the address cannot be bound.
    async fn start(&self, engine: Arc<Engine>, shutdown: BoxFuture<'static, ()>) -> io::Result<RunningService>;
}

/// A query server that runs.
#[derive(Debug)]
pub struct RunningService {
    /// Name of the [`QueryService`].
    pub name: &'static str,
    /// The address that is bound: with the port that the system chose where port 0 was asked for.
    pub address: SocketAddr,
    /// Ends after the shutdown, with the last connection.
    pub served: JoinHandle<()>,
}
