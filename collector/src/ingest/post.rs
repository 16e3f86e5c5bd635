//! One post: `POST /v1/batches`.
//!
//! ```text
//!   200 {"position":713}    on stable storage          400 {"error":…}   not a batch: never send it again
//!   200 {"duplicate":true}  was already                403 {"error":…}   the certificate does not speak for it
//!   413 {"error":…}         too large, with the limit  503 {"error":…}   full or failing: Retry-After says when
//! ```

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tollgate_clock::now_us;
use tollgate_journal::{AppendError, Entry};
use tollgate_record::id::ProducerName;
use tollgate_record::{Batch, DecodeLimits, decode};
use tollgate_tls::PeerCertificate;

use super::body::{self, BodyError, Budget, HeldBytes};
use super::intake::{BatchOutcome, Intake, Submission};
use super::refused::{RefusedPost, RefusedPosts};
use crate::config::IngestConfig;
use crate::metrics::{Metrics, PostOutcome};
use crate::store::recent::memory_bytes;

const PATH: &str = "/v1/batches";
const CONTENT_TYPE: &str = "application/vnd.apache.arrow.stream";
const CONTENT_ENCODING: &str = "zstd";
/// Smaller bodies are decoded where they arrive, if their frame says that they stay small: it takes less than handing them
/// to a thread.
const DECODE_INLINE_BYTES_MAX: usize = 4 * 1024;
const DECODE_INLINE_RAW_BYTES_MAX: u64 = 64 * 1024;

/// Answers posts; shared by all connections.
pub(crate) struct IngestService {
    pub intake: Intake,
    pub metrics: Metrics,
    pub config: IngestConfig,
    pub limits: DecodeLimits,
    pub budget: Budget,
    pub decoders: Arc<Semaphore>,
    pub refused: Arc<RefusedPosts>,
}

/// Why a post was not acknowledged.
struct PostError {
    status: StatusCode,
    outcome: PostOutcome,
    reason: String,
    /// Who the batch says it is from, once it is decoded.
    producer: Option<String>,
}

impl PostError {
    fn new(status: StatusCode, outcome: PostOutcome, reason: impl Into<String>) -> Self {
        Self { status, outcome, reason: reason.into(), producer: None }
    }

    fn malformed(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, PostOutcome::Malformed, reason)
    }

    fn of(self, batch: &Batch) -> Self {
        Self { producer: Some(batch.meta.producer.clone()), ..self }
    }

    fn unavailable(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, PostOutcome::Unavailable, reason)
    }
}

impl IngestService {
    /// Answers one request. `own` is what its connection may hold.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: &PeerCertificate,
        own: &Budget,
    ) -> Response<Full<Bytes>> {
        let started = Instant::now();
        match self.take(request, peer, own).await {
            Ok(stored) => {
                let (outcome, body) = match stored {
                    BatchOutcome::Stored(position) => (PostOutcome::Accepted, json!({ "position": position })),
                    _ => (PostOutcome::Duplicate, json!({ "duplicate": true })),
                };
                self.metrics.answered(outcome);
                self.metrics.ack_seconds.observe(started.elapsed().as_secs_f64());
                response(StatusCode::OK, &body)
            }
            Err(error) => {
                self.metrics.answered(error.outcome);
                self.note(&error, peer);
                let mut response = response(error.status, &json!({ "error": error.reason }));
                let headers = response.headers_mut();
                if error.status == StatusCode::SERVICE_UNAVAILABLE {
                    let seconds = self.config.retry_after.duration().as_secs().max(1);
                    headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
                }
                if error.status == StatusCode::METHOD_NOT_ALLOWED {
                    headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
                }
                response
            }
        }
    }

    /// Keeps a post that was refused for good for the status page. Others are only counted: their senders come again.
    fn note(&self, error: &PostError, peer: &PeerCertificate) {
        if error.outcome == PostOutcome::Unavailable {
            return;
        }
        self.refused.note(RefusedPost {
            at_us: now_us(),
            status: error.status.as_u16(),
            outcome: error.outcome.as_str(),
            peer: peer.subject.clone(),
            producer: error.producer.clone(),
            reason: error.reason.clone(),
        });
    }

    async fn take(
        &self,
        request: Request<Incoming>,
        peer: &PeerCertificate,
        own: &Budget,
    ) -> Result<BatchOutcome, PostError> {
        check_head(request.method(), request.uri().path(), request.headers())?;
        let mut held = HeldBytes::of([self.budget.clone(), own.clone()]);
        let bytes_max = self.config.batch_bytes_max;
        let body = body::read(request.into_body(), bytes_max.bytes(), self.config.body_timeout.duration(), &mut held);
        let payload = body.await.map_err(|error| match error {
            BodyError::TooLarge => {
                let reason = format!("a batch may have {} bytes ({bytes_max})", bytes_max.bytes());
                PostError::new(StatusCode::PAYLOAD_TOO_LARGE, PostOutcome::TooLarge, reason)
            }
            BodyError::NoRoom => PostError::unavailable("too many bytes are being received at once"),
            BodyError::TimedOut => PostError::unavailable("the body did not arrive in time"),
            BodyError::Broken => PostError::unavailable("the body broke off"),
        })?;
        let received_us = now_us();
        let bytes = payload.len() as u64;
        let batch = self.decode(payload.clone()).await?;
        let entry = entry(&batch, payload, received_us).map_err(|error| error.of(&batch))?;
        check_producer(&batch, peer).map_err(|error| error.of(&batch))?;
        if !held.grow(memory_bytes(&batch.records) as u64) {
            return Err(PostError::unavailable("too many batches are being stored at once"));
        }
        self.metrics.bytes.inc_by(bytes);
        let rows = u64::from(entry.rows);
        let stored = self.intake.submit(Submission { entry, batch: Arc::new(batch), held }).await;
        match stored {
            BatchOutcome::Refused(AppendError::TooLarge { bytes, bytes_max }) => {
                let reason = format!("a frame of {bytes} bytes is over the journal's limit of {bytes_max}");
                Err(PostError::new(StatusCode::PAYLOAD_TOO_LARGE, PostOutcome::TooLarge, reason))
            }
            BatchOutcome::Refused(error) => Err(PostError::unavailable(error.to_string())),
            BatchOutcome::Stored(_) => {
                self.metrics.records.inc_by(rows);
                Ok(stored)
            }
            BatchOutcome::Duplicate => Ok(stored),
        }
    }

    /// Decodes on a thread of its own, so that other posts are not kept waiting.
    async fn decode(&self, payload: Bytes) -> Result<Batch, PostError> {
        let limits = self.limits;
        let decoded = if stays_small(&payload) {
            decode(&payload, &limits)
        } else {
            let permit = Arc::clone(&self.decoders).acquire_owned().await;
            let permit = permit.map_err(|_| PostError::unavailable("the collector stops"))?;
            // The permit is the thread's: a post that is cancelled does not stop the decoding that it began.
            let decoding = spawn_blocking(move || {
                let decoded = decode(&payload, &limits);
                drop(permit);
                decoded
            });
            decoding.await.map_err(|error| {
                tracing::error!(%error, "decoding a batch panicked");
                PostError::malformed("the batch cannot be decoded")
            })?
        };
        decoded.map_err(|error| PostError::malformed(error.to_string()))
    }
}

/// Whether decoding these bytes takes no longer than handing them over would. A frame that does not say its size may be as
/// large as the limits let it.
fn stays_small(payload: &[u8]) -> bool {
    let raw_bytes = || zstd::zstd_safe::get_frame_content_size(payload).ok().flatten();
    payload.len() <= DECODE_INLINE_BYTES_MAX && raw_bytes().is_some_and(|raw| raw <= DECODE_INLINE_RAW_BYTES_MAX)
}

fn check_head(method: &Method, path: &str, headers: &HeaderMap) -> Result<(), PostError> {
    if path != PATH {
        return Err(PostError::new(
            StatusCode::NOT_FOUND,
            PostOutcome::Malformed,
            format!("batches are posted to {PATH}"),
        ));
    }
    if method != Method::POST {
        return Err(PostError::new(StatusCode::METHOD_NOT_ALLOWED, PostOutcome::Malformed, "batches are posted"));
    }
    for (name, wanted) in [(header::CONTENT_TYPE, CONTENT_TYPE), (header::CONTENT_ENCODING, CONTENT_ENCODING)] {
        let is = headers.get(&name).and_then(|value| value.to_str().ok());
        if !is.is_some_and(|is| is.trim().eq_ignore_ascii_case(wanted)) {
            let reason = format!("{name} must be {wanted}");
            return Err(PostError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, PostOutcome::Malformed, reason));
        }
    }
    Ok(())
}

/// A certificate speaks for the nodes that it names.
fn check_producer(batch: &Batch, peer: &PeerCertificate) -> Result<(), PostError> {
    let producer =
        ProducerName::parse(&batch.meta.producer).map_err(|error| PostError::malformed(error.to_string()))?;
    if producer.node_id != batch.meta.node_id {
        let reason = format!("node_id {:?} is not the one in producer {:?}", batch.meta.node_id, batch.meta.producer);
        return Err(PostError::malformed(reason));
    }
    let named = peer.dns_names.iter().chain(&peer.common_name).any(|name| *name == producer.node_id);
    if named {
        return Ok(());
    }
    let reason = format!("the client certificate ({}) does not speak for node {:?}", peer.subject, producer.node_id);
    Err(PostError::new(StatusCode::FORBIDDEN, PostOutcome::Forbidden, reason))
}

fn entry(batch: &Batch, payload: Bytes, received_us: i64) -> Result<Entry, PostError> {
    let meta = &batch.meta;
    let rows = u32::try_from(batch.records.num_rows()).map_err(|_| PostError::malformed("too many records"))?;
    Ok(Entry {
        producer: Arc::from(meta.producer.as_str()),
        batch_seq: meta.batch_seq,
        first_seq: meta.first_seq,
        last_seq: meta.last_seq,
        rows,
        received_us,
        payload,
    })
}

fn response(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn only_what_says_that_it_is_small_is_decoded_where_it_arrives() {
        let compressed = |raw: usize| zstd::bulk::compress(&vec![0; raw], 1).expect("compresses");
        assert!(stays_small(&compressed(64 * 1024)));
        let bomb = compressed(64 * 1024 * 1024);
        assert!(bomb.len() > DECODE_INLINE_BYTES_MAX || !stays_small(&bomb));
        let bomb = compressed(1024 * 1024);
        assert!(bomb.len() <= DECODE_INLINE_BYTES_MAX && !stays_small(&bomb));
        let mut unsaid = zstd::Encoder::new(Vec::new(), 1).expect("encoder");
        unsaid.write_all(&[0; 1024]).expect("writes");
        assert!(!stays_small(&unsaid.finish().expect("finishes")));
        assert!(!stays_small(b"") && !stays_small(b"no frame"));
    }
}
