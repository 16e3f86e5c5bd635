//! Caps of listeners and services.

use serde::{Deserialize, Serialize};
use tollgate_config::Spanned;

/// Caps of a listener, for the whole process; a key that is absent caps nothing.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenerCaps {
    /// Open connections; more are closed at once.
    pub connections_max: Option<Spanned<u64>>,
    /// Open connections of one client address; more are closed at once. Trusted hops are exempt.
    pub client_connections_max: Option<Spanned<u64>>,
    /// Requests a second, fractions too; more are answered 429.
    pub requests_per_second_max: Option<Spanned<f64>>,
    /// Requests at once; default: as many as in a second, rounded up.
    pub request_burst_max: Option<Spanned<u64>>,
    /// Requests a second of one client address.
    pub client_requests_per_second_max: Option<Spanned<f64>>,
    /// Requests at once of one client address; default: as many as in a second, rounded up.
    pub client_request_burst_max: Option<Spanned<u64>>,
}

/// Caps of a service, for the whole process; a key that is absent caps nothing.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceCaps {
    /// Transactions that go on at one time, tunnels too; more are answered 503.
    pub concurrent_max: Option<Spanned<u64>>,
    /// Requests a second, fractions too; more are answered 429.
    pub requests_per_second_max: Option<Spanned<f64>>,
    /// Requests at once; default: as many as in a second, rounded up.
    pub request_burst_max: Option<Spanned<u64>>,
    /// Requests a second of one client address.
    pub client_requests_per_second_max: Option<Spanned<f64>>,
    /// Requests at once of one client address; default: as many as in a second, rounded up.
    pub client_request_burst_max: Option<Spanned<u64>>,
    /// Transactions of one verified caller that go on at one time; more are answered 429.
    pub principal_concurrent_max: Option<Spanned<u64>>,
    /// Requests a second of one verified caller.
    pub principal_requests_per_second_max: Option<Spanned<f64>>,
    /// Requests at once of one verified caller; default: as many as in a second, rounded up.
    pub principal_request_burst_max: Option<Spanned<u64>>,
    /// Transactions of one verified caller from one address that go on at one time; more are answered 429.
    pub principal_client_concurrent_max: Option<Spanned<u64>>,
    /// Requests a second of one verified caller from one address.
    pub principal_client_requests_per_second_max: Option<Spanned<f64>>,
    /// Requests at once of one verified caller from one address; default: as many as in a second, rounded up.
    pub principal_client_request_burst_max: Option<Spanned<u64>>,
}
