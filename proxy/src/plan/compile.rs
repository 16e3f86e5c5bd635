//! Compiles the file as written: makes every check that types cannot express, and reads every file that it names.
//!
//! A problem is noted and compiling goes on, so that one run reports all problems. A part that has one is left out, and
//! nothing is returned then.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::header::HeaderName;
use tollgate_config::{ConfigError, Diagnostics, Loaded, Spanned};
use tollgate_proxy_config::{AcceptProxyProtocol, Hmac, KeyPair, ProxyConfig};
use tollgate_proxy_http::cidr::Cidr;
use tollgate_proxy_http::proxy_protocol::ProxyHeaderPolicy;
use tollgate_record::redact::{QueryPolicy, TokenHasher};
use tollgate_tls::Identity;

use super::compile_quota::Quotas;
use super::compile_records::records;
use super::compile_route::routes;
use super::compile_upstream::{Upstreams, services};
use super::{HmacConfig, ListenerConfig, RuntimeConfig};
use super::{compile_tls, fixed};

/// Most workers.
const WORKERS_MAX: usize = 1_024;

/// Fields of a request head. The parser allocates that many for each head.
const HEADERS: std::ops::RangeInclusive<usize> = 1..=10_000;
/// Bytes of an HTTP/2 frame.
const FRAME_BYTES: std::ops::RangeInclusive<u32> = 16_384..=16_777_215;
/// Bytes of an HTTP/2 window.
const WINDOW_BYTES: std::ops::RangeInclusive<u32> = 1..=2_147_483_647;

/// Checks and compiles what was loaded from `source`. `before` is the configuration in force, if the proxy runs.
pub(super) fn runtime_config(
    source: &Path,
    loaded: Loaded<ProxyConfig>,
    before: Option<&RuntimeConfig>,
) -> Result<RuntimeConfig, ConfigError> {
    tollgate_tls::install_provider();
    let mut compiled = None;
    let loaded = loaded.checked(|config, problems| compiled = compile(config, before, problems))?;
    match compiled {
        Some(finish) => Ok(finish(loaded.value, loaded.revision, source.to_owned())),
        None => Err(ConfigError::of_file(&loaded.path, "the configuration cannot be compiled")),
    }
}

/// Compiles everything but the parts that are moved in: the configuration itself, its revision and its source. Returns the
/// function that takes them.
fn compile(
    config: &ProxyConfig,
    before: Option<&RuntimeConfig>,
    problems: &mut Diagnostics<'_>,
) -> Option<impl FnOnce(ProxyConfig, String, PathBuf) -> RuntimeConfig + use<>> {
    check_scalars(config, problems);
    let quotas = Quotas::after(before, &config.limits.clients_max, problems);
    let mut listeners = listeners(config, before, &quotas, problems);
    let mut upstreams = Upstreams::after(before);
    if let Some(before) = before {
        fixed::check(&before.file, config, problems);
        // The workers know a socket by the index of its listener, which must not change.
        let place = |name: &String| before.listeners.iter().position(|listener| listener.name == *name);
        listeners.sort_by_key(|listener| place(&listener.name));
    }
    let services = services(config, &mut upstreams, &quotas, problems);
    let (routes, router) = routes(config, problems);
    let trusted_hops =
        config.forwarding.trusted_hops.iter().filter_map(|hop| noted(hop, Cidr::parse(hop), problems)).collect();
    let hmac = match before {
        // The secret stays until another start, because each batch names the one secret of its hashes.
        Some(before) => before.hmac.clone(),
        None => config.hmac.as_ref().and_then(|hmac| self::hmac(hmac, problems)).map(Arc::new),
    };
    let admin = address(&config.admin.address, problems);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = config.workers.map_or(cores, Spanned::into_inner);
    let records = records(config, workers, problems);
    let (upstreams, router, records, admin) = (upstreams.compiled, router?, records?, admin?);
    let query_policy = QueryPolicy::new(Vec::<String>::new());
    // The configuration of thousands of services is moved into it, not copied.
    Some(move |file, revision, source| RuntimeConfig {
        file,
        revision,
        source,
        workers,
        listeners,
        services,
        routes,
        router,
        upstreams,
        trusted_hops,
        query_policy,
        hmac,
        records,
        admin,
    })
}

/// Returns the value, or notes the problem at the place where the text is written.
pub(super) fn noted<T, V>(
    at: &Spanned<V>,
    result: Result<T, impl ToString>,
    problems: &mut Diagnostics<'_>,
) -> Option<T> {
    result.map_err(|problem| problems.at(at, problem.to_string())).ok()
}

fn check_scalars(config: &ProxyConfig, problems: &mut Diagnostics<'_>) {
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

fn address(text: &Spanned<String>, problems: &mut Diagnostics<'_>) -> Option<SocketAddr> {
    let cure = "is not an address; write `ip:port`, as `0.0.0.0:8080` or `[::]:8080`";
    noted(text, text.parse().map_err(|_| format!("`{}` {cure}", text.value)), problems)
}

fn listeners(
    config: &ProxyConfig,
    before: Option<&RuntimeConfig>,
    quotas: &Quotas<'_>,
    problems: &mut Diagnostics<'_>,
) -> Vec<ListenerConfig> {
    let mut compiled = Vec::new();
    for listener in &config.listeners {
        let address = address(&listener.address, problems);
        let earlier = before.and_then(|plan| plan.listeners.iter().find(|earlier| earlier.name == *listener.name));
        let earlier = earlier.and_then(|earlier| earlier.tls.as_deref());
        let tls = listener.tls.as_ref().and_then(|tls| compile_tls::server_tls(tls, &listener.name, problems));
        let tls = tls.map(|names| match earlier {
            Some(earlier) => names.resuming(earlier),
            None => names,
        });
        let quota = quotas.listener(&listener.name, &listener.caps, problems);
        let proxy_headers = listener.proxy_protocol.as_ref().map(|accept| proxy_headers(accept, problems));
        if let Some(address) = address {
            let (name, tls, proxy_headers) =
                (listener.name.value.clone(), tls.map(Arc::new), proxy_headers.map(Arc::new));
            compiled.push(ListenerConfig { name, address, tls, proxy_headers, quota });
        }
    }
    compiled
}

/// Compiles the PROXY headers that a listener accepts.
fn proxy_headers(config: &AcceptProxyProtocol, problems: &mut Diagnostics<'_>) -> ProxyHeaderPolicy {
    if config.from.value.is_empty() {
        let cure = "name the networks of the proxies in front, as `10.0.0.0/8`; `0.0.0.0/0` and `::/0` are everybody";
        problems.at(&config.from, format!("nobody may connect; {cure}"));
    }
    let from = config.from.value.iter().filter_map(|network| noted(network, Cidr::parse(network), problems)).collect();
    ProxyHeaderPolicy { accepted: config.accept, from }
}

pub(super) fn identity(pair: &KeyPair, problems: &mut Diagnostics<'_>) -> Option<Identity> {
    let identity = noted(&pair.certificate, Identity::load(&pair.certificate, &pair.key), problems)?;
    if let Some(warning) = identity.validity_warning() {
        tracing::warn!("{warning}");
    }
    Some(identity)
}

fn hmac(config: &Hmac, problems: &mut Diagnostics<'_>) -> Option<HmacConfig> {
    let file: &Path = &config.key_file;
    let read =
        std::fs::read(file).map_err(|error| format!("{}: {error}; write the secret to this file", file.display()));
    let secret = noted(&config.key_file, read, problems)?;
    let hasher = noted(&config.key_file, TokenHasher::new(&config.key_id, secret.trim_ascii()), problems)?;
    let header =
        |name: &Spanned<String>| HeaderName::from_bytes(name.as_bytes()).map_err(|_| "this is not a header name");
    let headers = config.api_key_headers.iter().filter_map(|name| noted(name, header(name), problems));
    Some(HmacConfig { hasher, api_key_headers: headers.collect() })
}
