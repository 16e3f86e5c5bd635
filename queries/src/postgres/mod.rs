//! The PostgreSQL server: for psql, Grafana's data source, and every other client of version 3 of that protocol.
//!
//! Statements of a session (SET, SHOW, BEGIN, …) are answered here, by an allow-list. Everything else goes through the
//! [`Engine`], and so through its statement policy and limits, in the simple and in the extended protocol alike. There is no
//! COPY. The server asks for no password: bind it to loopback, or put something in front of it that authenticates.

mod handlers;
mod parameters;
mod reply;
mod session;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datafusion_postgres::pgwire::tokio::process_socket;
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::engine::Engine;
use crate::service::{QueryService, RunningService};
use handlers::PgHandlers;

/// Wait after a failed accept (out of file descriptors), so that the server does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The PostgreSQL server.
#[derive(Debug, Clone)]
pub struct PgServer {
    /// The address to bind.
    pub address: SocketAddr,
}

#[async_trait]
impl QueryService for PgServer {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections past the engine's limit are closed at once. At shutdown, open ones are cut.
    async fn start(&self, engine: Arc<Engine>, shutdown: BoxFuture<'static, ()>) -> io::Result<RunningService> {
        let listener = TcpListener::bind(self.address).await?;
        let address = listener.local_addr()?;
        let served = tokio::spawn(async move {
            tokio::select! {
                () = shutdown => {}
                () = accept(listener, engine) => {}
            }
        });
        Ok(RunningService { name: self.name(), address, served })
    }
}

async fn accept(listener: TcpListener, engine: Arc<Engine>) {
    let permits = Arc::new(Semaphore::new(engine.limits().connections_max));
    let handlers = Arc::new(PgHandlers::new(engine));
    // Dropped with this future, and with it every connection.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::warn!(%error, "a connection to the PostgreSQL door could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            tracing::debug!("a connection to the PostgreSQL door is past the limit");
            continue;
        };
        let handlers = handlers.clone();
        connections.spawn(async move {
            if let Err(error) = process_socket(socket, None, handlers).await {
                tracing::debug!(%error, "a connection to the PostgreSQL door broke off");
            }
            drop(permit);
        });
    }
}
