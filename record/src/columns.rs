//! The registry: every column of a record, once, in order.
//!
//! `record_columns!` is the only list of columns in the project. From it come [`COLUMNS`] (and
//! so the Arrow schemas, the JSON names and `docs/record.md`), the fields of
//! [`Record`](crate::Record), and the builders behind [`BatchBuilder`](crate::BatchBuilder): a column
//! cannot be in one of them and absent from another.

/// Longest text in bytes of a column that has no tighter cap; longer text is cut on a character boundary.
pub const TEXT_BYTES_MAX: usize = 256;
/// Longest correlation id in bytes.
pub const CORRELATION_BYTES_MAX: usize = 128;
/// Longest path in bytes.
pub const PATH_BYTES_MAX: usize = 1024;
/// Longest query in bytes.
pub const QUERY_BYTES_MAX: usize = 1024;
/// Longest JSON object of headers in bytes; one that is longer is left out, as half an object is none.
pub const HEADERS_BYTES_MAX: usize = 4096;
/// Most elements that a list column keeps; the rest is cut.
pub const LIST_ITEMS_MAX: usize = 64;

/// What a column holds, in types which Arrow, Parquet and Delta share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp,
    /// UTF-8 text.
    Utf8,
    /// Signed 32-bit integer.
    Int32,
    /// Signed 64-bit integer.
    Int64,
    /// True or false.
    Boolean,
    /// Bytes, all of the column's width ([`Column::bytes_max`]).
    Binary,
    /// List of UTF-8 texts.
    Utf8List,
    /// List of signed 32-bit integers.
    Int32List,
}

/// One column of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name in SQL, Arrow, Parquet and Delta.
    pub name: &'static str,
    /// What it holds.
    pub ty: ColumnType,
    /// Whether it travels as a dictionary (the table stores plain text).
    pub dictionary: bool,
    /// Whether it can be null: the phase was not reached, or does not apply.
    pub nullable: bool,
    /// For text: the most bytes that are kept. For bytes: the exact width. For lists: the most bytes of one
    /// element. Otherwise 0.
    pub bytes_max: usize,
    /// Name in OpenTelemetry's semantic conventions, where there is one.
    pub otel: Option<&'static str>,
    /// Name in the Elastic Common Schema, where there is one.
    pub ecs: Option<&'static str>,
    /// What it says, in one sentence.
    pub meaning: &'static str,
}

/// Calls `$then!` with the table of columns.
///
/// A row is `name(field of Record): storage required|nullable, cap, OpenTelemetry, ECS, meaning;`.
/// The rows in `header [ … ]` are filled from the batch's header, and so are no fields of
/// [`Record`](crate::Record).
macro_rules! record_columns {
    ($then:ident) => { $then! {
        first [
            time(time_us): timestamp required, 0, "Timestamp", "@timestamp", "When the first byte of the request arrived.";
        ]
        header [
            node_id(node_id): dictionary required, 64, "service.instance.id", "service.node.name", "The proxy instance, as configured.";
            producer(producer): dictionary required, 128, _, _, "Node, start and worker of the process that numbered this record.";
        ]
        rest [
            seq(seq): int64 required, 0, _, "event.sequence", "The producer's counter: 1, 2, 3 … without holes.";
            kind(kind): (closed Kind) required, 0, _, _, "What the row is about: transaction, handshake_failed or gap.";
            correlation_id(correlation_id): text nullable, CORRELATION_BYTES_MAX, _, "labels.correlation_id", "The caller's own id of the request.";
            trace_id(trace_id): (bytes 16) nullable, 16, "trace.id", "trace.id", "W3C trace id, when the caller sent one or sampling made one.";
            span_id(span_id): (bytes 8) nullable, 8, "span.id", "span.id", "W3C span id of the gateway's part of the trace.";
            parent_span_id(parent_span_id): (bytes 8) nullable, 8, _, "parent.id", "W3C span id of the caller, from its traceparent; null where the trace began here.";
            trace_sampled(trace_sampled): boolean nullable, 0, _, _, "Whether the trace is sampled: the flag that the caller sent, or true where the trace began here.";
            service(service): dictionary nullable, 256, _, "service.target.name", "The proxied API.";
            route(route): dictionary nullable, 256, _, _, "The route that matched.";
            http_route(http_route): dictionary nullable, 512, "http.route", _, "Template of the path, as /members/{id}.";
            app_id(app_id): dictionary nullable, 128, "service.namespace", "labels.app_id", "The application or team that owns the API.";
            config_revision(config_revision): dictionary nullable, 64, _, _, "Revision of the configuration under which the transaction ran.";
            client_ip(client_ip): text nullable, 64, "client.address", "client.ip", "Address of the client, resolved through trusted hops only.";
            client_port(client_port): int32 nullable, 0, "client.port", "client.port", "Port of the client, of the same hop as client_ip.";
            peer_ip(peer_ip): text nullable, 64, "network.peer.address", "source.ip", "Address of the TCP peer.";
            client_ip_source(client_ip_source): (closed ClientIpSource) nullable, 0, _, _, "Where client_ip was learnt.";
            server_port(server_port): int32 nullable, 0, "server.port", "url.port", "Port of the listener.";
            host(host): dictionary nullable, 256, "server.address", "url.domain", "Host or :authority, as the client sent it.";
            http_version(http_version): dictionary nullable, 16, "network.protocol.version", "http.version", "Version of HTTP towards the client: 1.0, 1.1 or 2.";
            tls_version(tls_version): dictionary nullable, 16, "tls.protocol.version", "tls.version", "Version of TLS; null is cleartext.";
            tls_cipher(tls_cipher): dictionary nullable, 64, "tls.cipher", "tls.cipher", "Cipher suite of the connection.";
            tls_resumed(tls_resumed): boolean nullable, 0, "tls.resumed", "tls.resumed", "Whether the session was resumed; set on every TLS row.";
            tls_sni(tls_sni): dictionary nullable, 256, _, "tls.client.server_name", "Server name the client asked for; a difference to host is a signal.";
            tls_alpn(tls_alpn): dictionary nullable, 16, "tls.next_protocol", "tls.next_protocol", "Application protocol agreed on in the handshake.";
            mtls_verify(mtls_verify): (closed MtlsVerify) nullable, 0, _, _, "Outcome of verifying the client certificate.";
            client_cert_sha256(client_cert_sha256): (bytes 32) nullable, 32, "tls.client.hash.sha256", "tls.client.hash.sha256", "SHA-256 of the client certificate (DER).";
            client_cert_subject(client_cert_subject): dictionary nullable, 512, "tls.client.subject", "tls.client.subject", "Subject of the client certificate.";
            client_cert_issuer(client_cert_issuer): dictionary nullable, 512, "tls.client.issuer", "tls.client.issuer", "Issuer of the client certificate.";
            client_cert_serial(client_cert_serial): text nullable, 64, _, "tls.client.x509.serial_number", "Serial number of the client certificate, in hex.";
            client_cert_not_after(client_cert_not_after_us): timestamp nullable, 0, "tls.client.not_after", "tls.client.not_after", "When the client certificate expires.";
            method(method): dictionary nullable, 32, "http.request.method", "http.request.method", "Method of the request: a known one, or _OTHER.";
            path(path): text nullable, PATH_BYTES_MAX, "url.path", "url.path", "Path of the request, scrubbed, without its query.";
            query(query): text nullable, QUERY_BYTES_MAX, "url.query", "url.query", "Query of the request: keys kept, values by policy.";
            request_bytes(request_bytes): int64 nullable, 0, "http.request.body.size", "http.request.body.bytes", "Bytes of the request's body.";
            response_bytes(response_bytes): int64 nullable, 0, "http.response.body.size", "http.response.body.bytes", "Bytes of the response's body.";
            request_header_bytes(request_header_bytes): int64 nullable, 0, _, _, "Bytes of the request's head.";
            response_header_bytes(response_header_bytes): int64 nullable, 0, _, _, "Bytes of the response's head.";
            user_agent(user_agent): dictionary nullable, TEXT_BYTES_MAX, "user_agent.original", "user_agent.original", "User-Agent, as the client sent it.";
            headers(headers): json nullable, HEADERS_BYTES_MAX, _, _, "Allow-listed request headers, as a JSON object; null by default.";
            auth_pattern(auth_pattern): (closed AuthPattern) nullable, 0, _, _, "How the caller was authenticated.";
            auth_result(auth_result): (closed AuthResult) nullable, 0, _, "event.outcome", "Outcome of the authentication.";
            auth_fail_reason(auth_fail_reason): (closed AuthFailReason) nullable, 0, _, "event.reason", "Why the authentication failed.";
            consumer(consumer): dictionary nullable, 256, "user.name", "user.name", "The authenticated caller.";
            credential_id(credential_id): dictionary nullable, 256, _, "user.id", "Which credential was presented, never the secret.";
            token_hmac(token_hmac): (bytes 32) nullable, 32, _, "user.hash", "HMAC-SHA256 of the presented credential under a keyed, rotating secret.";
            auth_groups(auth_groups): texts nullable, 256, "user.roles", "user.roles", "Groups that the access decision used.";
            acl_decision(acl_decision): (closed AclDecision) nullable, 0, _, "event.type", "Access decision.";
            waf_action(waf_action): (closed WafAction) nullable, 0, _, "event.action", "What the web application firewall did.";
            waf_score(waf_score): int32 nullable, 0, _, "event.risk_score", "Inbound anomaly score.";
            waf_rule_ids(waf_rule_ids): int32s nullable, 0, _, "rule.id", "Rules that matched, never what they matched.";
            waf_us(waf_us): int64 nullable, 0, _, _, "Time in the rule engine, in microseconds.";
            upstream_host(upstream_host): dictionary nullable, 256, _, "destination.domain", "Host name sent upstream.";
            upstream_addr(upstream_addr): dictionary nullable, 64, _, "destination.address", "Address and port of the last attempt (network.peer.address of the client span).";
            upstream_status(upstream_status): int32 nullable, 0, _, _, "Status of the upstream's last response.";
            upstream_attempts(upstream_attempts): int32 nullable, 0, _, _, "Attempts to reach an upstream; 0 is never proxied.";
            upstream_reused(upstream_reused): boolean nullable, 0, _, _, "Whether a pooled connection carried the last attempt.";
            status(status): int32 nullable, 0, "http.response.status_code", "http.response.status_code", "Status sent to the client; 499 when the client left before one was sent.";
            response_source(response_source): (closed ResponseSource) nullable, 0, _, _, "Who made the response.";
            termination(termination): (closed Termination) nullable, 0, _, _, "Who ended the transaction.";
            error_class(error_class): (closed ErrorClass) nullable, 0, "error.type", "error.type", "What went wrong, from a closed list; null is fine.";
            error_detail(error_detail): dictionary nullable, 256, "error.message", "error.message", "One sanitised sentence on what went wrong.";
            total_us(total_us): int64 nullable, 0, _, "event.duration", "First byte in to last byte out, in microseconds.";
            gateway_us(gateway_us): int64 nullable, 0, _, _, "total_us less the waits for client and upstream, in microseconds.";
            upstream_dns_us(upstream_dns_us): int64 nullable, 0, _, _, "Wait for the resolver, in microseconds; null when a connection was reused.";
            upstream_connect_us(upstream_connect_us): int64 nullable, 0, _, _, "TCP connect, in microseconds; null when a connection was reused.";
            upstream_tls_us(upstream_tls_us): int64 nullable, 0, _, _, "TLS handshake with the upstream, in microseconds; null when a connection was reused.";
            upstream_ttfb_us(upstream_ttfb_us): int64 nullable, 0, _, _, "Request sent to first byte of the response, in microseconds; kept when the client left.";
            upstream_receive_us(upstream_receive_us): int64 nullable, 0, _, _, "First to last byte from the upstream, in microseconds.";
            gap_count(gap_count): int64 nullable, 0, _, _, "In a gap record: how many records from seq on were shed.";
            gap_reason(gap_reason): (closed GapReason) nullable, 0, _, _, "In a gap record: why they were shed.";
        ]
    } };
}
pub(crate) use record_columns;

macro_rules! name {
    (_) => {
        None
    };
    ($name:literal) => {
        Some($name)
    };
}

macro_rules! storage {
    (timestamp) => {
        (ColumnType::Timestamp, false)
    };
    (int32) => {
        (ColumnType::Int32, false)
    };
    (int64) => {
        (ColumnType::Int64, false)
    };
    (boolean) => {
        (ColumnType::Boolean, false)
    };
    (text) => {
        (ColumnType::Utf8, false)
    };
    (json) => {
        (ColumnType::Utf8, false)
    };
    (dictionary) => {
        (ColumnType::Utf8, true)
    };
    ((closed $vocabulary:ident)) => {
        (ColumnType::Utf8, true)
    };
    ((bytes $width:literal)) => {
        (ColumnType::Binary, false)
    };
    (texts) => {
        (ColumnType::Utf8List, false)
    };
    (int32s) => {
        (ColumnType::Int32List, false)
    };
}

macro_rules! nullable {
    (required) => {
        false
    };
    (nullable) => {
        true
    };
}

macro_rules! registry {
    ($($section:ident [ $(
        $name:ident($field:ident): $storage:tt $null:tt, $cap:expr, $otel:tt, $ecs:tt, $meaning:literal;
    )* ])*) => {
        /// The physical columns, in order. `request_id` is not among them: see [`COMPUTED`].
        pub const COLUMNS: &[Column] = &[$($(
            Column {
                name: stringify!($name),
                ty: storage!($storage).0,
                dictionary: storage!($storage).1,
                nullable: nullable!($null),
                bytes_max: $cap,
                otel: name!($otel),
                ecs: name!($ecs),
                meaning: $meaning,
            },
        )*)*];
    };
}
record_columns!(registry);

/// Columns that no version of the gateway fills yet: their names are taken, and every row has null.
pub const RESERVED: &[&str] = &["waf_score", "waf_rule_ids", "waf_us"];

/// Columns that readers see but nobody stores: they follow from the stored ones.
pub const COMPUTED: &[Column] = &[Column {
    name: "request_id",
    ty: ColumnType::Utf8,
    dictionary: false,
    nullable: false,
    bytes_max: 36,
    otel: Some("http.request.id"),
    ecs: Some("http.request.id"),
    meaning: "UUIDv7 of (time, producer, seq), sent upstream and to the client as X-Request-Id.",
}];

/// The place of the physical column `name` in [`COLUMNS`], in a record batch and in a table row.
///
/// Usable in constants: `const STATUS: usize = index_of("status").unwrap();`.
pub const fn index_of(name: &str) -> Option<usize> {
    let mut index = 0;
    while index < COLUMNS.len() {
        if same(COLUMNS[index].name.as_bytes(), name.as_bytes()) {
            return Some(index);
        }
        index += 1;
    }
    None
}

/// Whether two names are equal; `==` on slices is not yet usable in constants.
const fn same(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let mut index = 0;
    while index < left.len() {
        if left[index] != right[index] {
            return false;
        }
        index += 1;
    }
    true
}
