//! Upstream connections of one worker: for each upstream identity, the idle ones of HTTP/1.1 (last in, first out), the
//! shared ones of HTTP/2, and whoever waits for one.
//!
//! Identities are interned when the configuration is compiled ([`crate::config::UpstreamKey`], equal by value), so a
//! lookup is an index and two identities can never share a socket. The most recently used connection goes out first:
//! the others age and are closed.
//!
//! A pool belongs to one plan; the next plan's takes over the slots of the upstreams that it has too. The slots of the
//! others close: what is idle in them ends at once, what is on loan ends with its exchange. A slot is made at its first
//! use, so that thousands of upstreams that a worker has not met cost it neither memory nor time.
//!
//! A connection is used again only after an exchange that is complete on both sides, and only while it is young, has
//! requests left, and leads to an address that its name still has. One that began with a PROXY header serves the client
//! connection that the header names ([`Ends`]), and no other.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::config::{Endpoint, Plan, UpstreamPlan};
use crate::upstream::budget::Budget;
use crate::upstream::shared::{Dialing, Shared};
use crate::upstream::{Ends, Lease, PeerAddr};

/// Wait for a pooled connection whose task has yet to see the end of its last exchange; another is faster after that.
const READY_MAX: Duration = Duration::from_millis(5);

/// The pool.
#[derive(Debug)]
pub struct Pool {
    plan: Arc<Plan>,
    /// By index into [`Plan::upstreams`].
    slots: Vec<OnceCell<Rc<Slot>>>,
    /// The slots that there are.
    made: RefCell<Vec<usize>>,
    /// Whether another plan is in force.
    is_past: Cell<bool>,
    bounds: Bounds,
}

/// Bounds on the connections to one upstream identity.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Idle ones.
    pub idle_max: usize,
    /// All of them.
    pub open_max: usize,
    /// Time that one is idle.
    pub idle_time_max: Duration,
    /// Age past which one takes no further request.
    pub age_max: Duration,
    /// Requests on one; 0 = no bound.
    pub requests_max: u64,
    /// Streams on one of HTTP/2.
    pub streams_max: usize,
    /// Requests that wait for one.
    pub pending_max: usize,
    /// How long they wait.
    pub pending: Duration,
}

impl Bounds {
    /// Whether a connection of this age and use takes another request.
    #[must_use]
    pub fn allow(&self, now: Instant, opened_at: Instant, requests: u64) -> bool {
        (self.requests_max == 0 || requests < self.requests_max)
            && now.saturating_duration_since(opened_at) <= self.age_max
    }
}

/// One upstream identity.
#[derive(Debug)]
pub struct Slot {
    upstream: Arc<UpstreamPlan>,
    /// Set once no plan to come has this upstream.
    closed: Cell<bool>,
    idle: RefCell<Vec<(Box<Lease>, Instant)>>,
    /// HTTP/2 connections.
    pub shared: RefCell<Vec<Rc<Shared>>>,
    /// An HTTP/2 connection on its way.
    pub dialing: RefCell<Option<Rc<Dialing>>>,
    /// What the upstream spoke last, where it could choose: whether HTTP/2.
    pub spoke_http2: Cell<Option<bool>>,
    places: Rc<Places>,
    /// Addresses that the name had when it was last looked at, and how often they changed.
    addresses: RefCell<Option<Rc<[IpAddr]>>>,
    changes: Cell<u32>,
    /// Whether a connection is being made ready ahead of its use.
    pub warming: Cell<bool>,
    /// No connection is made ready before this, as the last one failed.
    pub warm_after: Cell<Option<Instant>>,
    /// What may be tried again.
    pub budget: Budget,
}

/// Places for connections, and who waits for one.
#[derive(Debug, Default)]
pub struct Places {
    open: Cell<usize>,
    waiting: Cell<usize>,
    freed: Notify,
}

/// One open connection, for as long as it lives.
#[derive(Debug)]
pub struct OpenConnection {
    places: Rc<Places>,
    upstream: Arc<UpstreamPlan>,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.upstream.state.connections.fetch_sub(1, Relaxed);
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

    /// Tells one of those who wait that it is worth looking again.
    pub fn wake(&self) {
        if self.waiting.get() > 0 {
            self.freed.notify_one();
        }
    }
}

/// Counts one who waits.
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

impl Slot {
    fn new(upstream: Arc<UpstreamPlan>) -> Self {
        Self {
            upstream,
            closed: Cell::new(false),
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

    /// The identity.
    #[must_use]
    pub fn upstream(&self) -> &Arc<UpstreamPlan> {
        &self.upstream
    }

    /// Places for its connections.
    #[must_use]
    pub fn places(&self) -> &Rc<Places> {
        &self.places
    }

    /// Lets idle connections go, and keeps none from now on.
    fn close(&self) {
        self.closed.set(true);
        self.idle.borrow_mut().clear();
        self.shared.borrow_mut().clear();
    }

    /// Whether connections of no plan to come will be kept here.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Idle connections, those of HTTP/2 without a stream included.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.idle.borrow().len() + self.shared.borrow().iter().filter(|shared| shared.streams() == 0).count()
    }

    /// How often the addresses behind the name have changed.
    #[must_use]
    pub fn changes(&self) -> u32 {
        self.changes.get()
    }

    /// Notes the addresses that the name has now; connections to others are given up.
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

    /// An idle connection for `client`, ready to send: the one used last.
    async fn take_idle(&self, bounds: &Bounds, client: Option<Ends>, now: Instant) -> Option<Box<Lease>> {
        loop {
            let (mut lease, since) = {
                let mut idle = self.idle.borrow_mut();
                match client {
                    None => idle.pop()?,
                    Some(_) => {
                        let place = idle.iter().rposition(|(lease, _)| lease.client == client)?;
                        idle.remove(place)
                    }
                }
            };
            lease.rise();
            if lease.sender.is_closed()
                || now.saturating_duration_since(since) > bounds.idle_time_max
                || !bounds.allow(now, lease.opened_at, lease.requests)
            {
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

    /// A stream of a shared connection for `client`.
    fn take_shared(&self, bounds: &Bounds, upstream: usize, client: Option<Ends>) -> Option<Box<Lease>> {
        let mut shared = self.shared.borrow_mut();
        if shared.is_empty() {
            return None;
        }
        let now = Instant::now();
        shared.retain(|shared| !shared.is_closed() && bounds.allow(now, shared.opened_at, shared.requests()));
        let found =
            shared.iter().rev().find(|shared| shared.client == client && shared.has_room(bounds.streams_max))?;
        Some(found.lease(upstream, self.places.clone()))
    }

    /// Closes the idle connection that was used least recently, to make a place. Returns whether there was one.
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

    /// Waits until a connection or a place may be free, or `until`. Returns whether there was time, and `None` if as
    /// many wait as may.
    pub async fn wait(&self, bounds: &Bounds, until: Instant) -> Option<bool> {
        if self.places.waiting.get() >= bounds.pending_max {
            return None;
        }
        let _counted = Waiting::new(&self.places.waiting);
        Some(tokio::time::timeout_at(until.into(), self.places.freed.notified()).await.is_ok())
    }
}

impl Pool {
    /// The pool of `plan`, with the connections of `before` to the upstreams that both have.
    #[must_use]
    pub fn new(plan: &Arc<Plan>, before: Option<&Self>) -> Self {
        let mut slots: Vec<OnceCell<Rc<Slot>>> = plan.upstreams.iter().map(|_| OnceCell::new()).collect();
        let mut made = Vec::new();
        if let Some(before) = before {
            before.is_past.set(true);
            // Equal upstreams of two plans are one Arc, so its address tells; `before` keeps those alive that are compared.
            let mut old: HashMap<*const UpstreamPlan, Rc<Slot>> =
                before.made().into_iter().map(|slot| (Arc::as_ptr(&slot.upstream), slot)).collect();
            for (index, upstream) in plan.upstreams.iter().enumerate() {
                if let Some(slot) = old.remove(&Arc::as_ptr(upstream)) {
                    slots[index] = OnceCell::from(slot);
                    made.push(index);
                }
            }
            old.values().for_each(|slot| slot.close());
        }
        let (limits, timeouts) = (&plan.config.limits, &plan.config.timeouts);
        let bounds = Bounds {
            idle_max: limits.upstream_idle_max,
            open_max: limits.upstream_connections_max,
            idle_time_max: timeouts.upstream_idle.0,
            age_max: timeouts.upstream_age.0,
            requests_max: limits.upstream_requests_per_connection_max,
            streams_max: limits.upstream_streams_max,
            pending_max: limits.upstream_pending_max,
            pending: timeouts.upstream_pending.0,
        };
        Self { plan: plan.clone(), slots, made: RefCell::new(made), is_past: Cell::new(false), bounds }
    }

    /// The slots that there are.
    fn made(&self) -> Vec<Rc<Slot>> {
        self.made.borrow().iter().filter_map(|index| self.slots[*index].get().cloned()).collect()
    }

    /// What holds for each identity.
    #[must_use]
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// One identity.
    #[must_use]
    pub fn slot(&self, upstream: usize) -> &Rc<Slot> {
        self.slots[upstream].get_or_init(|| {
            self.made.borrow_mut().push(upstream);
            let slot = Slot::new(self.plan.upstreams[upstream].clone());
            // The pool in force knows nothing of one that is made for a transaction of a plan before.
            slot.closed.set(self.is_past.get());
            Rc::new(slot)
        })
    }

    /// A connection that is open and takes a request of `client` now. `client` is asked for where connections begin
    /// with a PROXY header.
    pub async fn take(&self, upstream: usize, client: Option<Ends>, now: Instant) -> Option<Box<Lease>> {
        let slot = self.slot(upstream);
        if let Some(lease) = slot.take_shared(&self.bounds, upstream, client) {
            return Some(lease);
        }
        slot.take_idle(&self.bounds, client, now).await
    }

    /// Keeps a connection whose exchange is complete.
    pub fn give_back(&self, mut lease: Box<Lease>, now: Instant) {
        lease.finished();
        self.keep_ready(lease, now);
    }

    /// Keeps a connection that is not in use.
    pub fn keep_ready(&self, lease: Box<Lease>, now: Instant) {
        let slot = self.slot(lease.upstream);
        let keep = lease.poolable
            && !slot.closed.get()
            && !lease.sender.is_closed()
            && self.bounds.allow(now, lease.opened_at, lease.requests)
            && (lease.changes == slot.changes.get() || slot.leads_on(&lease.addr));
        if !keep {
            return;
        }
        let mut idle = slot.idle.borrow_mut();
        if idle.len() < self.bounds.idle_max {
            idle.push((lease, now));
            drop(idle);
            slot.places.wake();
        }
    }

    /// A place for a new connection, unless the identity has as many as it may.
    #[must_use]
    pub fn open(&self, upstream: usize) -> Option<OpenConnection> {
        let slot = self.slot(upstream);
        let open = &slot.places.open;
        if open.get() >= self.bounds.open_max {
            return None;
        }
        open.set(open.get() + 1);
        slot.upstream.state.connections.fetch_add(1, Relaxed);
        Some(OpenConnection { places: slot.places.clone(), upstream: slot.upstream.clone() })
    }

    /// Closes what has been idle for too long, is too old, or leads to an address that its name has no more.
    pub fn sweep(&self, resolver: &crate::upstream::dns::Resolver) {
        for slot in self.made.borrow().iter().filter_map(|index| self.slots[*index].get()) {
            if slot.places.open.get() == 0 {
                continue;
            }
            if let Endpoint::Tcp(host, _) = &slot.upstream.key.endpoint
                && let Some(addresses) = resolver.known(host)
            {
                slot.note_addresses(addresses);
            }
            let (bounds, now) = (&self.bounds, Instant::now());
            slot.idle.borrow_mut().retain(|(lease, since)| {
                !lease.sender.is_closed()
                    && now.saturating_duration_since(*since) <= bounds.idle_time_max
                    && bounds.allow(now, lease.opened_at, lease.requests)
            });
            slot.shared.borrow_mut().retain(|shared| {
                let idle = shared.streams() == 0 && shared.idle_for() > bounds.idle_time_max;
                !shared.is_closed() && !idle && bounds.allow(now, shared.opened_at, shared.requests())
            });
        }
    }
}
