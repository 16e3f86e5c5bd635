//! The configuration as one worker runs it: the compiled one, shared with the other workers, and this worker's state
//! for it.
//!
//! ```text
//! WorkerContext ──current──▶ Rc<WorkerConfig> ──▶ Arc<RuntimeConfig>           shared by all workers, never changed
//!                                 ▲   └──────▶ Pool ──▶ Rc<Slot>     one for each upstream; a slot passes to the next
//! Transaction ────────────────────┘                                   pool, if that has an equal upstream
//! ```
//! A reload puts another [`WorkerConfig`] into the context. Transactions that began under the old one end under it, and
//! the last of them frees it. Indices (of routes, services, upstreams) are valid within one configuration only: what
//! outlives it holds the [`WorkerConfig`] beside the index, or names. The hold is an `Rc`, because the count of an
//! `Arc` would be contended by all workers on every request.
//!
//! State of an upstream that survives a reload stands in [`crate::plan::UpstreamConfig`] if all workers share it (equal
//! upstreams of consecutive configurations are one `Arc`), and in the pool's slot if it is the worker's own.

use std::cell::Cell;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use crate::metrics::{Metrics, ServiceCounts};
use crate::plan::RuntimeConfig;
use crate::transaction::RequestBody;
use crate::upstream::Pool;

/// A configuration as one worker runs it.
#[derive(Debug)]
pub struct WorkerConfig {
    config: Arc<RuntimeConfig>,
    pub pool: Rc<Pool<RequestBody>>,
    /// Counts by index into [`RuntimeConfig::services`].
    pub counts: ServiceCounts,
    /// The next turn of each service.
    turns: Vec<Cell<usize>>,
}

impl WorkerConfig {
    /// Takes over the upstream connections of `before`. `random` is each service's first turn, so that frequent reloads
    /// favour no target.
    #[must_use]
    pub fn new(config: Arc<RuntimeConfig>, before: Option<&Self>, metrics: &Arc<Metrics>, random: usize) -> Rc<Self> {
        Rc::new(Self {
            pool: Rc::new(Pool::new(&config, before.map(|before| &*before.pool))),
            counts: ServiceCounts::new(metrics.clone(), config.clone()),
            turns: config.services.iter().map(|_| Cell::new(random)).collect(),
            config,
        })
    }

    /// Draws the next turn of a service.
    #[must_use]
    pub fn turn(&self, service: usize) -> usize {
        let turn = &self.turns[service];
        let next = turn.get().wrapping_add(1);
        turn.set(next);
        next
    }
}

impl Deref for WorkerConfig {
    type Target = RuntimeConfig;

    fn deref(&self) -> &RuntimeConfig {
        &self.config
    }
}

impl Drop for WorkerConfig {
    /// Flushes the counts of the last transactions.
    fn drop(&mut self) {
        self.counts.flush();
    }
}
