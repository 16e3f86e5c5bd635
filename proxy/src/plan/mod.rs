//! The configuration that the proxy runs: checked as a whole, every file read, every route compiled.
//!
//! ```text
//! Loaded<ProxyConfig> ─▶ compile ─▶ compile_{tls, upstream, quota, route, records} ─▶ RuntimeConfig
//!                           ├─ problems: all of them, none bound            ├─ lint: warnings of `check`
//!                           └─ before: TLS sessions, counts, health         └─ fixed: what a reload cannot change
//! ```
//! A [`RuntimeConfig`] never changes. Live counts (health of an upstream, quotas) are not part of what is compared or
//! printed: the configuration carries handles to them, which belong to the name or identity that they count for. A reload
//! hands the handles of equal names and identities to the next configuration.

mod compile;
mod compile_quota;
mod compile_records;
mod compile_route;
mod compile_tls;
mod compile_upstream;
pub mod diff;
mod fixed;
mod lint;
#[cfg(any(test, fuzzing))]
pub mod promises;
pub mod turns;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tollgate_config::{ConfigError, Diagnostic};
use tollgate_record::redact::{Headers, QueryPolicy, TokenHasher};
use tollgate_tls::{ClientPolicy, ServerNames};

use tollgate_proxy_config::{AllOut, Balance, Protocol, ProxyConfig, ProxyProtocol};

use crate::health::{Check, UpstreamState};
use tollgate_proxy_http::cidr::Cidr;
use tollgate_proxy_http::header_edits::HeaderEdits;
use tollgate_proxy_http::proxy_protocol::ProxyHeaderPolicy;
use tollgate_proxy_http::quota::{ListenerQuota, ServiceQuota};
use tollgate_proxy_http::rewrite::Rewrite;
use tollgate_proxy_http::routing::Router;
use tollgate_proxy_ship::ShipOptions;

/// A configuration that can run.
#[derive(Debug)]
pub struct Plan {
    /// The effective configuration.
    pub config: ProxyConfig,
    /// Path that it was read from, and that a reload reads again.
    pub source: PathBuf,
    /// Revision, which each record carries.
    pub revision: String,
    /// Worker threads.
    pub workers: usize,
    /// Addresses that clients connect to.
    pub listeners: Vec<ListenerPlan>,
    /// The proxied APIs.
    pub services: Vec<ServicePlan>,
    /// Routes, by the index that the router returns.
    pub routes: Vec<RoutePlan>,
    /// Look-up of routes.
    pub router: Router,
    /// Every distinct upstream identity. An identity that the configuration before had too is the same `Arc`, and keeps its
    /// connections.
    pub upstreams: Vec<Arc<UpstreamPlan>>,
    /// Networks whose forwarding headers are believed.
    pub trusted_hops: Vec<Cidr>,
    /// Policy for queries of requests without a route: no value is recorded.
    pub query_policy: QueryPolicy,
    /// Keyed hash of credentials.
    pub hmac: Option<Arc<HmacPlan>>,
    /// The way of the records.
    pub records: ShipOptions,
    /// Address of the admin endpoint.
    pub admin: SocketAddr,
}

impl Plan {
    /// Loads, checks and compiles the file at `path`, or the folder with its `proxy.yaml`. Binds nothing.
    ///
    /// # Errors
    /// All problems found, each with file, line, key and cure.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        compile::plan(path, tollgate_proxy_config::load(path)?, None)
    }

    /// As [`Plan::load`], with warnings: services without a route, routes that no request reaches, certificates that expire
    /// soon.
    ///
    /// # Errors
    /// All problems found.
    pub fn check(path: &Path) -> Result<(Self, Vec<Diagnostic>), ConfigError> {
        let loaded = tollgate_proxy_config::load(path)?;
        let plan = compile::plan(path, loaded.clone(), None)?;
        let warnings = lint::warnings(&plan, &loaded);
        Ok((plan, warnings))
    }

    /// As [`Plan::load`], for a text that is in memory. Relative paths are resolved against the folder of `path`.
    ///
    /// # Errors
    /// All problems found.
    pub fn parse(path: &Path, text: String) -> Result<Self, ConfigError> {
        compile::plan(path, tollgate_proxy_config::parse(path, text)?, None)
    }

    /// Reads the source again and compiles it for a proxy that runs this configuration.
    ///
    /// # Errors
    /// All problems found, and every change that only another start can make.
    pub fn reload(&self) -> Result<Self, ConfigError> {
        compile::plan(&self.source, tollgate_proxy_config::load(&self.source)?, Some(self))
    }
}

/// A listener.
#[derive(Debug)]
pub struct ListenerPlan {
    /// Name in metrics and messages.
    pub name: String,
    /// Address that it binds; port 0 picks a free one.
    pub address: SocketAddr,
    /// TLS, by server name.
    pub tls: Option<Arc<ServerNames>>,
    /// PROXY headers that its connections begin with.
    pub proxy_headers: Option<Arc<ProxyHeaderPolicy>>,
    /// Quotas of its connections and requests.
    pub quota: ListenerQuota,
}

/// A proxied API.
#[derive(Debug)]
pub struct ServicePlan {
    /// Name in records.
    pub name: String,
    /// Owner.
    pub app_id: Option<String>,
    /// Its upstreams.
    pub targets: Vec<TargetPlan>,
    /// Whether upstreams see the client's Host.
    pub client_host: bool,
    /// Whether protocols can be switched, which only HTTP/1.1 allows (RFC 9113 section 8.6).
    pub upgrades: bool,
    /// Choice among the targets.
    pub balance: Balance,
    /// One whole round of turns: indices into `targets`, each as often as its weight says, evenly mixed.
    pub round: Vec<u16>,
    /// Rules by which a target is skipped.
    pub health: HealthPlan,
    /// Connections that each worker keeps ready for each target.
    pub warm_connections: usize,
    /// Quotas of its requests.
    pub quota: ServiceQuota,
}

/// When targets of a service are passed over.
#[derive(Debug, Clone)]
pub struct HealthPlan {
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
pub struct TargetPlan {
    /// Index into [`Plan::upstreams`].
    pub upstream: usize,
    /// Host field for the target, with the port unless it is the scheme's own.
    pub host: HeaderValue,
    /// Share of the requests.
    pub weight: u32,
    /// What active checks say of it, if it is checked.
    pub check: Option<Arc<Check>>,
}

/// Address of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A host name or address, and a port.
    Tcp(String, u16),
    /// The path of a socket.
    Unix(PathBuf),
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Everything that makes two upstream connections interchangeable. Compared by value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UpstreamKey {
    /// Address of the upstream.
    pub endpoint: Endpoint,
    /// Trusted authorities, verification, client certificate, versions and ALPN, with the name that is verified and sent as
    /// SNI.
    pub tls: Option<(ClientPolicy, ServerName<'static>)>,
    /// Protocol towards the upstream.
    pub protocol: Protocol,
    /// PROXY header that its connections begin with.
    pub proxy_protocol: ProxyProtocol,
}

/// One upstream identity, with what all workers know of it.
#[derive(Debug)]
pub struct UpstreamPlan {
    /// The identity.
    pub key: UpstreamKey,
    /// TLS made from the identity.
    pub tls: Option<Arc<ClientConfig>>,
    /// The same, offering HTTP/1.1 alone: for connections that switch protocols.
    pub tls_http1: Option<Arc<ClientConfig>>,
    /// How it fares.
    pub state: UpstreamState,
}

/// A route.
#[derive(Debug)]
pub struct RoutePlan {
    /// Name in records.
    pub name: String,
    /// Index into [`Plan::services`].
    pub service: usize,
    /// Its paths, by the index that the router returns; never empty.
    pub paths: Box<[PathPlan]>,
    /// Edits of requests.
    pub request_headers: Option<Box<HeaderEdits>>,
    /// Edits of answers.
    pub response_headers: Option<Box<HeaderEdits>>,
    /// Whether the route names its methods.
    pub methods_named: bool,
    /// Whether a request needs a verified client certificate.
    pub require_client_cert: bool,
    /// Query values that are kept.
    pub query_policy: QueryPolicy,
    /// Headers that are kept.
    pub headers: Headers,
    /// Time for one attempt to connect.
    pub connect: Duration,
    /// Time from the sent request to the first byte of the response.
    pub first_byte: Duration,
    /// Longest silence of a body.
    pub body_idle: Duration,
    /// Time from the head to the last byte of the response.
    pub total: Duration,
    /// Largest request body.
    pub request_body_bytes_max: u64,
}

/// One path of a route.
#[derive(Debug)]
pub struct PathPlan {
    /// Path template for records.
    pub http_route: Option<String>,
    /// Rewrite of the path that goes upstream; `None` = the path goes unchanged.
    pub rewrite: Option<Rewrite>,
}

/// Keyed hash of credentials.
#[derive(Debug)]
pub struct HmacPlan {
    /// Hashes under the key.
    pub hasher: TokenHasher,
    /// Headers that carry an API key.
    pub api_key_headers: Vec<HeaderName>,
}
