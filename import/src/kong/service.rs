//! Services and upstreams of Kong as services with targets.

use std::collections::BTreeMap;

use super::entities::{Entity, Kong};
use super::fields;
use super::reader::Reader;
use crate::node::Node;
use crate::out::{Active, Health, Passive, Service, ServiceTls, Target};

/// The largest weight of a target.
const WEIGHT_MAX: u64 = 100;

/// A service as it is written, and what its routes need to know.
#[derive(Debug, Clone, Default)]
pub struct Mapped {
    pub service: Service,
    /// The path that goes before that of each request; `/` = none.
    pub path: String,
    pub timeouts: BTreeMap<&'static str, String>,
}

/// Maps a service; none = it is not to be served.
pub fn map(kong: &Kong<'_>, entity: &Entity<'_>, reader: &mut Reader<'_>) -> Option<Mapped> {
    let node = entity.node;
    let what = format!("service `{}`", entity.name);
    if reader.flag(node, "enabled") == Some(false) {
        reader.differs(node, what, "it is switched off: neither it nor its routes are written");
        return None;
    }
    let defaults = kong.defaults.get("service").copied();
    let address = address(node, defaults, reader)?;
    let mut mapped = Mapped { path: address.path, ..Mapped::default() };
    mapped.service.name = entity.name.clone();
    match address.protocol.as_str() {
        "http" | "https" | "ws" | "wss" => {}
        "grpc" | "grpcs" => mapped.service.protocol = Some("http2"),
        other => {
            let why = format!("its protocol is `{other}`, and Tollgate carries HTTP; its routes are left out");
            reader.missing(node, what, why);
            return None;
        }
    }
    let secure = matches!(address.protocol.as_str(), "https" | "wss" | "grpcs");
    let scheme = if secure { "https" } else { "http" };
    let upstream = kong.upstreams.iter().find(|upstream| upstream.name == address.host);
    match upstream {
        Some(upstream) => balanced(kong, upstream, scheme, &mut mapped.service, reader),
        None => mapped.service.targets = vec![Target::Url(format!("{scheme}://{}:{}", address.host, address.port))],
    }
    if mapped.service.targets.is_empty() {
        reader.missing(node, &what, "no target of it can be written; its routes are left out");
        return None;
    }
    mapped.service.tls = tls(node, secure, reader);
    times(node, defaults, &mut mapped, reader);
    reader.mapped(node, what, format!("service in `services`, {} targets", mapped.service.targets.len()));
    Some(mapped)
}

/// Where a service stands.
struct Address {
    protocol: String,
    host: String,
    port: u64,
    path: String,
}

fn address(node: &Node, defaults: Option<&Node>, reader: &mut Reader<'_>) -> Option<Address> {
    let field = |key: &str, reader: &mut Reader<'_>| {
        reader.text(node, key).or_else(|| defaults.and_then(|defaults| reader.text(defaults, key)))
    };
    if let Some(url) = node.get("url") {
        let text = reader.text(node, "url")?;
        let protocol = text.split("://").next().unwrap_or_default().to_ascii_lowercase();
        let parsed = text
            .parse::<http::Uri>()
            .ok()
            .filter(|url| url.scheme().is_some() && url.host().is_some_and(|host| !host.is_empty()));
        let Some(parsed) = parsed else {
            reader.refuse(url, "this is no URL with a host; write for example `http://host:80/path`");
            return None;
        };
        let protocol = reader.text(node, "protocol").unwrap_or(protocol);
        let host = parsed.host().unwrap_or_default().to_owned();
        let secure = matches!(protocol.as_str(), "https" | "wss" | "grpcs");
        let port = parsed.port_u16().map_or(if secure { 443 } else { 80 }, u64::from);
        let port = reader.whole(node, "port").unwrap_or(port);
        let path = reader.text(node, "path").unwrap_or_else(|| parsed.path().to_owned());
        return Some(Address { protocol, host: reader.text(node, "host").unwrap_or(host), port, path });
    }
    let protocol = field("protocol", reader).unwrap_or_else(|| "http".to_owned());
    let Some(host) = field("host", reader) else {
        if node.get("host").is_none() {
            reader.refuse(node, "a service has a `url` or a `host`; write one");
        }
        return None;
    };
    let port = match node.get("port").or_else(|| defaults.and_then(|defaults| defaults.get("port"))) {
        Some(port) => reader.number_of(port)? as u64,
        None if matches!(protocol.as_str(), "https" | "wss" | "grpcs") => 443,
        None => 80,
    };
    let host = host.trim_matches(['[', ']']);
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    Some(Address { protocol, host, port, path: field("path", reader).unwrap_or_else(|| "/".to_owned()) })
}

/// Kong's own default of each of its deadlines, in milliseconds.
const KONG_TIMEOUT_MS: u64 = 60_000;

fn times(node: &Node, defaults: Option<&Node>, mapped: &mut Mapped, reader: &mut Reader<'_>) {
    let time = |key: &str, reader: &mut Reader<'_>| {
        reader.whole(node, key).or_else(|| defaults.and_then(|defaults| reader.whole(defaults, key)))
    };
    let (connect, read, write) =
        (time("connect_timeout", reader), time("read_timeout", reader), time("write_timeout", reader));
    let other = |ms: Option<u64>| ms.filter(|ms| *ms != KONG_TIMEOUT_MS && *ms > 0);
    if let Some(ms) = connect.filter(|ms| *ms > 0) {
        mapped.timeouts.insert("connect", format!("{ms}ms"));
    }
    if let Some(ms) = other(read) {
        mapped.timeouts.insert("first_byte", format!("{ms}ms"));
    }
    if let Some(ms) = other(read.max(write)) {
        mapped.timeouts.insert("body_idle", format!("{ms}ms"));
    }
    // 10 minutes is the proxy's whole time for a request.
    if let Some(ms) = other(read).filter(|ms| *ms >= 600_000) {
        mapped.timeouts.insert("total", format!("{}ms", ms.saturating_mul(2)));
    }
    if connect.is_some() || read.is_some() || write.is_some() {
        let how = "`read_timeout` bounds the first byte and each silence, `write_timeout` each silence; beside them \
                   `timeouts.total` bounds the whole";
        reader.differs(node, "timeouts of a service", how);
    }
    if node.get("retries").is_some() {
        let how = "Kong tries a request `retries` times more; here `retries` of the main file counts the attempts of all \
                   services, with a budget, and never sends a POST again that may have been seen";
        reader.differs(node, "`retries`", how);
        let _taken = reader.whole(node, "retries");
    }
}

fn tls(node: &Node, secure: bool, reader: &mut Reader<'_>) -> Option<ServiceTls> {
    let verify = reader.flag(node, "tls_verify");
    for key in ["client_certificate", "ca_certificates", "tls_verify_depth", "tls_sans"] {
        if let Some(value) = node.get(key).filter(|value| !value.is_empty()) {
            let why = "certificates towards upstreams are files here; write them, and name them in the service's `tls`";
            reader.missing(value, format!("`{key}` of a service"), why);
        }
    }
    match (secure, verify) {
        (true, Some(false)) => {
            reader.differs(node, "`tls_verify: false`", "written as `tls: {verify: none}`; better name `tls.ca`");
            Some(ServiceTls { verify: Some("none"), ..ServiceTls::default() })
        }
        (true, None) => {
            let how = "Kong does not verify an upstream's certificate unless told to; here it is verified, against the \
                       system's authorities unless `tls.ca` names others";
            reader.differs(node, "TLS to an upstream", how);
            None
        }
        _ => None,
    }
}

/// Writes an upstream's targets, balancing and checks into its service.
fn balanced(kong: &Kong<'_>, upstream: &Entity<'_>, scheme: &str, service: &mut Service, reader: &mut Reader<'_>) {
    let node = upstream.node;
    let what = format!("upstream `{}`", upstream.name);
    let mut targets: Vec<(String, u64)> = Vec::new();
    for (of, target) in &kong.targets {
        if *of != upstream.name && upstream.id.as_deref() != Some(of) {
            continue;
        }
        fields::check(target, "a target", fields::TARGET, reader);
        let Some(address) = reader.text(target, "target") else {
            if target.get("target").is_none() {
                reader.refuse(target, "a target has a `target`, as host:port; write it");
            }
            continue;
        };
        let weight = reader.whole(target, "weight").unwrap_or(100);
        if reader.flag(target, "failover") == Some(true) {
            reader.missing(target, format!("target `{address}`"), "targets for failover alone are not mapped");
        } else if weight == 0 {
            reader.differs(
                target,
                format!("target `{address}`"),
                "its weight is 0, so it gets no requests, and is left out",
            );
        } else {
            targets.push((with_port(&address), weight));
        }
    }
    service.targets = weighted(targets, scheme, node, reader);
    service.balance = balance(node, &what, reader);
    service.health = health(node, reader);
    if let Some(host) = reader.text(node, "host_header") {
        let how =
            format!("targets are sent their own name as Host, not `{host}`; or `host: client` sends the client's");
        reader.differs(node, "`host_header` of an upstream", how);
    }
    for key in ["slots", "use_srv_name"] {
        if let Some(value) = node.get(key) {
            value.take_whole();
            reader.differs(value, format!("`{key}` of an upstream"), "it has no effect here");
        }
    }
    reader.mapped(node, what, "targets, balancing and checks of its services");
}

/// A target without a port has Kong's own.
fn with_port(address: &str) -> String {
    let has_port = match address.rsplit_once(':') {
        Some((host, port)) => (!host.contains(':') || host.ends_with(']')) && port.bytes().all(|b| b.is_ascii_digit()),
        None => false,
    };
    if has_port { address.to_owned() } else { format!("{address}:8000") }
}

fn weighted(targets: Vec<(String, u64)>, scheme: &str, node: &Node, reader: &mut Reader<'_>) -> Vec<Target> {
    let divisor = targets.iter().fold(0, |a, (_, weight)| gcd(a, *weight)).max(1);
    let most = targets.iter().map(|(_, weight)| weight / divisor).max().unwrap_or(1);
    let scaled = |weight: u64| {
        let weight = weight / divisor;
        if most <= WEIGHT_MAX { weight } else { (weight * WEIGHT_MAX).div_ceil(most).max(1) }
    };
    if most > WEIGHT_MAX {
        reader.differs(node, "weights of targets", "they are rounded to 1 to 100");
    }
    let written = |(address, weight): (String, u64)| {
        let url = format!("{scheme}://{address}");
        match scaled(weight) as u32 {
            1 => Target::Url(url),
            weight => Target::Weighted { url, weight },
        }
    };
    targets.into_iter().map(written).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn balance(node: &Node, what: &str, reader: &mut Reader<'_>) -> Option<&'static str> {
    let algorithm = reader.text(node, "algorithm").unwrap_or_else(|| "round-robin".to_owned());
    let hashed = reader.text(node, "hash_on").filter(|on| on != "none");
    for key in fields::UPSTREAM.iter().filter(|key| key.starts_with("hash_") || key.starts_with("sticky")) {
        if let Some(value) = node.get(key) {
            value.take_whole();
        }
    }
    match algorithm.as_str() {
        "least-connections" => return Some("least_requests"),
        "round-robin" if hashed.is_none() => {}
        _ => {
            let how = "targets take turns: which client goes to which target is not kept";
            reader.differs(node, format!("balancing of {what} (`{algorithm}`)"), how);
        }
    }
    None
}

/// Maps checks. Kong's passive ones are off unless a count is written; here they are on unless it is 0.
fn health(node: &Node, reader: &mut Reader<'_>) -> Option<Health> {
    let checks = node.get("healthchecks");
    let passive = checks.and_then(|checks| checks.get("passive")).and_then(|passive| {
        passive.take_whole();
        passive
            .get("unhealthy")
            .and_then(|counts| least(counts, &["http_failures", "tcp_failures", "timeouts"], reader))
    });
    let health = Health { passive: Some(Passive { failures: passive.unwrap_or(0) }), active: None };
    let Some(checks) = checks else { return Some(health) };
    if passive.is_some() {
        let how = "a target is out after so many failures in a row of any kind, and comes back by itself after \
                   `health.passive.ejection`";
        reader.differs(checks, "passive health checks", how);
    }
    if let Some(threshold) = checks.get("threshold").filter(|threshold| threshold.text() != Some("0")) {
        reader.missing(threshold, "`healthchecks.threshold`", "see `health.all_out` for when too few targets are left");
    }
    let Some(active) = checks.get("active") else { return Some(health) };
    active.take_whole();
    let (healthy, unhealthy) = (active.get("healthy"), active.get("unhealthy"));
    let interval = |node: Option<&Node>, reader: &mut Reader<'_>| {
        node.and_then(|node| reader.number(node, "interval")).filter(|interval| *interval > 0.0)
    };
    let (one, two) = (interval(healthy, reader), interval(unhealthy, reader));
    let Some(every) = [one, two].into_iter().flatten().reduce(f64::min) else { return Some(health) };
    let kind = reader.text(active, "type").unwrap_or_else(|| "http".to_owned());
    let path = reader.text(active, "http_path").unwrap_or_else(|| "/".to_owned());
    let statuses = healthy.map(|node| node.get("http_statuses").map(|node| node.items().collect::<Vec<_>>()));
    let statuses = statuses.flatten().unwrap_or_default();
    let statuses = statuses.into_iter().filter_map(|node| reader.number_of(node)).map(|status| status as u16).collect();
    let active_rule = Active {
        path: (kind != "tcp").then_some(path),
        interval: format!("{}ms", (every * 1_000.0) as u64),
        timeout: reader.number(active, "timeout").filter(|s| *s > 0.0).map(|s| format!("{}ms", (s * 1_000.0) as u64)),
        unhealthy: unhealthy.and_then(|node| least(node, &["http_failures", "tcp_failures", "timeouts"], reader)),
        healthy: healthy.and_then(|node| least(node, &["successes"], reader)),
        statuses,
    };
    let how = "one interval for all targets, the shorter of Kong's two; one count of failures, the smallest of Kong's; \
               a check counts as failed if its status is not among the healthy ones";
    reader.differs(active, "active health checks", how);
    Some(Health { active: Some(active_rule), ..health })
}

/// The smallest of some counts that is not 0.
fn least(node: &Node, keys: &[&str], reader: &mut Reader<'_>) -> Option<u64> {
    keys.iter().filter_map(|key| reader.whole(node, key)).filter(|count| *count > 0).min()
}
