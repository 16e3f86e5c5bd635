//! HTTP/2 connections to upstreams: each carries many exchanges at a time.
//!
//! h2 itself keeps to the upstream's SETTINGS_MAX_CONCURRENT_STREAMS; what is counted here decides when another
//! connection is worth opening. Of requests that want a connection while none is there, one dials and the others wait
//! for what it gets.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::client::conn::http2;
use tokio::sync::Notify;

use super::{Ends, Lease, PeerAddr, Resting, Sender};
use crate::client::connection::IoFacts;
use crate::refusal::Refusal;
use crate::transaction::body::RequestBody;
use crate::upstream::pool::{Places, Slot};

/// One HTTP/2 connection.
#[derive(Debug)]
pub struct Shared {
    sender: http2::SendRequest<RequestBody>,
    io: Arc<IoFacts>,
    /// The peer.
    pub addr: PeerAddr,
    /// The client connection that its PROXY header names.
    pub client: Option<Ends>,
    /// When it was opened.
    pub opened_at: Instant,
    requests: Cell<u64>,
    streams: Cell<usize>,
    /// What the upstream allows, once it has said so.
    peer_streams_max: Rc<Cell<Option<usize>>>,
    quiet_since: Cell<Instant>,
    changes: u32,
}

impl Shared {
    /// A connection just opened; `peer_streams_max` is kept up to date by whoever drives it.
    pub fn new(
        sender: http2::SendRequest<RequestBody>,
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

    /// Exchanges that go on.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.get()
    }

    /// How long it has had none.
    #[must_use]
    pub fn idle_for(&self) -> Duration {
        self.quiet_since.get().elapsed()
    }

    /// Whether it takes no more: closed, or told to go away.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether another exchange may begin.
    #[must_use]
    pub fn has_room(&self, streams_max: usize) -> bool {
        // An upstream that allows none at the moment gets one that waits.
        let peer = self.peer_streams_max.get().unwrap_or(streams_max).max(1);
        self.streams.get() < streams_max.min(peer)
    }

    /// One exchange's share of it.
    #[must_use]
    pub fn lease(self: &Rc<Self>, upstream: usize, places: Rc<Places>) -> Box<Lease> {
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
            rests: Resting::default(),
        })
    }
}

/// Counts one exchange of a shared connection.
#[derive(Debug)]
pub struct Stream {
    shared: Rc<Shared>,
    places: Rc<Places>,
}

impl Stream {
    /// Whether it belongs to this connection.
    #[must_use]
    pub fn is_of(&self, shared: &Rc<Shared>) -> bool {
        Rc::ptr_eq(&self.shared, shared)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.streams.set(self.shared.streams.get() - 1);
        self.shared.quiet_since.set(Instant::now());
        self.places.wake();
    }
}

/// An HTTP/2 connection on its way, and those who wait for it.
#[derive(Debug, Default)]
pub struct Dialing {
    /// Why it failed; `None` = it did not, or whoever dialled has left.
    refusal: RefCell<Option<Refusal>>,
    done: Notify,
}

impl Dialing {
    /// Waits for its end.
    ///
    /// # Errors
    /// Why it failed.
    pub async fn ended(self: Rc<Self>) -> Result<(), Refusal> {
        self.done.notified().await;
        self.refusal.borrow().clone().map_or(Ok(()), Err)
    }
}

/// Held by whoever dials; tells the others when it is over, however it ended.
#[derive(Debug)]
pub struct Dialer<'a> {
    slot: &'a Slot,
    dialing: Rc<Dialing>,
}

impl<'a> Dialer<'a> {
    /// Begins to dial.
    #[must_use]
    pub fn begin(slot: &'a Slot) -> Self {
        let dialing = Rc::<Dialing>::default();
        slot.dialing.replace(Some(dialing.clone()));
        Self { slot, dialing }
    }

    /// Those who wait are to fail for the same reason.
    pub fn failed(&self, refusal: &Refusal) {
        self.dialing.refusal.replace(Some(refusal.clone()));
    }
}

impl Drop for Dialer<'_> {
    fn drop(&mut self) {
        self.slot.dialing.replace(None);
        self.dialing.done.notify_waiters();
    }
}
