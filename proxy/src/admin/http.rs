//! The admin endpoint, on a thread of its own so that a scrape costs no transaction.
//!
//! `/metrics` `/metrics.json` `/healthz` `/readyz` `/config` (the effective configuration; it names files and holds no
//! secret; hashes of keys and passwords are cut) `/inflight` (the oldest transactions that have not ended, as JSON) `/upstreams` (the targets of each service
//! and their health). `POST /reload` reads the configuration again, `PUT /log-level` changes what is logged.

use std::convert::Infallible;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, ORIGIN};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tollgate_clock::now_us;
use tollgate_net::{Limit, Past};
use tollgate_proxy_ship::Ring;
use tollgate_telemetry::LogError;

use crate::admin::upstreams_view;
use crate::metrics::Metrics;
use crate::reload::{InForce, ReloadError, Reloaded, Reloader};
use crate::socket::Watched;
use crate::transaction::{LiveTransaction, scrub_path};

/// Connections at one time; they end with the process.
const LIMIT: Limit = Limit { server: "admin", connections_max: 64, past: Past::Closes, grace: Duration::ZERO };
/// Time for a request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a request body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a write without progress.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the workers to answer.
const WORKER_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of a log filter.
const FILTER_BYTES_MAX: usize = 1_024;
/// Transactions in flight that are shown of each worker.
pub const INFLIGHT_MAX: usize = 1_000;

/// A query to a worker for its transactions in flight.
pub type InFlightQuery = oneshot::Sender<Vec<LiveTransaction>>;

/// The admin endpoint.
#[derive(Debug)]
pub struct Admin {
    pub in_force: InForce,
    pub metrics: Arc<Metrics>,
    /// One for each worker, in order.
    pub workers: Vec<mpsc::Sender<InFlightQuery>>,
    /// The records that wait for the collector.
    pub ring: Arc<Ring>,
    /// Cancelled when the proxy begins to stop, before it drains.
    pub leaving: CancellationToken,
    pub reloader: Reloader,
}

impl Admin {
    /// Starts the thread, which serves until `stop`.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn start(self, listener: StdListener, stop: CancellationToken) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("admin".into()).spawn(move || {
            if let Err(error) = self.serve(listener, stop) {
                tracing::error!(%error, "the admin endpoint ended");
            }
        })
    }

    fn serve(self, listener: StdListener, stop: CancellationToken) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener)?;
            let admin = Arc::new(self);
            tollgate_net::serve(listener, LIMIT, stop.cancelled(), |stream, _| admin.clone().connection(stream)).await;
            Ok(())
        })
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let service = service_fn(|request| self.answer(request));
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
        // A scraper that hangs up is its own affair.
        let stream = Watched::new(stream, Arc::default(), Instant::now(), Some(WRITE_TIMEOUT));
        let _ended = builder.serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let text = |status, text: String| answer(status, "text/plain; charset=utf-8", text);
        if !request.method().is_safe() && is_of_page(request.headers()) {
            let why = "what a page in a browser asks for is not done here; use another client, as curl\n";
            return Ok(text(StatusCode::FORBIDDEN, why.into()));
        }
        if request.uri().path() == "/reload" {
            return Ok(match request.method() == Method::POST {
                true => self.reload().await,
                false => text(StatusCode::METHOD_NOT_ALLOWED, "POST only\n".into()),
            });
        }
        if request.uri().path() == "/log-level" && request.method() == Method::PUT {
            let (status, said) = log_level(request.into_body()).await;
            return Ok(text(status, said));
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return Ok(text(StatusCode::METHOD_NOT_ALLOWED, "GET only\n".into()));
        }
        Ok(match request.uri().path() {
            "/metrics" => {
                let exposition = tollgate_telemetry::exposition(&self.metrics.registry);
                answer(StatusCode::OK, tollgate_telemetry::CONTENT_TYPE, exposition)
            }
            "/metrics.json" => match serde_json::to_string(&tollgate_telemetry::samples(&self.metrics.registry)) {
                Ok(json) => answer(StatusCode::OK, "application/json", json + "\n"),
                Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
            },
            "/healthz" => text(StatusCode::OK, "ok\n".into()),
            "/readyz" if self.leaving.is_cancelled() => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n".into()),
            "/readyz" if self.ring.is_blocked() => {
                let why = "requests wait: no room for records, and records.overflow is block\n";
                text(StatusCode::SERVICE_UNAVAILABLE, why.into())
            }
            // Ready in spite of troubles: traffic is served, and records that do not arrive must not take a fleet out
            // of its load balancer.
            "/readyz" => {
                let troubles = self.ring.troubles();
                let told: String = troubles.iter().map(|trouble| format!("records: {trouble}\n")).collect();
                text(StatusCode::OK, format!("ready\n{told}"))
            }
            "/config" => match tollgate_config::to_yaml(&self.in_force.config().file.marked()) {
                Ok(yaml) => answer(StatusCode::OK, "application/yaml", yaml),
                Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
            },
            "/upstreams" => answer(StatusCode::OK, "application/json", upstreams_view::json(&self.in_force.config())),
            "/inflight" => answer(StatusCode::OK, "application/json", self.inflight().await),
            _ => text(
                StatusCode::NOT_FOUND,
                "/metrics /metrics.json /healthz /readyz /config /inflight /upstreams, POST /reload, PUT /log-level\n"
                    .into(),
            ),
        })
    }

    /// Reloads: 200 once every worker runs the new configuration, 422 if it is refused and the old one stays in force.
    async fn reload(&self) -> Response<Full<Bytes>> {
        let outcome = match self.reloader.ask() {
            Ok(answered) => answered.await.unwrap_or(Err(ReloadError::Stopping)),
            Err(error) => Err(error),
        };
        let (status, body) = match outcome {
            Ok(Reloaded { old, new }) => (StatusCode::OK, serde_json::json!({ "old": old, "new": new })),
            Err(error) => {
                let status = match error {
                    ReloadError::Config(_) => StatusCode::UNPROCESSABLE_ENTITY,
                    _ => StatusCode::SERVICE_UNAVAILABLE,
                };
                let errors: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
                let revision = &self.in_force.config().revision;
                (status, serde_json::json!({ "errors": errors, "in_force": revision }))
            }
        };
        answer(status, "application/json", body.to_string() + "\n")
    }

    async fn inflight(&self) -> String {
        let now_us = now_us();
        let until = tokio::time::Instant::now() + WORKER_TIMEOUT;
        let asked: Vec<_> = self
            .workers
            .iter()
            .map(|worker| {
                let (sender, receiver) = oneshot::channel();
                worker.try_send(sender).is_ok().then_some(receiver)
            })
            .collect();
        let mut rows = Vec::new();
        for (index, asked) in asked.into_iter().enumerate() {
            let Some(receiver) = asked else { continue };
            let Ok(Ok(live)) = tokio::time::timeout_at(until, receiver).await else { continue };
            rows.extend(live.iter().map(|live| Self::row(index, live, now_us)));
        }
        serde_json::Value::Array(rows).to_string() + "\n"
    }

    fn row(worker: usize, live: &LiveTransaction, now_us: i64) -> serde_json::Value {
        let path = live.uri.as_ref().map(|uri| scrub_path(uri.path())).unwrap_or_default();
        serde_json::json!({
            "worker": worker,
            "seq": live.seq,
            "age_ms": (now_us - live.time_us) / 1_000,
            "method": live.method.as_ref().map(Method::as_str),
            "path": path,
            "route": live.route,
            "service": live.service,
            "config_revision": live.revision,
        })
    }
}

/// Whether a page in a browser made the request. Any page may send a POST to any address that its reader can reach,
/// this machine included; the browser then sets one of these fields.
fn is_of_page(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site")
}

/// Sets the log filter to the one in the body. `TOLLGATE_LOG` sets it at the start.
async fn log_level(body: Incoming) -> (StatusCode, String) {
    #[allow(clippy::disallowed_methods, reason = "limited")]
    let collected = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, FILTER_BYTES_MAX).collect());
    let filter = match collected.await {
        Ok(Ok(filter)) => filter,
        Ok(Err(_)) => {
            return (StatusCode::PAYLOAD_TOO_LARGE, format!("a filter has {FILTER_BYTES_MAX} bytes at most\n"));
        }
        Err(_) => return (StatusCode::REQUEST_TIMEOUT, "the filter did not arrive in time\n".into()),
    };
    let filter = String::from_utf8_lossy(&filter.to_bytes()).trim().to_owned();
    match tollgate_telemetry::set_log_filter(&filter) {
        Ok(()) => (StatusCode::OK, format!("{filter}\n")),
        Err(error @ LogError::Filter { .. }) => (StatusCode::UNPROCESSABLE_ENTITY, format!("{error}\n")),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
