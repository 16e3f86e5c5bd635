//! The PostgreSQL server: for psql, Grafana's data source, and every other client of version 3 of that protocol.
//!
//! Statements of a session (SET, SHOW, BEGIN, …) are answered here, by an allow-list. Everything else goes through the
//! [`Engine`], and so through its statement policy and limits, in the simple and in the extended protocol alike. Rows are sent
//! as they come (see `cursor`); a client that does not read, or has gone, ends its query (see `watch`). There is no COPY. The server asks for no password: bind it to loopback, or put something in front of it that authenticates.

mod cursor;
mod handlers;
mod parameters;
mod portals;
mod reply;
mod session;
mod watch;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datafusion_postgres::pgwire::api::ConnectionManager;
use datafusion_postgres::pgwire::tokio::process_socket;
use futures::future::BoxFuture;
use tokio::net::{TcpListener, TcpStream};
use tollgate_net::{CancellationToken, Limit, Past};

use crate::engine::Engine;
use crate::service::{QueryService, RunningService};
use handlers::PgHandlers;
use watch::{Stalls, gone, second_handle};

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
        let connections_max = engine.limits().connections_max;
        let limit = Limit { server: "PostgreSQL server", connections_max, past: Past::Closes, grace: Duration::ZERO };
        let connections = Arc::new(ConnectionManager::new());
        let served = tokio::spawn(async move {
            let connect = |socket, _| connection(socket, engine.clone(), connections.clone());
            tollgate_net::serve(listener, limit, shutdown, connect).await;
        });
        Ok(RunningService { name: self.name(), address, served })
    }
}

async fn connection(socket: TcpStream, engine: Arc<Engine>, connections: Arc<ConnectionManager>) {
    let cut = CancellationToken::new();
    let handlers = Arc::new(PgHandlers::new(engine, connections, Stalls::new(cut.clone())));
    let served = async {
        let (socket, second) = second_handle(socket)?;
        tokio::select! {
            served = process_socket(socket, None, handlers) => served,
            () = cut.cancelled() => Ok(()),
            () = gone(second) => Ok(()),
        }
    };
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection to the PostgreSQL server broke off");
    }
}
