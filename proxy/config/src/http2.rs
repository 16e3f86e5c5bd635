//! HTTP/2 towards clients.

use serde::{Deserialize, Serialize};
use tollgate_config::ConfigDuration;

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
    /// Streams that the proxy reset for the peer's errors; more close the connection.
    pub local_error_resets_max: usize,
    /// Control frames of a client a second, as PING, SETTINGS, PRIORITY, WINDOW_UPDATE and unknown ones, after the
    /// burst.
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
