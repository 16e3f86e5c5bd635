//! Active health checks: one thread checks every target whose service asks for it, for all workers.
//!
//! The thread follows the configuration in force. A check runs as long as some configuration has it; one that two
//! configurations share runs on through a reload. Each check opens a connection of its own, with the service's TLS and
//! PROXY protocol, and closes it.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;
use tollgate_proxy_config::Protocol;
use tollgate_proxy_http::proxy_protocol::encode;

use crate::health::{Check, clock_ms};
use crate::metrics::Metrics;
use crate::plan::{RuntimeConfig, UpstreamConfig};
use crate::reload::InForce;
use crate::upstream::UpstreamFacts;
use crate::upstream::dial::LocalTasks;
use crate::upstream::dns::Resolver;
use crate::upstream::reach::{Socket, reach};

/// Checks that run at one time.
const CHECKS_AT_ONE_TIME_MAX: usize = 64;
/// How often the configuration in force is read.
const LOOK: Duration = Duration::from_millis(500);
const USER_AGENT: &str = concat!("tollgate-proxy/", env!("CARGO_PKG_VERSION"), " (health check)");

/// Starts the thread; it ends with `stop`.
///
/// # Errors
/// No thread or runtime can be had.
pub fn start(in_force: InForce, metrics: Arc<Metrics>, stop: CancellationToken) -> std::io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("health".into()).spawn(move || {
        let local = LocalSet::new();
        local.block_on(&runtime, async move {
            let timeouts = &in_force.config().file.timeouts.clone();
            let checker = Rc::new(Checker {
                resolver: Resolver::new(timeouts.dns_cache.0, timeouts.dns_stale.0),
                places: Semaphore::new(CHECKS_AT_ONE_TIME_MAX),
                metrics,
            });
            tokio::select! {
                () = follow(&checker, &in_force) => {}
                () = stop.cancelled() => {}
            }
        });
    })
}

struct Checker {
    resolver: Resolver,
    places: Semaphore,
    metrics: Arc<Metrics>,
}

/// Starts the checks of each configuration that comes into force.
async fn follow(checker: &Rc<Checker>, in_force: &InForce) {
    let mut seen: Weak<RuntimeConfig> = Weak::new();
    let mut running: HashSet<*const Check> = HashSet::new();
    loop {
        {
            let config = in_force.config();
            if !seen.ptr_eq(&Arc::downgrade(&config)) {
                let timeouts = &config.file.timeouts;
                checker.resolver.remember_for(timeouts.dns_cache.0, timeouts.dns_stale.0);
                let mut wanted = HashSet::new();
                for target in config.services.iter().flat_map(|service| &service.targets) {
                    let Some(check) = &target.check else { continue };
                    wanted.insert(Arc::as_ptr(check));
                    if !running.contains(&Arc::as_ptr(check)) {
                        running.insert(Arc::as_ptr(check));
                        let upstream = &config.upstreams[target.upstream];
                        let (check, upstream) = (Arc::downgrade(check), Arc::downgrade(upstream));
                        tokio::task::spawn_local(repeat(checker.clone(), check, upstream));
                    }
                }
                running.retain(|check| wanted.contains(check));
                seen = Arc::downgrade(&config);
            }
            count(&config, &checker.metrics);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Sets the gauges of targets that are out.
fn count(config: &RuntimeConfig, metrics: &Metrics) {
    let now_ms = clock_ms();
    let (mut passive, mut active) = (0, 0);
    for target in config.services.iter().flat_map(|service| &service.targets) {
        passive += i64::from(config.upstreams[target.upstream].state.is_ejected(now_ms));
        active += i64::from(target.check.as_ref().is_some_and(|check| check.is_out()));
    }
    metrics.upstream_targets_out.with_label_values(&["passive"]).set(passive);
    metrics.upstream_targets_out.with_label_values(&["active"]).set(active);
}

/// Repeats a check until no configuration has it.
async fn repeat(checker: Rc<Checker>, check: Weak<Check>, upstream: Weak<UpstreamConfig>) {
    loop {
        let interval = {
            let (Some(check), Some(upstream)) = (check.upgrade(), upstream.upgrade()) else { return };
            // The semaphore is never closed.
            let _place = checker.places.acquire().await;
            let timeout = check.rule.timeout;
            let checked = tokio::time::timeout(timeout, run(&checker.resolver, &check, &upstream)).await;
            let result = checked.unwrap_or_else(|_| Err("no answer in time".to_owned()));
            let why = result.as_ref().err().cloned();
            match check.record(result) {
                Some(true) => {
                    checker.metrics.upstream_ejections.with_label_values(&["active"]).inc();
                    let why = why.unwrap_or_default();
                    tracing::warn!(upstream = upstream.state.name, why, "checks fail: the target is out");
                }
                Some(false) => tracing::info!(upstream = upstream.state.name, "checks are good: the target is back"),
                None => {}
            }
            check.rule.interval
        };
        tokio::time::sleep(interval).await;
    }
}

/// Runs one check. The error says what was wrong.
async fn run(resolver: &Resolver, check: &Check, upstream: &UpstreamConfig) -> Result<(), String> {
    let header = encode::local(upstream.key.proxy_protocol);
    let deadline = Instant::now() + check.rule.timeout;
    let mut facts = UpstreamFacts::default();
    let reached = reach(resolver, upstream, false, &header, deadline, &mut facts).await;
    let (socket, _) = reached.map_err(|error| error.detail)?;
    let Some(path) = &check.rule.path else { return Ok(()) };
    let http2 = match &socket {
        Socket::Tls(_, http2) => *http2,
        _ => upstream.key.protocol == Protocol::Http2,
    };
    let status = match socket {
        Socket::Tcp(io) => status(io, check, path, http2, upstream.tls.is_some()).await,
        Socket::Unix(io) => status(io, check, path, http2, false).await,
        Socket::Tls(io, _) => status(*io, check, path, http2, true).await,
    };
    match status.map_err(|error| error.to_string())? {
        status if check.rule.accepts(status) => Ok(()),
        status => Err(format!("status {status}")),
    }
}

async fn status<IO>(io: IO, check: &Check, path: &str, http2: bool, secure: bool) -> hyper::Result<u16>
where
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let mut request = Request::new(Empty::<Bytes>::new());
    let headers = request.headers_mut();
    headers.insert(http::header::USER_AGENT, http::HeaderValue::from_static(USER_AGENT));
    let host = check.host.to_str().unwrap_or_default();
    if http2 {
        let scheme = if secure { "https" } else { "http" };
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = format!("{scheme}://{host}{path}").parse().unwrap_or_default();
        let (mut sender, connection) = http2::handshake(LocalTasks, TokioIo::new(io)).await?;
        let driven = tokio::task::spawn_local(connection);
        let answered = sender.send_request(request).await;
        driven.abort();
        return Ok(answered?.status().as_u16());
    }
    headers.insert(http::header::HOST, check.host.clone());
    *request.uri_mut() = path.parse().unwrap_or_default();
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    let driven = tokio::task::spawn_local(connection);
    let answered = sender.send_request(request).await;
    driven.abort();
    Ok(answered?.status().as_u16())
}
