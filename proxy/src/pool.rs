//! Idle upstream connections of one worker: one last-in-first-out list per upstream identity.
//!
//! Identities are interned when the configuration is compiled ([`crate::config::UpstreamKey`], equal by value), so a
//! lookup is an index and two identities can never share a socket. The most recently used connection goes out first:
//! the others age and are closed.
//!
//! A pool belongs to one plan; the next plan's takes over the slots of the upstreams that it has too. The slots of the
//! others close: what is idle in them ends at once, what is on loan ends with its exchange.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{Plan, UpstreamPlan};
use crate::upstream::Lease;

/// Wait for a pooled connection whose task has yet to see the end of its last exchange; another is faster after that.
const READY_MAX: Duration = Duration::from_millis(5);

/// The pool.
#[derive(Debug)]
pub struct Pool {
    slots: Vec<Rc<Slot>>,
    idle_max: usize,
    open_max: usize,
    idle_time_max: Duration,
}

#[derive(Debug)]
struct Slot {
    upstream: Arc<UpstreamPlan>,
    /// Set once no plan to come has this upstream.
    closed: Cell<bool>,
    idle: RefCell<Vec<(Lease, Instant)>>,
    open: Rc<Cell<usize>>,
}

/// Counts one open connection for as long as it lives.
#[derive(Debug)]
pub struct OpenConnection(Rc<Cell<usize>>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Slot {
    fn new(upstream: Arc<UpstreamPlan>) -> Self {
        Self { upstream, closed: Cell::new(false), idle: RefCell::default(), open: Rc::default() }
    }

    /// Lets idle connections go, and keeps none from now on.
    fn close(&self) {
        self.closed.set(true);
        self.idle.borrow_mut().clear();
    }
}

impl Pool {
    /// The pool of `plan`, with the connections of `before` to the upstreams that both have.
    #[must_use]
    pub fn new(plan: &Plan, before: Option<&Self>) -> Self {
        // Equal upstreams of two plans are one Arc, so its address tells; `before` keeps those alive that are compared.
        let old = before.map_or(&[][..], |before| &before.slots);
        let mut old: HashMap<*const UpstreamPlan, &Rc<Slot>> =
            old.iter().map(|slot| (Arc::as_ptr(&slot.upstream), slot)).collect();
        let mut slots = Vec::with_capacity(plan.upstreams.len());
        for upstream in &plan.upstreams {
            slots.push(match old.remove(&Arc::as_ptr(upstream)) {
                Some(slot) => slot.clone(),
                None => Rc::new(Slot::new(upstream.clone())),
            });
        }
        old.values().for_each(|slot| slot.close());
        let (limits, timeouts) = (&plan.config.limits, &plan.config.timeouts);
        Self {
            slots,
            idle_max: limits.upstream_idle_max,
            open_max: limits.upstream_connections_max,
            idle_time_max: timeouts.upstream_idle.0,
        }
    }

    /// The connection used last that is still open, ready to send.
    pub async fn take(&self, upstream: usize) -> Option<Lease> {
        loop {
            let (mut lease, since) = self.slots[upstream].idle.borrow_mut().pop()?;
            if lease.sender.is_closed() || since.elapsed() > self.idle_time_max {
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

    /// Keeps a connection whose exchange is complete.
    pub fn give_back(&self, lease: Lease) {
        let slot = &self.slots[lease.upstream];
        let mut idle = slot.idle.borrow_mut();
        if !slot.closed.get() && idle.len() < self.idle_max && lease.poolable && !lease.sender.is_closed() {
            idle.push((lease, Instant::now()));
        }
    }

    /// A place for a new connection, unless the identity has as many as it may.
    #[must_use]
    pub fn open(&self, upstream: usize) -> Option<OpenConnection> {
        let open = &self.slots[upstream].open;
        if open.get() >= self.open_max {
            return None;
        }
        open.set(open.get() + 1);
        Some(OpenConnection(open.clone()))
    }

    /// Closes what has been idle for too long.
    pub fn sweep(&self) {
        for slot in &self.slots {
            let mut idle = slot.idle.borrow_mut();
            if !idle.is_empty() {
                idle.retain(|(lease, since)| !lease.sender.is_closed() && since.elapsed() <= self.idle_time_max);
            }
        }
    }
}
