//! Bodies that count, time out, and tell exactly once how they ended. Frames pass through; nothing is collected.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tollgate_record::vocabulary::{ErrorClass, Termination};

use crate::client::connection::IoFacts;
use crate::normalize;
use crate::task::timer::Alarm;
use crate::transaction::min_rate::{MinRate, Waiting};
use crate::transaction::replay::Replay;
use crate::transaction::{BodyFault, Ending, RequestProgress, Transaction};
use crate::upstream::Lease;

/// A timer that exists only once something was waited for.
#[derive(Debug, Default)]
struct Patience {
    alarm: Option<Alarm>,
    armed: bool,
}

impl Patience {
    /// Something came: the next wait begins anew.
    fn reset(&mut self) {
        self.armed = false;
    }

    /// Ready once `until` has passed; `until` is asked when a wait begins.
    fn poll_expired(&mut self, cx: &mut Context<'_>, until: impl FnOnce() -> Instant) -> Poll<()> {
        if !self.armed {
            let until = until();
            match &mut self.alarm {
                Some(alarm) => alarm.move_to(until),
                None => self.alarm = Some(Alarm::at(until)),
            }
            self.armed = true;
        }
        self.alarm.as_mut().map_or(Poll::Pending, |alarm| Pin::new(alarm).poll(cx))
    }
}

/// A request body on its way upstream.
#[derive(Debug)]
pub enum RequestBody {
    /// There is none.
    Empty,
    /// Passed through.
    Streaming(Box<StreamingBody>),
    /// Passed through, and kept for another sending.
    Replay(Box<Replay>),
}

/// A request body that is passed through.
#[derive(Debug)]
pub struct StreamingBody {
    inner: Incoming,
    client: Arc<IoFacts>,
    progress: Rc<RequestProgress>,
    advanced_at: Rc<Cell<Instant>>,
    idle: Duration,
    bytes_max: u64,
    waiting: Option<Waiting>,
    patience: Patience,
}

/// What bounds a request body.
#[derive(Debug, Clone, Copy)]
pub struct RequestBounds {
    /// Longest silence.
    pub idle: Duration,
    /// Bytes in all.
    pub bytes_max: u64,
    /// Bytes in time.
    pub rate_min: Option<MinRate>,
}

impl RequestBody {
    /// Wraps what the client sends. Returns the shared progress when there is a body.
    #[must_use]
    pub fn new(inner: Incoming, client: &Arc<IoFacts>, bounds: RequestBounds) -> (Self, Option<BodyWatch>) {
        let RequestBounds { idle, bytes_max, rate_min } = bounds;
        if inner.is_end_stream() {
            return (Self::Empty, None);
        }
        let progress = Rc::new(RequestProgress::default());
        let advanced_at = Rc::new(Cell::new(Instant::now()));
        let watch = BodyWatch { progress: progress.clone(), advanced_at: advanced_at.clone() };
        let patience = Patience::default();
        let client = client.clone();
        let waiting = rate_min.map(Waiting::new);
        let body = StreamingBody { inner, client, progress, advanced_at, idle, bytes_max, waiting, patience };
        (Self::Streaming(Box::new(body)), Some(watch))
    }
}

/// How a request body gets on, seen from the side that waits for the response.
#[derive(Debug, Clone)]
pub struct BodyWatch {
    /// Counts and faults.
    pub progress: Rc<RequestProgress>,
    advanced_at: Rc<Cell<Instant>>,
}

impl BodyWatch {
    /// When it last got on.
    #[must_use]
    pub fn advanced_at(&self) -> Instant {
        self.advanced_at.get()
    }

    /// Whether the upstream has all that the client sent, and waits for more.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.progress.awaited.get()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Streaming(body) => body.poll_next(cx),
            Self::Replay(body) => body.poll_next(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming(body) => body.is_end_stream(),
            Self::Replay(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streaming(body) => body.size_hint(),
            Self::Replay(body) => body.size_hint(),
        }
    }
}

impl StreamingBody {
    /// As [`Body::is_end_stream`].
    #[must_use]
    pub fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    /// As [`Body::size_hint`].
    #[must_use]
    pub fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }

    /// As [`Body::poll_frame`].
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        if self.progress.useless.get() {
            return Poll::Ready(Some(Err(BodyFault::Broken)));
        }
        let frame = match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let (idle, waiting, bytes) = (self.idle, &mut self.waiting, self.progress.bytes.get());
                self.progress.awaited.set(true);
                ready!(self.patience.poll_expired(cx, || {
                    let now = Instant::now();
                    let left = waiting.as_mut().map(|waiting| {
                        waiting.begin(now);
                        waiting.left(bytes)
                    });
                    now + left.map_or(idle, |left| left.min(idle))
                }));
                let slow = self.waiting.as_mut().is_some_and(|waiting| {
                    waiting.end(Instant::now());
                    waiting.left(bytes).is_zero()
                });
                let fault = if slow { BodyFault::Slow } else { BodyFault::Stalled };
                return Poll::Ready(Some(Err(self.fault(fault))));
            }
        };
        self.patience.reset();
        self.progress.awaited.set(false);
        let now = Instant::now();
        self.advanced_at.set(now);
        if let Some(waiting) = &mut self.waiting {
            waiting.end(now);
        }
        match frame {
            None => {
                self.ended(now);
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                let framing = error.is_parse() || is_chunk_error(&error);
                Poll::Ready(Some(Err(self.fault(if framing { BodyFault::Framing } else { BodyFault::Broken }))))
            }
            Some(Ok(frame)) => {
                let bytes = self.progress.bytes.get() + frame.data_ref().map_or(0, |data| data.len() as u64);
                self.progress.bytes.set(bytes);
                if bytes > self.bytes_max {
                    return Poll::Ready(Some(Err(self.fault(BodyFault::TooLarge))));
                }
                // After trailers nobody asks again.
                if self.inner.is_end_stream() || frame.is_trailers() {
                    self.ended(now);
                }
                Poll::Ready(Some(Ok(passed_on(frame))))
            }
        }
    }

    fn ended(&self, now: Instant) {
        self.progress.ended_at.set(Some(now));
        self.client.body_ended();
    }

    fn fault(&self, fault: BodyFault) -> BodyFault {
        self.progress.awaited.set(false);
        self.progress.fault.set(Some(fault));
        fault
    }
}

/// A frame as it goes upstream.
fn passed_on(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            normalize::trailers(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

/// Whether the decoder refused the chunks, rather than the socket ending.
fn is_chunk_error(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|io| matches!(io.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData))
}

/// A response body on its way to the client; it owns the transaction and ends it.
#[derive(Debug)]
pub struct ResponseBody {
    source: Source,
    transaction: Option<Box<Transaction>>,
}

#[derive(Debug)]
enum Source {
    /// The gateway's own words.
    Whole(Option<Bytes>),
    Upstream(UpstreamBody),
}

#[derive(Debug)]
struct UpstreamBody {
    inner: Incoming,
    lease: Option<Box<Lease>>,
    idle: Duration,
    deadline: Instant,
    /// The client, for what was handed to its connection.
    waiting: Option<Waiting>,
    patience: Patience,
    /// When its last frame was handed on: hyper drops the body then and there.
    ended_at: Option<Instant>,
}

/// What bounds an upstream's response body.
#[derive(Debug, Clone, Copy)]
pub struct ResponseBounds {
    /// Longest silence of the upstream.
    pub idle: Duration,
    /// Its end.
    pub deadline: Instant,
    /// Bytes in time that the client must take.
    pub rate_min: Option<MinRate>,
}

/// A response body that broke off; the client's connection is cut, as its framing promised more.
#[derive(Debug, thiserror::Error)]
#[error("the response broke off")]
pub struct BrokenOff;

impl ResponseBody {
    /// The gateway's own answer.
    #[must_use]
    pub fn whole(bytes: Bytes, transaction: Box<Transaction>) -> Self {
        Self { source: Source::Whole(Some(bytes).filter(|b| !b.is_empty())), transaction: Some(transaction) }
    }

    /// An answer without a body whose transaction goes on elsewhere: a tunnel.
    #[must_use]
    pub fn switched() -> Self {
        Self { source: Source::Whole(None), transaction: None }
    }

    /// The upstream's answer; `lease` returns to the pool after the last byte.
    #[must_use]
    pub fn upstream(inner: Incoming, lease: Box<Lease>, bounds: ResponseBounds, transaction: Box<Transaction>) -> Self {
        let ResponseBounds { idle, deadline, rate_min } = bounds;
        let (lease, waiting, patience) = (Some(lease), rate_min.map(Waiting::new), Patience::default());
        let body = UpstreamBody { inner, lease, idle, deadline, waiting, patience, ended_at: None };
        let mut body = Self { source: Source::Upstream(body), transaction: Some(transaction) };
        if body.is_end_stream() {
            body.upstream_ended(Instant::now());
        }
        body
    }

    /// The last byte of the upstream's response is here.
    fn upstream_ended(&mut self, now: Instant) {
        let Source::Upstream(body) = &mut self.source else { return };
        let (Some(transaction), Some(lease)) = (&mut self.transaction, body.lease.take()) else { return };
        transaction.upstream.last_byte_at = Some(now);
        match transaction.request_body.as_ref().filter(|body| body.ended_at.get().is_none()) {
            None => {
                // The last of a body may be on its way to the socket still.
                if transaction.request_body.is_none() {
                    lease.rest();
                }
                transaction.plan.pool.give_back(lease, now);
            }
            // An early answer: what the client goes on sending is not passed on, and the connection not used again.
            Some(body) => body.useless.set(true),
        }
    }

    fn finish(&mut self, ending: Ending) {
        if let Some(transaction) = self.transaction.take() {
            transaction.finish(ending);
        }
    }

    /// Somebody asks for more: the client has taken what it was given. Whether it was too slow.
    fn is_slow(&mut self) -> bool {
        let Source::Upstream(body) = &mut self.source else { return false };
        let (Some(waiting), Some(transaction)) = (&mut body.waiting, &self.transaction) else { return false };
        if !waiting.end(Instant::now()) {
            return false;
        }
        transaction.bound(Some(body.deadline));
        waiting.left(transaction.response_bytes).is_zero()
    }

    /// The client has something to take. Should it take none of it, nobody asks for more, and the worker cuts it.
    fn gave(&mut self, now: Instant) {
        let Source::Upstream(body) = &mut self.source else { return };
        if let (Some(waiting), Some(transaction)) = (&mut body.waiting, &self.transaction) {
            waiting.begin(now);
            transaction.bound(Some(body.deadline.min(now + waiting.left(transaction.response_bytes))));
        }
    }

    fn late(&mut self) -> BrokenOff {
        let detail = "the upstream's response stalled or took too long";
        self.broken(Termination::Gateway, ErrorClass::UpstreamTimeout, detail)
    }

    /// The upstream connection failed: for its own reasons, unless the client's body did before.
    fn broke_off(&mut self, error: &hyper::Error) -> BrokenOff {
        let progress = self.transaction.as_ref().and_then(|transaction| transaction.request_body.as_ref());
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
            transaction.upstream.last_byte_at = Some(Instant::now());
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
                    transaction.response_bytes = bytes.len() as u64;
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
                return Poll::Ready(Some(Err(this.late())));
            }
        };
        body.patience.reset();
        let now = Instant::now();
        if now >= body.deadline && !body.inner.is_end_stream() {
            return Poll::Ready(Some(Err(this.late())));
        }
        match frame {
            None => {
                this.upstream_ended(now);
                this.finish(Ending::COMPLETE);
                Poll::Ready(None)
            }
            Some(Ok(frame)) => {
                if let (Some(data), Some(transaction)) = (frame.data_ref(), &mut this.transaction) {
                    transaction.response_bytes += data.len() as u64;
                }
                let ended = body.inner.is_end_stream();
                if ended {
                    body.ended_at = Some(now);
                    this.upstream_ended(now);
                } else if frame.is_trailers() {
                    // The last there is, and nobody asks again.
                    this.upstream_ended(now);
                    this.finish(Ending::COMPLETE);
                } else {
                    this.gave(now);
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
    /// hyper drops a body that said it was at its end without asking it again; before that, the client has left. One that
    /// is cut has not reached the client, whatever hyper has taken of it.
    fn drop(&mut self) {
        let cut = self.transaction.as_ref().is_some_and(|transaction| transaction.is_cut());
        if cut || !self.is_end_stream() {
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
