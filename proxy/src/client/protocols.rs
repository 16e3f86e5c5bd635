//! hyper's two protocols towards clients, with every limit set from the configuration.

use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;
use tollgate_proxy_config::ProxyConfig;

use crate::task::stream::StreamExecutor;
use crate::task::timer::DeadlineTimer;

/// Fields of a head that hyper parses on the stack. For more, it allocates for each head.
const PARSER_HEADERS: usize = 100;

/// The size at which h2 itself refuses a header list, as a multiple of the configured one. h2's refusal leaves no
/// record, so that lists between the two reach the proxy, and are refused and recorded as any request.
const HEADER_LIST_HEADROOM: u32 = 4;

/// hyper's two protocols towards clients.
#[derive(Debug)]
pub struct Protocols {
    pub http1: http1::Builder,
    pub http2: http2::Builder<StreamExecutor>,
}

impl Protocols {
    #[must_use]
    pub fn new(config: &ProxyConfig) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .timer(DeadlineTimer)
            .header_read_timeout(config.timeouts.header_read.0)
            .max_buf_size((config.limits.head_bytes_max.0 as usize).max(8 * 1024));
        let headers_max = config.limits.headers_max.value;
        if headers_max > PARSER_HEADERS {
            http1.max_headers(headers_max);
        }
        let mut http2 = http2::Builder::new(StreamExecutor);
        let h2 = &config.http2;
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(h2.streams_max)
            .max_header_list_size(h2.header_list_bytes_max.saturating_mul(HEADER_LIST_HEADROOM))
            .initial_stream_window_size(h2.stream_window_bytes)
            .initial_connection_window_size(h2.connection_window_bytes)
            .max_frame_size(h2.frame_bytes_max)
            .max_send_buf_size(h2.send_buffer_bytes)
            .max_pending_accept_reset_streams(h2.pending_resets_max)
            .max_local_error_reset_streams(h2.local_error_resets_max)
            .keep_alive_interval(h2.keepalive_interval.0)
            .keep_alive_timeout(h2.keepalive_timeout.0);
        Self { http1, http2 }
    }
}
