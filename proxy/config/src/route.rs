//! Rules that assign requests to services.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tollgate_config::{ByteSize, ConfigDuration, Spanned};

use crate::{AccessNames, Addresses, Auth, Correlation, Cors, Respond, RouteCaps, UpstreamHost};

/// A condition on a field of the request: present, absent, or present once with a value.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderMatch {
    /// Name of the field.
    pub name: Spanned<String>,
    /// Value of the field, compared byte by byte; without it the field must only be present.
    #[serde(default)]
    pub value: Option<Spanned<String>>,
    /// Set if the field must be absent.
    #[serde(default)]
    pub absent: bool,
}

/// Edits of fields, in the order in which they are made: remove, set, add.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderEditing {
    /// Fields that replace those of their name.
    pub set: BTreeMap<String, Spanned<String>>,
    /// Fields that are added beside those of their name.
    pub add: BTreeMap<String, Spanned<String>>,
    /// Fields that are removed.
    pub remove: Vec<Spanned<String>>,
}

/// The requests that go to a service, and what is done with them.
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
    /// Conditions on fields of the request, all of which must hold.
    #[serde(default)]
    pub headers: Vec<HeaderMatch>,
    /// Removes the matched prefix before the path goes upstream.
    #[serde(default)]
    pub strip_prefix: bool,
    /// Path that goes upstream, with variables of the matched template. Behind a prefix, the rest of the path is added.
    #[serde(default)]
    pub rewrite: Option<Spanned<String>>,
    /// Edits of the request's fields.
    #[serde(default)]
    pub request_headers: HeaderEditing,
    /// Edits of the fields of the upstream's responses.
    #[serde(default)]
    pub response_headers: HeaderEditing,
    /// Path template for the record; default: the matched path, if it is a template or a whole path.
    #[serde(default)]
    pub http_route: Option<String>,
    /// Answers 401 to clients without a verified certificate.
    #[serde(default)]
    pub require_client_cert: bool,
    /// What callers must present; default: what the service says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Spanned<Auth>>,
    /// Who may; default: what the service says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Spanned<AccessNames>>,
    /// Who may not; default: what the service says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deny: Option<Spanned<AccessNames>>,
    /// Query keys whose values may stand in the record.
    #[serde(default)]
    pub query_allow: Vec<String>,
    /// Request headers that may stand in the record.
    #[serde(default)]
    pub header_allow: Vec<Spanned<String>>,
    /// Deadlines of this route; an absent key has its value from the general `timeouts`.
    #[serde(default)]
    pub timeouts: RouteTimeouts,
    /// Largest request body; default: the general limit.
    #[serde(default)]
    pub request_body_bytes_max: Option<ByteSize>,
    /// Host that is sent upstream; default: the service's `host`.
    #[serde(default)]
    pub upstream_host: Option<UpstreamHost>,
    /// Networks of clients that are served; default, as for each key below: the service's.
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
    /// Caps on its requests, beside those of its service.
    #[serde(default)]
    pub caps: RouteCaps,
}

/// Deadlines of one route.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RouteTimeouts {
    /// See [`crate::Timeouts::connect`].
    #[serde(default)]
    pub connect: Option<ConfigDuration>,
    /// See [`crate::Timeouts::first_byte`].
    #[serde(default)]
    pub first_byte: Option<ConfigDuration>,
    /// See [`crate::Timeouts::body_idle`].
    #[serde(default)]
    pub body_idle: Option<ConfigDuration>,
    /// See [`crate::Timeouts::total`].
    #[serde(default)]
    pub total: Option<ConfigDuration>,
}
