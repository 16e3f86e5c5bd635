//! A compiled route.

use std::time::Duration;

use tollgate_proxy_http::header_edits::HeaderEdits;
use tollgate_proxy_http::rewrite::Rewrite;
use tollgate_record::redact::{Headers, QueryPolicy};

use super::RoutePolicy;
use crate::identity::RouteAuth;

/// A route.
#[derive(Debug)]
pub struct RouteConfig {
    /// Name in records.
    pub name: String,
    /// Index into [`RuntimeConfig::services`](super::RuntimeConfig::services).
    pub service: usize,
    /// Its paths, by the index that the router returns; never empty.
    pub paths: Box<[PathConfig]>,
    /// Edits of requests.
    pub request_headers: Option<Box<HeaderEdits>>,
    /// Edits of answers.
    pub response_headers: Option<Box<HeaderEdits>>,
    /// Whether the route names its methods.
    pub methods_named: bool,
    /// Whether a request needs a verified client certificate.
    pub require_client_cert: bool,
    /// What the route asks of its callers; `None` = nothing.
    pub auth: Option<Box<RouteAuth>>,
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
    /// Whether the upstream sees the client's Host.
    pub client_host: bool,
    /// Who may come, and what is answered in the upstream's place.
    pub policy: RoutePolicy,
}

/// One path of a route.
#[derive(Debug)]
pub struct PathConfig {
    /// Path template for records.
    pub http_route: Option<String>,
    /// Rewrite of the path that goes upstream; `None` = the path goes unchanged.
    pub rewrite: Option<Rewrite>,
}
