//! The HTTP server.
//!
//! ```text
//!   POST /v1/sql                   {"sql": "…", "format": "json" | "csv" | "arrow"}
//!   GET  /v1/questions             what can be asked
//!   POST /v1/questions/NAME        {"params": {…}, "format": …}
//!   GET  /v1/questions/NAME/run    ?PARAM=VALUE&…&format=…   (a link that answers in a browser)
//!   GET  /v1/table                 days, files and hot rows of the table at this moment
//!   GET  /v1/find/ID               a request id, trace id or correlation id, in plain words or JSON
//!   GET  /healthz
//! ```
//! Errors are JSON, `{error, message, line, column, hint}`, under the status that fits. The server asks for no password: bind
//! it to loopback, or put something in front of it that authenticates. Requests that pages of other origins send through a
//! browser are refused (see `origin`). Large answers are streamed (see `answer`). A slow client holds one of a bounded number of connections (see `serve`).

mod answer;
mod body;
mod origin;
mod response;
mod routes;
mod serve;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};
use futures::future::BoxFuture;
use tokio::net::TcpListener;

use crate::engine::Engine;
use crate::service::{QueryService, RunningService};

/// The HTTP server.
#[derive(Debug, Clone)]
pub struct HttpServer {
    /// The address to bind.
    pub address: SocketAddr,
}

#[async_trait]
impl QueryService for HttpServer {
    fn name(&self) -> &'static str {
        "http"
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections past the engine's limit are closed at once. At shutdown, requests under way have two seconds to end.
    async fn start(&self, engine: Arc<Engine>, shutdown: BoxFuture<'static, ()>) -> io::Result<RunningService> {
        let listener = TcpListener::bind(self.address).await?;
        let address = listener.local_addr()?;
        let connections_max = engine.limits().connections_max;
        let mut router = router(engine).layer(middleware::from_fn(origin::own_pages_only));
        if address.ip().is_loopback() {
            router = router.layer(middleware::from_fn(origin::local_host_only));
        }
        let served = tokio::spawn(serve::serve(listener, router, connections_max, shutdown));
        Ok(RunningService { name: self.name(), address, served })
    }
}

fn router(engine: Arc<Engine>) -> Router {
    Router::new()
        .route("/", get(routes::index))
        .route("/healthz", get(routes::healthz))
        .route("/v1/sql", post(routes::sql))
        .route("/v1/questions", get(routes::questions))
        .route("/v1/questions/{name}", post(routes::ask).get(routes::question))
        .route("/v1/questions/{name}/run", get(routes::run))
        .route("/v1/table", get(routes::table))
        .route("/v1/find/{id}", get(routes::find))
        .fallback(routes::no_such_page)
        .layer(DefaultBodyLimit::max(body::BODY_BYTES_MAX))
        .with_state(engine)
}
