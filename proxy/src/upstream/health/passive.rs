//! Health as transactions observe it.

use std::sync::Arc;

use crate::health::{EjectionRule, clock_ms};
use crate::plan::{RuntimeConfig, ServiceConfig, TargetConfig, UpstreamConfig};

/// Records a failure of a service's target. Returns whether it ejected the target.
pub fn record_failure(config: &RuntimeConfig, service: &ServiceConfig, target: usize) -> bool {
    let now_ms = clock_ms();
    let health = &service.health;
    let rule = EjectionRule { failures: health.failures, time: health.ejection, time_max: health.ejection_max };
    let state = |target: &TargetConfig| &config.upstreams[target.upstream].state;
    let ejected = || service.targets.iter().filter(|target| state(target).is_ejected(now_ms)).count();
    state(&service.targets[target]).record_failure(rule, || ejected() < health.ejected_max, now_ms)
}

/// Counts one request in flight to an upstream, for as long as it lives.
#[derive(Debug)]
pub struct RequestCount(Arc<UpstreamConfig>);

impl RequestCount {
    #[must_use]
    pub fn new(upstream: Arc<UpstreamConfig>) -> Self {
        upstream.state.request_began();
        Self(upstream)
    }
}

impl Drop for RequestCount {
    fn drop(&mut self) {
        self.0.state.request_ended();
    }
}
