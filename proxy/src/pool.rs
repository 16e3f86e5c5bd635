//! Idle upstream connections of one worker: one last-in-first-out list per upstream identity.
//!
//! Identities are interned when the configuration is compiled ([`crate::config::UpstreamKey`], equal by value), so a
//! lookup is an index and two identities can never share a socket. The most recently used connection goes out first:
//! the others age and are closed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::upstream::Lease;

/// Wait for a pooled connection whose task has yet to see the end of its last exchange; another is faster after that.
const READY_MAX: Duration = Duration::from_millis(5);

/// The pool.
#[derive(Debug)]
pub struct Pool {
    slots: Vec<Slot>,
    idle_max: usize,
    open_max: usize,
    idle_time_max: Duration,
}

#[derive(Debug, Default)]
struct Slot {
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

impl Pool {
    /// A pool for this many upstream identities.
    #[must_use]
    pub fn new(upstreams: usize, idle_max: usize, open_max: usize, idle_time_max: Duration) -> Self {
        let slots = std::iter::repeat_with(Slot::default).take(upstreams).collect();
        Self { slots, idle_max, open_max, idle_time_max }
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
        let mut idle = self.slots[lease.upstream].idle.borrow_mut();
        if idle.len() < self.idle_max && lease.poolable && !lease.sender.is_closed() {
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
