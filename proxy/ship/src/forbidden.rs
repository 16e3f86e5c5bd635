//! Nodes that the collector does not let this proxy speak for: their batches wait, and hold up nobody else's.
//!
//! A node is tried again after `backoff_max`: certificates can be changed, and the collector's rules too. There are as
//! many as wrote the files of the spool, `spool.files_max` at most, and the proxy's own.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The nodes, and until when each waits.
#[derive(Debug)]
pub struct Forbidden {
    own: String,
    wait: Duration,
    nodes: Mutex<BTreeMap<String, Instant>>,
}

impl Forbidden {
    /// No node is; `own` is the proxy's, whose batches the ring holds.
    pub fn new(own: &str, wait: Duration) -> Self {
        Self { own: own.to_owned(), wait, nodes: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Instant>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The proxy's own node.
    pub fn own(&self) -> &str {
        &self.own
    }

    /// The node waits from now on. Whether that is new.
    pub fn note(&self, node: &str) -> bool {
        self.lock().insert(node.to_owned(), Instant::now() + self.wait).is_none()
    }

    /// A batch of the node was taken. Whether this leaves no node that waits, and there was one.
    pub fn lift(&self, node: &str) -> bool {
        let mut nodes = self.lock();
        nodes.remove(node).is_some() && nodes.is_empty()
    }

    /// Whether the node waits.
    pub fn holds_up(&self, node: &str) -> bool {
        self.lock().get(node).is_some_and(|until| *until > Instant::now())
    }

    /// Whether the proxy's own node waits.
    pub fn holds_up_own(&self) -> bool {
        self.holds_up(&self.own)
    }

    /// Returns when the next node may be tried; never, if none waits.
    pub async fn ends(&self) {
        let now = Instant::now();
        let next = self.lock().values().filter(|until| **until > now).min().copied();
        match next {
            Some(until) => tokio::time::sleep_until(until.into()).await,
            None => std::future::pending().await,
        }
    }
}
