//! Checks of single values and of names, which types cannot express.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use tollgate_config::{Diagnostics, Spanned};
use tollgate_proxy_config::ProxyConfig;

/// Most workers.
const WORKERS_MAX: usize = 1_024;

/// Fields of a request head. The parser allocates that many for each head.
const HEADERS: RangeInclusive<usize> = 1..=10_000;
/// Bytes of an HTTP/2 frame.
const FRAME_BYTES: RangeInclusive<u32> = 16_384..=16_777_215;
/// Bytes of an HTTP/2 window.
const WINDOW_BYTES: RangeInclusive<u32> = 1..=2_147_483_647;

/// Checks every value that can be judged without a file or another section.
pub(super) fn scalars(config: &ProxyConfig, problems: &mut Diagnostics<'_>) {
    if !tollgate_record::id::is_node_id(&config.node_id) {
        problems.at(&config.node_id, "a node id has 1 to 64 of the characters A-Z a-z 0-9 . _ -; write such a name");
    }
    if let Some(workers) = &config.workers
        && !(1..=WORKERS_MAX).contains(&workers.value)
    {
        problems.at(workers, format!("workers must be 1 to {WORKERS_MAX}; leave it out for one per core"));
    }
    if !(0.0..=1.0).contains(&config.trace.sampling.value) {
        problems.at(&config.trace.sampling, "sampling is a share; write a number from 0 to 1");
    }
    let headers = &config.limits.headers_max;
    if !HEADERS.contains(&headers.value) {
        let (low, high) = (HEADERS.start(), HEADERS.end());
        problems.at(headers, format!("must be {low} to {high}; leave it out for the default"));
    }
    check_http2(config, problems);
    if config.listeners.is_empty() {
        problems.key("listeners", "there is no listener; write at least one with a name and an address");
    }
    unique(config.listeners.iter().map(|l| &l.name), "listener", problems);
    unique(config.services.iter().map(|s| &s.name), "service", problems);
    unique(config.routes.iter().map(|r| &r.name), "route", problems);
    unique(config.listeners.iter().filter(|l| !l.address.ends_with(":0")).map(|l| &l.address), "address", problems);
}

/// Checks bounds that HTTP/2 or the format of a batch sets.
fn check_http2(config: &ProxyConfig, problems: &mut Diagnostics<'_>) {
    let (h2, records) = (&config.http2, &config.records);
    if !FRAME_BYTES.contains(&h2.frame_bytes_max) {
        let (low, high) = (FRAME_BYTES.start(), FRAME_BYTES.end());
        problems.key("http2.frame_bytes_max", format!("must be {low} to {high} (RFC 9113 section 4.2)"));
    }
    for (key, window) in [
        ("http2.stream_window_bytes", h2.stream_window_bytes),
        ("http2.connection_window_bytes", h2.connection_window_bytes),
    ] {
        if !WINDOW_BYTES.contains(&window) {
            let (low, high) = (WINDOW_BYTES.start(), WINDOW_BYTES.end());
            problems.key(key, format!("must be {low} to {high} (RFC 9113 section 6.9)"));
        }
    }
    for (key, frames) in [
        ("http2.control_frames_per_second_max", h2.control_frames_per_second_max),
        ("http2.control_frame_burst_max", h2.control_frame_burst_max),
        ("http2.resets_per_second_max", h2.resets_per_second_max),
        ("http2.reset_burst_max", h2.reset_burst_max),
    ] {
        if frames == 0 {
            problems.key(key, "must be more than 0; leave it out for the default");
        }
    }
    let timeouts = &config.timeouts;
    for (key, idle) in [
        ("timeouts.http1_rest", timeouts.http1_rest),
        ("timeouts.http2_idle", timeouts.http2_idle),
        ("timeouts.tunnel_idle", timeouts.tunnel_idle),
    ] {
        if idle.0.is_zero() {
            problems.key(key, "must be more than 0; leave it out for the default");
        }
    }
    if records.batch_bytes_max.0 > tollgate_record::RAW_BYTES_MAX as u64 {
        problems.key("records.batch_bytes_max", format!("must be {} at most", tollgate_record::RAW_BYTES_MAX));
    }
}

fn unique<'a>(names: impl Iterator<Item = &'a Spanned<String>>, what: &str, problems: &mut Diagnostics<'_>) {
    let mut there: HashMap<&str, &Spanned<String>> = HashMap::new();
    for name in names {
        if name.is_empty() {
            problems.at(name, format!("the {what} has no name; write one"));
        }
        if let Some(other) = there.insert(name, name) {
            let place = problems.place(other);
            problems.at(name, format!("the {what} `{}` is there already, on {place}; change one", name.value));
        }
    }
}
