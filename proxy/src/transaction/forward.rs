//! One request: normalise, route, authenticate, send upstream, hand the answer on. Every way out is a record.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Instant;

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, TRANSFER_ENCODING, UPGRADE,
    WWW_AUTHENTICATE,
};
use http::{Method, Request, Response, StatusCode, Uri, Version, request};
use hyper::body::{Body, Incoming};
use hyper::upgrade::OnUpgrade;
use tollgate_record::vocabulary::{AuthFailReason, AuthPattern, AuthResult, ErrorClass, ResponseSource, Termination};

use crate::client::connection::ConnectionFacts;
use crate::client::misdirected;
use crate::config::{Plan, ProxyConfig, RoutePlan};
use crate::forwarding::{self, Hop};
use crate::refusal::{Refusal, X_REQUEST_ID};
use crate::rewrite::Rewrite;
use crate::routing::KNOWN_METHODS;
use crate::runtime::worker::Worker;
use crate::transaction::body::{BodyWatch, RequestBody, RequestBounds, ResponseBody, ResponseBounds};
use crate::transaction::credentials;
use crate::transaction::exchange;
use crate::transaction::min_rate::MinRate;
use crate::transaction::redaction;
use crate::transaction::tunnel;
use crate::transaction::{BodyFault, Ending, Transaction};
use crate::upstream::Lease;
use crate::{client_cert, normalize, trace};
use tollgate_proxy_http::header_flags::{self, HeaderFlags, RequestScan};

/// Serves one request; the transaction ends with the response's body.
///
/// # Errors
/// Never: what fails becomes an answer.
pub async fn handle(
    worker: Rc<Worker>,
    connection: Rc<ConnectionFacts>,
    mut request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let mut seen = RequestScan::of(request.headers());
    let upgrade = seen.flags.may_have(header_flags::UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let (head, body) = request.into_parts();
    let mut transaction = Transaction::begin(&worker, &connection, &head, &mut seen, !body.is_end_stream());
    let worn_out = transaction.plan.is_worn_out(&connection);
    worker.room().await;
    let outcome = forward(&mut transaction, head, seen, body, upgrade.is_some()).await;
    let mut response = match outcome {
        Ok(answer) => respond(transaction, answer, upgrade),
        Err(refusal) => refuse(transaction, &refusal),
    };
    if worker.is_draining() || worn_out {
        close_after(&mut response, &connection);
    }
    Ok(response)
}

/// An upstream's answer with what is needed to pass it on.
struct Answer {
    response: Response<Incoming>,
    lease: Box<Lease>,
    bounds: ResponseBounds,
}

async fn forward(
    transaction: &mut Transaction,
    mut head: request::Parts,
    RequestScan { flags: has, host: named, .. }: RequestScan,
    body: Incoming,
    upgradable: bool,
) -> Result<Answer, Refusal> {
    let worker = transaction.worker.clone();
    let hold = transaction.plan.clone();
    let plan: &Plan = &hold;
    normalize::check_count(&head.headers, plan.config.limits.headers_max.value)?;
    let normal = normalize::surveyed(&mut head, has, named, plan.config.http2.header_list_bytes_max)?;
    transaction.request_head_bytes = normal.head_bytes;
    transaction.host = Some(normal.host.clone());
    let connection = transaction.connection.clone();
    let client = forwarding::client(connection.client.ip(), &head.headers, &plan.trusted_hops);
    let client_ip = client.map_or(connection.client.ip(), |(ip, _)| ip);
    transaction.client_ip = client.map(|(ip, source)| (ip.to_string(), source));
    let sampling = plan.config.trace.sampling.value;
    if sampling > 0.0 || has.may_have(header_flags::TRACEPARENT) {
        transaction.trace = trace::of(&head.headers, sampling, &mut worker.random.borrow_mut());
    }
    let listener = &plan.listeners[connection.listener];
    listener.quota.requests.take(("listener", &listener.name), client_ip, transaction.head_at)?;
    if let Some(names) = &listener.tls {
        misdirected::check(names, &connection, &normal.host)?;
    }
    let route = &plan.routes[find_route(plan, transaction, &head, &normal.host)?];
    worker.live.borrow_mut().describe(transaction);
    transaction.headers_json = redaction::headers(&head.headers, &route.headers);
    credentials::take(transaction, plan.hmac.as_deref(), &head.headers);
    authenticate(transaction, route)?;
    if has.may_have(header_flags::CONTENT_LENGTH) {
        check_length(&head, route)?;
    }
    let service = &plan.services[route.service];
    transaction.slot = service.quota.take(&service.name, client_ip, transaction.head_at)?;
    let upgrade = normal.upgrade.filter(|_| upgradable && service.upgrades);
    let rates = rates_of(&plan.config, &head);
    rewrite(transaction, &mut head, has, route, &normal.host, upgrade.clone())?;
    let bounds = RequestBounds { idle: route.body_idle, bytes_max: route.request_body_bytes_max, rate_min: rates.0 };
    let (body, watch) = RequestBody::new(body, &connection.io, bounds);
    if watch.is_some() && !head.headers.contains_key(CONTENT_LENGTH) {
        // hyper takes it that a GET has no body, unless it is told.
        head.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    transaction.request_body = watch.as_ref().map(|watch: &BodyWatch| watch.progress.clone());
    let deadline = transaction.head_at + route.total;
    transaction.bound(Some(deadline));
    // A route's edits may have set what the client did not send.
    let authorizes = has.may_have(header_flags::AUTHORIZATION) || route.request_headers.is_some();
    let for_connection = authorizes && credentials::is_of_connection(&head.headers, AUTHORIZATION);
    let exchanged = exchange::run(transaction, route, head, body, watch.as_ref(), upgrade.is_some(), deadline).await;
    let (mut response, mut lease) = exchanged?;
    let status = response.status();
    let challenged = || credentials::is_of_connection(response.headers(), WWW_AUTHENTICATE);
    if for_connection || (status == StatusCode::UNAUTHORIZED && challenged()) {
        lease.poolable = false;
    }
    let switches = status == StatusCode::SWITCHING_PROTOCOLS;
    transaction.upstream.status = Some(status.as_u16());
    let switched_to = if switches { response.headers().get(UPGRADE).cloned() } else { None };
    if switches && !normalize::is_offered(switched_to.as_ref(), upgrade.as_ref()) {
        let detail = "the upstream switched to a protocol that it was not offered";
        return Err(Refusal::upstream(ErrorClass::UpstreamProtocol, detail));
    }
    let normal = normalize::response(response.headers_mut());
    normal.map_err(|detail| Refusal::upstream(ErrorClass::UpstreamProtocol, detail))?;
    if let Some(edits) = &route.response_headers {
        edits.apply(response.headers_mut());
    }
    if let (true, Some(protocol)) = (switches, switched_to) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(UPGRADE, protocol);
    }
    Ok(Answer { response, lease, bounds: ResponseBounds { idle: route.body_idle, deadline, rate_min: rates.1 } })
}

/// How slow the client may be with its body, and with the answer's. Streams of gRPC last, and say little, by their nature.
fn rates_of(config: &ProxyConfig, head: &request::Parts) -> (Option<MinRate>, Option<MinRate>) {
    let (limits, grace) = (&config.limits, config.timeouts.rate_grace.0);
    let rate = |least: u64| MinRate::new(least, grace);
    let rates = (rate(limits.request_bytes_per_second_min), rate(limits.response_bytes_per_second_min));
    let grpc = |kind: &HeaderValue| kind.as_bytes().starts_with(b"application/grpc");
    match rates {
        (None, None) => rates,
        _ if head.headers.get(CONTENT_TYPE).is_some_and(grpc) => (None, None),
        _ => rates,
    }
}

/// The route of a normalised target.
fn find_route(
    plan: &Plan,
    transaction: &mut Transaction,
    head: &request::Parts,
    host: &HeaderValue,
) -> Result<usize, Refusal> {
    let path = if head.uri.path().is_empty() { "/" } else { head.uri.path() };
    let host = host.to_str().unwrap_or_default();
    let Some(found) = plan.router.find(host, path, &transaction.method, &head.headers) else {
        let methods = plan.router.methods(host, path, &head.headers);
        if methods.is_empty() {
            let detail = "no route for this host, path and fields";
            return Err(Refusal::gateway(StatusCode::NOT_FOUND, ErrorClass::NoRoute, detail));
        }
        return Err(not_allowed(&methods, "no route for this method, though for others"));
    };
    (transaction.route, transaction.path) = (Some(found.route), found.path);
    if !KNOWN_METHODS.contains(&transaction.method) && !plan.routes[found.route].methods_named {
        return Err(not_allowed(&KNOWN_METHODS, "the method is unknown and the route does not name it"));
    }
    Ok(found.route)
}

fn not_allowed(methods: &[Method], detail: &str) -> Refusal {
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    let refusal = Refusal::gateway(StatusCode::METHOD_NOT_ALLOWED, ErrorClass::BadRequest, detail);
    Refusal { allow: HeaderValue::from_str(&names.join(", ")).ok(), ..refusal }
}

/// The client certificate of the connection, against what the route asks for.
fn authenticate(transaction: &mut Transaction, route: &RoutePlan) -> Result<(), Refusal> {
    let verified = transaction.connection.tls.as_ref().is_some_and(|tls| tls.client.is_some());
    let auth = &mut transaction.auth;
    if verified {
        auth.pattern = Some(AuthPattern::Mtls);
        auth.result = Some(AuthResult::Success);
        return Ok(());
    }
    if route.require_client_cert {
        auth.pattern = Some(AuthPattern::Mtls);
        let detail = "this API needs a client certificate";
        let refusal = Refusal::gateway(StatusCode::UNAUTHORIZED, ErrorClass::Auth, detail);
        return Err(Refusal { auth: Some(AuthFailReason::Missing), ..refusal });
    }
    auth.pattern = Some(AuthPattern::None);
    auth.result = Some(AuthResult::NotRequired);
    Ok(())
}

/// Refuses a body by its announced length; the body itself is counted as it passes.
fn check_length(head: &request::Parts, route: &RoutePlan) -> Result<(), Refusal> {
    let announced = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match announced.is_some_and(|length| length > route.request_body_bytes_max) {
        true => Err(body_too_large(route)),
        false => Ok(()),
    }
}

fn body_too_large(route: &RoutePlan) -> Refusal {
    normalize::too_large(format!("the body is larger than {} bytes", route.request_body_bytes_max))
}

/// Makes the head that goes upstream out of the client's.
fn rewrite(
    transaction: &Transaction,
    head: &mut request::Parts,
    has: HeaderFlags,
    route: &RoutePlan,
    host: &HeaderValue,
    upgrade: Option<HeaderValue>,
) -> Result<(), Refusal> {
    let connection = &transaction.connection;
    let plan: &Plan = &transaction.plan;
    let rewrite = route.paths.get(transaction.path).and_then(|path| path.rewrite.as_ref());
    if let Some(uri) = upstream_uri(&head.uri, rewrite)? {
        head.uri = uri;
    }
    head.version = Version::HTTP_11;
    head.extensions.clear();
    let headers = &mut head.headers;
    let (peer, peer_value) = (connection.client.ip(), &connection.client_value);
    let told = has.may_have(header_flags::FORWARDED);
    let hop = Hop { peer, peer_value, secure: connection.tls.is_some(), host, told };
    forwarding::write(headers, &hop, &plan.config.forwarding, &plan.trusted_hops);
    if let Some(tls) = &connection.tls {
        client_cert::write(headers, &tls.client_fields);
    }
    if let Some(edits) = &route.request_headers {
        edits.apply_to_request(headers);
    }
    headers.insert(X_REQUEST_ID, transaction.request_id.clone());
    if let Some(trace) = &transaction.trace {
        headers.insert(trace::TRACEPARENT, trace.header());
    }
    if plan.services[route.service].client_host {
        headers.insert(HOST, host.clone());
    }
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
    Ok(())
}

/// Origin form, rewritten as the route asks for, or `None` if it is that already; or the refusal of a target that no request
/// can have then.
fn upstream_uri(uri: &Uri, rewrite: Option<&Rewrite>) -> Result<Option<Uri>, Refusal> {
    if let Some(path) = rewrite.and_then(|rewrite| rewrite.apply(uri.path())) {
        let target = uri.query().map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
        return target.parse().map(Some).map_err(|_| {
            let detail = "the request target is too long once it is rewritten";
            Refusal { status: StatusCode::URI_TOO_LONG, ..normalize::too_large(detail) }
        });
    }
    if uri.authority().is_none() {
        return Ok(None);
    }
    let target = uri.path_and_query().filter(|target| !target.as_str().is_empty()).cloned();
    Ok(Some(target.map_or_else(|| Uri::from_static("/"), Uri::from)))
}

/// Passes the upstream's answer on; a switch of protocols becomes a tunnel.
fn respond(mut transaction: Box<Transaction>, answer: Answer, upgrade: Option<OnUpgrade>) -> Response<ResponseBody> {
    let Answer { response, lease, bounds } = answer;
    let (mut head, body) = response.into_parts();
    head.version = Version::HTTP_11;
    head.headers.insert(X_REQUEST_ID, transaction.request_id.clone());
    transaction.status = Some(head.status.as_u16());
    transaction.source = Some(ResponseSource::Upstream);
    transaction.response_head_bytes = Some(normalize::response_bytes(head.status, &head.headers));
    if head.status.is_server_error() {
        let (termination, class) = (Termination::Complete, Some(ErrorClass::Upstream5xx));
        transaction.verdict = Some(Ending { termination, class, detail: None });
    }
    if let (StatusCode::SWITCHING_PROTOCOLS, Some(client)) = (head.status, upgrade) {
        let upstream = hyper::upgrade::on(Response::from_parts(head.clone(), body));
        transaction.bound(None);
        tokio::task::spawn_local(tunnel::run(transaction, client, upstream, lease));
        return Response::from_parts(head, ResponseBody::switched());
    }
    Response::from_parts(head, ResponseBody::upstream(body, lease, bounds, transaction))
}

/// Answers in the upstream's place.
pub fn refuse(mut transaction: Box<Transaction>, refusal: &Refusal) -> Response<ResponseBody> {
    transaction.refused(refusal);
    transaction.bound(Some(Instant::now() + transaction.plan.config.timeouts.client_write.0));
    let (mut response, body) = refusal.response(&transaction.request_id);
    let head = transaction.method == Method::HEAD;
    if transaction.connection.http2 {
        response.headers_mut().remove(CONNECTION);
    }
    if head && let Ok(length) = HeaderValue::from_str(&body.len().to_string()) {
        response.headers_mut().insert(CONTENT_LENGTH, length);
    }
    transaction.response_head_bytes = Some(normalize::response_bytes(response.status(), response.headers()));
    let body = if head { bytes::Bytes::new() } else { body };
    response.map(|()| ResponseBody::whole(body, transaction))
}

/// Has the client use another connection for its next request. HTTP/2 is told by GOAWAY instead.
fn close_after(response: &mut Response<ResponseBody>, connection: &ConnectionFacts) {
    if !connection.http2 && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// What a broken request body means for its transaction.
#[must_use]
pub fn body_refusal(fault: BodyFault, route: &RoutePlan) -> Refusal {
    match fault {
        BodyFault::TooLarge => body_too_large(route),
        BodyFault::Framing => Refusal::malformed("the body's chunks cannot be parsed"),
        BodyFault::Stalled | BodyFault::Slow => {
            let detail = if fault == BodyFault::Slow { "the body came too slowly" } else { "the body stalled" };
            let refusal = Refusal::gateway(StatusCode::REQUEST_TIMEOUT, ErrorClass::BadRequest, detail);
            Refusal { close: true, ..refusal }
        }
        BodyFault::Broken => {
            let status = StatusCode::from_u16(crate::transaction::CLIENT_CLOSED_REQUEST);
            let detail = "the client left while sending its body";
            let refusal = Refusal::gateway(status.unwrap_or(StatusCode::BAD_REQUEST), ErrorClass::ClientAbort, detail);
            Refusal { termination: Termination::Client, close: true, ..refusal }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::PathPattern;

    fn sent(from: &str, rewrite: Option<&Rewrite>) -> String {
        let uri = upstream_uri(&from.parse().unwrap(), rewrite);
        uri.map_or_else(|refusal| refusal.detail, |uri| uri.map_or_else(|| from.to_owned(), |uri| uri.to_string()))
    }

    #[test]
    fn a_target_that_a_rewrite_makes_too_long_is_refused_and_not_another() {
        let rewrite = Rewrite::parse(&PathPattern::parse("/a").unwrap(), "/longer").unwrap();
        // `/longer?` and these are as long as a URI may be for the http crate: 65,534 bytes.
        let longest = format!("/a?{}", "q".repeat(65_526));
        assert_eq!(sent(&longest, Some(&rewrite)).len(), 65_534);
        let refusal = upstream_uri(&format!("{longest}q").parse().unwrap(), Some(&rewrite)).map(drop).unwrap_err();
        assert_eq!((refusal.status, refusal.class), (StatusCode::URI_TOO_LONG, ErrorClass::TooLarge));
    }

    #[test]
    fn the_path_is_rewritten_and_the_query_stays() {
        let prefix = PathPattern::parse("/members").unwrap();
        let strip = Rewrite::parse(&prefix, "/").unwrap();
        let table = [
            ("/members/7?q=1", "/7?q=1"),
            ("/members", "/"),
            ("/members?q=1", "/?q=1"),
            ("/members/", "/"),
            ("http://host/members/7", "/7"),
            ("//members;v=1//7?q", "/7?q"),
        ];
        for (from, to) in table {
            assert_eq!(sent(from, Some(&strip)), to, "{from}");
        }
        let whole = Rewrite::parse(&PathPattern::any(), "/").unwrap();
        assert_eq!(sent("*", Some(&whole)), "*");
        assert_eq!(sent("http://host", None), "/");
        assert_eq!(sent("https://host/a?b", None), "/a?b");
        assert_eq!(sent("*", None), "*");
    }
}
