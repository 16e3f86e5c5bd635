//! Health as transactions observe it.

use std::sync::Arc;

use crate::health::{EjectionRule, clock_ms};
use crate::plan::{Plan, ServicePlan, TargetPlan, UpstreamPlan};

/// Records a failure of a service's target. Returns whether it ejected the target.
pub fn record_failure(plan: &Plan, service: &ServicePlan, target: usize) -> bool {
    let now_ms = clock_ms();
    let health = &service.health;
    let rule = EjectionRule { failures: health.failures, time: health.ejection, time_max: health.ejection_max };
    let state = |target: &TargetPlan| &plan.upstreams[target.upstream].state;
    let ejected = || service.targets.iter().filter(|target| state(target).is_ejected(now_ms)).count();
    state(&service.targets[target]).record_failure(rule, || ejected() < health.ejected_max, now_ms)
}

/// Counts one request in flight to an upstream, for as long as it lives.
#[derive(Debug)]
pub struct RequestCount(Arc<UpstreamPlan>);

impl RequestCount {
    #[must_use]
    pub fn new(upstream: Arc<UpstreamPlan>) -> Self {
        upstream.state.request_began();
        Self(upstream)
    }
}

impl Drop for RequestCount {
    fn drop(&mut self) {
        self.0.state.request_ended();
    }
}
