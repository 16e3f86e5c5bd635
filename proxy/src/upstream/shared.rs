//! HTTP/2 connections to upstreams: each carries many exchanges at a time.
//!
//! h2 itself obeys the upstream's SETTINGS_MAX_CONCURRENT_STREAMS. The streams counted here decide when to open another
//! connection. Of the requests that want a connection while there is none, one dials and the others wait for its
//! result.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::client::conn::http2;
use tokio::sync::Notify;

use crate::socket::IoFacts;
use crate::upstream::lease::{Ends, IdleGuard, Sender};
use crate::upstream::slot::{Places, Slot};
use crate::upstream::{Lease, PeerAddr, SendBody, UpstreamError};

/// One HTTP/2 connection.
#[derive(Debug)]
pub struct Shared<B> {
    sender: http2::SendRequest<B>,
    io: Arc<IoFacts>,
    pub addr: PeerAddr,
    /// The client connection that the PROXY header names.
    pub client: Option<Ends>,
    pub opened_at: Instant,
    requests: Cell<u64>,
    streams: Cell<usize>,
    /// Streams that the upstream allows, once its SETTINGS have arrived.
    peer_streams_max: Rc<Cell<Option<usize>>>,
    quiet_since: Cell<Instant>,
    changes: u32,
}

impl<B: SendBody> Shared<B> {
    /// A connection just opened. The task that drives it updates `peer_streams_max`.
    pub fn new(
        sender: http2::SendRequest<B>,
        io: Arc<IoFacts>,
        addr: PeerAddr,
        client: Option<Ends>,
        peer_streams_max: Rc<Cell<Option<usize>>>,
        changes: u32,
    ) -> Rc<Self> {
        let now = Instant::now();
        Rc::new(Self {
            sender,
            io,
            addr,
            client,
            opened_at: now,
            requests: Cell::new(0),
            streams: Cell::new(0),
            peer_streams_max,
            quiet_since: Cell::new(now),
            changes,
        })
    }

    /// Requests so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.get()
    }

    /// Exchanges under way.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.get()
    }

    /// Time since the last exchange ended.
    #[must_use]
    pub fn idle_for(&self) -> Duration {
        self.quiet_since.get().elapsed()
    }

    /// Whether the connection takes no more exchanges: closed, or told to go away.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether another exchange may begin.
    #[must_use]
    pub fn has_room(&self, streams_max: usize) -> bool {
        // An upstream that allows no stream at the moment gets one, which waits in h2.
        let peer = self.peer_streams_max.get().unwrap_or(streams_max).max(1);
        self.streams.get() < streams_max.min(peer)
    }

    /// Leases one stream.
    #[must_use]
    pub fn lease(self: &Rc<Self>, upstream: usize, places: Rc<Places>) -> Box<Lease<B>> {
        self.streams.set(self.streams.get() + 1);
        let before = self.requests.replace(self.requests.get() + 1);
        Box::new(Lease {
            sender: Sender::Http2(self.sender.clone()),
            io: self.io.clone(),
            upstream,
            addr: self.addr.clone(),
            reused: before > 0,
            poolable: false,
            tunnel: None,
            opened_at: self.opened_at,
            requests: before,
            client: self.client,
            changes: self.changes,
            stream: Some(Stream { shared: self.clone(), places }),
            in_flight: None,
            idle: IdleGuard::default(),
        })
    }
}

/// Counts one exchange of a shared connection, for as long as it lives.
#[derive(Debug)]
pub struct Stream<B> {
    shared: Rc<Shared<B>>,
    places: Rc<Places>,
}

impl<B> Stream<B> {
    #[must_use]
    pub fn is_of(&self, shared: &Rc<Shared<B>>) -> bool {
        Rc::ptr_eq(&self.shared, shared)
    }
}

impl<B> Drop for Stream<B> {
    fn drop(&mut self) {
        self.shared.streams.set(self.shared.streams.get() - 1);
        self.shared.quiet_since.set(Instant::now());
        self.places.wake();
    }
}

/// An HTTP/2 connection that is being dialled, for the requests that wait for it.
#[derive(Debug, Default)]
pub struct Dialing {
    /// `None` = it succeeded, or the request that dialled was dropped.
    error: RefCell<Option<UpstreamError>>,
    done: Notify,
}

impl Dialing {
    /// Waits until dialling is over.
    ///
    /// # Errors
    /// Dialling failed.
    pub async fn ended(self: Rc<Self>) -> Result<(), UpstreamError> {
        self.done.notified().await;
        self.error.borrow().clone().map_or(Ok(()), Err)
    }
}

/// Held by the request that dials. Wakes the waiting requests on drop, however dialling ended.
#[derive(Debug)]
pub struct Dialer<'a, B> {
    slot: &'a Slot<B>,
    dialing: Rc<Dialing>,
}

impl<'a, B> Dialer<'a, B> {
    #[must_use]
    pub fn begin(slot: &'a Slot<B>) -> Self {
        let dialing = Rc::<Dialing>::default();
        slot.dialing.replace(Some(dialing.clone()));
        Self { slot, dialing }
    }

    /// Makes the waiting requests fail for the same reason.
    pub fn failed(&self, error: &UpstreamError) {
        self.dialing.error.replace(Some(error.clone()));
    }
}

impl<B> Drop for Dialer<'_, B> {
    fn drop(&mut self) {
        self.slot.dialing.replace(None);
        self.dialing.done.notify_waiters();
    }
}
