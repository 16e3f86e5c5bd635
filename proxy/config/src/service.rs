//! The proxied APIs.

use serde::{Deserialize, Serialize};
use tollgate_config::{ConfigPath, Spanned};

use crate::{
    AccessNames, Addresses, Auth, Correlation, Cors, Health, KeyPair, ProxyProtocol, Respond, ServiceCaps, Target,
};

/// A proxied API.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Name in records and metrics.
    pub name: Spanned<String>,
    /// Owning application or team.
    #[serde(default)]
    pub app_id: Option<String>,
    /// Upstreams of the service; none only if it answers by `respond`.
    #[serde(default)]
    pub targets: Vec<Spanned<Target>>,
    /// Protocol towards the targets.
    #[serde(default)]
    pub protocol: Protocol,
    /// PROXY header in which the targets learn of the client.
    #[serde(default)]
    pub proxy_protocol: ProxyProtocol,
    /// Choice among several targets.
    #[serde(default)]
    pub balance: Balance,
    /// Rules by which a target is skipped.
    #[serde(default)]
    pub health: Health,
    /// Connections that each worker keeps ready for each target.
    #[serde(default)]
    pub warm_connections: Spanned<usize>,
    /// Host that is sent upstream.
    #[serde(default)]
    pub host: UpstreamHost,
    /// TLS towards https targets.
    #[serde(default)]
    pub tls: ServiceTls,
    /// Caps on its requests.
    #[serde(default)]
    pub caps: ServiceCaps,
    /// What callers must present, unless a route says otherwise; absent = nothing, which `check` warns of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Spanned<Auth>>,
    /// Who may, unless a route says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Spanned<AccessNames>>,
    /// Who may not, unless a route says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deny: Option<Spanned<AccessNames>>,
    /// Networks of clients that are served.
    #[serde(default)]
    pub addresses: Option<Addresses>,
    /// Status for requests without TLS: 426, or 301, 302, 307 or 308 to the same URL with https.
    #[serde(default)]
    pub https_only: Option<Spanned<u16>>,
    /// Requests of browsers from pages of other origins.
    #[serde(default)]
    pub cors: Option<Cors>,
    /// The field in which callers send an id of their own.
    #[serde(default)]
    pub correlation: Option<Correlation>,
    /// An answer in the upstream's place.
    #[serde(default)]
    pub respond: Option<Respond>,
}

/// The Host that an upstream sees.
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
    /// Verification of the targets' certificates.
    #[serde(default)]
    pub verify: Verify,
    /// Client certificate to present.
    #[serde(default)]
    pub client: Option<KeyPair>,
    /// Name to verify and to send as SNI; default: the target's host.
    #[serde(default)]
    pub server_name: Option<Spanned<String>>,
}

/// Protocol towards an upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: by ALPN over TLS, by prior knowledge in plaintext (RFC 9113 section 3.3).
    Http2,
    /// Over TLS the protocol that ALPN selects, HTTP/2 preferred; in plaintext HTTP/1.1.
    Auto,
}

/// Choice of a target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// Targets in turn, by weight.
    #[default]
    RoundRobin,
    /// The target with the fewest requests in flight for its weight, over all workers.
    LeastRequests,
}

/// Verification of an upstream's certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// The certificate has a chain to a trusted authority, is valid now, and has the name.
    #[default]
    Full,
    /// Nothing is verified: the connection is encrypted, but its other end may be anyone.
    None,
}
