//! Gets one response from a service: chooses the target, takes a connection, and decides when to try again.
//!
//! Sending a request twice is legal only where the upstream cannot act on it twice. [`crate::upstream::UpstreamError`]
//! says what the upstream may have done; the policy is here:
//!
//! * Connecting may be tried again on another target: nothing was sent.
//! * A request whose HTTP/1.1 connection breaks is sent again once, on a new connection, if the connection had served
//!   before, no byte of a response was seen, and the request is provably unsent (hyper gave it back) or idempotent
//!   without a body. That is the race with an upstream which closes an idle connection at the moment of use. On a new
//!   connection the same break is the upstream's failure, and is reported.
//! * A request that an HTTP/2 upstream says it has not processed (a GOAWAY below its stream, REFUSED_STREAM; RFC 9113
//!   section 8.7) is sent again whatever its method, if its body can be sent again ([`crate::transaction::replay`]).
//!
//! All of it stays within `retries.attempts_max` for one request, and within the budget of the upstream
//! ([`crate::upstream::budget`]), so that a failing upstream does not get its load doubled.

use std::time::{Duration, Instant};

use http::{Request, Response, StatusCode, request};
use hyper::body::Incoming;
use tollgate_proxy_config::Balance;
use tollgate_proxy_http::head_copy::HeadCopy;
use tollgate_proxy_http::local_reply::LocalReply;
use tollgate_record::vocabulary::{ErrorClass, Termination};

use crate::plan::RouteConfig;
use crate::task::timer::timeout_at;
use crate::transaction::request::{adapt_for, keep_body, rebuild};
use crate::transaction::request_body::BodyWatch;
use crate::transaction::{RequestBody, Transaction};
use crate::upstream::balance::{self, Tried};
use crate::upstream::health::passive;
use crate::upstream::{Fault, Lease, RequestCount, Retry, SendError, UpstreamError, Wanted};

/// Statuses by which an upstream says that it cannot serve. They count as failures of its health, and are passed on.
const UNAVAILABLE: [StatusCode; 3] =
    [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];

/// What one request has tried so far.
struct Attempts {
    tried: Tried,
    /// Whether pooled connections are excluded.
    fresh: bool,
    tunnel: bool,
    /// The target to try next, before any other.
    again: Option<usize>,
    /// Whether the request was sent again by the rule of reused connections.
    resent: bool,
}

/// Sends the request and waits for the head of the response.
///
/// # Errors
/// The reply in the upstream's place.
pub async fn run(
    transaction: &mut Transaction,
    route: &RouteConfig,
    head: request::Parts,
    body: RequestBody,
    watch: Option<&BodyWatch>,
    tunnel: bool,
    deadline: Instant,
) -> Result<(Response<Incoming>, Box<Lease<RequestBody>>), LocalReply> {
    let config = transaction.config().clone();
    // A body that streams through is gone once a part of it was sent: without a copy, only a request without one can be
    // repeated.
    let repeatable = watch.is_none() && head.method.is_idempotent();
    let mut request = Request::from_parts(head, body);
    let mut rewind = None;
    let mut attempts = Attempts { tried: Tried::default(), fresh: tunnel, tunnel, again: None, resent: false };
    loop {
        let obtained = {
            // Pinned in place: moving this large future into the timer would copy it for every request.
            let obtaining = std::pin::pin!(obtain(transaction, route, &mut attempts));
            timeout_at(deadline, obtaining).await
        };
        let mut lease = obtained.unwrap_or_else(|| Err(timed_out(transaction, route)))?;
        let http2 = lease.sender.is_http2();
        adapt_for(&mut request, transaction, route, http2);
        // Only HTTP/2 says which requests it has not processed, so only there is a body worth keeping.
        if http2 && rewind.is_none() {
            rewind = keep_body(&mut request, config.file.retries.replay_bytes_max.0 as usize);
        }
        let copy = ((lease.reused && repeatable) || (http2 && (repeatable || watch.is_none() || rewind.is_some())))
            .then(|| HeadCopy::of(&request));
        let sent_at = begin(transaction, &lease);
        let slot = config.pool.slot(lease.upstream);
        let sent = wait(lease.send(request, slot), sent_at, route.first_byte, watch, deadline).await;
        let SendError { error, unsent } = match sent {
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
        // The first use of a connection proves nothing about idle closes, and a second resend would be a loop.
        let stale = lease.reused && !attempts.resent;
        let next = match (unsent, error.retry) {
            // hyper gave the request back whole. On HTTP/2 another stream is as good as a new connection.
            (Some(unsent), _) if stale || http2 => Some(unsent),
            (_, Retry::Unprocessed) => copy.and_then(|copy| rebuild(copy, rewind.as_ref())),
            (_, Retry::IfIdempotent) if stale && repeatable => copy.and_then(|copy| rebuild(copy, None)),
            (_, Retry::IfIdempotent | Retry::Never) => None,
        };
        // A connection that broke because the client's body did would break again.
        let faulty = watch.is_some_and(|watch| watch.progress.fault.get().is_some());
        match next.filter(|_| !faulty && may_retry(transaction, lease.upstream)) {
            Some(again) => request = again,
            None => return Err(failed(transaction, route, watch, error)),
        }
        // The HTTP/2 connection that failed has left the pool, so any pooled one will do.
        attempts.fresh = tunnel || !http2;
        attempts.resent |= error.retry != Retry::Unprocessed;
        attempts.again = transaction.upstream().target;
    }
}

/// Notes the connection and the time at which an attempt is sent.
fn begin(transaction: &mut Transaction, lease: &Lease<RequestBody>) -> Instant {
    let sent_at = Instant::now();
    transaction.upstream_mut().sent(lease.addr.clone(), lease.reused, sent_at);
    transaction.context().metrics.upstream_connection(lease.reused);
    let config = transaction.config();
    config.pool.slot(lease.upstream).budget.earn(&config.file.retries);
    sent_at
}

/// The reply after no response came in time.
fn unanswered(transaction: &mut Transaction, route: &RouteConfig, watch: Option<&BodyWatch>) -> LocalReply {
    match watch {
        // The upstream has all that the client sent, and cannot respond to less than the whole.
        Some(watch) if watch.is_awaited() => body_timed_out(),
        _ => timed_out(transaction, route),
    }
}

/// Whether the request may be tried once more, within its attempts and the upstream's budget.
fn may_retry(transaction: &Transaction, upstream: usize) -> bool {
    let config = transaction.config();
    let retries = &config.file.retries;
    let may = transaction.upstream().attempts < retries.attempts_max.value as i32
        && config.pool.slot(upstream).budget.spend(retries, Instant::now());
    let outcome = if may { "made" } else { "denied" };
    transaction.context().metrics.shared().upstream_retries.with_label_values(&[outcome]).inc();
    may
}

/// Leases a connection to a target. If connecting fails, tries the service's other targets.
async fn obtain(
    transaction: &mut Transaction,
    route: &RouteConfig,
    attempts: &mut Attempts,
) -> Result<Box<Lease<RequestBody>>, LocalReply> {
    let (context, config) = (transaction.context().clone(), transaction.config().clone());
    let service = &config.services[route.service];
    let connection = transaction.connection();
    let wanted = Wanted {
        fresh: attempts.fresh,
        tunnel: attempts.tunnel,
        client: (connection.client, connection.local.unwrap_or(connection.client)),
        patience: route.connect,
        now: transaction.request().head_at,
    };
    let mut last: Option<UpstreamError> = None;
    loop {
        let turn = || config.turn(route.service);
        let chosen = attempts.again.take().or_else(|| balance::choose(&config, service, &attempts.tried, turn));
        let Some(target) = chosen else {
            return Err(last.map_or_else(
                || {
                    let detail = format!("every target of {} is out", service.name);
                    LocalReply::gateway(StatusCode::SERVICE_UNAVAILABLE, ErrorClass::NoHealthyUpstream, detail)
                },
                reply,
            ));
        };
        attempts.tried.note(target);
        transaction.upstream_mut().attempt(target);
        let upstream = service.targets[target].upstream;
        let leased = context.connector.lease(&config.pool, upstream, &wanted, transaction.upstream_mut()).await;
        match leased {
            Ok(mut lease) => {
                if service.balance == Balance::LeastRequests {
                    lease.in_flight = Some(RequestCount::new(config.upstreams[upstream].clone()));
                }
                return Ok(lease);
            }
            Err(error) => {
                transaction.upstream_mut().reused = Some(false);
                // A full pool says nothing about the target's health.
                if error.class != ErrorClass::NoHealthyUpstream {
                    record_failure(transaction, route);
                }
                let more = service.targets.len() > 1 && may_retry(transaction, upstream);
                if !more {
                    return Err(reply(error));
                }
                last = Some(error);
            }
        }
    }
}

/// Records a failure of the current target.
fn record_failure(transaction: &Transaction, route: &RouteConfig) {
    let Some(target) = transaction.upstream().target else { return };
    let config = transaction.config();
    let service = &config.services[route.service];
    if passive::record_failure(config, service, target) {
        let upstream = &config.upstreams[service.targets[target].upstream];
        transaction.context().metrics.shared().upstream_ejections.with_label_values(&["passive"]).inc();
        tracing::warn!(service = service.name, upstream = upstream.state.name, "the target fails, and is passed over");
    }
}

/// Notes the head of the response, and what its status says about the target's health.
fn answered(transaction: &mut Transaction, route: &RouteConfig, status: StatusCode) {
    transaction.upstream_mut().first_byte_at = Some(Instant::now());
    if UNAVAILABLE.contains(&status) {
        return record_failure(transaction, route);
    }
    let config = transaction.config();
    let service = &config.services[route.service];
    if let Some(target) = transaction.upstream().target {
        config.upstreams[service.targets[target].upstream].state.record_success();
    }
}

/// Waits for the head of the response. The upstream's time to respond restarts whenever more of the client's body has
/// come: most upstreams respond only to a whole request.
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
        match timeout_at(until, sending.as_mut()).await {
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

/// The upstream did not respond in time.
fn timed_out(transaction: &mut Transaction, route: &RouteConfig) -> LocalReply {
    transaction.upstream_mut().last_byte_at = None;
    record_failure(transaction, route);
    LocalReply::timeout(ErrorClass::UpstreamTimeout, "the upstream did not answer in time")
}

/// The client's body was not complete in time. That is no failure of the upstream's.
fn body_timed_out() -> LocalReply {
    let detail = "the body was not complete when the time for the whole request was over";
    let status = StatusCode::REQUEST_TIMEOUT;
    LocalReply { close: true, ..LocalReply::gateway(status, ErrorClass::BadRequest, detail) }
}

/// The exchange failed for good: because the client's body did, or because of the upstream.
fn failed(
    transaction: &Transaction,
    route: &RouteConfig,
    watch: Option<&BodyWatch>,
    error: UpstreamError,
) -> LocalReply {
    if let Some(fault) = watch.and_then(|watch| watch.progress.fault.get()) {
        return fault.reply(route.request_body_bytes_max);
    }
    if error.fault == Fault::Upstream {
        record_failure(transaction, route);
    }
    reply(error)
}

/// The reply to the client for an upstream's error.
fn reply(error: UpstreamError) -> LocalReply {
    let UpstreamError { class, fault, timed_out, detail, .. } = error;
    let reply = match class {
        _ if timed_out => LocalReply::timeout(class, detail),
        ErrorClass::NoHealthyUpstream => LocalReply::gateway(StatusCode::SERVICE_UNAVAILABLE, class, detail),
        ErrorClass::Internal => LocalReply::gateway(StatusCode::INTERNAL_SERVER_ERROR, class, detail),
        _ => LocalReply::upstream(class, detail),
    };
    match fault {
        Fault::Gateway => LocalReply { termination: Termination::Gateway, ..reply },
        Fault::Upstream => reply,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_becomes_a_status_and_says_who_ended_the_transaction() {
        let table = [
            (ErrorClass::ConnectRefused, Fault::Upstream, false, StatusCode::BAD_GATEWAY, Termination::Upstream),
            (ErrorClass::UpstreamReset, Fault::Upstream, false, StatusCode::BAD_GATEWAY, Termination::Upstream),
            (ErrorClass::Dns, Fault::Gateway, false, StatusCode::BAD_GATEWAY, Termination::Gateway),
            (ErrorClass::Dns, Fault::Gateway, true, StatusCode::GATEWAY_TIMEOUT, Termination::Gateway),
            (ErrorClass::UpstreamTls, Fault::Gateway, true, StatusCode::GATEWAY_TIMEOUT, Termination::Gateway),
            (
                ErrorClass::NoHealthyUpstream,
                Fault::Gateway,
                false,
                StatusCode::SERVICE_UNAVAILABLE,
                Termination::Gateway,
            ),
            (ErrorClass::Internal, Fault::Gateway, false, StatusCode::INTERNAL_SERVER_ERROR, Termination::Gateway),
        ];
        for (class, fault, timed_out, status, termination) in table {
            let detail = "why".to_owned();
            let reply = reply(UpstreamError { class, fault, retry: Retry::Unprocessed, timed_out, detail });
            assert_eq!((reply.status, reply.class, reply.termination), (status, class, termination), "{class:?}");
            assert_eq!(reply.detail, "why");
        }
    }
}
