//! A plan as one worker runs it: the plan itself, shared with the other workers, and what this worker keeps for it.
//!
//! ```text
//! Worker ──current──▶ Rc<WorkerPlan> ──▶ Arc<Plan>           shared by all workers, never changed
//!                          ▲   └──────▶ Pool ──▶ Rc<Slot>   one for each upstream; a slot passes to the next plan
//! Transaction ─────────────┘                                if that has an equal upstream, with its connections
//! ```
//! A reload puts another [`WorkerPlan`] into the worker; whoever began under the old one ends under it, and the last of
//! them frees it. Indices (of routes, services, upstreams) mean something within one plan only: what outlives a plan
//! holds the [`WorkerPlan`] beside the index, or names. The hold is an `Rc`, as a count shared by all workers would be
//! fought over on every request.
//!
//! What belongs to an upstream and is to survive a reload goes into [`crate::config::UpstreamPlan`] when all workers
//! share it (equal upstreams of consecutive plans are one `Arc`), and into the pool's slot when it is the worker's own.

use std::cell::Cell;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use crate::client::connection::ConnectionFacts;
use crate::client::server::Protocols;
use crate::config::Plan;
use crate::metrics::{Metrics, ServiceCounts};
use crate::upstream::pool::Pool;

/// A plan in the hands of one worker.
#[derive(Debug)]
pub struct WorkerPlan {
    plan: Arc<Plan>,
    /// Idle upstream connections, by index into [`Plan::upstreams`].
    pub pool: Pool,
    /// Both protocols towards clients, with their limits set.
    pub protocols: Protocols,
    /// Counts by index into [`Plan::services`].
    pub counts: ServiceCounts,
    /// Services that want connections kept ready, as indices into [`Plan::services`].
    pub warm: Vec<usize>,
    turns: Vec<Cell<usize>>,
}

impl WorkerPlan {
    /// What a worker needs to run `plan` after `before`, whose upstream connections it takes over. `random` is where
    /// each service's turn begins, so that frequent reloads favour no target.
    #[must_use]
    pub fn new(plan: Arc<Plan>, before: Option<&Self>, metrics: &Arc<Metrics>, random: usize) -> Rc<Self> {
        Rc::new(Self {
            pool: Pool::new(&plan, before.map(|before| &before.pool)),
            protocols: Protocols::new(&plan.config),
            counts: ServiceCounts::new(metrics.clone(), plan.clone()),
            warm: (0..plan.services.len()).filter(|index| plan.services[*index].warm_connections > 0).collect(),
            turns: plan.services.iter().map(|_| Cell::new(random)).collect(),
            plan,
        })
    }

    /// Whether a connection has served as many requests as it may.
    #[must_use]
    pub fn is_worn_out(&self, connection: &ConnectionFacts) -> bool {
        let max = self.config.limits.requests_per_connection_max;
        max > 0 && connection.requests.get() >= max
    }

    /// The next number of a service's turns.
    #[must_use]
    pub fn turn(&self, service: usize) -> usize {
        let turn = &self.turns[service];
        let next = turn.get().wrapping_add(1);
        turn.set(next);
        next
    }
}

impl Deref for WorkerPlan {
    type Target = Plan;

    fn deref(&self) -> &Plan {
        &self.plan
    }
}

impl Drop for WorkerPlan {
    /// The counts of its last transactions.
    fn drop(&mut self) {
        self.counts.flush();
    }
}
