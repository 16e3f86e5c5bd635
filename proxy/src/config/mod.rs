//! The configuration file: its keys, their meaning and their defaults.
//!
//! [`ProxyConfig`] is the file as it is written; [`Plan`] is what the proxy runs: checked as a whole, with every file
//! read and every route compiled. Nothing binds before there is a plan.

mod caps;
mod client_tls;
mod compile;
mod compile_route;
mod compile_tls;
mod compile_upstream;
mod files;
mod fixed;
mod limits;
mod plan;
mod proxy_protocol;
mod route;
mod upstream;

use serde::{Deserialize, Serialize};
use std::path::Path;

use tollgate_config::{ByteSize, ConfigDuration, ConfigError, ConfigPath, Spanned};

pub use caps::{ListenerCaps, ServiceCaps};
pub use client_tls::{ClientAuth, ClientCertFields, ClientCrl, CrlGap, ListenerTls, NamedAuth, TlsVersion};
pub use limits::{Http2, Limits, Timeouts};
pub use plan::{
    Cidr, CollectorPlan, Endpoint, HealthPlan, HmacPlan, ListenerPlan, PathPlan, Plan, RecordsPlan, RoutePlan,
    ServicePlan, TargetPlan, UpstreamKey, UpstreamPlan,
};
pub use proxy_protocol::{AcceptProxyProtocol, AcceptedVersion};
pub use route::{HeaderEditing, HeaderMatch};
pub use upstream::{Active, AllOut, Balance, Health, Passive, Protocol, ProxyProtocol, Retries, Target, Verify};

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

/// An address that clients connect to.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Name in metrics and messages.
    pub name: Spanned<String>,
    /// `ip:port`.
    pub address: Spanned<String>,
    /// TLS; without it the listener is plaintext HTTP/1.1.
    #[serde(default)]
    pub tls: Option<ListenerTls>,
    /// Every connection begins with a PROXY header that names its client.
    #[serde(default)]
    pub proxy_protocol: Option<AcceptProxyProtocol>,
    /// Caps on its connections and requests.
    #[serde(default)]
    pub caps: ListenerCaps,
}

/// A certificate chain and its key.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KeyPair {
    /// PEM file, leaf first.
    pub certificate: Spanned<ConfigPath>,
    /// PEM file.
    pub key: Spanned<ConfigPath>,
}

/// A proxied API.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Name in records and metrics.
    pub name: Spanned<String>,
    /// Owning application or team.
    #[serde(default)]
    pub app_id: Option<String>,
    /// `http://host[:port]`, `https://host[:port]` or `unix:/path`, with a weight if it is written as a map.
    pub targets: Vec<Spanned<Target>>,
    /// What is spoken with them.
    #[serde(default)]
    pub protocol: Protocol,
    /// Whether they are told of the client in a PROXY protocol header.
    #[serde(default)]
    pub proxy_protocol: ProxyProtocol,
    /// How one of several targets is chosen.
    #[serde(default)]
    pub balance: Balance,
    /// When a target is passed over.
    #[serde(default)]
    pub health: Health,
    /// Connections to each target that each worker keeps ready.
    #[serde(default)]
    pub warm_connections: Spanned<usize>,
    /// The Host sent upstream: the client's, or the target's.
    #[serde(default)]
    pub host: UpstreamHost,
    /// TLS towards https targets.
    #[serde(default)]
    pub tls: ServiceTls,
    /// Caps on its requests.
    #[serde(default)]
    pub caps: ServiceCaps,
}

/// Which Host an upstream sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamHost {
    /// The target's own name.
    #[default]
    Target,
    /// The name that the client asked for.
    Client,
}

/// TLS towards an upstream.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceTls {
    /// PEM file with the authorities to trust; default: the system's.
    #[serde(default)]
    pub ca: Option<Spanned<ConfigPath>>,
    /// What is asked of their certificates.
    #[serde(default)]
    pub verify: Verify,
    /// Client certificate to present.
    #[serde(default)]
    pub client: Option<KeyPair>,
    /// Name to verify and to send as SNI; default: the target's host.
    #[serde(default)]
    pub server_name: Option<Spanned<String>>,
}

/// Which requests go to a service.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Name in records.
    pub name: Spanned<String>,
    /// Name of the service.
    pub service: Spanned<String>,
    /// `api.example.com`, `*.example.com` or `*`; default: any host.
    #[serde(default)]
    pub hosts: Vec<Spanned<String>>,
    /// `/prefix`, `=/path` or `/template/{id}/{*rest}`, matched by whole segments; default `/`.
    #[serde(default)]
    pub paths: Vec<Spanned<String>>,
    /// Methods; default: all.
    #[serde(default)]
    pub methods: Vec<Spanned<String>>,
    /// What fields of the request must be like, all of it.
    #[serde(default)]
    pub headers: Vec<HeaderMatch>,
    /// Removes the matched prefix before the path goes upstream.
    #[serde(default)]
    pub strip_prefix: bool,
    /// The path that goes upstream, with the variables of the matched template; behind a prefix, what followed it is added.
    #[serde(default)]
    pub rewrite: Option<Spanned<String>>,
    /// Edits of the request's fields on their way upstream.
    #[serde(default)]
    pub request_headers: HeaderEditing,
    /// Edits of the fields of the upstream's answers.
    #[serde(default)]
    pub response_headers: HeaderEditing,
    /// Path template for the record; default: the matched path, if it is a template or a whole path.
    #[serde(default)]
    pub http_route: Option<String>,
    /// Answers 401 to clients without a verified certificate.
    #[serde(default)]
    pub require_client_cert: bool,
    /// Query keys whose values may stand in the record.
    #[serde(default)]
    pub query_allow: Vec<String>,
    /// Request headers that may stand in the record.
    #[serde(default)]
    pub header_allow: Vec<Spanned<String>>,
    /// Deadlines of this route; a key that is absent is taken from the general `timeouts`.
    #[serde(default)]
    pub timeouts: RouteTimeouts,
    /// Largest request body; default: the general limit.
    #[serde(default)]
    pub request_body_bytes_max: Option<ByteSize>,
}

/// Deadlines of one route.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RouteTimeouts {
    /// See [`Timeouts::connect`].
    #[serde(default)]
    pub connect: Option<ConfigDuration>,
    /// See [`Timeouts::first_byte`].
    #[serde(default)]
    pub first_byte: Option<ConfigDuration>,
    /// See [`Timeouts::body_idle`].
    #[serde(default)]
    pub body_idle: Option<ConfigDuration>,
    /// See [`Timeouts::total`].
    #[serde(default)]
    pub total: Option<ConfigDuration>,
}

/// Who the client is, and what upstreams are told about it.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Forwarding {
    /// Networks of proxies in front of this one, whose X-Forwarded-For and Forwarded are believed.
    pub trusted_hops: Vec<Spanned<String>>,
    /// Send X-Forwarded-For, -Proto and -Host upstream.
    pub x_forwarded: bool,
    /// Send the Forwarded header of RFC 7239 upstream.
    pub forwarded: bool,
    /// Send Via upstream.
    pub via: bool,
    /// The fields that tell upstreams of the client's verified certificate.
    pub client_cert: ClientCertFields,
}

impl Default for Forwarding {
    fn default() -> Self {
        Self {
            trusted_hops: Vec::new(),
            x_forwarded: true,
            forwarded: false,
            via: false,
            client_cert: ClientCertFields::None,
        }
    }
}

/// Distributed tracing.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trace {
    /// Share of requests without a traceparent for which a trace is begun, 0 to 1. A caller's traceparent is always continued.
    pub sampling: Spanned<f64>,
}

impl Default for Trace {
    fn default() -> Self {
        Self { sampling: Spanned::nowhere(0.0) }
    }
}

/// Keyed hash of presented credentials.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Hmac {
    /// File with the secret: at least 32 bytes (`openssl rand -hex 32`), surrounding whitespace is removed.
    pub key_file: Spanned<ConfigPath>,
    /// Names the secret in each batch, so that it can be rotated.
    pub key_id: String,
    /// Headers that carry an API key.
    #[serde(default = "default_api_key_headers")]
    pub api_key_headers: Vec<Spanned<String>>,
}

/// Where the transaction records go.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Records {
    /// `false` writes no records at all: only for measuring what they cost.
    #[serde(default = "default_true")]
    pub enabled: bool,
    /// `https://host:port`, the first that works is used.
    #[serde(default)]
    pub collectors: Vec<Spanned<String>>,
    /// TLS towards the collectors.
    #[serde(default)]
    pub tls: Option<CollectorTls>,
    /// Records in a batch.
    #[serde(default = "default_batch_records")]
    pub batch_records_max: Spanned<usize>,
    /// Raw bytes in a batch.
    #[serde(default = "default_batch_bytes")]
    pub batch_bytes_max: ByteSize,
    /// Age at which a batch is sealed.
    #[serde(default = "default_batch_age")]
    pub batch_age_max: ConfigDuration,
    /// zstd level.
    #[serde(default = "default_level")]
    pub compression_level: Spanned<i32>,
    /// Sealed batches kept in memory while the collector is slow or away.
    #[serde(default = "default_ring")]
    pub ring_bytes_max: ByteSize,
    /// Batches in flight to the collector at one time.
    #[serde(default = "default_posts")]
    pub posts_in_flight_max: Spanned<usize>,
    /// Time within which a collector must answer a batch.
    #[serde(default = "default_post_timeout")]
    pub post_timeout: ConfigDuration,
    /// Time, after the drain, to ship what is left; the rest goes to the spool.
    #[serde(default = "default_stop_timeout")]
    pub stop_timeout: ConfigDuration,
    /// First wait before a batch is sent again; doubles up to `backoff_max`, with jitter.
    #[serde(default = "default_backoff_min")]
    pub backoff_min: ConfigDuration,
    /// Longest wait before a batch is sent again.
    #[serde(default = "default_backoff_max")]
    pub backoff_max: ConfigDuration,
    /// Batches kept on disk when the ring is full.
    #[serde(default)]
    pub spool: Option<Spool>,
    /// How long a collector that failed is passed over while another one works.
    #[serde(default = "default_failback")]
    pub failback_after: ConfigDuration,
    /// How long a connection to a collector is used; each new one is made with the certificates of that moment.
    #[serde(default = "default_connection_age")]
    pub connection_age_max: ConfigDuration,
    /// Folder for batches that a collector refused for good; without it they are dropped, and counted either way.
    #[serde(default)]
    pub quarantine_dir: Option<Spanned<ConfigPath>>,
    /// Bytes of batches in it; what is refused past that is dropped.
    #[serde(default = "default_quarantine_bytes")]
    pub quarantine_bytes_max: ByteSize,
    /// Batches in it.
    #[serde(default = "default_quarantine_batches")]
    pub quarantine_batches_max: Spanned<usize>,
    /// What happens when ring and spool are full.
    #[serde(default)]
    pub overflow: Overflow,
}

/// TLS towards the collectors.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CollectorTls {
    /// PEM file with the authority of the collector's certificate.
    pub ca: Spanned<ConfigPath>,
    /// PEM file with this proxy's client certificate.
    pub certificate: Spanned<ConfigPath>,
    /// PEM file with its key.
    pub key: Spanned<ConfigPath>,
    /// Name to verify; default: the host of the collector's address.
    #[serde(default)]
    pub server_name: Option<Spanned<String>>,
}

/// Batches on disk.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Spool {
    /// Folder; created if it is absent. One process at a time.
    pub dir: Spanned<ConfigPath>,
    /// Bytes of the disk that batches take, in blocks of 4 KiB.
    #[serde(default = "default_spool")]
    pub bytes_max: ByteSize,
    /// Batches kept: each has a file, and a place in memory of some 100 bytes.
    #[serde(default = "default_spool_files")]
    pub files_max: Spanned<usize>,
}

/// What happens when ring and spool are full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Overflow {
    /// The newest batch is dropped, counted, and reported by a gap record.
    #[default]
    Shed,
    /// New requests wait until there is room: no record is lost, and the collector's outage becomes the clients'.
    Block,
}

/// The admin endpoint.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// `ip:port` of the admin endpoint.
    pub address: Spanned<String>,
}

impl Default for Admin {
    fn default() -> Self {
        Self { address: Spanned::nowhere("127.0.0.1:9901".into()) }
    }
}

fn default_true() -> bool {
    true
}
fn default_drain_delay() -> ConfigDuration {
    ConfigDuration::secs(0)
}
fn default_drain() -> ConfigDuration {
    ConfigDuration::secs(30)
}
fn default_api_key_headers() -> Vec<Spanned<String>> {
    vec![Spanned::nowhere("x-api-key".into()), Spanned::nowhere("apikey".into())]
}
fn default_batch_records() -> Spanned<usize> {
    Spanned::nowhere(4_096)
}
fn default_batch_bytes() -> ByteSize {
    ByteSize::kib(512)
}
fn default_batch_age() -> ConfigDuration {
    ConfigDuration::millis(200)
}
fn default_level() -> Spanned<i32> {
    Spanned::nowhere(1)
}
fn default_ring() -> ByteSize {
    ByteSize::mib(64)
}
fn default_posts() -> Spanned<usize> {
    Spanned::nowhere(4)
}
fn default_stop_timeout() -> ConfigDuration {
    ConfigDuration::secs(5)
}
fn default_post_timeout() -> ConfigDuration {
    ConfigDuration::secs(10)
}
fn default_backoff_min() -> ConfigDuration {
    ConfigDuration::millis(100)
}
fn default_backoff_max() -> ConfigDuration {
    ConfigDuration::secs(10)
}
fn default_failback() -> ConfigDuration {
    ConfigDuration::secs(30)
}
fn default_connection_age() -> ConfigDuration {
    ConfigDuration::secs(600)
}
fn default_quarantine_bytes() -> ByteSize {
    ByteSize::gib(1)
}
fn default_quarantine_batches() -> Spanned<usize> {
    Spanned::nowhere(4_096)
}
fn default_spool_files() -> Spanned<usize> {
    Spanned::nowhere(262_144)
}
fn default_spool() -> ByteSize {
    ByteSize::gib(4)
}
