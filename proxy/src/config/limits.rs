//! Deadlines and bounds, each with its default.

use serde::{Deserialize, Serialize};
use tollgate_config::{ByteSize, ConfigDuration, Spanned};

/// Deadlines towards clients and upstreams.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// TCP accept to the end of the TLS handshake.
    pub handshake: ConfigDuration,
    /// How long a connection that has begun no request yet may still do so once the proxy drains.
    pub drain_first_request: ConfigDuration,
    /// A request head, and the wait for the next one on an HTTP/1.1 connection.
    pub header_read: ConfigDuration,
    /// How long an HTTP/1.1 connection keeps its buffers without a request.
    pub http1_rest: ConfigDuration,
    /// An HTTP/2 connection without a stream.
    pub http2_idle: ConfigDuration,
    /// Longest silence of a body, in either direction.
    pub body_idle: ConfigDuration,
    /// How long a body may be waited for beyond what its least rate allows.
    pub rate_grace: ConfigDuration,
    /// Longest time that a client may leave the socket full.
    pub client_write: ConfigDuration,
    /// Resolving, connecting and TLS towards an upstream, for one attempt.
    pub connect: ConfigDuration,
    /// Request sent to first byte of the response.
    pub first_byte: ConfigDuration,
    /// Request head to last byte of the response. Tunnels are exempt.
    pub total: ConfigDuration,
    /// Silence of a tunnel, in both directions at once.
    pub tunnel_idle: ConfigDuration,
    /// Idle pooled upstream connections; keep it below the upstream's own.
    pub upstream_idle: ConfigDuration,
    /// Age past which an upstream connection takes no further request.
    pub upstream_age: ConfigDuration,
    /// Wait for an upstream connection when there are as many as there may be.
    pub upstream_pending: ConfigDuration,
    /// How long an answer of the resolver is used before it is asked again.
    pub dns_cache: ConfigDuration,
    /// How long an old answer is used while the resolver fails.
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
    /// Clients that each cap on clients tells apart at one time, for the whole process.
    pub clients_max: Spanned<usize>,
    /// Requests on one HTTP/1.1 connection before it is closed; 0 = no bound.
    pub requests_per_connection_max: u64,
    /// Bytes of an HTTP/1.1 request head.
    pub head_bytes_max: ByteSize,
    /// Fields of a request head; a field that is sent twice counts twice.
    pub headers_max: Spanned<usize>,
    /// Bytes of a request body.
    pub request_body_bytes_max: ByteSize,
    /// Bytes a second that a client must send of a body while nothing else is waited for; 0 = no bound.
    pub request_bytes_per_second_min: u64,
    /// Bytes a second that a client must take of a body while nothing else is waited for; 0 = no bound.
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

/// HTTP/2 towards clients.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http2 {
    /// Concurrent streams of one connection.
    pub streams_max: u32,
    /// Bytes of a decoded header list.
    pub header_list_bytes_max: u32,
    /// Flow-control window of a stream.
    pub stream_window_bytes: u32,
    /// Flow-control window of a connection.
    pub connection_window_bytes: u32,
    /// Largest frame accepted.
    pub frame_bytes_max: u32,
    /// Bytes buffered for sending on one stream.
    pub send_buffer_bytes: usize,
    /// Streams reset by the peer before they were accepted; more close the connection (rapid reset).
    pub pending_resets_max: usize,
    /// Streams reset by us for the peer's errors; more close the connection.
    pub local_error_resets_max: usize,
    /// Control frames of a client a second, as PING, SETTINGS, PRIORITY, WINDOW_UPDATE and unknown ones, after the burst.
    pub control_frames_per_second_max: u32,
    /// Control frames of a client at once; more close the connection.
    pub control_frame_burst_max: u32,
    /// Streams that a client may reset a second, after the burst.
    pub resets_per_second_max: u32,
    /// Streams that a client may reset at once; more close the connection (rapid reset).
    pub reset_burst_max: u32,
    /// Silence after which the peer is pinged.
    pub keepalive_interval: ConfigDuration,
    /// Wait for its answer.
    pub keepalive_timeout: ConfigDuration,
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            streams_max: 100,
            header_list_bytes_max: 64 * 1024,
            stream_window_bytes: 256 * 1024,
            connection_window_bytes: 1024 * 1024,
            frame_bytes_max: 16 * 1024,
            send_buffer_bytes: 256 * 1024,
            pending_resets_max: 20,
            local_error_resets_max: 128,
            control_frames_per_second_max: 100,
            control_frame_burst_max: 1_000,
            resets_per_second_max: 20,
            reset_burst_max: 200,
            keepalive_interval: ConfigDuration::secs(30),
            keepalive_timeout: ConfigDuration::secs(10),
        }
    }
}
