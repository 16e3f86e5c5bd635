//! Kinds of fields by their names: those that end at this hop, those that upstreams decide by, and those that speak of
//! the client.
//!
//! CGI and its heirs read `_` and `-` in a name as the same. A disguised name is one that becomes a name of these kinds
//! once its `_` are `-`: it is removed where the plain name would be.

use http::header::{AUTHORIZATION, CONTENT_LENGTH, COOKIE, FORWARDED, HOST, HeaderMap, HeaderName};

use crate::client_cert;
use crate::local_reply::X_REQUEST_ID;
use crate::principal_fields;

/// Returns whether a field belongs to one connection. Names are compared as text, which tells most apart by length
/// alone.
#[must_use]
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authorization"
            | "http2-settings"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Returns whether upstreams decide by a field, so that Connection cannot name it away.
#[must_use]
pub fn is_protected(name: &HeaderName) -> bool {
    let text = name.as_str();
    [HOST, AUTHORIZATION, CONTENT_LENGTH, COOKIE, FORWARDED].contains(name)
        || text.starts_with("x-forwarded-")
        || matches!(text, "x-request-id" | "x-correlation-id" | "traceparent" | "tracestate" | "content-type")
}

/// Returns whether a field tells through which proxies a request came.
#[must_use]
pub fn is_x_forwarded(name: &str) -> bool {
    name.starts_with("x-forwarded") || name == "x-real-ip"
}

/// Returns whether only this gateway may tell what a field tells: of the client's certificate, of the verified caller.
#[must_use]
pub fn tells_of_caller(name: &str) -> bool {
    client_cert::is_field(name) || principal_fields::is_field(name)
}

/// Returns whether an upstream learns from a field who the client is.
#[must_use]
pub fn speaks_of_client(name: &str) -> bool {
    let name = name.replace('_', "-");
    is_x_forwarded(&name)
        || tells_of_caller(&name)
        || [FORWARDED.as_str(), X_REQUEST_ID.as_str()].contains(&name.as_str())
}

/// Returns whether a name with `_` is a disguise of one that speaks of the client.
#[must_use]
pub fn is_disguised_client(name: &str) -> bool {
    name.contains('_') && speaks_of_client(name)
}

/// Returns whether a name with `_` is a disguise of one that frames, routes, authenticates or speaks of the client.
#[must_use]
pub fn is_disguised(name: &HeaderName) -> bool {
    if !name.as_str().as_bytes().contains(&b'_') {
        return false;
    }
    let dashed = HeaderName::try_from(name.as_str().replace('_', "-"));
    is_disguised_client(name.as_str()) || dashed.is_ok_and(|name| is_protected(&name) || is_hop_by_hop(&name))
}

/// Removes every field whose name `goes`.
pub fn remove_where(headers: &mut HeaderMap, goes: impl Fn(&HeaderName) -> bool) {
    while let Some(name) = headers.keys().find(|name| goes(name)).cloned() {
        headers.remove(name);
    }
}
