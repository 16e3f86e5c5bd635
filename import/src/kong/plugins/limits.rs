//! `rate-limiting`, `rate-limiting-advanced` and `request-size-limiting`.

use std::collections::BTreeMap;

use super::{Piece, without_effect};
use crate::kong::entities::Plugin;
use crate::kong::reader::Reader;
use crate::node::Node;
use crate::out::Rate;

/// Windows of `rate-limiting` with their seconds.
const WINDOWS: [(&str, f64); 6] = [
    ("second", 1.0),
    ("minute", 60.0),
    ("hour", 3_600.0),
    ("day", 86_400.0),
    ("month", 2_592_000.0),
    ("year", 31_536_000.0),
];
/// The slowest and the fastest rate of the proxy, a second.
const RATE: std::ops::RangeInclusive<f64> = 0.001..=1e6;
/// The most requests at once.
const BURST_MAX: f64 = 1e6;

/// Maps a rate. Of several windows, the slowest rate and the smallest count: it admits nothing that Kong refuses.
pub fn rate(plugin: &Plugin<'_>, reader: &mut Reader<'_>) -> Piece {
    let what = format!("plugin `{}`", plugin.name);
    let Some(config) = plugin.config else {
        reader.missing(plugin.node, what, "it has no limit; write `caps`");
        return Piece::default();
    };
    let windows = windows(plugin, config, reader);
    if windows.is_empty() {
        reader.missing(plugin.node, what, "it has no limit that can be read; write `caps`");
        return Piece::default();
    }
    let slowest = windows.iter().map(|(limit, seconds)| limit / seconds).fold(f64::INFINITY, f64::min);
    let least = windows.iter().map(|(limit, _)| *limit).fold(f64::INFINITY, f64::min);
    let bounded = slowest.clamp(*RATE.start(), *RATE.end());
    if bounded != slowest {
        reader.differs(config, &what, "a rate is 0.001 to 1000000 a second here; the nearest is written");
    }
    let by = reader.text(config, "limit_by").or_else(|| reader.text(config, "identifier"));
    let prefix = match by.as_deref() {
        Some("service") => "",
        Some("ip") => "client_",
        None | Some("consumer" | "credential") => "client_",
        Some(other) => {
            let why = format!("requests are not counted by `{other}`; they are by client address");
            reader.missing(config, format!("`limit_by: {other}` of {what}"), why);
            "client_"
        }
    };
    if windows.len() > 1 {
        let how = "several windows became one rate, the slowest, with the smallest count at once: never more than Kong lets \
                   pass, and often less";
        reader.differs(config, &what, how);
    }
    let how = "Kong's windows are fixed and begin anew as a whole; here the count refills evenly. It holds for one process, \
               as `policy: local`, and answers carry `Retry-After` but no `RateLimit-*`";
    reader.differs(config, &what, how);
    if reader.whole(config, "error_code").is_some_and(|code| code != 429) {
        reader.differs(config, format!("`error_code` of {what}"), "it is 429 here");
    }
    let rest = [
        "policy",
        "fault_tolerant",
        "hide_client_headers",
        "sync_rate",
        "redis",
        "redis_host",
        "redis_port",
        "redis_password",
        "redis_username",
        "redis_database",
        "redis_timeout",
        "redis_ssl",
        "redis_ssl_verify",
        "redis_server_name",
        "header_name",
        "path",
        "error_message",
        "strategy",
        "dictionary_name",
        "namespace",
        "window_type",
        "retry_after_jitter_max",
        "disable_penalty",
        "enforce_consumer_groups",
        "consumer_groups",
        "lock_dictionary_name",
        "compound_identifier",
        "throttling",
    ];
    without_effect(config, &plugin.name, &rest, "they have no effect here: each proxy counts by itself", reader);
    if plugin.route.is_none() && plugin.service.is_none() {
        let how =
            "a limit for everything counts for each service apart: more pass than in Kong where a client asks several";
        reader.differs(config, &what, how);
    }
    reader.mapped(plugin.node, what, "`caps`");
    let mut caps = BTreeMap::new();
    let (rate, burst) = match prefix {
        "" => ("requests_per_second_max", "request_burst_max"),
        _ => ("client_requests_per_second_max", "client_request_burst_max"),
    };
    caps.insert(rate, Rate::PerSecond(bounded));
    caps.insert(burst, Rate::AtOnce(least.clamp(1.0, BURST_MAX) as u64));
    Piece { caps, ..Piece::default() }
}

/// Reads limits with the seconds that they hold for.
fn windows(plugin: &Plugin<'_>, config: &Node, reader: &mut Reader<'_>) -> Vec<(f64, f64)> {
    let mut windows: Vec<(f64, f64)> = Vec::new();
    if plugin.name == "rate-limiting" {
        for (key, seconds) in WINDOWS {
            windows.extend(reader.number(config, key).map(|limit| (limit, seconds)));
        }
    } else {
        let numbers = |key: &str, reader: &mut Reader<'_>| {
            let texts = reader.texts(config, key);
            texts.iter().filter_map(|text| text.parse::<f64>().ok()).collect::<Vec<f64>>()
        };
        let (limits, sizes) = (numbers("limit", reader), numbers("window_size", reader));
        windows.extend(limits.into_iter().zip(sizes));
    }
    windows.retain(|(limit, seconds)| *limit > 0.0 && *seconds > 0.0 && limit.is_finite() && seconds.is_finite());
    windows
}

/// Maps a bound on bodies.
pub fn size(plugin: &Plugin<'_>, reader: &mut Reader<'_>) -> Piece {
    let number = plugin.config.and_then(|config| reader.whole(config, "allowed_payload_size")).unwrap_or(128);
    let unit = plugin.config.and_then(|config| reader.text(config, "size_unit"));
    let unit = match unit.as_deref() {
        None | Some("megabytes") => "MiB",
        Some("kilobytes") => "KiB",
        Some("bytes") => "B",
        Some(other) => {
            reader.missing(plugin.node, "plugin `request-size-limiting`", format!("the unit `{other}` is unknown"));
            return Piece::default();
        }
    };
    if plugin.config.and_then(|config| reader.flag(config, "require_content_length")) == Some(true) {
        let how = "a body without a length is counted as it passes, and cut there; Kong refuses it with 411";
        reader.differs(plugin.node, "`require_content_length`", how);
    }
    reader.mapped(plugin.node, "plugin `request-size-limiting`", "`request_body_bytes_max`");
    Piece { request_body_bytes_max: Some(format!("{number} {unit}")), ..Piece::default() }
}
