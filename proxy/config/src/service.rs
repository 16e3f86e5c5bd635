//! The proxied APIs.

use serde::{Deserialize, Serialize};
use tollgate_config::{ConfigPath, Spanned};

use crate::{Health, KeyPair, ProxyProtocol, ServiceCaps, Target};

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

/// What is spoken with an upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: by ALPN over TLS, by prior knowledge in plaintext (RFC 9113 section 3.3).
    Http2,
    /// Over TLS whichever ALPN agrees on, HTTP/2 preferred; HTTP/1.1 in plaintext.
    Auto,
}

/// How a target is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// In turn, by weight.
    #[default]
    RoundRobin,
    /// The one with the fewest requests in flight for its weight, over all workers.
    LeastRequests,
}

/// What a service asks of an upstream's certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// A chain to the trusted authorities, valid now, for the name.
    #[default]
    Full,
    /// Nothing: encrypted, but to whom is anybody's guess.
    None,
}
