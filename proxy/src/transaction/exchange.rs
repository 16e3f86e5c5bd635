//! Getting one answer from a service: which target, which connection, and when to try again.
//!
//! * Connecting may be tried again on another target, as nothing was sent.
//! * A sent request is tried again once, on another connection, iff its connection had served before, not a byte of a
//!   response was seen, and the request is provably unsent (hyper gave it back) or idempotent without a body.
//! * What an HTTP/2 upstream says it has not looked at (a GOAWAY below its stream, REFUSED_STREAM; RFC 9113 section 8.7)
//!   is tried again whatever its method, if its body can be sent again ([`crate::transaction::replay`]).
//!
//! All of it within `retries.attempts_max` for one request, and within the budget of the upstream
//! ([`crate::upstream::budget`]).

use std::error::Error;
use std::time::{Duration, Instant};

use http::header::{HOST, HeaderValue, TRANSFER_ENCODING};
use http::uri::{Authority, Scheme};
use http::{Request, Response, StatusCode, Uri, Version, request};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use std::sync::atomic::Ordering::Relaxed;
use tollgate_record::vocabulary::ErrorClass;

use crate::config::{Balance, RoutePlan, TargetPlan};
use crate::refusal::Refusal;
use crate::task::timer::within;
use crate::transaction::Transaction;
use crate::transaction::body::{BodyWatch, RequestBody};
use crate::transaction::forward::body_refusal;
use crate::transaction::replay::Rewind;
use crate::upstream::balance::{self, Tried};
use crate::upstream::health::{self, InFlight};
use crate::upstream::{self, Lease, Wanted};
use tollgate_proxy_http::head_copy::HeadCopy;

/// Statuses by which an upstream says that it cannot serve: failures for its health, and passed on.
const UNWELL: [StatusCode; 3] = [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];

/// What one request has tried so far.
struct Attempts {
    tried: Tried,
    /// Not from the pool.
    fresh: bool,
    tunnel: bool,
    /// The target to try again, before any other.
    again: Option<usize>,
    /// Tried again after it was sent, by the rule for connections that had served before.
    resent: bool,
}

/// Sends the request and waits for the head of the answer.
///
/// # Errors
/// The refusal to answer with.
pub async fn run(
    transaction: &mut Transaction,
    route: &RoutePlan,
    head: request::Parts,
    body: RequestBody,
    watch: Option<&BodyWatch>,
    tunnel: bool,
    deadline: Instant,
) -> Result<(Response<Incoming>, Box<Lease>), Refusal> {
    let plan = transaction.plan.clone();
    let retryable = watch.is_none() && head.method.is_idempotent();
    let mut request = Request::from_parts(head, body);
    let mut rewind = None;
    let mut attempts = Attempts { tried: Tried::default(), fresh: tunnel, tunnel, again: None, resent: false };
    loop {
        let obtained = {
            // Where it is, and not moved into the timer: it is large.
            let obtaining = std::pin::pin!(obtain(transaction, route, &mut attempts));
            within(deadline, obtaining).await
        };
        let mut lease = obtained.unwrap_or_else(|| Err(late(transaction, route)))?;
        let http2 = lease.sender.is_http2();
        dress(&mut request, transaction, route, http2);
        if http2 && rewind.is_none() {
            rewind = keep(&mut request, plan.config.retries.replay_bytes_max.0 as usize);
        }
        let replay = ((lease.reused && retryable) || (http2 && (retryable || watch.is_none() || rewind.is_some())))
            .then(|| HeadCopy::of(&request));
        let seen = lease.io.read_bytes.load(Relaxed);
        let sent_at = begin(transaction, &lease);
        let sent = wait(lease.send(request), sent_at, route.first_byte, watch, deadline).await;
        let mut error = match sent {
            Some(Ok(response)) => {
                if let Some(rewind) = rewind {
                    rewind.release();
                }
                answered(transaction, route, response.status());
                return Ok((response, lease));
            }
            Some(Err(error)) => error,
            None => return Err(unanswered(transaction, route, watch)),
        };
        let unsent = error.take_message();
        // On HTTP/2 hyper blames the user for a request whose connection broke before its stream was opened.
        let unlooked = http2 && (is_unlooked(error.error()) || error.error().is_user());
        if http2 && !is_refused_stream(error.error()) {
            lease.retire(plan.pool.slot(lease.upstream));
        }
        let unseen = http2 || lease.io.read_bytes.load(Relaxed) == seen;
        let next = match unsent {
            Some(unsent) if (lease.reused && !attempts.resent) || http2 => Some(unsent),
            _ if unlooked => replay.and_then(|replay| with_body(replay, rewind.as_ref())),
            _ if lease.reused && unseen && retryable && !attempts.resent => {
                replay.and_then(|replay| with_body(replay, None))
            }
            _ => None,
        };
        let faulty = watch.is_some_and(|watch| watch.progress.fault.get().is_some());
        match next.filter(|_| !faulty && may_retry(transaction, lease.upstream)) {
            Some(again) => request = again,
            None => return Err(failed(transaction, route, watch, http2, &error)),
        }
        // Another HTTP/2 connection is as good as a new one: the one that failed is given up.
        attempts.fresh = tunnel || !http2;
        attempts.resent |= !unlooked;
        attempts.again = transaction.upstream.target;
    }
}

/// Notes the connection that an attempt begins on, and when.
fn begin(transaction: &mut Transaction, lease: &Lease) -> Instant {
    let upstream = &mut transaction.upstream;
    upstream.reused = Some(lease.reused);
    upstream.addr = Some(lease.addr.clone());
    let sent_at = Instant::now();
    upstream.sent_at = Some(sent_at);
    transaction.worker.metrics.upstream_connection(lease.reused);
    let plan = &transaction.plan;
    plan.pool.slot(lease.upstream).budget.earn(&plan.config.retries);
    sent_at
}

/// Why there was no answer in time.
fn unanswered(transaction: &mut Transaction, route: &RoutePlan, watch: Option<&BodyWatch>) -> Refusal {
    match watch {
        // It has all that the client sent, and cannot answer to less than the whole.
        Some(watch) if watch.is_awaited() => body_late(),
        _ => late(transaction, route),
    }
}

/// Whether the request may be tried once more.
fn may_retry(transaction: &Transaction, upstream: usize) -> bool {
    let retries = &transaction.plan.config.retries;
    let may = transaction.upstream.attempts < retries.attempts_max.value as i32
        && transaction.plan.pool.slot(upstream).budget.spend(retries, Instant::now());
    let outcome = if may { "made" } else { "denied" };
    transaction.worker.metrics.shared().upstream_retries.with_label_values(&[outcome]).inc();
    may
}

/// A pooled connection, or a new one; of several targets, the next that can be connected to.
async fn obtain(
    transaction: &mut Transaction,
    route: &RoutePlan,
    attempts: &mut Attempts,
) -> Result<Box<Lease>, Refusal> {
    let (worker, plan) = (transaction.worker.clone(), transaction.plan.clone());
    let service = &plan.services[route.service];
    let connection = transaction.connection.clone();
    let wanted = Wanted {
        fresh: attempts.fresh,
        tunnel: attempts.tunnel,
        client: (connection.client, connection.local.unwrap_or(connection.client)),
        patience: route.connect,
        now: transaction.head_at,
    };
    let mut last: Option<Refusal> = None;
    loop {
        let turn = || plan.turn(route.service);
        let chosen = attempts.again.take().or_else(|| balance::choose(&plan, service, &attempts.tried, turn));
        let Some(target) = chosen else {
            return Err(last.unwrap_or_else(|| {
                let detail = format!("every target of {} is out", service.name);
                Refusal::gateway(StatusCode::SERVICE_UNAVAILABLE, ErrorClass::NoHealthyUpstream, detail)
            }));
        };
        attempts.tried.note(target);
        let facts = &mut transaction.upstream;
        facts.target = Some(target);
        facts.attempts += 1;
        let upstream = service.targets[target].upstream;
        match upstream::lease(&worker, &plan, upstream, &wanted, facts).await {
            Ok(mut lease) => {
                if service.balance == Balance::LeastRequests {
                    lease.in_flight = Some(InFlight::new(plan.upstreams[upstream].clone()));
                }
                return Ok(lease);
            }
            Err(refusal) => {
                facts.reused = Some(false);
                if refusal.class != ErrorClass::NoHealthyUpstream {
                    unwell(transaction, route);
                }
                let more = service.targets.len() > 1 && may_retry(transaction, upstream);
                if !more {
                    return Err(refusal);
                }
                last = Some(refusal);
            }
        }
    }
}

/// Notes a failure of the target at hand.
fn unwell(transaction: &Transaction, route: &RoutePlan) {
    let Some(target) = transaction.upstream.target else { return };
    let service = &transaction.plan.services[route.service];
    if health::failed(&transaction.plan, service, target) {
        let upstream = &transaction.plan.upstreams[service.targets[target].upstream];
        let metrics = transaction.worker.metrics.shared();
        metrics.upstream_ejections.with_label_values(&["passive"]).inc();
        tracing::warn!(service = service.name, upstream = upstream.state.name, "the target fails, and is passed over");
    }
}

/// The head of the response is here.
fn answered(transaction: &mut Transaction, route: &RoutePlan, status: StatusCode) {
    transaction.upstream.first_byte_at = Some(Instant::now());
    if UNWELL.contains(&status) {
        return unwell(transaction, route);
    }
    let service = &transaction.plan.services[route.service];
    if let Some(target) = transaction.upstream.target {
        transaction.plan.upstreams[service.targets[target].upstream].state.succeeded();
    }
}

/// The request as this target and protocol want it: Host or `:authority`, origin form or a whole URI.
fn dress(request: &mut Request<RequestBody>, transaction: &Transaction, route: &RoutePlan, http2: bool) {
    let service = &transaction.plan.services[route.service];
    let target: Option<&TargetPlan> = transaction.upstream.target.map(|target| &service.targets[target]);
    if let (false, Some(target)) = (service.client_host, target) {
        request.headers_mut().insert(HOST, target.host.clone());
    } else if !request.headers().contains_key(HOST) {
        let host = transaction.host.clone().unwrap_or_else(|| HeaderValue::from_static(""));
        request.headers_mut().insert(HOST, host);
    }
    if !http2 {
        if request.version() == Version::HTTP_2 {
            *request.version_mut() = Version::HTTP_11;
            let path = request.uri().path_and_query().cloned();
            *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
        }
        return;
    }
    let secure = target.is_some_and(|target| transaction.plan.upstreams[target.upstream].tls.is_some());
    let headers = request.headers_mut();
    headers.remove(TRANSFER_ENCODING);
    let host = headers.get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = request.uri().clone().into_parts();
    parts.scheme = Some(if secure { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = host.or_else(|| target.and_then(|target| target.host.to_str().ok()?.parse().ok()));
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
        // `:authority` says it (RFC 9113 section 8.3.1).
        request.headers_mut().remove(HOST);
    }
    *request.version_mut() = Version::HTTP_2;
}

/// Has the body kept for another sending.
fn keep(request: &mut Request<RequestBody>, bytes_max: usize) -> Option<Rewind> {
    match std::mem::replace(request.body_mut(), RequestBody::Empty) {
        RequestBody::Streaming(body) => {
            let (sending, rewind) = Rewind::begin(*body, bytes_max);
            *request.body_mut() = RequestBody::Replay(Box::new(sending));
            Some(rewind)
        }
        other => {
            *request.body_mut() = other;
            None
        }
    }
}

/// The copied head with its body from the beginning; `None` if that cannot be sent again.
fn with_body(copy: HeadCopy, rewind: Option<&Rewind>) -> Option<Request<RequestBody>> {
    let body = match rewind {
        Some(rewind) => RequestBody::Replay(Box::new(rewind.again()?)),
        None => RequestBody::Empty,
    };
    copy.into_request(body)
}

fn h2_error(error: &hyper::Error) -> Option<&h2::Error> {
    error.source()?.downcast_ref()
}

/// Whether the upstream says that it has not looked at the request.
fn is_unlooked(error: &hyper::Error) -> bool {
    h2_error(error).is_some_and(|error| error.is_remote() && error.is_go_away()) || is_refused_stream(error)
}

fn is_refused_stream(error: &hyper::Error) -> bool {
    let refused = |error: &h2::Error| error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    h2_error(error).is_some_and(|error| error.is_remote() && refused(error))
}

/// Waits for the head of the response. While the client still sends its body, the clock starts anew with its progress.
async fn wait<T>(
    sending: impl Future<Output = T>,
    mut since: Instant,
    first_byte: Duration,
    watch: Option<&BodyWatch>,
    deadline: Instant,
) -> Option<T> {
    let mut sending = std::pin::pin!(sending);
    loop {
        let until = deadline.min(since + first_byte);
        match within(until, sending.as_mut()).await {
            Some(sent) => return Some(sent),
            None if Instant::now() >= deadline => return None,
            None => match watch {
                // A client that pauses has its own deadline, `body_idle`.
                Some(watch) if watch.is_awaited() => since = Instant::now(),
                Some(watch) if watch.advanced_at() > since => since = watch.advanced_at(),
                _ => return None,
            },
        }
    }
}

fn late(transaction: &mut Transaction, route: &RoutePlan) -> Refusal {
    transaction.upstream.last_byte_at = None;
    unwell(transaction, route);
    Refusal::timeout(ErrorClass::UpstreamTimeout, "the upstream did not answer in time")
}

/// The time for the whole request is over, and the upstream waits for the client: no failure of the upstream's.
fn body_late() -> Refusal {
    let detail = "the body was not complete when the time for the whole request was over";
    let status = StatusCode::REQUEST_TIMEOUT;
    Refusal { close: true, ..Refusal::gateway(status, ErrorClass::BadRequest, detail) }
}

fn failed(
    transaction: &Transaction,
    route: &RoutePlan,
    watch: Option<&BodyWatch>,
    http2: bool,
    error: &TrySendError<Request<RequestBody>>,
) -> Refusal {
    if let Some(fault) = watch.and_then(|watch| watch.progress.fault.get()) {
        return body_refusal(fault, route);
    }
    let error = error.error();
    let addr = transaction.upstream.addr.as_ref();
    let addr = addr.map_or_else(|| "the upstream".to_owned(), ToString::to_string);
    if error.is_user() && !http2 {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        return Refusal::gateway(status, ErrorClass::Internal, format!("the request could not be sent: {error}"));
    }
    unwell(transaction, route);
    if error.is_parse() {
        return Refusal::upstream(ErrorClass::UpstreamProtocol, format!("{addr} did not answer in HTTP: {error}"));
    }
    match h2_error(error) {
        Some(h2) if h2.is_library() || h2.reason() == Some(h2::Reason::PROTOCOL_ERROR) => {
            Refusal::upstream(ErrorClass::UpstreamProtocol, format!("{addr} broke HTTP/2: {h2}"))
        }
        Some(h2) if !h2.is_io() => {
            Refusal::upstream(ErrorClass::UpstreamReset, format!("{addr} ended the stream: {h2}"))
        }
        _ => Refusal::upstream(ErrorClass::UpstreamReset, format!("{addr} closed before it answered")),
    }
}
