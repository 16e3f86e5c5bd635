//! Nodes that the collector does not let this proxy speak for. Their batches wait, and hold up no other node's.
//!
//! A node is tried again after `backoff_max`, because its certificate and the collector's rules can be corrected
//! meanwhile. The nodes are the proxy's own and those that wrote files of the spool, `spool.files_max` at most.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The forbidden nodes, each with the time of its next try.
#[derive(Debug)]
pub struct Forbidden {
    own: String,
    wait: Duration,
    nodes: Mutex<BTreeMap<String, Instant>>,
}

impl Forbidden {
    /// Begins without nodes; `own` is the proxy's node, whose batches the ring holds.
    pub fn new(own: &str, wait: Duration) -> Self {
        Self { own: own.to_owned(), wait, nodes: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Instant>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn own(&self) -> &str {
        &self.own
    }

    /// Adds a node, or renews its wait. Returns whether it is new.
    pub fn add(&self, node: &str) -> bool {
        self.lock().insert(node.to_owned(), Instant::now() + self.wait).is_none()
    }

    /// Removes a node whose batch was taken. Returns whether it was the last forbidden one.
    pub fn remove(&self, node: &str) -> bool {
        let mut nodes = self.lock();
        nodes.remove(node).is_some() && nodes.is_empty()
    }

    pub fn must_wait(&self, node: &str) -> bool {
        self.lock().get(node).is_some_and(|until| *until > Instant::now())
    }

    pub fn own_must_wait(&self) -> bool {
        self.must_wait(&self.own)
    }

    /// Returns when the next node may be tried; never, if none waits.
    pub async fn next_try(&self) {
        let now = Instant::now();
        let next = self.lock().values().filter(|until| **until > now).min().copied();
        match next {
            Some(until) => tokio::time::sleep_until(until.into()).await,
            None => std::future::pending().await,
        }
    }
}
