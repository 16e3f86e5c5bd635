//! The connections of one worker to one upstream identity: idle, shared and open ones, and the places for more.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::plan::{Endpoint, UpstreamConfig};
use crate::upstream::budget::Budget;
use crate::upstream::dns::Resolver;
use crate::upstream::lease::Ends;
use crate::upstream::shared::{Dialing, Shared};
use crate::upstream::{Lease, PeerAddr, SendBody};

/// Longest wait for a pooled connection whose task has not yet seen the end of its last exchange. After it, dialling is
/// faster.
const READY_MAX: Duration = Duration::from_millis(5);

/// Bounds on the connections to one upstream identity.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Idle connections.
    pub idle_max: usize,
    /// Open connections.
    pub open_max: usize,
    /// Time that a connection may be idle.
    pub idle_time_max: Duration,
    /// Age past which a connection takes no further request.
    pub age_max: Duration,
    /// Requests on one connection; 0 = no bound.
    pub requests_max: u64,
    /// Streams on one HTTP/2 connection.
    pub streams_max: usize,
    /// Requests that wait for a connection.
    pub pending_max: usize,
    /// How long a request waits for a connection.
    pub pending: Duration,
}

impl Bounds {
    #[must_use]
    pub fn allow(&self, now: Instant, opened_at: Instant, requests: u64) -> bool {
        (self.requests_max == 0 || requests < self.requests_max)
            && now.saturating_duration_since(opened_at) <= self.age_max
    }
}

/// One upstream identity.
#[derive(Debug)]
pub struct Slot<B> {
    upstream: Arc<UpstreamConfig>,
    /// Set once no future configuration has this upstream.
    closed: Cell<bool>,
    idle: RefCell<Vec<(Box<Lease<B>>, Instant)>>,
    /// HTTP/2 connections.
    pub shared: RefCell<Vec<Rc<Shared<B>>>>,
    /// The HTTP/2 connection that is being dialled.
    pub dialing: RefCell<Option<Rc<Dialing>>>,
    /// Whether the last connection agreed on HTTP/2, where the upstream could choose.
    pub spoke_http2: Cell<Option<bool>>,
    places: Rc<Places>,
    /// Addresses that the name had when it was last resolved.
    addresses: RefCell<Option<Rc<[IpAddr]>>>,
    /// How often those addresses have changed.
    changes: Cell<u32>,
    /// Whether a connection is being prewarmed.
    pub warming: Cell<bool>,
    /// Set by a failed prewarm: the earliest time of the next.
    pub warm_after: Cell<Option<Instant>>,
    /// The bound on retries.
    pub budget: Budget,
}

/// The places for connections of one upstream identity, and the count of requests that wait for one.
#[derive(Debug, Default)]
pub struct Places {
    open: Cell<usize>,
    waiting: Cell<usize>,
    freed: Notify,
}

/// Counts one open connection for as long as it lives.
#[derive(Debug)]
pub struct OpenConnection {
    places: Rc<Places>,
    upstream: Arc<UpstreamConfig>,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.upstream.state.connection_closed();
        self.places.open.set(self.places.open.get() - 1);
        self.places.wake();
    }
}

impl Places {
    /// Whether another connection may be opened.
    #[must_use]
    pub fn has_room(&self, open_max: usize) -> bool {
        self.open.get() < open_max
    }

    /// Wakes one waiting request.
    pub fn wake(&self) {
        if self.waiting.get() > 0 {
            self.freed.notify_one();
        }
    }
}

/// Counts one waiting request.
struct Waiting<'a>(&'a Cell<usize>);

impl<'a> Waiting<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl<B: SendBody> Slot<B> {
    pub fn new(upstream: Arc<UpstreamConfig>, closed: bool) -> Self {
        Self {
            upstream,
            closed: Cell::new(closed),
            idle: RefCell::default(),
            shared: RefCell::default(),
            dialing: RefCell::default(),
            spoke_http2: Cell::new(None),
            places: Rc::default(),
            addresses: RefCell::default(),
            changes: Cell::new(0),
            warming: Cell::new(false),
            warm_after: Cell::new(None),
            budget: Budget::default(),
        }
    }

    #[must_use]
    pub fn upstream(&self) -> &Arc<UpstreamConfig> {
        &self.upstream
    }

    #[must_use]
    pub fn places(&self) -> &Rc<Places> {
        &self.places
    }

    /// Drops the idle connections, and keeps none from now on.
    pub fn close(&self) {
        self.closed.set(true);
        self.idle.borrow_mut().clear();
        self.shared.borrow_mut().clear();
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Idle connections, HTTP/2 connections without a stream included.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.idle.borrow().len() + self.shared.borrow().iter().filter(|shared| shared.streams() == 0).count()
    }

    /// How often the addresses behind the name have changed.
    #[must_use]
    pub fn changes(&self) -> u32 {
        self.changes.get()
    }

    /// Notes the addresses that the name has now, and drops connections to others.
    fn note_addresses(&self, now: Rc<[IpAddr]>) {
        let mut addresses = self.addresses.borrow_mut();
        let same = addresses
            .as_ref()
            .is_none_or(|before| before.len() == now.len() && now.iter().all(|ip| before.contains(ip)));
        *addresses = Some(now);
        if !same {
            self.changes.set(self.changes.get().wrapping_add(1));
            drop(addresses);
            self.idle.borrow_mut().retain(|(lease, _)| self.leads_on(&lease.addr));
            self.shared.borrow_mut().retain(|shared| self.leads_on(&shared.addr));
        }
    }

    /// Whether the name still has this address.
    fn leads_on(&self, addr: &PeerAddr) -> bool {
        match (addr, &*self.addresses.borrow()) {
            (PeerAddr::Tcp(addr), Some(addresses)) => addresses.contains(&addr.ip()),
            _ => true,
        }
    }

    /// Takes the most recently used idle connection for `client` that is ready to send.
    pub async fn take_idle(&self, bounds: &Bounds, client: Option<Ends>, now: Instant) -> Option<Box<Lease<B>>> {
        loop {
            let (mut lease, since) = {
                let mut idle = self.idle.borrow_mut();
                match client {
                    // The last one in: its peer is the least likely to have closed it.
                    None => idle.pop()?,
                    Some(_) => {
                        let place = idle.iter().rposition(|(lease, _)| lease.client == client)?;
                        idle.remove(place)
                    }
                }
            };
            lease.mark_busy();
            if lease.sender.is_closed()
                || now.saturating_duration_since(since) > bounds.idle_time_max
                || !bounds.allow(now, lease.opened_at, lease.requests)
            {
                // Dropped here, which closes it.
                continue;
            }
            let ready = match lease.sender.is_ready() {
                true => true,
                false => matches!(tokio::time::timeout(READY_MAX, lease.sender.ready()).await, Ok(Ok(()))),
            };
            if ready {
                lease.reused = true;
                return Some(lease);
            }
        }
    }

    /// Takes a stream of a shared connection for `client`.
    pub fn take_shared(&self, bounds: &Bounds, upstream: usize, client: Option<Ends>) -> Option<Box<Lease<B>>> {
        let mut shared = self.shared.borrow_mut();
        if shared.is_empty() {
            return None;
        }
        let now = Instant::now();
        shared.retain(|shared| !shared.is_closed() && bounds.allow(now, shared.opened_at, shared.requests()));
        // The newest first, so that an old one drains and is swept.
        let found =
            shared.iter().rev().find(|shared| shared.client == client && shared.has_room(bounds.streams_max))?;
        Some(found.lease(upstream, self.places.clone()))
    }

    /// Closes the least recently used idle connection to free its place. Returns whether there was one.
    pub fn evict(&self) -> bool {
        let mut idle = self.idle.borrow_mut();
        if !idle.is_empty() {
            idle.remove(0);
            return true;
        }
        drop(idle);
        let mut shared = self.shared.borrow_mut();
        match shared.iter().position(|shared| shared.streams() == 0) {
            Some(place) => {
                shared.remove(place);
                true
            }
            None => false,
        }
    }

    /// Waits until a connection or a place may be free. Returns false at `until`, and `None` if too many requests wait.
    pub async fn wait(&self, bounds: &Bounds, until: Instant) -> Option<bool> {
        if self.places.waiting.get() >= bounds.pending_max {
            return None;
        }
        let _counted = Waiting::new(&self.places.waiting);
        Some(tokio::time::timeout_at(until.into(), self.places.freed.notified()).await.is_ok())
    }

    /// Keeps an idle connection, unless it is not to be used again.
    pub fn keep(&self, bounds: &Bounds, lease: Box<Lease<B>>, now: Instant) {
        let keep = lease.poolable
            && !self.closed.get()
            && !lease.sender.is_closed()
            && bounds.allow(now, lease.opened_at, lease.requests)
            && (lease.changes == self.changes.get() || self.leads_on(&lease.addr));
        if !keep {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() < bounds.idle_max {
            idle.push((lease, now));
            drop(idle);
            self.places.wake();
        }
    }

    /// Takes a place for a new connection, unless all are taken.
    #[must_use]
    pub fn open(&self, bounds: &Bounds) -> Option<OpenConnection> {
        let open = &self.places.open;
        if open.get() >= bounds.open_max {
            return None;
        }
        open.set(open.get() + 1);
        self.upstream.state.connection_opened();
        Some(OpenConnection { places: self.places.clone(), upstream: self.upstream.clone() })
    }

    /// Closes what has been idle for too long, is too old, or leads to an address that its name lost.
    pub fn sweep(&self, bounds: &Bounds, resolver: &Resolver) {
        if self.places.open.get() == 0 {
            return;
        }
        if let Endpoint::Tcp(host, _) = &self.upstream.key.endpoint
            && let Some(addresses) = resolver.known(host)
        {
            self.note_addresses(addresses);
        }
        let now = Instant::now();
        self.idle.borrow_mut().retain(|(lease, since)| {
            !lease.sender.is_closed()
                && now.saturating_duration_since(*since) <= bounds.idle_time_max
                && bounds.allow(now, lease.opened_at, lease.requests)
        });
        self.shared.borrow_mut().retain(|shared| {
            let idle = shared.streams() == 0 && shared.idle_for() > bounds.idle_time_max;
            !shared.is_closed() && !idle && bounds.allow(now, shared.opened_at, shared.requests())
        });
    }
}
