//! Compiles the file as written: makes every check that types cannot express, and reads every file that it names.
//!
//! A problem is noted and compiling goes on, so that one run reports all problems. A part that has one is left out, and
//! nothing is returned then.

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

use super::compile_consumers::callers;
use super::compile_identity::providers;
use super::compile_quota::Quotas;
use super::compile_records::records;
use super::compile_route::routes;
use super::compile_service::services;
use super::compile_target::Upstreams;
use super::{HmacConfig, ListenerConfig, RuntimeConfig};
use super::{checks, compile_tls, fixed};

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

/// Compiles everything but the parts that are moved in: the configuration itself, its revision and its source. Returns
/// the function that takes them.
fn compile(
    config: &ProxyConfig,
    before: Option<&RuntimeConfig>,
    problems: &mut Diagnostics<'_>,
) -> Option<impl FnOnce(ProxyConfig, String, PathBuf) -> RuntimeConfig + use<>> {
    checks::scalars(config, problems);
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
    let providers = providers(config, before, problems);
    let (routes, router) = routes(config, &quotas, &providers, problems);
    let callers = Arc::new(callers(config, before, problems));
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
        callers,
        providers,
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
        let earlier = before.and_then(|before| before.listeners.iter().find(|earlier| earlier.name == *listener.name));
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
