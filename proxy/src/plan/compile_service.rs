//! Compiles services as written: their balancing, their health rules and their quotas.

use std::ops::RangeInclusive;

use tollgate_config::Diagnostics;
use tollgate_proxy_config::{Active, Protocol, ProxyConfig, Service, Verify};

use super::compile_quota::Quotas;
use super::compile_target::{TlsFiles, Upstreams, target};
use super::turns::{self, TRIED_MAX};
use super::{HealthConfig, ServiceConfig};
use crate::health::CheckRule;

/// Targets of one service.
const TARGETS_MAX: usize = 1_000;
/// Attempts for one request.
const ATTEMPTS: RangeInclusive<u32> = 1..=TRIED_MAX as u32;

pub(super) fn services(
    config: &ProxyConfig,
    upstreams: &mut Upstreams<'_>,
    quotas: &Quotas<'_>,
    problems: &mut Diagnostics<'_>,
) -> Vec<ServiceConfig> {
    check_retries(config, problems);
    let mut files = TlsFiles::default();
    config.services.iter().map(|service| compile_service(service, &mut files, upstreams, quotas, problems)).collect()
}

fn compile_service(
    service: &Service,
    files: &mut TlsFiles,
    upstreams: &mut Upstreams<'_>,
    quotas: &Quotas<'_>,
    problems: &mut Diagnostics<'_>,
) -> ServiceConfig {
    if service.targets.is_empty() && service.respond.is_none() {
        problems.at(&service.name, "the service has no targets; write at least one URL");
    }
    if service.targets.len() > TARGETS_MAX {
        problems.at(&service.name, format!("a service has {TARGETS_MAX} targets at most; put a name in front of them"));
    }
    let rule = service.health.active.as_ref().map(|active| rule(service, active, problems));
    let mut targets = Vec::new();
    for text in service.targets.iter().take(TARGETS_MAX) {
        if let Some(target) = target(service, text, rule.as_ref(), files, upstreams, problems) {
            targets.push(target);
        }
    }
    check_tls_is_used(service, problems);
    let weights: Vec<u32> = targets.iter().map(|target| target.weight).collect();
    let passive = &service.health.passive;
    let percent = &passive.ejected_percent_max;
    if percent.value > 100 {
        problems.at(percent, "a percentage is 0 to 100; write such a number");
    }
    let health = HealthConfig {
        failures: passive.failures,
        ejection: passive.ejection.0,
        ejection_max: passive.ejection_max.0,
        ejected_max: targets.len() * percent.value.min(100) as usize / 100,
        all_out: service.health.all_out,
    };
    ServiceConfig {
        name: service.name.value.clone(),
        app_id: service.app_id.clone(),
        upgrades: service.protocol != Protocol::Http2,
        balance: service.balance,
        round: turns::round(&weights),
        health,
        warm_connections: service.warm_connections.value,
        quota: quotas.service(&service.name, &service.caps, problems),
        targets,
    }
}

fn check_retries(config: &ProxyConfig, problems: &mut Diagnostics<'_>) {
    let retries = &config.retries;
    if !ATTEMPTS.contains(&retries.attempts_max.value) {
        let (low, high) = (ATTEMPTS.start(), ATTEMPTS.end());
        problems.at(&retries.attempts_max, format!("must be {low} to {high}; leave it out for the default"));
    }
    if retries.budget_percent.value > 100 {
        problems.at(&retries.budget_percent, "a percentage is 0 to 100; write such a number");
    }
    if config.limits.upstream_connections_max == 0 {
        problems.key("limits.upstream_connections_max", "must be more than 0; leave it out for the default");
    }
    if config.limits.upstream_streams_max == 0 {
        problems.key("limits.upstream_streams_max", "must be more than 0; leave it out for the default");
    }
}

/// Compiles an active check.
fn rule(service: &Service, active: &Active, problems: &mut Diagnostics<'_>) -> CheckRule {
    if let Some(path) = &active.path
        && (!path.starts_with('/') || path.parse::<http::Uri>().is_err())
    {
        problems.at(path, format!("`{}` is not a path; write one that starts with /", path.value));
    }
    if active.interval.0.is_zero() || active.timeout.0.is_zero() || active.unhealthy == 0 || active.healthy == 0 {
        let problem = "interval, timeout, unhealthy and healthy of an active check must be more than 0";
        problems.at(&service.name, format!("{problem}; leave them out for the defaults"));
    }
    CheckRule {
        path: active.path.as_ref().map(|path| path.value.clone()),
        interval: active.interval.0,
        timeout: active.timeout.0,
        unhealthy: active.unhealthy,
        healthy: active.healthy,
        statuses: active.statuses.clone(),
    }
}

/// Reports TLS settings of a service that has no https target: most likely an `s` is missing.
fn check_tls_is_used(service: &Service, problems: &mut Diagnostics<'_>) {
    let tls = &service.tls;
    let is_set = tls.ca.is_some() || tls.client.is_some() || tls.server_name.is_some() || tls.verify == Verify::None;
    if is_set && !service.targets.iter().any(|target| target.url.starts_with("https:")) {
        problems.at(&service.name, "the service has tls, but no target is reached over it; write https://host:port");
    }
}
