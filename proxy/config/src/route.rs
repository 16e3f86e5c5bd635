//! Which request goes to which service.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tollgate_config::{ByteSize, ConfigDuration, Spanned};

/// A condition on a field of the request: there, not there, or there once with a value.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderMatch {
    /// The field.
    pub name: Spanned<String>,
    /// Its value, compared as it is; without it the field must only be there.
    #[serde(default)]
    pub value: Option<Spanned<String>>,
    /// It must not be there.
    #[serde(default)]
    pub absent: bool,
}

/// Edits of fields: removed, then set, then added.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderEditing {
    /// Fields that are put in the place of what is there.
    pub set: BTreeMap<String, Spanned<String>>,
    /// Fields that are put beside what is there.
    pub add: BTreeMap<String, Spanned<String>>,
    /// Fields that are removed.
    pub remove: Vec<Spanned<String>>,
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
