//! The HTTP door.
//!
//! ```text
//!   POST /v1/sql                   {"sql": "…", "format": "json" | "csv" | "arrow"}
//!   GET  /v1/questions             what can be asked
//!   POST /v1/questions/NAME        {"params": {…}, "format": …}
//!   GET  /v1/questions/NAME/run    ?PARAM=VALUE&…&format=…   (a link that answers in a browser)
//!   GET  /v1/find/ID               a request id, trace id or correlation id, in plain words or JSON
//!   GET  /healthz
//! ```
//! Errors are JSON, `{error, message, line, column, hint}`, under the status that fits. There is no password: bind it to
//! loopback, where requests under a foreign host name are refused, so that no web page can reach it by a name of its own.

mod answer;
mod routes;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::engine::Engine;

/// Longest request body, in bytes.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// Binds `address` and serves until `shutdown` resolves; the address is the one bound, for port 0.
pub async fn serve_http(
    address: SocketAddr,
    engine: Arc<Engine>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind(address).await?;
    let local = listener.local_addr()?;
    let mut router = router(engine);
    if local.ip().is_loopback() {
        router = router.layer(middleware::from_fn(routes::local_host_only));
    }
    let served = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(shutdown).await {
            tracing::error!(%error, "the HTTP door broke off");
        }
    });
    Ok((local, served))
}

fn router(engine: Arc<Engine>) -> Router {
    Router::new()
        .route("/", get(routes::index))
        .route("/healthz", get(routes::healthz))
        .route("/v1/sql", post(routes::sql))
        .route("/v1/questions", get(routes::questions))
        .route("/v1/questions/{name}", post(routes::ask).get(routes::question))
        .route("/v1/questions/{name}/run", get(routes::run))
        .route("/v1/find/{id}", get(routes::find))
        .fallback(routes::no_such_page)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(engine)
}
