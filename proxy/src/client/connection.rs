//! What is known of one client connection, and the socket wrapper that learns it.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, Release},
};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use http::header::{HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tollgate_record::vocabulary::ClientIpSource;
use tollgate_tls::{PeerCertificate, ServerPolicy};

use crate::client::read_readiness::Readable;
use crate::config::Http2;
use crate::runtime::worker::Worker;
use crate::task::cancel::Cut;
use crate::task::timer::Alarm;
use tollgate_proxy_http::h2_flood::FloodMeter;
use tollgate_proxy_http::quota::Admitted;

/// Facts of one connection, shared by its transactions.
#[derive(Debug)]
pub struct ConnectionFacts {
    /// Index of the listener in the plan.
    pub listener: usize,
    /// Where the client connected to.
    pub local: Option<SocketAddr>,
    /// Address of the TCP peer as text, made once.
    pub peer_ip: String,
    /// Who it serves: the peer, or whom the peer's PROXY header names.
    pub client: SocketAddr,
    /// The client's address as text, made once.
    pub client_ip: String,
    /// The same as a header value.
    pub client_value: HeaderValue,
    /// Where the client was learnt.
    pub client_source: ClientIpSource,
    /// Whether it speaks HTTP/2.
    pub http2: bool,
    /// TLS, when there is.
    pub tls: Option<TlsFacts>,
    /// What the socket saw.
    pub io: Arc<IoFacts>,
    /// Drops the connection of an HTTP/1 transaction that is overdue.
    pub cut: Cut,
    /// Tells an HTTP/2 client to use another connection for what it asks next.
    pub leave: Cut,
    /// Counts the connection for as long as anything of it goes on, a tunnel too.
    pub _counted: Counted,
    /// Requests so far.
    pub requests: Cell<u64>,
    /// Transactions that have not ended.
    pub open: Cell<usize>,
    /// When the last one ended, or the connection began.
    pub quiet_since: Cell<Instant>,
}

impl ConnectionFacts {
    /// Whether it waits for its client to begin a request.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.open.get() == 0 && self.io.is_between_requests()
    }

    /// Returns once no transaction was open for `idle`.
    pub async fn idle_for(&self, idle: Duration) {
        loop {
            let until = self.quiet_since.get() + idle;
            if self.open.get() == 0 && Instant::now() >= until {
                return;
            }
            tokio::time::sleep_until(until.max(Instant::now() + idle / 8).into()).await;
        }
    }
}

/// Counts one client connection for as long as it lives.
#[derive(Debug)]
pub struct Counted {
    worker: Rc<Worker>,
    gauge: prometheus::IntGauge,
    /// What it holds of its listener's caps.
    pub admitted: Admitted,
}

impl Counted {
    /// Counts one more, with the worker, in the listener's gauge and against its caps.
    #[must_use]
    pub fn new(worker: Rc<Worker>, gauge: prometheus::IntGauge, admitted: Admitted) -> Self {
        worker.connections.set(worker.connections.get() + 1);
        gauge.inc();
        Self { worker, gauge, admitted }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.worker.connections.set(self.worker.connections.get() - 1);
        self.gauge.dec();
    }
}

/// TLS of one connection; on resumed sessions these are the facts of the session.
#[derive(Debug, Default)]
pub struct TlsFacts {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// IANA name of the cipher suite.
    pub cipher: String,
    /// Whether the session was resumed.
    pub resumed: bool,
    /// Server name that the client sent.
    pub sni: Option<String>,
    /// Protocol agreed on.
    pub alpn: Option<String>,
    /// The verified client certificate.
    pub client: Option<Arc<PeerCertificate>>,
    /// The fields that tell upstreams of it.
    pub client_fields: Vec<(HeaderName, HeaderValue)>,
    /// What was asked of the client; none when the handshake failed.
    pub policy: Option<Arc<ServerPolicy>>,
}

/// What the socket saw. Atomics because hyper wants sockets to be `Send`; they are never contended.
#[derive(Debug, Default)]
pub struct IoFacts {
    /// Microseconds after the worker's epoch, plus one, of the first byte read since the last head; 0 = none.
    first_byte_us: AtomicU64,
    /// More was read of that head after its first bytes.
    head_in_parts: AtomicBool,
    /// A request was taken whose response goes on.
    responding: AtomicBool,
    /// A request was taken whose body goes on.
    receiving: AtomicBool,
    write_stalled: AtomicBool,
    /// Something was read or written, or is to be, since this was last asked.
    moved: AtomicBool,
    /// What is wrong with an HTTP/2 connection that is cut for it.
    flood: OnceLock<(&'static str, String)>,
    /// Bytes read in all.
    pub read_bytes: AtomicU64,
    /// The socket had nothing to read, the runtime has not called for it since, and no write waits for room.
    pub quiet: AtomicBool,
}

/// The beginning of a request.
#[derive(Debug, Clone, Copy)]
pub struct FirstByte {
    /// When its first byte was read.
    pub at: Instant,
    /// Whether its head was, by the same read.
    pub whole: bool,
}

impl IoFacts {
    /// When the head at hand began, and marks the head as taken; a body may follow it.
    pub fn take_first_byte_at(&self, epoch: Instant, has_body: bool) -> Option<FirstByte> {
        self.responding.store(true, Relaxed);
        self.receiving.store(has_body, Relaxed);
        // Nobody else takes it: a swap would lock the bus.
        let us = self.first_byte_us.load(Relaxed);
        self.first_byte_us.store(0, Relaxed);
        let at = epoch + Duration::from_micros(us.checked_sub(1)?);
        Some(FirstByte { at, whole: !self.head_in_parts.load(Relaxed) })
    }

    /// Whether bytes were read that belong to no request yet.
    #[must_use]
    pub fn has_partial_head(&self) -> bool {
        self.first_byte_us.load(Relaxed) != 0 && !self.in_request()
    }

    /// The response to the request at hand is over.
    pub fn response_ended(&self) {
        self.responding.store(false, Relaxed);
    }

    /// The body of the request at hand is read to its end. One that nobody reads to its end is followed by no request
    /// unless hyper finds the rest of it in its buffer.
    pub fn body_ended(&self) {
        self.receiving.store(false, Relaxed);
    }

    /// Whether what is read belongs to a request that was taken: else it begins another.
    fn in_request(&self) -> bool {
        self.responding.load(Relaxed) || self.receiving.load(Relaxed)
    }

    /// Neither a request goes on, nor has one begun.
    #[must_use]
    pub fn is_between_requests(&self) -> bool {
        !self.in_request() && self.first_byte_us.load(Relaxed) == 0
    }

    /// Whether anything was read or written, or could not be written, since this was last asked.
    pub fn take_moved(&self) -> bool {
        self.moved.swap(false, Relaxed)
    }

    /// A head has begun of which nothing is known but bytes that hyper had read: no later than `at`.
    pub fn note_begun(&self, epoch: Instant, at: Instant) {
        self.head_in_parts.store(true, Relaxed);
        self.first_byte_us.store(at.saturating_duration_since(epoch).as_micros() as u64 + 1, Relaxed);
    }

    /// Whether the client left the socket full for too long.
    #[must_use]
    pub fn write_stalled(&self) -> bool {
        self.write_stalled.load(Relaxed)
    }

    /// Why the connection was cut, if it was for what the client's frames ask of us: the metric's label, and a sentence.
    #[must_use]
    pub fn flood(&self) -> Option<(&'static str, &str)> {
        self.flood.get().map(|(cause, detail)| (*cause, detail.as_str()))
    }

    /// Says so; what came first holds.
    pub fn note_flood(&self, cause: &'static str, detail: String) {
        self.flood.get_or_init(|| (cause, detail));
    }

    fn note_read(&self, epoch: Instant, bytes: usize) {
        // One thread writes: an addition that is one step for others would lock the bus.
        self.read_bytes.store(self.read_bytes.load(Relaxed) + bytes as u64, Relaxed);
        self.moved.store(true, Relaxed);
        if self.in_request() {
            return;
        }
        let begins = self.first_byte_us.load(Relaxed) == 0;
        self.head_in_parts.store(!begins, Relaxed);
        if begins {
            self.first_byte_us.store(epoch.elapsed().as_micros() as u64 + 1, Relaxed);
        }
    }
}

/// A socket that notes what is read, and fails when a write makes no progress for too long.
#[derive(Debug)]
pub struct Watched<IO> {
    io: IO,
    /// Read already, and to be read again before what the socket has.
    ahead: Bytes,
    facts: Arc<IoFacts>,
    epoch: Instant,
    write_max: Option<Duration>,
    stall: Option<Alarm>,
    meter: Option<Box<FloodMeter>>,
    readable: Readable,
}

impl<IO> Watched<IO> {
    /// Watches `io`; `write_max` bounds a write without progress.
    pub fn new(io: IO, facts: Arc<IoFacts>, epoch: Instant, write_max: Option<Duration>) -> Self {
        Self {
            io,
            ahead: Bytes::new(),
            facts,
            epoch,
            write_max,
            stall: None,
            meter: None,
            readable: Readable::default(),
        }
    }

    /// Has what was read be read again.
    pub fn unread(&mut self, ahead: Bytes) {
        self.ahead = ahead;
    }

    /// Also counts the frames of a client that speaks HTTP/2.
    #[must_use]
    pub fn metered(self, bounds: &Http2) -> Self {
        Self { meter: Some(Box::new(FloodMeter::new(bounds))), ..self }
    }

    /// Apart, as a read that is not inlined for it would cost every request.
    #[cold]
    fn read_again(&mut self, buf: &mut ReadBuf<'_>) {
        let part = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead[..part]);
        self.ahead.advance(part);
    }

    /// The socket itself.
    pub fn socket_mut(&mut self) -> &mut IO {
        &mut self.io
    }

    /// Whether there is something to be read again.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        !self.ahead.is_empty()
    }

    fn check_write<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.stall = None;
            return poll;
        }
        self.facts.moved.store(true, Relaxed);
        self.facts.quiet.store(false, Release);
        let Some(write_max) = self.write_max else { return Poll::Pending };
        let stall = self.stall.get_or_insert_with(|| Alarm::at(Instant::now() + write_max));
        ready!(Pin::new(stall).poll(cx));
        self.facts.write_stalled.store(true, Relaxed);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Watched<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            self.read_again(buf);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let this = &mut *self;
        ready!(this.readable.poll(&this.facts, cx, |cx| Pin::new(&mut this.io).poll_read(cx, buf)))?;
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
                // As far as the socket takes it now.
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
