//! Deadlines and bounds, each with its default.

use serde::{Deserialize, Serialize};
use tollgate_config::{ByteSize, ConfigDuration, Spanned};

/// Deadlines towards clients and upstreams.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// TCP accept to the end of the TLS handshake.
    pub handshake: ConfigDuration,
    /// Time that a new connection has for its first request once the proxy drains.
    pub drain_first_request: ConfigDuration,
    /// A request head, and the wait for the next head on an HTTP/1.1 connection.
    pub header_read: ConfigDuration,
    /// Time without a request after which an HTTP/1.1 connection gives its buffers back.
    pub http1_rest: ConfigDuration,
    /// An HTTP/2 connection without a stream.
    pub http2_idle: ConfigDuration,
    /// Longest silence of a body, in either direction.
    pub body_idle: ConfigDuration,
    /// Time that a body may take beyond what its minimum rate allows.
    pub rate_grace: ConfigDuration,
    /// Longest time that a client may read nothing while data waits for it.
    pub client_write: ConfigDuration,
    /// Resolving, connecting and TLS towards an upstream, for one attempt.
    pub connect: ConfigDuration,
    /// Time from the sent request to the first byte of the response.
    pub first_byte: ConfigDuration,
    /// Time from the request head to the last byte of the response. Tunnels are exempt.
    pub total: ConfigDuration,
    /// Silence of a tunnel, in both directions at once.
    pub tunnel_idle: ConfigDuration,
    /// Idle pooled upstream connections; keep it below the upstream's own.
    pub upstream_idle: ConfigDuration,
    /// Age past which an upstream connection takes no further request.
    pub upstream_age: ConfigDuration,
    /// Wait for an upstream connection when the most allowed are open.
    pub upstream_pending: ConfigDuration,
    /// Time that an answer of the resolver is used.
    pub dns_cache: ConfigDuration,
    /// Time that an old answer is still used while the resolver fails.
    pub dns_stale: ConfigDuration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: ConfigDuration::secs(10),
            drain_first_request: ConfigDuration::secs(1),
            header_read: ConfigDuration::secs(30),
            http1_rest: ConfigDuration::secs(1),
            http2_idle: ConfigDuration::mins(3),
            body_idle: ConfigDuration::secs(60),
            rate_grace: ConfigDuration::secs(10),
            client_write: ConfigDuration::secs(60),
            connect: ConfigDuration::secs(5),
            first_byte: ConfigDuration::secs(60),
            total: ConfigDuration::mins(10),
            tunnel_idle: ConfigDuration::hours(1),
            upstream_idle: ConfigDuration::secs(50),
            upstream_age: ConfigDuration::mins(60),
            upstream_pending: ConfigDuration::secs(1),
            dns_cache: ConfigDuration::secs(30),
            dns_stale: ConfigDuration::mins(60),
        }
    }
}

/// Bounds on connections, heads and bodies.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Open client connections of one worker; more are closed at once.
    pub connections_max: usize,
    /// Clients that each per-client cap tracks at one time, for the whole process.
    pub clients_max: Spanned<usize>,
    /// Passwords that are verified at one time, each on a thread of its own, for the whole process.
    pub password_checks_max: Spanned<usize>,
    /// Passwords that wait to be verified; logins past it are answered 503.
    pub password_checks_waiting_max: Spanned<usize>,
    /// Requests on one HTTP/1.1 connection before it is closed; 0 = no bound.
    pub requests_per_connection_max: u64,
    /// Bytes of an HTTP/1.1 request head.
    pub head_bytes_max: ByteSize,
    /// Fields of a request head; a field that is sent twice counts twice.
    pub headers_max: Spanned<usize>,
    /// Bytes of a request body.
    pub request_body_bytes_max: ByteSize,
    /// Bytes a second that a client must send of a body while only the client is waited for; 0 = no bound.
    pub request_bytes_per_second_min: u64,
    /// Bytes a second that a client must read of a body while only the client is waited for; 0 = no bound.
    pub response_bytes_per_second_min: u64,
    /// Open connections of one worker to one upstream identity.
    pub upstream_connections_max: usize,
    /// Idle connections kept by one worker for one upstream identity.
    pub upstream_idle_max: usize,
    /// Requests on one upstream connection before it is closed; 0 = no bound.
    pub upstream_requests_per_connection_max: u64,
    /// Requests of one worker that wait for a connection to one upstream identity.
    pub upstream_pending_max: usize,
    /// Concurrent streams on one HTTP/2 upstream connection; the upstream's own bound holds too.
    pub upstream_streams_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 20_000,
            clients_max: Spanned::nowhere(65_536),
            password_checks_max: Spanned::nowhere(2),
            password_checks_waiting_max: Spanned::nowhere(64),
            requests_per_connection_max: 0,
            head_bytes_max: ByteSize::kib(64),
            headers_max: Spanned::nowhere(100),
            request_body_bytes_max: ByteSize::gib(1),
            request_bytes_per_second_min: 0,
            response_bytes_per_second_min: 0,
            upstream_connections_max: 4_096,
            upstream_idle_max: 256,
            upstream_requests_per_connection_max: 0,
            upstream_pending_max: 1_024,
            upstream_streams_max: 100,
        }
    }
}

/// Bounds on retries.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retries {
    /// Connections tried for one request, the first included.
    pub attempts_max: Spanned<u32>,
    /// Retries for every hundred requests to an upstream identity, for each worker.
    pub budget_percent: Spanned<u32>,
    /// Retries a second that are always allowed, for each worker and upstream identity.
    pub budget_per_second_min: Spanned<u32>,
    /// Bytes of a request body that are kept until the response begins. A stream that an HTTP/2 upstream refused unseen
    /// can then be sent again.
    pub replay_bytes_max: ByteSize,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts_max: Spanned::nowhere(3),
            budget_percent: Spanned::nowhere(20),
            budget_per_second_min: Spanned::nowhere(10),
            replay_bytes_max: ByteSize::kib(64),
        }
    }
}
