//! A request body that can be sent again from its beginning, as long as it is small and no response has begun.
//!
//! An HTTP/2 upstream that goes away, or refuses a stream, says which requests it has not processed (RFC 9113 sections
//! 6.8 and 8.7). Those may be sent again whatever their method, if their body can. So the frames that pass are kept
//! until the response begins, up to a bound on the memory that this takes. Frames are shared with the connection, not
//! copied.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use crate::transaction::request_body::{BodyFault, StreamingBody};

/// One sending of the body.
#[derive(Debug)]
pub struct Replay {
    body: Rc<RefCell<Kept>>,
    sending: u32,
    next: usize,
}

#[derive(Debug)]
struct Kept {
    inner: StreamingBody,
    frames: Vec<KeptFrame>,
    bytes: usize,
    bytes_max: usize,
    /// Whether the body can no longer be sent again: too much has passed, or the response has begun.
    released: bool,
    ended: bool,
    /// Counts sendings. Only the latest one gets frames.
    sending: u32,
}

#[derive(Debug, Clone)]
enum KeptFrame {
    Data(Bytes),
    Trailers(HeaderMap),
}

/// The handle to send a body again.
#[derive(Debug, Clone)]
pub struct Rewind(Rc<RefCell<Kept>>);

impl Rewind {
    /// Returns the first sending of a body, and the handle to send it again.
    #[must_use]
    pub fn begin(inner: StreamingBody, bytes_max: usize) -> (Replay, Self) {
        let (frames, bytes) = (Vec::new(), 0);
        let kept = Kept { inner, frames, bytes, bytes_max, released: false, ended: false, sending: 0 };
        let body = Rc::new(RefCell::new(kept));
        (Replay { body: body.clone(), sending: 0, next: 0 }, Self(body))
    }

    /// Starts another sending, unless too much has passed.
    #[must_use]
    pub fn again(&self) -> Option<Replay> {
        let mut kept = self.0.borrow_mut();
        if kept.released {
            return None;
        }
        kept.sending += 1;
        Some(Replay { body: self.0.clone(), sending: kept.sending, next: 0 })
    }

    /// Drops what is kept: the response has begun.
    pub fn release(&self) {
        self.0.borrow_mut().release();
    }
}

impl Kept {
    fn release(&mut self) {
        self.released = true;
        self.frames = Vec::new();
    }

    fn keep(&mut self, frame: KeptFrame) {
        // A client chooses the size of its frames: even an empty one takes this much memory.
        self.bytes += size_of::<KeptFrame>();
        if let KeptFrame::Data(data) = &frame {
            self.bytes += data.len();
        }
        match self.bytes > self.bytes_max {
            true => self.release(),
            false => self.frames.push(frame),
        }
    }
}

impl Replay {
    /// As [`http_body::Body::poll_frame`].
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let mut kept = self.body.borrow_mut();
        if kept.sending != self.sending {
            return Poll::Ready(Some(Err(BodyFault::Broken)));
        }
        if let Some(frame) = kept.frames.get(self.next).cloned() {
            self.next += 1;
            return Poll::Ready(Some(Ok(match frame {
                KeptFrame::Data(data) => Frame::data(data),
                KeptFrame::Trailers(trailers) => Frame::trailers(trailers),
            })));
        }
        if kept.ended {
            return Poll::Ready(None);
        }
        let polled = kept.inner.poll_next(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) if !kept.released => {
                let data = frame.data_ref().cloned().map(KeptFrame::Data);
                if let Some(frame) = data.or_else(|| frame.trailers_ref().cloned().map(KeptFrame::Trailers)) {
                    kept.keep(frame);
                    self.next = kept.frames.len();
                }
            }
            Poll::Ready(None) => kept.ended = true,
            _ => {}
        }
        polled
    }

    /// As [`http_body::Body::is_end_stream`].
    #[must_use]
    pub fn is_end_stream(&self) -> bool {
        let kept = self.body.borrow();
        self.next >= kept.frames.len() && (kept.ended || kept.inner.is_end_stream())
    }

    /// As [`http_body::Body::size_hint`].
    #[must_use]
    pub fn size_hint(&self) -> SizeHint {
        let kept = self.body.borrow();
        // The length of a later sending stands in its Content-Length, if the client sent one.
        if self.sending == 0 { kept.inner.size_hint() } else { SizeHint::default() }
    }
}
