//! The pages of the admin address.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::admin::status::Overview;

pub(crate) async fn serve(listener: TcpListener, overview: Arc<Overview>, stop: CancellationToken) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .with_state(overview);
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the admin address is not served any more");
    }
}

async fn metrics(State(overview): State<Arc<Overview>>) -> Response {
    ([(header::CONTENT_TYPE, tollgate_telemetry::CONTENT_TYPE)], overview.exposition()).into_response()
}

async fn readyz(State(overview): State<Arc<Overview>>) -> Response {
    match overview.not_ready() {
        None => "ready\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn status(State(overview): State<Arc<Overview>>) -> Response {
    match overview.status() {
        Ok(status) => ([(header::CONTENT_TYPE, "application/json")], status).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
