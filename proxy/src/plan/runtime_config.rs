//! The compiled configuration as a whole.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use http::header::HeaderName;
use tollgate_proxy_config::ProxyConfig;
use tollgate_proxy_http::cidr::Cidr;
use tollgate_proxy_http::proxy_protocol::ProxyHeaderPolicy;
use tollgate_proxy_http::quota::ListenerQuota;
use tollgate_proxy_http::routing::Router;
use tollgate_proxy_ship::ShipOptions;
use tollgate_record::redact::{QueryPolicy, TokenHasher};
use tollgate_tls::ServerNames;

use super::{RouteConfig, ServiceConfig, UpstreamConfig};
use crate::identity::Callers;
use crate::providers::Provider;

/// A configuration that can run.
#[derive(Debug)]
pub struct RuntimeConfig {
    /// The file as it was read, with every default.
    pub file: ProxyConfig,
    /// Path that it was read from, and that a reload reads again.
    pub source: PathBuf,
    /// Revision, which each record carries.
    pub revision: String,
    /// Worker threads.
    pub workers: usize,
    /// Addresses that clients connect to.
    pub listeners: Vec<ListenerConfig>,
    /// The proxied APIs.
    pub services: Vec<ServiceConfig>,
    /// Routes, by the index that the router returns.
    pub routes: Vec<RouteConfig>,
    /// Look-up of routes.
    pub router: Router,
    /// Every distinct upstream identity. An identity that the configuration before had too is the same `Arc`, and keeps
    /// its connections.
    pub upstreams: Vec<Arc<UpstreamConfig>>,
    /// Issuers of tokens. One whose settings the configuration before had too is the same `Arc`, and keeps its keys.
    pub providers: Vec<Arc<Provider>>,
    /// The callers that are known, and where their credentials are verified.
    pub callers: Arc<Callers>,
    /// Networks whose forwarding headers are believed.
    pub trusted_hops: Vec<Cidr>,
    /// Policy for queries of requests without a route: no value is recorded.
    pub query_policy: QueryPolicy,
    /// Keyed hash of credentials.
    pub hmac: Option<Arc<HmacConfig>>,
    /// The way of the records.
    pub records: ShipOptions,
    /// Address of the admin endpoint.
    pub admin: SocketAddr,
}

/// A listener.
#[derive(Debug)]
pub struct ListenerConfig {
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

/// Keyed hash of credentials.
#[derive(Debug)]
pub struct HmacConfig {
    /// Hashes under the key.
    pub hasher: TokenHasher,
    /// Headers that carry an API key.
    pub api_key_headers: Vec<HeaderName>,
}
