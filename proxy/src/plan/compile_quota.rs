//! Compiles caps as written to quotas, with the counts behind them.

use std::collections::HashMap;
use std::sync::Arc;

use tollgate_config::{Diagnostics, Spanned};
use tollgate_proxy_config::{ListenerCaps, RouteCaps, ServiceCaps};
use tollgate_proxy_http::quota::clients::{ClientConnections, ClientRates, ROW};
use tollgate_proxy_http::quota::principals::{CallerQuota, PrincipalQuota};
use tollgate_proxy_http::quota::rate::{Pace, Rate};
use tollgate_proxy_http::quota::{ListenerQuota, RequestQuota, ServiceQuota};

use super::RuntimeConfig;

/// Requests a second.
const RATE: std::ops::RangeInclusive<f64> = 0.001..=1e6;
/// Requests at once.
const BURST: std::ops::RangeInclusive<u64> = 1..=1_000_000;
/// Clients in one table.
const CLIENTS: std::ops::RangeInclusive<usize> = ROW..=16_777_216;

/// Compiles caps, and takes over the counts of the configuration before.
pub(super) struct Quotas<'a> {
    before: Option<&'a RuntimeConfig>,
    services: HashMap<&'a str, &'a ServiceQuota>,
    routes: HashMap<&'a str, &'a RequestQuota>,
    clients_max: usize,
}

impl<'a> Quotas<'a> {
    pub(super) fn after(
        before: Option<&'a RuntimeConfig>,
        clients_max: &Spanned<usize>,
        problems: &mut Diagnostics<'_>,
    ) -> Self {
        if !CLIENTS.contains(&clients_max.value) {
            let (low, high) = (CLIENTS.start(), CLIENTS.end());
            problems.at(clients_max, format!("must be {low} to {high}; leave it out for the default"));
        }
        let services = before.map_or(&[][..], |before| &before.services);
        let services = services.iter().map(|service| (service.name.as_str(), &service.quota)).collect();
        let routes = before.map_or(&[][..], |before| &before.routes);
        let routes = routes.iter().map(|route| (route.name.as_str(), &route.policy.quota)).collect();
        Self { before, services, routes, clients_max: clients_max.value.clamp(*CLIENTS.start(), *CLIENTS.end()) }
    }

    pub(super) fn listener(&self, name: &str, caps: &ListenerCaps, problems: &mut Diagnostics<'_>) -> ListenerQuota {
        let before = self.before.and_then(|before| before.listeners.iter().find(|listener| listener.name == name));
        let before = before.map(|listener| listener.quota.clone()).unwrap_or_default();
        let connections = positive(&caps.connections_max, problems)
            .map(|max| (before.connections.map(|(slots, _)| slots).unwrap_or_default(), max));
        let client_connections = positive(&caps.client_connections_max, problems).map(|max| {
            let kept = before.client_connections.map(|(table, _)| table);
            let kept = kept.filter(|table| table.clients_max == self.clients_max);
            (kept.unwrap_or_else(|| Arc::new(ClientConnections::new(self.clients_max))), max)
        });
        let all = (&caps.requests_per_second_max, &caps.request_burst_max);
        let each = (&caps.client_requests_per_second_max, &caps.client_request_burst_max);
        let requests = self.requests(before.requests, pace(all, problems), pace(each, problems));
        ListenerQuota { connections, client_connections, requests }
    }

    pub(super) fn service(&self, name: &str, caps: &ServiceCaps, problems: &mut Diagnostics<'_>) -> ServiceQuota {
        let before = self.services.get(name).copied().cloned().unwrap_or_default();
        let kept = before.principals.as_deref().cloned().unwrap_or_default();
        let principals = PrincipalQuota {
            each: self.callers(
                kept.each,
                &caps.principal_concurrent_max,
                (&caps.principal_requests_per_second_max, &caps.principal_request_burst_max),
                problems,
            ),
            each_client: self.callers(
                kept.each_client,
                &caps.principal_client_concurrent_max,
                (&caps.principal_client_requests_per_second_max, &caps.principal_client_request_burst_max),
                problems,
            ),
        };
        let none = principals.each.is_none() && principals.each_client.is_none();
        let principals = (!none).then(|| Arc::new(principals));
        let concurrent = positive(&caps.concurrent_max, problems)
            .map(|max| (before.concurrent.map(|(slots, _)| slots).unwrap_or_default(), max));
        let all = (&caps.requests_per_second_max, &caps.request_burst_max);
        let each = (&caps.client_requests_per_second_max, &caps.client_request_burst_max);
        let requests = self.requests(before.requests, pace(all, problems), pace(each, problems));
        ServiceQuota { concurrent, requests, principals }
    }

    fn callers(
        &self,
        before: CallerQuota,
        concurrent: &Option<Spanned<u64>>,
        rate: (&Option<Spanned<f64>>, &Option<Spanned<u64>>),
        problems: &mut Diagnostics<'_>,
    ) -> CallerQuota {
        let concurrent = positive(concurrent, problems).map(|max| {
            let kept = before.concurrent.map(|(table, _)| table);
            let kept = kept.filter(|table| table.clients_max == self.clients_max);
            (kept.unwrap_or_else(|| Arc::new(ClientConnections::new(self.clients_max))), max)
        });
        let rates = pace(rate, problems).map(|pace| self.rates(before.rates, pace));
        CallerQuota { rates, concurrent }
    }

    /// The rates of each client at this pace; those before, if they had the same.
    fn rates(&self, before: Option<Arc<ClientRates>>, pace: Pace) -> Arc<ClientRates> {
        let kept = before.filter(|rates| rates.pace == pace && rates.clients_max == self.clients_max);
        kept.unwrap_or_else(|| Arc::new(ClientRates::new(pace, self.clients_max)))
    }

    pub(super) fn route(&self, name: &str, caps: &RouteCaps, problems: &mut Diagnostics<'_>) -> RequestQuota {
        let before = self.routes.get(name).copied().cloned().unwrap_or_default();
        let all = (&caps.requests_per_second_max, &caps.request_burst_max);
        let each = (&caps.client_requests_per_second_max, &caps.client_request_burst_max);
        self.requests(before, pace(all, problems), pace(each, problems))
    }

    fn requests(&self, before: RequestQuota, all: Option<Pace>, each: Option<Pace>) -> RequestQuota {
        let rate = all.map(|pace| {
            let kept = before.rate.filter(|rate| rate.pace == pace);
            kept.unwrap_or_else(|| Arc::new(Rate::new(pace)))
        });
        let client_rates = each.map(|pace| self.rates(before.client_rates, pace));
        RequestQuota { rate, client_rates }
    }
}

fn positive(max: &Option<Spanned<u64>>, problems: &mut Diagnostics<'_>) -> Option<u64> {
    let max = max.as_ref()?;
    if max.value == 0 {
        problems.at(max, "must be 1 or more; leave it out for no cap");
    }
    Some(max.value)
}

fn pace((rate, burst): (&Option<Spanned<f64>>, &Option<Spanned<u64>>), problems: &mut Diagnostics<'_>) -> Option<Pace> {
    if let Some(burst) = burst
        && !BURST.contains(&burst.value)
    {
        let (low, high) = (BURST.start(), BURST.end());
        problems.at(burst, format!("must be {low} to {high}; leave it out for as many as in a second"));
    }
    match (rate, burst) {
        (Some(rate), burst) => {
            if !RATE.contains(&rate.value) {
                let (low, high) = (RATE.start(), RATE.end());
                problems.at(rate, format!("must be {low} to {high} a second; leave it out for no cap"));
                return None;
            }
            Some(Pace::new(rate.value, burst.as_ref().map_or(rate.value.ceil() as u64, |burst| burst.value)))
        }
        (None, Some(burst)) => {
            problems.at(
                burst,
                "a burst without its rate caps nothing; write the key that ends in requests_per_second_max beside it",
            );
            None
        }
        (None, None) => None,
    }
}
