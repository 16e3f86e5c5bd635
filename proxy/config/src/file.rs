//! The whole file.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tollgate_config::{ConfigDuration, ConfigError, ConfigPath, Spanned};

use crate::{
    Admin, Forwarding, Hmac, Http2, Limits, Listener, Records, Retries, Route, Service, Timeouts, Trace, files,
};

/// The whole file.
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
    /// How long transactions may go on after SIGTERM before they are cut.
    #[serde(default = "default_drain")]
    pub drain: ConfigDuration,
    /// How long everything is served on after SIGTERM while `/readyz` says that this proxy is not ready, before it drains.
    #[serde(default = "default_drain_delay")]
    pub drain_delay: ConfigDuration,
    /// Where clients connect.
    pub listeners: Vec<Listener>,
    /// Further files, or folders of them, with `services` and `routes`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<Spanned<ConfigPath>>,
    /// The proxied APIs.
    #[serde(default)]
    pub services: Vec<Service>,
    /// Which request goes to which service.
    #[serde(default)]
    pub routes: Vec<Route>,
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
    /// Loads the file or folder at `path`, with everything that it includes; the files that it names are not read.
    ///
    /// # Errors
    /// Files that cannot be read or understood.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Ok(files::load(path)?.value)
    }
}

fn default_drain_delay() -> ConfigDuration {
    ConfigDuration::secs(0)
}
fn default_drain() -> ConfigDuration {
    ConfigDuration::secs(30)
}
