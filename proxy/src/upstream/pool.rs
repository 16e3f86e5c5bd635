//! Upstream connections of one worker. For each upstream identity: the idle HTTP/1.1 connections (last in, first out),
//! the shared HTTP/2 connections, and the requests that wait for one.
//!
//! Identities are interned when the configuration is compiled ([`crate::plan::UpstreamKey`], equal by value). So a
//! lookup is an index, and two identities never share a socket. The most recently used connection is leased first, so
//! that the others age and are closed.
//!
//! A pool belongs to one configuration. The next one's pool takes over the slots of the upstreams that both have. The
//! other slots close: their idle connections end at once, and leased ones end with their exchange. A slot is created at
//! its first use, so that thousands of upstreams which a worker never meets cost it neither memory nor time.
//!
//! A connection is reused only after an exchange that is complete on both sides, and only while it is young, has
//! requests left, and leads to an address that its name still has. A connection that began with a PROXY header serves
//! the client connection that the header names ([`Ends`]), and no other.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use crate::plan::{RuntimeConfig, UpstreamConfig};
use crate::upstream::dns::Resolver;
use crate::upstream::lease::Ends;
use crate::upstream::slot::{Bounds, OpenConnection, Slot};
use crate::upstream::{Lease, SendBody};

/// The connections of one worker to the upstreams of one configuration.
#[derive(Debug)]
pub struct Pool<B> {
    pub(super) config: Arc<RuntimeConfig>,
    /// By index into [`RuntimeConfig::upstreams`].
    slots: Vec<OnceCell<Rc<Slot<B>>>>,
    /// Indices of the slots that exist.
    created: RefCell<Vec<usize>>,
    /// Whether another configuration is in force.
    is_past: Cell<bool>,
    bounds: Bounds,
    /// Services that want connections kept ready, as indices into [`RuntimeConfig::services`].
    pub(super) prewarmed: Vec<usize>,
}

impl<B: SendBody> Pool<B> {
    /// The pool of `config`. It takes over the connections of `before` to the upstreams that both configurations have.
    #[must_use]
    pub fn new(config: &Arc<RuntimeConfig>, before: Option<&Self>) -> Self {
        let mut slots: Vec<OnceCell<Rc<Slot<B>>>> = config.upstreams.iter().map(|_| OnceCell::new()).collect();
        let mut created = Vec::new();
        if let Some(before) = before {
            before.is_past.set(true);
            // Equal upstreams of consecutive configurations are one Arc, so their addresses tell. `before` keeps those
            // alive.
            let mut old: HashMap<*const UpstreamConfig, Rc<Slot<B>>> =
                before.created().into_iter().map(|slot| (Arc::as_ptr(slot.upstream()), slot)).collect();
            for (index, upstream) in config.upstreams.iter().enumerate() {
                if let Some(slot) = old.remove(&Arc::as_ptr(upstream)) {
                    slots[index] = OnceCell::from(slot);
                    created.push(index);
                }
            }
            old.values().for_each(|slot| slot.close());
        }
        let (limits, timeouts) = (&config.file.limits, &config.file.timeouts);
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
        let prewarmed =
            (0..config.services.len()).filter(|index| config.services[*index].warm_connections > 0).collect();
        let (created, is_past) = (RefCell::new(created), Cell::new(false));
        Self { config: config.clone(), slots, created, is_past, bounds, prewarmed }
    }

    fn created(&self) -> Vec<Rc<Slot<B>>> {
        self.created.borrow().iter().filter_map(|index| self.slots[*index].get().cloned()).collect()
    }

    #[must_use]
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// The slot of one upstream, created at the first call.
    #[must_use]
    pub fn slot(&self, upstream: usize) -> &Rc<Slot<B>> {
        self.slots[upstream].get_or_init(|| {
            self.created.borrow_mut().push(upstream);
            // A slot that a transaction of a past configuration creates is unknown to the pool in force, and must keep
            // nothing.
            Rc::new(Slot::new(self.config.upstreams[upstream].clone(), self.is_past.get()))
        })
    }

    /// Takes a connection that can send now. `client` is set where connections begin with a PROXY header.
    pub async fn take(&self, upstream: usize, client: Option<Ends>, now: Instant) -> Option<Box<Lease<B>>> {
        let slot = self.slot(upstream);
        if let Some(lease) = slot.take_shared(&self.bounds, upstream, client) {
            return Some(lease);
        }
        slot.take_idle(&self.bounds, client, now).await
    }

    /// Returns a connection whose exchange is complete.
    pub fn give_back(&self, mut lease: Box<Lease<B>>, now: Instant) {
        lease.finished();
        self.keep_ready(lease, now);
    }

    /// Keeps an idle connection, unless it is not to be used again.
    pub fn keep_ready(&self, lease: Box<Lease<B>>, now: Instant) {
        self.slot(lease.upstream).keep(&self.bounds, lease, now);
    }

    /// Takes a place for a new connection, unless all are taken.
    #[must_use]
    pub fn open(&self, upstream: usize) -> Option<OpenConnection> {
        self.slot(upstream).open(&self.bounds)
    }

    /// Closes what has been idle for too long, is too old, or leads to an address that its name lost.
    pub(super) fn sweep(&self, resolver: &Resolver) {
        for slot in self.created.borrow().iter().filter_map(|index| self.slots[*index].get()) {
            slot.sweep(&self.bounds, resolver);
        }
    }
}
