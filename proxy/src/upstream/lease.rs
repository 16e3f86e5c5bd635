//! A lease: one upstream connection, or one stream of a shared one, for the time of an exchange.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};

use crate::socket::IoFacts;
use crate::upstream::error::is_refused_stream;
use crate::upstream::shared::Stream;
use crate::upstream::slot::{OpenConnection, Slot};
use crate::upstream::{PeerAddr, RequestCount, SendBody, SendError, UpstreamError};

/// The two ends of a client connection: the client, and the address it connected to.
pub type Ends = (SocketAddr, SocketAddr);

/// hyper's handle to a connection.
#[derive(Debug)]
pub enum Sender<B> {
    /// A connection of its own.
    Http1(http1::SendRequest<B>),
    /// A stream of a shared connection.
    Http2(http2::SendRequest<B>),
}

impl<B: SendBody> Sender<B> {
    #[must_use]
    pub fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    /// Whether a request can be sent now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_ready(),
            Self::Http2(sender) => sender.is_ready(),
        }
    }

    /// Waits until a request can be sent.
    ///
    /// # Errors
    /// The connection is closed.
    pub async fn ready(&mut self) -> hyper::Result<()> {
        match self {
            Self::Http1(sender) => sender.ready().await,
            Self::Http2(sender) => sender.ready().await,
        }
    }

    #[must_use]
    pub fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }
}

/// One upstream connection, or a stream of one, on loan.
#[derive(Debug)]
pub struct Lease<B> {
    pub sender: Sender<B>,
    /// Facts of the connection's socket.
    pub io: Arc<IoFacts>,
    /// Index of the upstream identity, in the configuration of the transaction that has the lease.
    pub upstream: usize,
    pub addr: PeerAddr,
    /// Whether the connection served requests before.
    pub reused: bool,
    /// Whether the connection may go (back) to the pool.
    pub poolable: bool,
    /// Counts a connection that switches protocols. hyper's task ends at the switch, and the connection goes on.
    pub tunnel: Option<OpenConnection>,
    /// When the connection was opened.
    pub opened_at: Instant,
    /// Requests that the connection has served.
    pub requests: u64,
    /// The client connection that the PROXY header names.
    pub client: Option<Ends>,
    /// How often the addresses of the upstream's name had changed when the connection was opened.
    pub changes: u32,
    /// The share of a shared connection.
    pub stream: Option<Stream<B>>,
    /// Counts the request for balancing by least requests.
    pub in_flight: Option<RequestCount>,
    pub(super) idle: IdleGuard,
}

impl<B: SendBody> Lease<B> {
    /// Sends a request and waits for the head of the response. On an error, a shared connection leaves `slot`, unless
    /// the error is of this stream alone.
    ///
    /// # Errors
    /// No response; with the request, if it is provably unsent.
    pub async fn send(&mut self, request: Request<B>, slot: &Slot<B>) -> Result<Response<Incoming>, SendError<B>> {
        let read_before = self.io.read_bytes.load(Relaxed);
        let sent = match &mut self.sender {
            Sender::Http1(sender) => sender.try_send_request(request).await,
            Sender::Http2(sender) => sender.try_send_request(request).await,
        };
        let mut error = match sent {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        let unsent = error.take_message();
        let (error, http2) = (error.into_error(), self.sender.is_http2());
        if http2 && !is_refused_stream(&error) {
            self.retire(slot);
        }
        let unseen = self.io.read_bytes.load(Relaxed) == read_before;
        Err(SendError { error: UpstreamError::of_exchange(&error, &self.addr, http2, unseen), unsent })
    }

    /// Removes a shared connection from the slot. The streams that it carries go on.
    fn retire(&self, slot: &Slot<B>) {
        if let Some(stream) = &self.stream {
            slot.shared.borrow_mut().retain(|shared| !stream.is_of(shared));
        }
    }

    /// Marks the connection idle: nothing of its exchange is left to send or to read. Only where hyper, too, waits for
    /// the next request; with HTTP/2 the other streams go on.
    pub fn mark_idle(&self) {
        self.idle.flag().set(!self.sender.is_http2() && self.sender.is_ready());
    }

    /// Marks the connection busy.
    pub fn mark_busy(&self) {
        self.idle.flag().set(false);
    }

    /// Ends the exchange.
    pub fn finished(&mut self) {
        self.requests += 1;
        self.in_flight = None;
        self.stream = None;
    }
}

/// Whether an HTTP/1.1 connection has nothing to do until something is read, or its lease is used or dropped. Clones
/// share one flag: the lease sets it, and the connection's task reads it.
#[derive(Debug, Clone, Default)]
pub struct IdleFlag(Rc<Cell<bool>>);

impl IdleFlag {
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.get()
    }

    fn set(&self, idle: bool) {
        self.0.set(idle);
    }
}

/// The lease's side of an [`IdleFlag`]. Clears the flag on drop, so that the connection's task sees that its lease is
/// gone.
#[derive(Debug, Default)]
pub struct IdleGuard(IdleFlag);

impl IdleGuard {
    fn flag(&self) -> &IdleFlag {
        &self.0
    }
}

impl From<IdleFlag> for IdleGuard {
    fn from(flag: IdleFlag) -> Self {
        Self(flag)
    }
}

impl Drop for IdleGuard {
    fn drop(&mut self) {
        self.0.set(false);
    }
}
