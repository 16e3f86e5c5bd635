//! One request: normalize, route, authenticate, send upstream, pass the response on. Every way out leaves a record.

use std::convert::Infallible;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, TRANSFER_ENCODING, UPGRADE, WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::{Body, Incoming};
use hyper::upgrade::OnUpgrade;
use tollgate_proxy_config::ProxyConfig;
use tollgate_proxy_http::header_flags::{self, HeaderFlags, RequestScan};
use tollgate_proxy_http::local_reply::{LocalReply, X_REQUEST_ID};
use tollgate_proxy_http::routing::KNOWN_METHODS;
use tollgate_proxy_http::{cors, forwarding, normalize};
use tollgate_record::vocabulary::{AuthFailReason, AuthPattern, AuthResult, ErrorClass};

use crate::plan::{RouteConfig, RuntimeConfig};
use crate::transaction::min_rate::MinRate;
use crate::transaction::recorder::allowed_headers;
use crate::transaction::request_body::{BodyWatch, RequestBody, RequestBounds, too_large};
use crate::transaction::response_body::{ResponseBody, ResponseBounds};
use crate::transaction::{ConnectionFacts, Transaction, WorkerContext};
use crate::transaction::{credentials, exchange, identify, misdirected, policy, request, tunnel};
use crate::upstream::Lease;

/// Serves one request. The transaction ends with the response's body.
///
/// # Errors
/// Never: a failure becomes a reply.
pub async fn handle(
    context: Rc<WorkerContext>,
    connection: Rc<ConnectionFacts>,
    mut request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let mut seen = RequestScan::of(request.headers());
    let upgrade = seen.flags.may_have(header_flags::UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let (head, body) = request.into_parts();
    let mut transaction = Transaction::begin(&context, &connection, &head, &mut seen, !body.is_end_stream());
    let requests_max = transaction.config().file.limits.requests_per_connection_max;
    let is_last = connection.reached_request_limit(requests_max);
    context.recorder.room().await;
    let outcome = forward(&mut transaction, head, seen, body, upgrade.is_some()).await;
    let mut response = match outcome {
        Ok(answer) => respond(transaction, answer, upgrade),
        Err(reply) => refuse(transaction, &reply),
    };
    if context.drain().is_cancelled() || is_last {
        close_after(&mut response, &connection);
    }
    Ok(response)
}

/// An upstream's response, with its connection and the bounds of its body.
struct Answer {
    response: Response<Incoming>,
    lease: Box<Lease<RequestBody>>,
    bounds: ResponseBounds,
}

/// Takes a request through every step to the head of its response.
async fn forward(
    transaction: &mut Transaction,
    mut head: Parts,
    RequestScan { flags, host: named, .. }: RequestScan,
    body: Incoming,
    upgradable: bool,
) -> Result<Answer, LocalReply> {
    let config = transaction.config().clone();
    let Accepted { route, client_ip, host, upgrade } = accept(transaction, &config, &mut head, flags, named)?;
    authenticate(transaction, route)?;
    if let Some(auth) = &route.auth {
        // Boxed: what most requests do not need would make the future of each larger.
        Box::pin(identify::caller(transaction, auth, &mut head)).await?;
    }
    admit(transaction, &config, route, (&head, flags), client_ip)?;
    let upgrade = upgrade.filter(|_| upgradable && config.services[route.service].upgrades);
    let rates = rates_of(&config.file, &head);
    request::prepare(transaction, &mut head, flags, route, &host, upgrade.clone())?;
    let bounds = RequestBounds { idle: route.body_idle, bytes_max: route.request_body_bytes_max, rate_min: rates.0 };
    let (body, watch) = RequestBody::new(body, &transaction.connection().io, bounds);
    if watch.is_some() && !head.headers.contains_key(CONTENT_LENGTH) {
        // hyper assumes that a GET has no body, unless a field says otherwise.
        head.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    transaction.watch_body(watch.as_ref().map(|watch: &BodyWatch| watch.progress.clone()));
    let deadline = transaction.request().head_at + route.total;
    transaction.abort_after(Some(deadline));
    // A route's edits may have set what the client did not send.
    let authorizes = flags.may_have(header_flags::AUTHORIZATION) || route.request_headers.is_some();
    let for_connection = authorizes && credentials::is_of_connection(&head.headers, AUTHORIZATION);
    let exchanged = exchange::run(transaction, route, head, body, watch.as_ref(), upgrade.is_some(), deadline).await;
    let (mut response, mut lease) = exchanged?;
    let status = response.status();
    transaction.upstream_mut().status = Some(status.as_u16());
    let challenged = || credentials::is_of_connection(response.headers(), WWW_AUTHENTICATE);
    if for_connection || (status == StatusCode::UNAUTHORIZED && challenged()) {
        lease.poolable = false;
    }
    adopt(&mut response, route, upgrade.as_ref())?;
    policy::write(transaction, response.headers_mut());
    Ok(Answer { response, lease, bounds: ResponseBounds { idle: route.body_idle, deadline, rate_min: rates.1 } })
}

/// A request that may be sent upstream.
struct Accepted<'a> {
    route: &'a RouteConfig,
    /// The client behind trusted hops.
    client_ip: IpAddr,
    host: HeaderValue,
    /// The protocol that the client offers to switch to.
    upgrade: Option<HeaderValue>,
}

/// Normalizes and routes a request, and checks what needs no caller: the listener's quota, the host.
fn accept<'a>(
    transaction: &mut Transaction,
    config: &'a RuntimeConfig,
    head: &mut Parts,
    flags: HeaderFlags,
    named: Option<HeaderValue>,
) -> Result<Accepted<'a>, LocalReply> {
    normalize::check_count(&head.headers, config.file.limits.headers_max.value)?;
    let normal = normalize::scanned(head, flags, named, config.file.http2.header_list_bytes_max)?;
    transaction.normalized(normal.head_bytes, normal.host.clone());
    let connection = transaction.connection().clone();
    let client = forwarding::client(connection.client.ip(), &head.headers, &config.trusted_hops);
    let client_ip = client.map_or(connection.client.ip(), |(ip, _)| ip);
    transaction.forwarded_for(client);
    let sampling = config.file.trace.sampling.value;
    if sampling > 0.0 || flags.may_have(header_flags::TRACEPARENT) {
        let trace = transaction.context().trace(&head.headers, sampling);
        transaction.traced(trace);
    }
    let listener = &config.listeners[connection.listener];
    listener.quota.requests.take(("listener", &listener.name), client_ip, transaction.request().head_at)?;
    if let Some(names) = &listener.tls {
        misdirected::check(names, &connection, &normal.host)?;
    }
    let route = &config.routes[find_route(config, transaction, head, &normal.host)?];
    transaction.show_in_flight();
    transaction.keep_headers(allowed_headers(&head.headers, &route.headers));
    policy::before_authentication(transaction, &route.policy, config, head, &normal.host, client_ip)?;
    if let Some(hash) = credentials::hash(config.hmac.as_deref(), &head.headers) {
        transaction.auth_mut().presented(hash);
    }
    Ok(Accepted { route, client_ip, host: normal.host, upgrade: normal.upgrade })
}

/// Checks what a caller that may use the route can still be refused for: a length, the service's quotas.
fn admit(
    transaction: &mut Transaction,
    config: &RuntimeConfig,
    route: &RouteConfig,
    (head, flags): (&Parts, HeaderFlags),
    client_ip: IpAddr,
) -> Result<(), LocalReply> {
    if flags.may_have(header_flags::CONTENT_LENGTH) {
        check_length(head, route)?;
    }
    let service = &config.services[route.service];
    let now = transaction.request().head_at;
    transaction.hold(service.quota.take(&service.name, client_ip, now)?);
    if let Some(quota) = &service.quota.principals {
        let caller = transaction.auth().caller.as_ref().and_then(|caller| caller.principal.as_deref());
        let held = caller.map(|principal| quota.take(&service.name, principal, client_ip, now)).transpose()?;
        transaction.hold_for_caller(held);
    }
    route.policy.quota.take(("route", &route.name), client_ip, now)?;
    policy::in_place_of_upstream(&route.policy)
}

/// Makes the upstream's response fit to be passed on: a switch of protocols that was offered, normalized fields, the
/// route's edits.
fn adopt(
    response: &mut Response<Incoming>,
    route: &RouteConfig,
    offered: Option<&HeaderValue>,
) -> Result<(), LocalReply> {
    let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let switched_to = if switches { response.headers().get(UPGRADE).cloned() } else { None };
    if switches && !normalize::is_offered(switched_to.as_ref(), offered) {
        let detail = "the upstream switched to a protocol that it was not offered";
        return Err(LocalReply::upstream(ErrorClass::UpstreamProtocol, detail));
    }
    let normal = normalize::response(response.headers_mut());
    normal.map_err(|detail| LocalReply::upstream(ErrorClass::UpstreamProtocol, detail))?;
    if let Some(edits) = &route.response_headers {
        edits.apply(response.headers_mut());
    }
    if let (true, Some(protocol)) = (switches, switched_to) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(UPGRADE, protocol);
    }
    Ok(())
}

/// The slowest rates of the request's body and of the response's. gRPC has none: its streams last, and carry little.
fn rates_of(file: &ProxyConfig, head: &Parts) -> (Option<MinRate>, Option<MinRate>) {
    let (limits, grace) = (&file.limits, file.timeouts.rate_grace.0);
    let rate = |least: u64| MinRate::new(least, grace);
    let rates = (rate(limits.request_bytes_per_second_min), rate(limits.response_bytes_per_second_min));
    let grpc = |kind: &HeaderValue| kind.as_bytes().starts_with(b"application/grpc");
    match rates {
        (None, None) => rates,
        _ if head.headers.get(CONTENT_TYPE).is_some_and(grpc) => (None, None),
        _ => rates,
    }
}

/// Finds the route of a normalized request.
fn find_route(
    config: &RuntimeConfig,
    transaction: &mut Transaction,
    head: &Parts,
    host: &HeaderValue,
) -> Result<usize, LocalReply> {
    let path = if head.uri.path().is_empty() { "/" } else { head.uri.path() };
    let host = host.to_str().unwrap_or_default();
    let method = &transaction.request().method;
    let found = config.router.find(host, path, method, &head.headers).or_else(|| {
        // A route that does not name OPTIONS answers the preflights of what it serves.
        let asked = cors::preflight_method(method, &head.headers)?;
        let found = config.router.find(host, path, &asked, &head.headers)?;
        config.routes[found.route].policy.cors.is_some().then_some(found)
    });
    let Some(found) = found else {
        let methods = config.router.methods(host, path, &head.headers);
        if methods.is_empty() {
            let detail = "no route for this host, path and fields";
            return Err(LocalReply::gateway(StatusCode::NOT_FOUND, ErrorClass::NoRoute, detail));
        }
        return Err(not_allowed(&methods, "no route for this method, though for others"));
    };
    transaction.routed(found.route, found.path);
    if !KNOWN_METHODS.contains(&transaction.request().method) && !config.routes[found.route].methods_named {
        return Err(not_allowed(&KNOWN_METHODS, "the method is unknown and the route does not name it"));
    }
    Ok(found.route)
}

fn not_allowed(methods: &[Method], detail: &str) -> LocalReply {
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    let reply = LocalReply::gateway(StatusCode::METHOD_NOT_ALLOWED, ErrorClass::BadRequest, detail);
    LocalReply { allow: HeaderValue::from_str(&names.join(", ")).ok(), ..reply }
}

/// Checks the connection's client certificate against what the route asks for.
fn authenticate(transaction: &mut Transaction, route: &RouteConfig) -> Result<(), LocalReply> {
    let verified = transaction.connection().tls.as_ref().is_some_and(|tls| tls.client.is_some());
    let auth = transaction.auth_mut();
    if verified {
        auth.checked(AuthPattern::Mtls, Some(AuthResult::Success));
        return Ok(());
    }
    if route.require_client_cert {
        auth.checked(AuthPattern::Mtls, None);
        let detail = "this API needs a client certificate";
        let reply = LocalReply::gateway(StatusCode::UNAUTHORIZED, ErrorClass::Auth, detail);
        return Err(LocalReply { auth: Some(AuthFailReason::Missing), ..reply });
    }
    auth.checked(AuthPattern::None, Some(AuthResult::NotRequired));
    Ok(())
}

/// Refuses a body by its announced length. The body itself is counted as it passes.
fn check_length(head: &Parts, route: &RouteConfig) -> Result<(), LocalReply> {
    let announced = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match announced.is_some_and(|length| length > route.request_body_bytes_max) {
        true => Err(too_large(route.request_body_bytes_max)),
        false => Ok(()),
    }
}

/// Passes the upstream's response on. A switch of protocols becomes a tunnel.
fn respond(mut transaction: Box<Transaction>, answer: Answer, upgrade: Option<OnUpgrade>) -> Response<ResponseBody> {
    let Answer { response, lease, bounds } = answer;
    let (mut head, body) = response.into_parts();
    head.version = Version::HTTP_11;
    head.headers.insert(X_REQUEST_ID, transaction.identity().request_id.clone());
    transaction.answered(head.status, normalize::response_bytes(head.status, &head.headers));
    if let (StatusCode::SWITCHING_PROTOCOLS, Some(client)) = (head.status, upgrade) {
        let upstream = hyper::upgrade::on(Response::from_parts(head.clone(), body));
        transaction.abort_after(None);
        tokio::task::spawn_local(tunnel::run(transaction, client, upstream, lease));
        return Response::from_parts(head, ResponseBody::switched());
    }
    Response::from_parts(head, ResponseBody::upstream(body, lease, bounds, transaction))
}

/// Replies in the upstream's place.
fn refuse(mut transaction: Box<Transaction>, reply: &LocalReply) -> Response<ResponseBody> {
    transaction.refused(reply);
    let write_max = transaction.config().file.timeouts.client_write.0;
    transaction.abort_after(Some(Instant::now() + write_max));
    let (mut response, body) = reply.response(&transaction.identity().request_id);
    policy::write(&transaction, response.headers_mut());
    let head = transaction.request().method == Method::HEAD;
    if transaction.connection().http2 {
        response.headers_mut().remove(CONNECTION);
    }
    if head && let Ok(length) = HeaderValue::from_str(&body.len().to_string()) {
        response.headers_mut().insert(CONTENT_LENGTH, length);
    }
    transaction.replied(normalize::response_bytes(response.status(), response.headers()));
    let body = if head { bytes::Bytes::new() } else { body };
    response.map(|()| ResponseBody::whole(body, transaction))
}

/// Makes the client open another connection for its next request. On HTTP/2 a GOAWAY does.
fn close_after(response: &mut Response<ResponseBody>, connection: &ConnectionFacts) {
    if !connection.http2 && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}
