//! Connections to upstreams: found in the pool, waited for, or dialled.
//!
//! ```text
//! lease ─▶ pool: idle HTTP/1.1 connection, or a stream of a shared HTTP/2 one
//!      └─▶ none: an HTTP/2 connection is on its way? wait for it
//!      └─▶ a place is free? dial: resolve ─▶ connect ─▶ PROXY header ─▶ TLS ─▶ HTTP/1.1 or HTTP/2
//!      └─▶ as many as may be: wait for one, up to a bound in number and time
//! ```

pub mod balance;
pub mod budget;
pub mod dial;
pub mod dns;
pub mod health;
pub mod pool;
pub mod prewarm;
pub mod shared;

use std::cell::Cell;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use tollgate_record::vocabulary::ErrorClass;

use crate::client::connection::IoFacts;
use crate::config::{Protocol, ProxyProtocol};
use crate::refusal::Refusal;
use crate::runtime::worker::Worker;
use crate::transaction::UpstreamFacts;
use crate::transaction::body::RequestBody;
use crate::upstream::health::InFlight;
use crate::upstream::pool::{OpenConnection, Slot};
use crate::worker_plan::WorkerPlan;
use shared::{Dialer, Stream};

/// Where a connection leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerAddr {
    /// Over TCP.
    Tcp(SocketAddr),
    /// To a socket of this machine.
    Unix(Arc<Path>),
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What requests are sent with.
#[derive(Debug)]
pub enum Sender {
    /// A connection of its own.
    Http1(http1::SendRequest<RequestBody>),
    /// A stream of a shared connection.
    Http2(http2::SendRequest<RequestBody>),
}

impl Sender {
    /// Whether the connection takes no more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    /// Whether it takes a request now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_ready(),
            Self::Http2(sender) => sender.is_ready(),
        }
    }

    /// Waits until it takes a request.
    ///
    /// # Errors
    /// It is closed.
    pub async fn ready(&mut self) -> hyper::Result<()> {
        match self {
            Self::Http1(sender) => sender.ready().await,
            Self::Http2(sender) => sender.ready().await,
        }
    }

    /// Whether it is HTTP/2.
    #[must_use]
    pub fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }
}

/// One upstream connection, or a stream of one, on loan.
#[derive(Debug)]
pub struct Lease {
    /// Sends requests.
    pub sender: Sender,
    /// What its socket saw.
    pub io: Arc<IoFacts>,
    /// Index of the upstream identity, in the plan of the transaction that has the lease.
    pub upstream: usize,
    /// The peer.
    pub addr: PeerAddr,
    /// Whether it served requests before.
    pub reused: bool,
    /// Whether it may go (back) to the pool.
    pub poolable: bool,
    /// Counts a connection that switches protocols: hyper's task ends then, and the connection goes on.
    pub tunnel: Option<OpenConnection>,
    /// When it was opened.
    pub opened_at: Instant,
    /// Requests that it has served.
    pub requests: u64,
    /// The client connection that its PROXY header names.
    pub client: Option<Ends>,
    /// How often the name's addresses had changed when it was opened.
    pub changes: u32,
    /// Its share of a shared connection.
    pub stream: Option<Stream>,
    /// Counts the request for balancing.
    pub in_flight: Option<InFlight>,
    /// Tells its task that it has nothing to do.
    pub rests: Resting,
}

/// Whether an HTTP/1.1 connection has nothing to do until something is read, or its lease is used or dropped. Copies say
/// the same.
#[derive(Debug, Clone, Default)]
pub struct Rests(Rc<Cell<bool>>);

impl Rests {
    /// Whether it is so.
    #[must_use]
    pub fn is_so(&self) -> bool {
        self.0.get()
    }
}

/// The side of the lease: it says so, and no longer once it is dropped.
#[derive(Debug, Default)]
pub struct Resting(Rests);

impl From<Rests> for Resting {
    fn from(rests: Rests) -> Self {
        Self(rests)
    }
}

impl Drop for Resting {
    fn drop(&mut self) {
        self.0.0.set(false);
    }
}

impl Lease {
    /// Sends a request and waits for the head of the response.
    ///
    /// # Errors
    /// As hyper says; with the request, if it is provably unsent.
    pub async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        match &mut self.sender {
            Sender::Http1(sender) => sender.try_send_request(request).await,
            Sender::Http2(sender) => sender.try_send_request(request).await,
        }
    }

    /// Has a shared connection take no further request; what it carries goes on.
    pub fn retire(&self, slot: &Slot) {
        if let Some(stream) = &self.stream {
            slot.shared.borrow_mut().retain(|shared| !stream.is_of(shared));
        }
    }

    /// Nothing is left to send or to read of its exchange. Only where hyper says that it waits for another one by now.
    pub fn rest(&self) {
        self.rests.0.0.set(!self.sender.is_http2() && self.sender.is_ready());
    }

    /// It is about to be used.
    pub fn rise(&self) {
        self.rests.0.0.set(false);
    }

    /// Its exchange is over.
    pub fn finished(&mut self) {
        self.requests += 1;
        self.in_flight = None;
        self.stream = None;
    }
}

/// The two ends of a client connection: the client, and the address it connected to.
pub type Ends = (SocketAddr, SocketAddr);

/// What kind of connection is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Not one from the pool.
    pub fresh: bool,
    /// One that will switch protocols.
    pub tunnel: bool,
    /// The client, and the address it connected to.
    pub client: Ends,
    /// Time to resolve, connect and shake hands.
    pub patience: Duration,
    /// About now: age and idle time of what is in the pool are told by it.
    pub now: Instant,
}

/// A connection to `upstream`, noting how long each step took.
///
/// # Errors
/// The refusal to answer with.
pub async fn lease(
    worker: &Rc<Worker>,
    plan: &Rc<WorkerPlan>,
    upstream: usize,
    wanted: &Wanted,
    facts: &mut UpstreamFacts,
) -> Result<Box<Lease>, Refusal> {
    let (pool, slot) = (&plan.pool, plan.pool.slot(upstream));
    let client = (slot.upstream().key.proxy_protocol != ProxyProtocol::None).then_some(wanted.client);
    if !wanted.fresh
        && let Some(lease) = pool.take(upstream, client, wanted.now).await
    {
        return Ok(lease);
    }
    let deadline = Instant::now() + wanted.patience;
    let patience_ends = Instant::now() + pool.bounds().pending;
    loop {
        // What is dialled for another client is of no use to this one.
        let dialing = slot.dialing.borrow().clone().filter(|_| !wanted.fresh && !wanted.tunnel && client.is_none());
        if let Some(dialing) = dialing {
            facts.enter(crate::transaction::Stage::Connect);
            let ended = tokio::time::timeout_at(deadline.into(), dialing.ended()).await;
            facts.leave();
            match ended.map_err(|_| dial::connect_timeout())? {
                // Whoever dialled had less patience than there is here.
                Err(refusal) if refusal.status != StatusCode::GATEWAY_TIMEOUT => return Err(refusal),
                _ => {}
            }
        } else if let Some(open) = pool.open(upstream) {
            let dialer = (is_shared(slot) && !wanted.tunnel && client.is_none()).then(|| Dialer::begin(slot));
            // Boxed: every transaction's future would have room for a dial that few of them make.
            let dialled = Box::pin(dial::dial(worker, plan, upstream, wanted, deadline, open, facts)).await;
            if let (Some(dialer), Err(refusal)) = (&dialer, &dialled) {
                dialer.failed(refusal);
            }
            return dialled;
        } else if !(wanted.fresh || wanted.tunnel || client.is_some()) || !slot.evict() {
            wait(pool.bounds(), slot, patience_ends).await?;
        } else {
            // The connection that made room ends in a task of its own.
            tokio::task::yield_now().await;
            wait_for_place(slot, pool.bounds(), patience_ends).await?;
        }
        if !wanted.fresh
            && let Some(lease) = pool.take(upstream, client, Instant::now()).await
        {
            return Ok(lease);
        }
    }
}

/// Whether connections to it carry several exchanges, as far as is known.
fn is_shared(slot: &Slot) -> bool {
    match slot.upstream().key.protocol {
        Protocol::Http1 => false,
        Protocol::Http2 => true,
        Protocol::Auto => slot.spoke_http2.get().unwrap_or(true),
    }
}

async fn wait(bounds: &crate::upstream::pool::Bounds, slot: &Slot, until: Instant) -> Result<(), Refusal> {
    let detail = match slot.wait(bounds, until).await {
        Some(true) => return Ok(()),
        Some(false) => {
            format!(
                "all {} connections to {} are in use, and none became free in time",
                bounds.open_max,
                slot.upstream().state.name
            )
        }
        None => {
            format!("{} requests wait for a connection to {} already", bounds.pending_max, slot.upstream().state.name)
        }
    };
    Err(Refusal::gateway(StatusCode::SERVICE_UNAVAILABLE, ErrorClass::NoHealthyUpstream, detail))
}

/// Waits for the place of an evicted connection, unless it is free already.
async fn wait_for_place(slot: &Slot, bounds: &crate::upstream::pool::Bounds, until: Instant) -> Result<(), Refusal> {
    match slot.places().has_room(bounds.open_max) {
        true => Ok(()),
        false => wait(bounds, slot, until).await,
    }
}
