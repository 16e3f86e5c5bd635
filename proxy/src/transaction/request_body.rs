//! The request's body on its way upstream. It counts, times out, and notes how it ended. Frames pass through; nothing
//! is collected.
//!
//! The body is polled by the upstream connection's task, and the transaction waits for the response meanwhile. They
//! share [`RequestProgress`]. A body that fails there makes the exchange fail here, so the fault is noted before the
//! error is returned: the record must blame the client, not the upstream.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tollgate_proxy_http::local_reply::LocalReply;
use tollgate_proxy_http::normalize;
use tollgate_record::vocabulary::{ErrorClass, Termination};

use crate::socket::IoFacts;
use crate::transaction::min_rate::{MinRate, Waiting};
use crate::transaction::patience::Patience;
use crate::transaction::replay::Replay;
use crate::transaction::transaction::CLIENT_CLOSED_REQUEST;

/// The progress of a request body.
#[derive(Debug, Default)]
pub struct RequestProgress {
    /// Bytes read from the client.
    pub bytes: Cell<u64>,
    /// When the last byte was read; `None` while the body goes on.
    pub ended_at: Cell<Option<Instant>>,
    /// Whether the response is over, so that the rest of the body is of no use.
    pub unwanted: Cell<bool>,
    /// Whether the upstream waits for the client to send more.
    pub awaited: Cell<bool>,
    pub fault: Cell<Option<BodyFault>>,
}

/// Why a request body broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// The client broke the framing, or left.
    #[error("the client's body broke off")]
    Broken,
    /// The client sent chunks that cannot be parsed.
    #[error("the client's body is framed wrongly")]
    Framing,
    /// The client sent nothing for too long.
    #[error("the client's body stalled")]
    Stalled,
    /// The client sent too few bytes for the time that it took.
    #[error("the client's body came too slowly")]
    Slow,
    /// The body is larger than the route allows.
    #[error("the client's body is too large")]
    TooLarge,
}

impl BodyFault {
    /// The reply for a transaction whose request body broke off before a response began.
    #[must_use]
    pub fn reply(self, bytes_max: u64) -> LocalReply {
        match self {
            Self::TooLarge => too_large(bytes_max),
            Self::Framing => LocalReply::malformed("the body's chunks cannot be parsed"),
            Self::Stalled | Self::Slow => {
                let detail = if self == Self::Slow { "the body came too slowly" } else { "the body stalled" };
                let reply = LocalReply::gateway(StatusCode::REQUEST_TIMEOUT, ErrorClass::BadRequest, detail);
                LocalReply { close: true, ..reply }
            }
            Self::Broken => {
                let status = StatusCode::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or(StatusCode::BAD_REQUEST);
                let detail = "the client left while sending its body";
                let reply = LocalReply::gateway(status, ErrorClass::ClientAbort, detail);
                LocalReply { termination: Termination::Client, close: true, ..reply }
            }
        }
    }
}

/// The reply to a body that is larger than the route allows.
#[must_use]
pub fn too_large(bytes_max: u64) -> LocalReply {
    normalize::too_large(format!("the body is larger than {bytes_max} bytes"))
}

/// A request body on its way upstream.
#[derive(Debug)]
pub enum RequestBody {
    Empty,
    /// Passed through as it comes.
    Streaming(Box<StreamingBody>),
    /// Passed through, and kept so that it can be sent again.
    Replay(Box<Replay>),
}

/// A request body that is passed through as it comes.
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

/// The bounds of a request body.
#[derive(Debug, Clone, Copy)]
pub struct RequestBounds {
    /// Longest silence.
    pub idle: Duration,
    /// Bytes in all.
    pub bytes_max: u64,
    /// The slowest rate that the client may send at.
    pub rate_min: Option<MinRate>,
}

impl RequestBody {
    /// Wraps the client's body. If there is one, also returns the watch for the side that waits for the response.
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

/// The progress of a request body, as the side that waits for the response sees it.
#[derive(Debug, Clone)]
pub struct BodyWatch {
    pub progress: Rc<RequestProgress>,
    advanced_at: Rc<Cell<Instant>>,
}

impl BodyWatch {
    /// When the last frame came.
    #[must_use]
    pub fn advanced_at(&self) -> Instant {
        self.advanced_at.get()
    }

    /// Whether the upstream has everything that the client sent, and waits for more.
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
        if self.progress.unwanted.get() {
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
                // hyper does not poll again after trailers, so the end is noted here.
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

/// Drops the trailers that may not go upstream.
fn passed_on(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            normalize::trailers(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

/// Whether the decoder refused the chunks. Otherwise the socket ended.
pub(super) fn is_chunk_error(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|io| matches!(io.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData))
}
