//! One reading of the admin endpoint.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tollgate_record::redact::clean;
use tollgate_telemetry::Sample;

/// Time for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of one answer. Up to 2,000 services have series of their own, of some 2 KB each.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// Bytes of the answer of `/readyz`.
const READY_BYTES_MAX: usize = 200;

/// A transaction in flight, as `/inflight` lists it.
#[derive(Debug, Deserialize)]
pub struct InFlight {
    pub age_ms: i64,
    pub method: Option<String>,
    pub path: String,
    pub route: Option<String>,
    pub service: Option<String>,
}

/// One reading of the endpoint.
#[derive(Debug)]
pub struct Reading {
    /// When the samples had arrived.
    pub at: Instant,
    pub samples: Vec<Sample>,
    /// The oldest comes first.
    pub in_flight: Vec<InFlight>,
    /// The answer of `/readyz`, on one line.
    pub ready: String,
}

/// Reads the endpoint at `admin`, which is `host:port`.
pub async fn read(admin: &str) -> anyhow::Result<Reading> {
    let samples = json(admin, "/metrics.json").await?;
    let at = Instant::now();
    let mut in_flight: Vec<InFlight> = json(admin, "/inflight").await?;
    in_flight.sort_by_key(|one| std::cmp::Reverse(one.age_ms));
    let (_, said) = get(admin, "/readyz").await?;
    let mut ready = String::new();
    clean(&String::from_utf8_lossy(&said).trim_end().replace('\n', "; "), READY_BYTES_MAX, &mut ready);
    Ok(Reading { at, samples, in_flight, ready })
}

async fn json<T: DeserializeOwned>(admin: &str, path: &str) -> anyhow::Result<T> {
    let (status, body) = get(admin, path).await?;
    if status != StatusCode::OK {
        bail!("{admin}{path} answered {status}; is that the admin endpoint of a proxy of this version?");
    }
    serde_json::from_slice(&body).with_context(|| format!("{admin}{path} answered something else"))
}

async fn get(admin: &str, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
    let asked = async {
        let stream = TcpStream::connect(admin).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Aborted with this future, however that ends.
        let mut driven = JoinSet::new();
        driven.spawn(connection);
        let request = Request::get(path).header("host", admin).body(Empty::<Bytes>::new())?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        #[allow(clippy::disallowed_methods, reason = "limited")]
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        anyhow::Ok((status, body.map_err(anyhow::Error::from_boxed)?.to_bytes()))
    };
    let cure =
        || format!("no answer from {admin}{path}; name the proxy's `admin.address` with --admin, or its --config");
    tokio::time::timeout(ANSWER_TIMEOUT, asked).await.with_context(cure)?.with_context(cure)
}
