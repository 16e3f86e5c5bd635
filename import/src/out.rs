//! The files of the proxy as an import writes them: only the keys that are needed, in the order of the documents.

use std::collections::BTreeMap;

use serde::Serialize;

/// A file with services and their routes.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ApiFile {
    /// Services.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Service>,
    /// Routes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
}

/// A service.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Service {
    pub name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Target>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServiceTls>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub caps: BTreeMap<&'static str, Rate>,
    #[serde(flatten)]
    pub policy: Policy,
}

/// A target, with its weight if it is not 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Target {
    Url(String),
    Weighted { url: String, weight: u32 },
}

/// Rules by which targets are skipped.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Health {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passive: Option<Passive>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<Active>,
}

/// Rules on failures of transactions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Passive {
    pub failures: u64,
}

/// Rules on failures of checks.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Active {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    pub interval: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unhealthy: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<u16>,
}

/// TLS towards targets.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ServiceTls {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<KeyPair>,
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeyPair {
    pub certificate: String,
    pub key: String,
}

/// A route.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Route {
    pub name: String,
    pub service: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderMatch>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub strip_prefix: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_host: Option<&'static str>,
    #[serde(skip_serializing_if = "Edits::is_empty")]
    pub request_headers: Edits,
    #[serde(skip_serializing_if = "Edits::is_empty")]
    pub response_headers: Edits,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_body_bytes_max: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub timeouts: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub caps: BTreeMap<&'static str, Rate>,
    #[serde(flatten)]
    pub policy: Policy,
}

/// A condition on a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeaderMatch {
    pub name: String,
    pub value: String,
}

/// Edits of headers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Edits {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub add: BTreeMap<String, String>,
}

impl Edits {
    /// Returns whether nothing is edited.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

/// What a service has for its routes, or a route in its place.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Policy {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Addresses>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https_only: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation: Option<Correlation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub respond: Option<Respond>,
}

/// A number of a cap.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Rate {
    PerSecond(f64),
    AtOnce(u64),
}

/// Networks of clients.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Addresses {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
}

/// Cross-origin requests of browsers.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Cors {
    pub origins: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exposed_headers: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub credentials: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub private_network: bool,
}

/// Where the caller's own id stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Correlation {
    pub header: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub echo: bool,
}

/// An answer in the upstream's place.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Respond {
    pub status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}
