//! The wrapper around a socket that writes its [`IoFacts`].

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tollgate_proxy_config::Http2;
use tollgate_proxy_http::h2_flood::FloodMeter;

use crate::socket::IoFacts;
use crate::socket::read_readiness::ReadReadiness;
use crate::task::timer::Deadline;

/// A socket that notes what is read, and fails once a write makes no progress for too long.
#[derive(Debug)]
pub struct Watched<IO> {
    io: IO,
    /// Bytes that are read before the socket's own.
    pushed_back: Bytes,
    facts: Arc<IoFacts>,
    epoch: Instant,
    write_max: Option<Duration>,
    stall: Option<Deadline>,
    meter: Option<Box<FloodMeter>>,
    readiness: ReadReadiness,
}

impl<IO> Watched<IO> {
    /// Watches `io`; `write_max` bounds a write without progress.
    pub fn new(io: IO, facts: Arc<IoFacts>, epoch: Instant, write_max: Option<Duration>) -> Self {
        Self {
            io,
            pushed_back: Bytes::new(),
            facts,
            epoch,
            write_max,
            stall: None,
            meter: None,
            readiness: ReadReadiness::default(),
        }
    }

    /// Pushes bytes back to be read first.
    pub fn unread(&mut self, bytes: Bytes) {
        self.pushed_back = bytes;
    }

    /// Also meters the frames of an HTTP/2 client.
    #[must_use]
    pub fn metered(self, bounds: &Http2) -> Self {
        Self { meter: Some(Box::new(FloodMeter::new(bounds))), ..self }
    }

    // Cold and apart, so that `poll_read` stays small enough to be inlined.
    #[cold]
    fn read_pushed_back(&mut self, buf: &mut ReadBuf<'_>) {
        let part = self.pushed_back.len().min(buf.remaining());
        buf.put_slice(&self.pushed_back[..part]);
        self.pushed_back.advance(part);
    }

    pub fn socket_mut(&mut self) -> &mut IO {
        &mut self.io
    }

    #[must_use]
    pub fn has_unread(&self) -> bool {
        !self.pushed_back.is_empty()
    }

    fn check_write<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.stall = None;
            return poll;
        }
        self.facts.moved.store(true, Relaxed);
        self.facts.quiet.store(false, Release);
        let Some(write_max) = self.write_max else { return Poll::Pending };
        let stall = self.stall.get_or_insert_with(|| Deadline::at(Instant::now() + write_max));
        ready!(Pin::new(stall).poll(cx));
        self.facts.note_write_stalled();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Watched<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.pushed_back.is_empty() {
            self.read_pushed_back(buf);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let this = &mut *self;
        ready!(this.readiness.poll(&this.facts, cx, |cx| Pin::new(&mut this.io).poll_read(cx, buf)))?;
        let read = buf.filled().len() - before;
        if read > 0 {
            self.facts.note_read(self.epoch, read);
        }
        if let Some(meter) = &mut self.meter
            && let Err(flood) = meter.received(&buf.filled()[before..], Instant::now)
        {
            let goaway = meter.goaway(flood);
            self.facts.note_flood(flood.as_str(), flood.detail().to_owned());
            if let Some(goaway) = goaway {
                // Best effort: the connection is cut whether or not the socket has room for it.
                let _written = Pin::new(&mut self.io).poll_write(cx, &goaway);
                let _flushed = Pin::new(&mut self.io).poll_flush(cx);
            }
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, flood)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Watched<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.facts.moved.store(true, Relaxed);
        let poll = Pin::new(&mut self.io).poll_write(cx, buf);
        if let (Some(meter), Poll::Ready(Ok(written))) = (&mut self.meter, &poll) {
            meter.sent(&buf[..*written]);
        }
        self.check_write(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.facts.moved.store(true, Relaxed);
        let poll = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        if let (Some(meter), Poll::Ready(Ok(written))) = (&mut self.meter, &poll) {
            let mut left = *written;
            for buf in bufs {
                let part = left.min(buf.len());
                meter.sent(&buf[..part]);
                left -= part;
            }
        }
        self.check_write(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.io).poll_flush(cx);
        self.check_write(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.facts.moved.store(true, Relaxed);
        let poll = Pin::new(&mut self.io).poll_shutdown(cx);
        self.check_write(cx, poll)
    }
}
