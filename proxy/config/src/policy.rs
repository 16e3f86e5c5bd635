//! What a service has for its routes, or a route in its place: who may come, how browsers of other origins are
//! answered, and answers in the upstream's place.
//!
//! Each key of a route replaces the same key of its service.

use serde::{Deserialize, Serialize};
use tollgate_config::{ConfigDuration, Spanned};

/// Networks of clients that are served. The client is the address in `client_ip` of the record.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Addresses {
    /// Networks that are served; empty = all.
    pub allow: Vec<Spanned<String>>,
    /// Networks that are refused, also if they are allowed.
    pub deny: Vec<Spanned<String>>,
}

/// Requests of browsers from pages of other origins (Fetch standard, "CORS protocol").
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// `https://app.example.com`, `https://*.example.com`, either with a port or `*` for it; or `*` alone.
    pub origins: Spanned<Vec<Spanned<String>>>,
    /// Methods that a page may use.
    #[serde(default = "default_methods")]
    pub methods: Vec<Spanned<String>>,
    /// Request fields that a page may set; empty = those that it asks for.
    #[serde(default)]
    pub headers: Vec<Spanned<String>>,
    /// Response fields that a page may read.
    #[serde(default)]
    pub exposed_headers: Vec<Spanned<String>>,
    /// Lets a page send the user's cookies and certificates. Not with `origins: ["*"]`.
    #[serde(default)]
    pub credentials: bool,
    /// Time that a browser keeps the answer to a preflight; default: the browser's own.
    #[serde(default)]
    pub max_age: Option<ConfigDuration>,
    /// Lets a page of a public network ask for this service in a private one.
    #[serde(default)]
    pub private_network: bool,
}

fn default_methods() -> Vec<Spanned<String>> {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].map(|method| Spanned::nowhere(method.to_owned())).into()
}

/// The field in which callers send an id of their own.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Correlation {
    /// Name of the field. A request without it gets one with the request id.
    pub header: Spanned<String>,
    /// Sends the field back to the client.
    #[serde(default)]
    pub echo: bool,
}

/// An answer in the upstream's place, to every request that would have gone there.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Respond {
    /// Status, 200 to 599.
    pub status: Spanned<u16>,
    /// Content-Type of the body.
    #[serde(default)]
    pub content_type: Option<Spanned<String>>,
    /// The body; default: the gateway's own for a failure, and none otherwise.
    #[serde(default)]
    pub body: Option<Spanned<String>>,
    /// Where a redirect leads.
    #[serde(default)]
    pub location: Option<Spanned<String>>,
}

/// Caps on the requests of one route, for the whole process; a key that is absent caps nothing. The caps of its
/// service hold beside them.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteCaps {
    /// Requests a second, fractions too; more are answered 429.
    pub requests_per_second_max: Option<Spanned<f64>>,
    /// Requests at once; default: as many as in a second, rounded up.
    pub request_burst_max: Option<Spanned<u64>>,
    /// Requests a second of one client address.
    pub client_requests_per_second_max: Option<Spanned<f64>>,
    /// Requests at once of one client address; default: as many as in a second, rounded up.
    pub client_request_burst_max: Option<Spanned<u64>>,
}
