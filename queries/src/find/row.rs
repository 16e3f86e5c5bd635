//! The columns of a record that `find` explains.

use serde::Deserialize;

/// Declares the row and the list of columns that are asked for, so that neither can lack one of the other.
macro_rules! row {
    ($($name:ident: $kind:ty,)*) => {
        /// One record. Null means that the transaction did not reach that stage.
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(default)]
        pub(super) struct Row {
            $(pub $name: $kind,)*
        }

        /// The columns, for a SELECT.
        pub(super) const COLUMNS: &[&str] = &[$(stringify!($name)),*];
    };
}

row! {
    request_id: Option<String>,
    time: String,
    kind: String,
    node_id: String,
    producer: String,
    seq: i64,
    correlation_id: Option<String>,
    trace_id: Option<String>,
    service: Option<String>,
    route: Option<String>,
    http_route: Option<String>,
    app_id: Option<String>,
    config_revision: Option<String>,
    client_ip: Option<String>,
    client_port: Option<i64>,
    peer_ip: Option<String>,
    client_ip_source: Option<String>,
    server_port: Option<i64>,
    host: Option<String>,
    http_version: Option<String>,
    tls_version: Option<String>,
    tls_cipher: Option<String>,
    tls_resumed: Option<bool>,
    tls_sni: Option<String>,
    mtls_verify: Option<String>,
    client_cert_subject: Option<String>,
    client_cert_issuer: Option<String>,
    client_cert_not_after: Option<String>,
    method: Option<String>,
    path: Option<String>,
    query: Option<String>,
    request_bytes: Option<i64>,
    response_bytes: Option<i64>,
    user_agent: Option<String>,
    auth_pattern: Option<String>,
    auth_result: Option<String>,
    auth_fail_reason: Option<String>,
    consumer: Option<String>,
    credential_id: Option<String>,
    auth_groups: Option<Vec<String>>,
    acl_decision: Option<String>,
    waf_action: Option<String>,
    waf_score: Option<i64>,
    waf_rule_ids: Option<Vec<i64>>,
    waf_us: Option<i64>,
    upstream_host: Option<String>,
    upstream_addr: Option<String>,
    upstream_status: Option<i64>,
    upstream_attempts: Option<i64>,
    upstream_reused: Option<bool>,
    status: Option<i64>,
    response_source: Option<String>,
    termination: Option<String>,
    error_class: Option<String>,
    error_detail: Option<String>,
    total_us: Option<i64>,
    gateway_us: Option<i64>,
    upstream_dns_us: Option<i64>,
    upstream_connect_us: Option<i64>,
    upstream_tls_us: Option<i64>,
    upstream_ttfb_us: Option<i64>,
    upstream_receive_us: Option<i64>,
    gap_count: Option<i64>,
    gap_reason: Option<String>,
}
