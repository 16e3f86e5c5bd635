//! The root of the configuration.

use serde::{Deserialize, Serialize};
use tollgate_config::{ConfigDuration, ConfigPath, Spanned};

use crate::{
    Admin, Consumer, Forwarding, Hmac, Http2, Identity, Limits, Listener, Records, Retries, Route, Service, Timeouts,
    Trace,
};

/// Characters of a hash that are shown.
const MARK_CHARS: usize = 4;

/// The whole configuration, with every default.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyConfig {
    /// Name of this proxy instance, `[A-Za-z0-9._-]{1,64}`; the collector checks it against the client certificate.
    pub node_id: Spanned<String>,
    /// Deployment environment, written into each batch.
    #[serde(default)]
    pub environment: String,
    /// Zone or data centre, written into each batch.
    #[serde(default)]
    pub zone: String,
    /// Worker threads; default: one per core.
    #[serde(default)]
    pub workers: Option<Spanned<usize>>,
    /// Time that transactions have after SIGTERM before they are aborted.
    #[serde(default = "default_drain")]
    pub drain: ConfigDuration,
    /// Time after SIGTERM in which the proxy still serves everything, while `/readyz` reports it as not ready.
    #[serde(default = "default_drain_delay")]
    pub drain_delay: ConfigDuration,
    /// Addresses that clients connect to.
    pub listeners: Vec<Listener>,
    /// Further files, or folders of them, with `services`, `routes` and `consumers`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<Spanned<ConfigPath>>,
    /// The proxied APIs.
    #[serde(default)]
    pub services: Vec<Service>,
    /// Rules that assign requests to services.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// Who vouches for callers.
    #[serde(default)]
    pub identity: Identity,
    /// Callers that the configuration knows.
    #[serde(default)]
    pub consumers: Vec<Consumer>,
    /// Deadlines, unless a route has its own.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Bounds on connections, heads and bodies.
    #[serde(default)]
    pub limits: Limits,
    /// Bounds on trying again.
    #[serde(default)]
    pub retries: Retries,
    /// HTTP/2 towards clients.
    #[serde(default)]
    pub http2: Http2,
    /// Who the client is, and what upstreams are told about it.
    #[serde(default)]
    pub forwarding: Forwarding,
    /// Distributed tracing.
    #[serde(default)]
    pub trace: Trace,
    /// Keyed hash of presented credentials; without it `token_hmac` stays null.
    #[serde(default)]
    pub hmac: Option<Hmac>,
    /// Where the transaction records go.
    pub records: Records,
    /// Metrics, health and the view of transactions in flight.
    #[serde(default)]
    pub admin: Admin,
}

impl ProxyConfig {
    /// The configuration for others to see: hashes of keys and passwords are cut to a mark of `MARK_CHARS` characters,
    /// by which a change shows and from which nobody can guess a password.
    #[must_use]
    pub fn marked(&self) -> Self {
        let mut shown = self.clone();
        for consumer in &mut shown.consumers {
            let keys = consumer.api_keys.iter_mut().map(|key| &mut key.sha256.value);
            for hash in keys.chain(consumer.basic.iter_mut().map(|login| &mut login.argon2.value)) {
                let end: Vec<char> = hash.chars().rev().take(MARK_CHARS).collect();
                *hash = format!("…{}", end.into_iter().rev().collect::<String>());
            }
        }
        shown
    }
}

fn default_drain_delay() -> ConfigDuration {
    ConfigDuration::secs(0)
}
fn default_drain() -> ConfigDuration {
    ConfigDuration::secs(30)
}
