//! The upstreams as the admin endpoint shows them: the targets of each service, and their health.

use serde_json::{Value, json};

use crate::health::clock_ms;
use crate::plan::{RuntimeConfig, ServiceConfig, TargetConfig};

/// Every service with its targets, as JSON.
#[must_use]
pub fn json(config: &RuntimeConfig) -> String {
    let now_ms = clock_ms();
    let services: Vec<Value> = config.services.iter().map(|service| service_json(config, service, now_ms)).collect();
    Value::Array(services).to_string() + "\n"
}

fn service_json(config: &RuntimeConfig, service: &ServiceConfig, now_ms: u64) -> Value {
    let targets: Vec<Value> = service.targets.iter().map(|target| target_json(config, target, now_ms)).collect();
    json!({"service": service.name, "balance": service.balance, "targets": targets})
}

fn target_json(config: &RuntimeConfig, target: &TargetConfig, now_ms: u64) -> Value {
    let state = &config.upstreams[target.upstream].state;
    let (failures, ejections) = state.failures();
    let checked_out = target.check.as_ref().is_some_and(|check| check.is_out());
    let condition = match (state.is_ejected(now_ms), checked_out) {
        (_, true) => "check_failed",
        (true, false) => "ejected",
        (false, false) => "ok",
    };
    json!({
        "target": state.name,
        "weight": target.weight,
        "state": condition,
        "failures": failures,
        "ejections": ejections,
        "check": target.check.as_ref().map(|check| json!({"out": check.is_out(), "last_failure": check.last_failure()})),
        "connections": state.connections(),
        "requests_in_flight": state.in_flight(),
    })
}
