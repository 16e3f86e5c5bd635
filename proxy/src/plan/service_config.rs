//! A compiled service: its targets, and how they are chosen.

use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderValue;
use tollgate_proxy_config::{AllOut, Balance};
use tollgate_proxy_http::quota::ServiceQuota;

use crate::health::Check;

/// A proxied API.
#[derive(Debug)]
pub struct ServiceConfig {
    /// Name in records.
    pub name: String,
    /// Owner.
    pub app_id: Option<String>,
    /// Upstreams of the service.
    pub targets: Vec<TargetConfig>,
    /// Whether protocols can be switched, which only HTTP/1.1 allows (RFC 9113 section 8.6).
    pub upgrades: bool,
    /// Choice among the targets.
    pub balance: Balance,
    /// One whole round of turns: indices into `targets`, each as often as its weight says, evenly mixed.
    pub round: Vec<u16>,
    /// Rules by which a target is skipped.
    pub health: HealthConfig,
    /// Connections that each worker keeps ready for each target.
    pub warm_connections: usize,
    /// Quotas of its requests.
    pub quota: ServiceQuota,
}

/// Rules by which targets of a service are skipped.
#[derive(Debug, Clone)]
pub struct HealthConfig {
    /// Failures in a row that put a target out; 0 = never.
    pub failures: u32,
    /// Time that a target is out the first time.
    pub ejection: Duration,
    /// Longest time that a target is out.
    pub ejection_max: Duration,
    /// Targets that may be out at one time.
    pub ejected_max: usize,
    /// Behaviour when all targets are out.
    pub all_out: AllOut,
}

/// One upstream of a service.
#[derive(Debug)]
pub struct TargetConfig {
    /// Index into [`RuntimeConfig::upstreams`](super::RuntimeConfig::upstreams).
    pub upstream: usize,
    /// Host field for the target, with the port unless it is the scheme's own.
    pub host: HeaderValue,
    /// Share of the requests.
    pub weight: u32,
    /// Results of the active checks, if the service has any: a handle that the checker writes.
    pub check: Option<Arc<Check>>,
}
