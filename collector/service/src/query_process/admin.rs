//! The pages of a query process: `/metrics`, `/healthz`, `/readyz`.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Why the process is not ready.
#[derive(Debug)]
pub(super) struct Readiness(Mutex<Option<String>>);

impl Default for Readiness {
    fn default() -> Self {
        Self(Mutex::new(Some("starting".to_owned())))
    }
}

impl Readiness {
    /// `None` is ready.
    pub fn set(&self, reason: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    fn reason(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the pages read.
#[derive(Clone)]
pub(super) struct Page {
    pub registry: Registry,
    pub readiness: Arc<Readiness>,
}

/// Serves the pages until `stop`.
pub(super) async fn serve(listener: TcpListener, page: Page, stop: CancellationToken) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .with_state(page);
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the admin address is not served any more");
    }
}

async fn metrics(State(page): State<Page>) -> Response {
    let text = tollgate_telemetry::exposition(&page.registry);
    ([(header::CONTENT_TYPE, tollgate_telemetry::CONTENT_TYPE)], text).into_response()
}

async fn readyz(State(page): State<Page>) -> Response {
    match page.readiness.reason() {
        None => "ready\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}
