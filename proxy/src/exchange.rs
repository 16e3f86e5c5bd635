//! Getting one answer from a service: which target, which connection, and when to try again.
//!
//! * Connecting may be tried again on the next target, as nothing was sent: [`CONNECT_ATTEMPTS_MAX`] in all.
//! * A sent request is tried again once, on a fresh connection, iff its connection came from the pool, not a byte of
//!   a response was seen, and the request is provably unsent (hyper gave it back) or idempotent without a body.

use std::time::{Duration, Instant};

use http::header::{HOST, HeaderValue};
use http::{Method, Request, Response, StatusCode, request};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use std::sync::atomic::Ordering::Relaxed;
use tokio::time::timeout_at;
use tollgate_record::vocabulary::ErrorClass;

use crate::body::{BodyWatch, RequestBody};
use crate::config::{RoutePlan, TargetPlan};
use crate::forward::body_refusal;
use crate::refusal::Refusal;
use crate::transaction::Transaction;
use crate::upstream::{self, Lease};

/// Targets tried before the request is refused.
pub const CONNECT_ATTEMPTS_MAX: usize = 3;

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
) -> Result<(Response<Incoming>, Lease), Refusal> {
    let retryable = watch.is_none() && is_idempotent(&head.method);
    let mut request = Request::from_parts(head, body);
    let mut fresh = tunnel;
    loop {
        let obtained = timeout_at(deadline.into(), obtain(transaction, route, fresh, tunnel)).await;
        let Ok(obtained) = obtained else { return Err(late(transaction)) };
        let mut lease = obtained?;
        set_host(&mut request, transaction, route);
        let replay = (lease.reused && retryable).then(|| copy_of(&request));
        let seen = lease.io.read_bytes.load(Relaxed);
        let upstream = &mut transaction.upstream;
        upstream.attempts += 1;
        upstream.reused = Some(lease.reused);
        upstream.addr = Some(lease.addr);
        upstream.sent_at = Some(Instant::now());
        transaction.worker.metrics.upstream_connection(lease.reused);
        let sent = wait(lease.sender.try_send_request(request), route.first_byte, watch, deadline).await;
        let mut error = match sent {
            Some(Ok(response)) => {
                transaction.upstream.first_byte_at = Some(Instant::now());
                return Ok((response, lease));
            }
            Some(Err(error)) => error,
            None => return Err(late(transaction)),
        };
        let unseen = lease.io.read_bytes.load(Relaxed) == seen;
        let again = match error.take_message() {
            Some(unsent) if lease.reused => Some(unsent),
            _ if lease.reused && unseen => replay,
            _ => None,
        };
        match again {
            Some(again) => request = again,
            None => return Err(failed(transaction, route, watch, &error)),
        }
        fresh = true;
    }
}

/// A pooled connection, or a new one; of several targets, the next that can be connected to.
async fn obtain(transaction: &mut Transaction, route: &RoutePlan, fresh: bool, tunnel: bool) -> Result<Lease, Refusal> {
    let (worker, plan) = (transaction.worker.clone(), transaction.plan.clone());
    let targets = &plan.services[route.service].targets;
    let mut failures = 0;
    loop {
        let target = plan.next_target(route.service, targets.len());
        let facts = &mut transaction.upstream;
        facts.target = Some(target);
        let upstream = targets[target].upstream;
        if !fresh && let Some(lease) = plan.pool.take(upstream).await {
            return Ok(lease);
        }
        match upstream::connect(&worker, &plan, upstream, route.connect, tunnel, facts).await {
            Ok(lease) => return Ok(lease),
            Err(refusal) => {
                facts.attempts += 1;
                facts.reused = Some(false);
                failures += 1;
                if failures >= targets.len().min(CONNECT_ATTEMPTS_MAX) {
                    return Err(refusal);
                }
            }
        }
    }
}

fn set_host(request: &mut Request<RequestBody>, transaction: &Transaction, route: &RoutePlan) {
    let service = &transaction.plan.services[route.service];
    let target: Option<&TargetPlan> = transaction.upstream.target.map(|target| &service.targets[target]);
    if let (false, Some(target)) = (service.client_host, target) {
        request.headers_mut().insert(HOST, target.host.clone());
    } else if !request.headers().contains_key(HOST) {
        request.headers_mut().insert(HOST, HeaderValue::from_static(""));
    }
}

fn copy_of(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// RFC 9110 section 9.2.2.
fn is_idempotent(method: &Method) -> bool {
    method.is_idempotent()
}

/// Waits for the head of the response. While the client still sends its body, the clock starts anew with its progress.
async fn wait<T>(
    sending: impl Future<Output = T>,
    first_byte: Duration,
    watch: Option<&BodyWatch>,
    deadline: Instant,
) -> Option<T> {
    let mut sending = std::pin::pin!(sending);
    let mut since = Instant::now();
    loop {
        let until = deadline.min(since + first_byte);
        match timeout_at(until.into(), sending.as_mut()).await {
            Ok(sent) => return Some(sent),
            Err(_) if Instant::now() >= deadline => return None,
            Err(_) => match watch {
                // A client that pauses has its own deadline, `body_idle`.
                Some(watch) if watch.is_awaited() => since = Instant::now(),
                Some(watch) if watch.advanced_at() > since => since = watch.advanced_at(),
                _ => return None,
            },
        }
    }
}

fn late(transaction: &mut Transaction) -> Refusal {
    transaction.upstream.last_byte_at = None;
    Refusal::timeout(ErrorClass::UpstreamTimeout, "the upstream did not answer in time")
}

fn failed(
    transaction: &Transaction,
    route: &RoutePlan,
    watch: Option<&BodyWatch>,
    error: &TrySendError<Request<RequestBody>>,
) -> Refusal {
    if let Some(fault) = watch.and_then(|watch| watch.progress.fault.get()) {
        return body_refusal(fault, route);
    }
    let error = error.error();
    let addr = transaction.upstream.addr;
    let addr = addr.map_or_else(|| "the upstream".to_owned(), |addr| addr.to_string());
    if error.is_parse() {
        return Refusal::upstream(ErrorClass::UpstreamProtocol, format!("{addr} did not answer in HTTP: {error}"));
    }
    if error.is_user() {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        return Refusal::gateway(status, ErrorClass::Internal, format!("the request could not be sent: {error}"));
    }
    Refusal::upstream(ErrorClass::UpstreamReset, format!("{addr} closed before it answered"))
}
