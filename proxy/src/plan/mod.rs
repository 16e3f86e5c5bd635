//! The configuration that the proxy runs: checked as a whole, every file read, every route compiled.
//!
//! ```text
//! Loaded<ProxyConfig> ─▶ compile ─▶ compile_{tls, service, target, quota, route, records} ─▶ RuntimeConfig
//!                           ├─ problems: all of them, none bound            ├─ lint: warnings of `check`
//!                           └─ before: TLS sessions, counts, health         └─ fixed: what a reload cannot change
//! ```
//! A [`RuntimeConfig`] never changes. Live counts (health of an upstream, quotas) are not part of what is compared or
//! printed: the configuration carries handles to them, which belong to the name or identity that they count for. A
//! reload hands the handles of equal names and identities to the next configuration.

mod checks;
mod compile;
mod compile_auth;
mod compile_consumers;
mod compile_identity;
mod compile_policy;
mod compile_quota;
mod compile_records;
mod compile_route;
mod compile_service;
mod compile_target;
mod compile_tls;
pub mod diff;
mod fixed;
mod lint;
mod lint_auth;
#[cfg(any(test, fuzzing))]
pub mod promises;
mod route_config;
mod route_policy;
mod runtime_config;
mod service_config;
pub mod turns;
mod upstream_config;

use std::path::Path;

use tollgate_config::{ConfigError, Diagnostic};

pub use route_config::{PathConfig, RouteConfig};
pub use route_policy::{AddressRules, FixedResponse, RoutePolicy};
pub use runtime_config::{HmacConfig, ListenerConfig, RuntimeConfig};
pub use service_config::{HealthConfig, ServiceConfig, TargetConfig};
pub use upstream_config::{Endpoint, UpstreamConfig, UpstreamKey};

impl RuntimeConfig {
    /// Loads, checks and compiles the file at `path`, or the folder with its `proxy.yaml`. Binds nothing.
    ///
    /// # Errors
    /// All problems found, each with file, line, key and cure.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        compile::runtime_config(path, tollgate_proxy_config::load(path)?, None)
    }

    /// As [`RuntimeConfig::load`], with warnings: services without a route, routes that no request reaches,
    /// certificates that expire soon.
    ///
    /// # Errors
    /// All problems found.
    pub fn check(path: &Path) -> Result<(Self, Vec<Diagnostic>), ConfigError> {
        let loaded = tollgate_proxy_config::load(path)?;
        let config = compile::runtime_config(path, loaded.clone(), None)?;
        let warnings = lint::warnings(&config, &loaded);
        Ok((config, warnings))
    }

    /// As [`RuntimeConfig::load`], for a text that is in memory. Relative paths are resolved against the folder of
    /// `path`.
    ///
    /// # Errors
    /// All problems found.
    pub fn parse(path: &Path, text: String) -> Result<Self, ConfigError> {
        compile::runtime_config(path, tollgate_proxy_config::parse(path, text)?, None)
    }

    /// Reads the source again and compiles it for a proxy that runs this configuration.
    ///
    /// # Errors
    /// All problems found, and every change that only another start can make.
    pub fn reload(&self) -> Result<Self, ConfigError> {
        compile::runtime_config(&self.source, tollgate_proxy_config::load(&self.source)?, Some(self))
    }
}
