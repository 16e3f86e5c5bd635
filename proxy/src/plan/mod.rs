//! What the proxy runs: the configuration, checked as a whole and compiled.

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
    /// Where it was read from, and is read from again.
    pub source: PathBuf,
    /// Its revision, carried by each record.
    pub revision: String,
    /// Worker threads.
    pub workers: usize,
    /// Where clients connect.
    pub listeners: Vec<ListenerPlan>,
    /// The proxied APIs.
    pub services: Vec<ServicePlan>,
    /// What the router answers indexes into.
    pub routes: Vec<RoutePlan>,
    /// The routes, ready for lookup.
    pub router: Router,
    /// Every distinct upstream identity. One that is equal to one of the plan before is the same `Arc`, and keeps its
    /// connections.
    pub upstreams: Vec<Arc<UpstreamPlan>>,
    /// Networks whose forwarding headers are believed.
    pub trusted_hops: Vec<Cidr>,
    /// Query values that are kept where no route matched: none.
    pub query_policy: QueryPolicy,
    /// Keyed hash of credentials.
    pub hmac: Option<Arc<HmacPlan>>,
    /// Where the records go.
    pub records: ShipOptions,
    /// The admin endpoint.
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

    /// [`Plan::load`], with what is allowed but hardly meant: services without a route, routes that no request reaches,
    /// certificates that expire soon.
    ///
    /// # Errors
    /// All problems found.
    pub fn check(path: &Path) -> Result<(Self, Vec<Diagnostic>), ConfigError> {
        let loaded = tollgate_proxy_config::load(path)?;
        let plan = compile::plan(path, loaded.clone(), None)?;
        let warnings = lint::warnings(&plan, &loaded);
        Ok((plan, warnings))
    }

    /// The same for a text that is already in memory; relative paths are resolved against the folder of `path`.
    ///
    /// # Errors
    /// All problems found.
    pub fn parse(path: &Path, text: String) -> Result<Self, ConfigError> {
        compile::plan(path, tollgate_proxy_config::parse(path, text)?, None)
    }

    /// Reads this plan's source again: the plan that a proxy which runs this one can go over to.
    ///
    /// # Errors
    /// All problems found; among them, every change that only another start can make.
    pub fn reload(&self) -> Result<Self, ConfigError> {
        compile::plan(&self.source, tollgate_proxy_config::load(&self.source)?, Some(self))
    }
}

/// A listener.
#[derive(Debug)]
pub struct ListenerPlan {
    /// Name in metrics and messages.
    pub name: String,
    /// Where it binds; port 0 picks a free one.
    pub address: SocketAddr,
    /// TLS, by server name.
    pub tls: Option<Arc<ServerNames>>,
    /// The PROXY headers that its connections begin with.
    pub proxy_headers: Option<Arc<ProxyHeaderPolicy>>,
    /// Caps on its connections and requests.
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
    /// Whether protocols can be switched: on HTTP/1.1 they can (RFC 9113 section 8.6).
    pub upgrades: bool,
    /// How one of them is chosen.
    pub balance: Balance,
    /// A whole round of turns: indexes into `targets`, each as often as its weight says, evenly mixed.
    pub round: Vec<u16>,
    /// When a target is passed over.
    pub health: HealthPlan,
    /// Connections to each target that each worker keeps ready.
    pub warm_connections: usize,
    /// Caps on its requests.
    pub quota: ServiceQuota,
}

/// When targets of a service are passed over.
#[derive(Debug, Clone)]
pub struct HealthPlan {
    /// Failures in a row that put a target out; 0 = never.
    pub failures: u32,
    /// How long it is out the first time.
    pub ejection: Duration,
    /// How long it is out at most.
    pub ejection_max: Duration,
    /// Targets that may be out at one time.
    pub ejected_max: usize,
    /// What happens when all are out.
    pub all_out: AllOut,
}

/// One upstream of a service.
#[derive(Debug)]
pub struct TargetPlan {
    /// Index into [`Plan::upstreams`].
    pub upstream: usize,
    /// Host field for it, with the port if that is not the scheme's own.
    pub host: HeaderValue,
    /// Share of the requests.
    pub weight: u32,
    /// What active checks say of it, if it is checked.
    pub check: Option<Arc<Check>>,
}

/// Where an upstream listens.
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

/// Everything that makes two upstream connections interchangeable; compared by value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UpstreamKey {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Trust, what is verified, client certificate, versions and ALPN, with the name that is verified and sent as SNI.
    pub tls: Option<(ClientPolicy, ServerName<'static>)>,
    /// What is spoken with it.
    pub protocol: Protocol,
    /// Whether its connections begin with a PROXY protocol header.
    pub proxy_protocol: ProxyProtocol,
}

/// One upstream identity, with what all workers know of it.
#[derive(Debug)]
pub struct UpstreamPlan {
    /// The identity.
    pub key: UpstreamKey,
    /// TLS made from it.
    pub tls: Option<Arc<ClientConfig>>,
    /// The same with HTTP/1.1 alone offered: for connections that are to switch protocols.
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
    /// What is done with each of its paths; never empty.
    pub paths: Box<[PathPlan]>,
    /// Edits of requests.
    pub request_headers: Option<Box<HeaderEdits>>,
    /// Edits of answers.
    pub response_headers: Option<Box<HeaderEdits>>,
    /// Whether it names its methods.
    pub methods_named: bool,
    /// Whether a verified client certificate is needed.
    pub require_client_cert: bool,
    /// Query values that are kept.
    pub query_policy: QueryPolicy,
    /// Headers that are kept.
    pub headers: Headers,
    /// One attempt to connect.
    pub connect: Duration,
    /// Request sent to first byte.
    pub first_byte: Duration,
    /// Silence of a body.
    pub body_idle: Duration,
    /// Head to last byte.
    pub total: Duration,
    /// Bytes of a request body.
    pub request_body_bytes_max: u64,
}

/// One path of a route.
#[derive(Debug)]
pub struct PathPlan {
    /// Path template for records.
    pub http_route: Option<String>,
    /// What of the path goes upstream; `None` = as it is.
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
