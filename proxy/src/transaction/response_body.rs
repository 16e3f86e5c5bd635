//! The response's body on its way to the client. It counts, times out, and ends the transaction exactly once. Frames
//! pass through; nothing is collected.
//!
//! How the end of a body shows, which hyper leaves to its poller to know:
//!
//! ```text
//! poll_frame answers None              the end, where the length was unknown
//! is_end_stream after the last frame   the end, where the length is known: hyper drops the body without another poll
//! trailers                             the end: hyper does not poll again
//! an error                             the upstream broke off, or a deadline passed
//! dropped before any of these          the client left
//! ```

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tollgate_record::vocabulary::{ErrorClass, Termination};

use crate::transaction::facts::Ending;
use crate::transaction::min_rate::{MinRate, Waiting};
use crate::transaction::patience::Patience;
use crate::transaction::request_body::{BodyFault, is_chunk_error};
use crate::transaction::{RequestBody, Transaction};
use crate::upstream::Lease;

/// A response body on its way to the client. It owns the transaction, and ends it.
#[derive(Debug)]
pub struct ResponseBody {
    source: Source,
    transaction: Option<Box<Transaction>>,
}

#[derive(Debug)]
enum Source {
    /// The gateway's own reply, until it is handed on.
    Whole(Option<Bytes>),
    Upstream(UpstreamBody),
}

#[derive(Debug)]
struct UpstreamBody {
    inner: Incoming,
    /// `None` once the last byte is here.
    lease: Option<Box<Lease<RequestBody>>>,
    idle: Duration,
    deadline: Instant,
    /// How long the client takes for what was handed to its connection.
    waiting: Option<Waiting>,
    patience: Patience,
    /// When the last frame was handed on. hyper drops the body then, without another poll.
    ended_at: Option<Instant>,
}

/// The bounds of an upstream's response body.
#[derive(Debug, Clone, Copy)]
pub struct ResponseBounds {
    /// Longest silence of the upstream.
    pub idle: Duration,
    /// When the whole transaction must be over.
    pub deadline: Instant,
    /// The slowest rate that the client may read at.
    pub rate_min: Option<MinRate>,
}

/// A response body that broke off. hyper cuts the client's connection, because the response's framing promised more.
#[derive(Debug, thiserror::Error)]
#[error("the response broke off")]
pub struct BrokenOff;

impl ResponseBody {
    /// The gateway's own reply.
    #[must_use]
    pub fn whole(bytes: Bytes, transaction: Box<Transaction>) -> Self {
        Self { source: Source::Whole(Some(bytes).filter(|b| !b.is_empty())), transaction: Some(transaction) }
    }

    /// A response without a body whose transaction goes on in a tunnel.
    #[must_use]
    pub fn switched() -> Self {
        Self { source: Source::Whole(None), transaction: None }
    }

    /// The upstream's response. `lease` returns to the pool after the last byte.
    #[must_use]
    pub fn upstream(
        inner: Incoming,
        lease: Box<Lease<RequestBody>>,
        bounds: ResponseBounds,
        transaction: Box<Transaction>,
    ) -> Self {
        let ResponseBounds { idle, deadline, rate_min } = bounds;
        let (lease, waiting, patience) = (Some(lease), rate_min.map(Waiting::new), Patience::default());
        let body = UpstreamBody { inner, lease, idle, deadline, waiting, patience, ended_at: None };
        let mut body = Self { source: Source::Upstream(body), transaction: Some(transaction) };
        if body.is_end_stream() {
            body.upstream_ended(Instant::now());
        }
        body
    }

    /// Notes that the last byte of the response is here. The connection goes back to the pool, if the request is over
    /// too.
    fn upstream_ended(&mut self, now: Instant) {
        let Source::Upstream(body) = &mut self.source else { return };
        let (Some(transaction), Some(lease)) = (&mut self.transaction, body.lease.take()) else { return };
        transaction.upstream_mut().last_byte_at = Some(now);
        let request_body = &transaction.request().body;
        match request_body.as_ref().filter(|body| body.ended_at.get().is_none()) {
            None => {
                // A request with a body is not marked: hyper may still have its last bytes to write.
                if request_body.is_none() {
                    lease.mark_idle();
                }
                transaction.config().pool.give_back(lease, now);
            }
            // An early response. The rest of the request cannot be taken back from the connection, and waiting for it
            // would keep the connection from others: it is not passed on, and the connection is not used again.
            Some(body) => body.unwanted.set(true),
        }
    }

    fn finish(&mut self, ending: Ending) {
        if let Some(transaction) = self.transaction.take() {
            transaction.finish(ending);
        }
    }

    /// Whether the client was too slow to read. hyper polls for more, so the client has taken what it was given.
    fn is_slow(&mut self) -> bool {
        let Source::Upstream(body) = &mut self.source else { return false };
        let (Some(waiting), Some(transaction)) = (&mut body.waiting, &self.transaction) else { return false };
        if !waiting.end(Instant::now()) {
            return false;
        }
        transaction.abort_after(Some(body.deadline));
        waiting.left(transaction.outcome().body_bytes).is_zero()
    }

    /// Notes that the client has something to read. If it reads none of it, hyper does not poll again, and the worker
    /// aborts the transaction.
    fn handed_on(&mut self, now: Instant) {
        let Source::Upstream(body) = &mut self.source else { return };
        if let (Some(waiting), Some(transaction)) = (&mut body.waiting, &self.transaction) {
            waiting.begin(now);
            let left = waiting.left(transaction.outcome().body_bytes);
            transaction.abort_after(Some(body.deadline.min(now + left)));
        }
    }

    /// Ends the transaction because the upstream was too slow.
    fn timed_out(&mut self) -> BrokenOff {
        let detail = "the upstream's response stalled or took too long";
        self.broken(Termination::Gateway, ErrorClass::UpstreamTimeout, detail)
    }

    /// Ends the transaction because the upstream connection failed. If the client's body had failed before, that is
    /// why.
    fn broke_off(&mut self, error: &hyper::Error) -> BrokenOff {
        let progress = self.transaction.as_ref().and_then(|transaction| transaction.request().body.as_ref());
        let (termination, class, detail) = match progress.and_then(|progress| progress.fault.get()) {
            Some(BodyFault::Broken) => {
                (Termination::Client, ErrorClass::ClientAbort, "the client left while sending its body")
            }
            Some(BodyFault::Framing) => {
                (Termination::Gateway, ErrorClass::BadRequest, "the client's body is framed wrongly")
            }
            Some(BodyFault::Stalled) => (Termination::Gateway, ErrorClass::BadRequest, "the client's body stalled"),
            Some(BodyFault::Slow) => {
                (Termination::Gateway, ErrorClass::BadRequest, "the client's body came too slowly")
            }
            Some(BodyFault::TooLarge) => (Termination::Gateway, ErrorClass::TooLarge, "the client's body is too large"),
            None if error.is_parse() || is_chunk_error(error) => {
                let detail = "the upstream's response body is framed wrongly";
                (Termination::Upstream, ErrorClass::UpstreamProtocol, detail)
            }
            None => {
                let detail = "the upstream closed before its response was complete";
                (Termination::Upstream, ErrorClass::UpstreamReset, detail)
            }
        };
        self.broken(termination, class, detail)
    }

    fn broken(&mut self, termination: Termination, class: ErrorClass, detail: &str) -> BrokenOff {
        if let Some(transaction) = &mut self.transaction {
            transaction.upstream_mut().last_byte_at = Some(Instant::now());
        }
        self.finish(Ending::broken(termination, class, detail));
        BrokenOff
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let this = &mut *self;
        // First of all: being polled means that the client took what it had, and ends the wait for it.
        if this.is_slow() {
            let detail = "the client read too slowly";
            return Poll::Ready(Some(Err(this.broken(Termination::Client, ErrorClass::ClientAbort, detail))));
        }
        let body = match &mut this.source {
            Source::Whole(bytes) => {
                let Some(bytes) = bytes.take() else {
                    this.finish(Ending::COMPLETE);
                    return Poll::Ready(None);
                };
                if let Some(transaction) = &mut this.transaction {
                    transaction.add_response_bytes(bytes.len() as u64);
                }
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            Source::Upstream(body) => body,
        };
        let frame = match Pin::new(&mut body.inner).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let (idle, deadline) = (body.idle, body.deadline);
                ready!(body.patience.poll_expired(cx, || deadline.min(Instant::now() + idle)));
                return Poll::Ready(Some(Err(this.timed_out())));
            }
        };
        body.patience.reset();
        let now = Instant::now();
        // An upstream that sends without a pause never lets the timer above run, so each frame is checked too. The last
        // frame passes: the response is complete by then.
        if now >= body.deadline && !body.inner.is_end_stream() {
            return Poll::Ready(Some(Err(this.timed_out())));
        }
        match frame {
            None => {
                this.upstream_ended(now);
                this.finish(Ending::COMPLETE);
                Poll::Ready(None)
            }
            Some(Ok(frame)) => {
                if let (Some(data), Some(transaction)) = (frame.data_ref(), &mut this.transaction) {
                    transaction.add_response_bytes(data.len() as u64);
                }
                let ended = body.inner.is_end_stream();
                if ended {
                    // Not finished yet: hyper still has to take this frame, and drops the body then.
                    body.ended_at = Some(now);
                    this.upstream_ended(now);
                } else if frame.is_trailers() {
                    // Trailers are last, and hyper does not poll again after them.
                    this.upstream_ended(now);
                    this.finish(Ending::COMPLETE);
                } else {
                    this.handed_on(now);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(this.broke_off(&error)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Whole(bytes) => bytes.is_none(),
            Source::Upstream(body) => body.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Source::Upstream(body) => body.inner.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    /// Completes the transaction, if the body is at its end: hyper drops such a body without polling it again. A body
    /// that is dropped before its end means that the client has left. One that is aborted has not reached the client,
    /// even if hyper has taken all of it.
    fn drop(&mut self) {
        let aborted = self.transaction.as_ref().is_some_and(|transaction| transaction.is_aborted());
        if aborted || !self.is_end_stream() {
            return;
        }
        let ended_at = match &self.source {
            Source::Upstream(body) => body.ended_at,
            Source::Whole(_) => None,
        };
        if let Some(transaction) = self.transaction.take() {
            transaction.finish_at(Ending::COMPLETE, ended_at.unwrap_or_else(Instant::now));
        }
    }
}
