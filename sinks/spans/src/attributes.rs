//! The attributes of a span and of its resource.
//!
//! Columns go by the names that they have in JSON: OpenTelemetry's where there is one, else `tollgate.` and their own. Who the caller is
//! (consumer, credentials, certificate) stays in the record, to which `http.request.id` leads: a tracing backend has
//! other readers.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use tollgate_record::columns::{COLUMNS, ColumnType, index_of};
use tollgate_record::{BatchMeta, extract, json};

use crate::row::Row;

/// Name of the service that the spans are of, unless the configuration says another.
pub const SERVICE_NAME: &str = "tollgate-proxy";

/// Columns that become attributes as they are.
const AS_THEY_ARE: [&str; 34] = [
    "correlation_id",
    "service",
    "route",
    "http_route",
    "config_revision",
    "client_ip",
    "client_port",
    "peer_ip",
    "http_version",
    "tls_version",
    "tls_cipher",
    "tls_resumed",
    "tls_sni",
    "tls_alpn",
    "mtls_verify",
    "method",
    "path",
    "query",
    "request_bytes",
    "response_bytes",
    "user_agent",
    "auth_result",
    "auth_fail_reason",
    "upstream_host",
    "upstream_addr",
    "upstream_status",
    "upstream_attempts",
    "upstream_reused",
    "response_source",
    "termination",
    "error_detail",
    "gateway_us",
    "upstream_ttfb_us",
    "upstream_receive_us",
];

const HOST: usize = index_of("host").unwrap();
const SERVER_PORT: usize = index_of("server_port").unwrap();
const APP_ID: usize = index_of("app_id").unwrap();
const TLS_VERSION: usize = index_of("tls_version").unwrap();

struct Known {
    column: usize,
    ty: ColumnType,
    key: String,
}

static KNOWN: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let known = |name: &&str| {
        let column = index_of(name)?;
        Some(Known { column, ty: COLUMNS[column].ty, key: json::key_of(&COLUMNS[column]) })
    };
    AS_THEY_ARE.iter().filter_map(known).collect()
});

/// The attributes of a transaction's span.
pub(crate) fn of_span(row: &Row<'_>) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(KNOWN.len() + 8);
    for known in KNOWN.iter() {
        let value = match known.ty {
            ColumnType::Utf8 => row.text(known.column).map(text),
            ColumnType::Int32 => row.int32(known.column).map(|number| Value::IntValue(number.into())),
            ColumnType::Int64 => row.int64(known.column).map(Value::IntValue),
            ColumnType::Boolean => row.boolean(known.column).map(Value::BoolValue),
            _ => None,
        };
        attributes.extend(value.map(|value| pair(&known.key, value)));
    }
    let mut push = |key: &str, value| attributes.push(pair(key, value));
    let scheme = if row.text(TLS_VERSION).is_some() { "https" } else { "http" };
    push("url.scheme", text(scheme));
    push("network.protocol.name", text("http"));
    let (address, port) = row.text(HOST).map_or((None, None), server);
    if let Some(address) = address {
        push("server.address", text(address));
    }
    if let Some(port) = port.or_else(|| row.int32(SERVER_PORT)) {
        push("server.port", Value::IntValue(port.into()));
    }
    if let Some(status) = row.status() {
        push("http.response.status_code", Value::IntValue(status.into()));
    }
    if row.failed() {
        push("error.type", Value::StringValue(row.error_type()));
    }
    // The error of a caller (4xx) is none of the span's, and has its cause all the same.
    if let Some(class) = row.error_class() {
        push("tollgate.error_class", text(class));
    }
    // `service.namespace` would be the gateway's own.
    if let Some(app) = row.text(APP_ID) {
        push("tollgate.app_id", text(app));
    }
    if let Some(id) = extract::request_id(row.records, row.row) {
        push("http.request.id", Value::StringValue(id.to_string()));
    }
    attributes
}

/// Host and port of the authority that the client asked for (RFC 3986, section 3.2).
fn server(authority: &str) -> (Option<&str>, Option<i32>) {
    let end_of_host = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    let (host, port) = match authority[end_of_host..].find(':') {
        Some(colon) => authority.split_at(end_of_host + colon),
        None => (authority, ""),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = port.get(1..).and_then(|port| port.parse::<u16>().ok());
    (Some(host).filter(|host| !host.is_empty()), port.map(i32::from))
}

/// Who the spans of a batch are of: the proxy that wrote its records, as far as `said` does not say otherwise.
pub(crate) fn of_resource(meta: &BatchMeta, said: &BTreeMap<String, String>) -> Resource {
    let ours = [
        ("service.name", SERVICE_NAME),
        ("service.instance.id", &meta.node_id),
        ("service.version", &meta.gateway_version),
        ("deployment.environment.name", &meta.environment),
        ("cloud.availability_zone", &meta.zone),
    ];
    let ours = ours.into_iter().filter(|(key, value)| !value.is_empty() && !said.contains_key(*key));
    let said = said.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let attributes = ours.chain(said).map(|(key, value)| pair(key, text(value))).collect();
    Resource { attributes, ..Resource::default() }
}

fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_exists_and_can_be_an_attribute() {
        assert_eq!(KNOWN.len(), AS_THEY_ARE.len());
        for known in KNOWN.iter() {
            let fits =
                matches!(known.ty, ColumnType::Utf8 | ColumnType::Int32 | ColumnType::Int64 | ColumnType::Boolean);
            assert!(fits, "{}", known.key);
        }
    }

    #[test]
    fn the_authority_is_taken_apart() {
        for (authority, address, port) in [
            ("api.example.com", Some("api.example.com"), None),
            ("api.example.com:8443", Some("api.example.com"), Some(8443)),
            ("[2001:db8::1]", Some("2001:db8::1"), None),
            ("[2001:db8::1]:443", Some("2001:db8::1"), Some(443)),
            ("api:", Some("api"), None),
            ("api:99999", Some("api"), None),
            (":80", None, Some(80)),
            ("", None, None),
        ] {
            assert_eq!(server(authority), (address, port), "{authority}");
        }
    }
}
