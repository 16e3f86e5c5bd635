//! The request as its upstream gets it: the head that the proxy makes out of the client's, and its form for the target
//! and the protocol of each attempt.

use http::header::{CONNECTION, HOST, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, Scheme};
use http::{Request, StatusCode, Uri, Version, request};
use tollgate_proxy_http::forwarding::{self, Hop};
use tollgate_proxy_http::head_copy::HeadCopy;
use tollgate_proxy_http::header_flags::{self, HeaderFlags};
use tollgate_proxy_http::local_reply::{LocalReply, X_REQUEST_ID};
use tollgate_proxy_http::rewrite::Rewrite;
use tollgate_proxy_http::{client_cert, normalize, principal_fields, trace};

use crate::plan::{RouteConfig, RuntimeConfig, TargetConfig};
use crate::transaction::replay::Rewind;
use crate::transaction::{RequestBody, Transaction};

/// Makes the head for the upstream out of the client's.
///
/// # Errors
/// The rewritten target is longer than a URI can be.
pub fn prepare(
    transaction: &Transaction,
    head: &mut request::Parts,
    flags: HeaderFlags,
    route: &RouteConfig,
    host: &HeaderValue,
    upgrade: Option<HeaderValue>,
) -> Result<(), LocalReply> {
    let connection = transaction.connection();
    let config: &RuntimeConfig = transaction.config();
    let rewrite = route.paths.get(transaction.request().path).and_then(|path| path.rewrite.as_ref());
    if let Some(uri) = upstream_uri(&head.uri, rewrite)? {
        head.uri = uri;
    }
    head.version = Version::HTTP_11;
    head.extensions.clear();
    let headers = &mut head.headers;
    let (peer, peer_value) = (connection.client.ip(), &connection.client_value);
    let told = flags.may_have(header_flags::FORWARDED);
    let hop = Hop { peer, peer_value, secure: connection.tls.is_some(), host, told };
    forwarding::write(headers, &hop, &config.file.forwarding, &config.trusted_hops);
    if let Some(tls) = &connection.tls {
        client_cert::write(headers, &tls.client_fields);
    }
    if let Some(edits) = &route.request_headers {
        edits.apply_to_request(headers);
    }
    if let Some(caller) = &transaction.auth().caller {
        principal_fields::write(headers, caller.principal.as_deref());
    }
    headers.insert(X_REQUEST_ID, transaction.identity().request_id.clone());
    if let Some(trace) = &transaction.request().trace {
        headers.insert(trace::TRACEPARENT, trace.header());
    }
    if route.client_host {
        headers.insert(HOST, host.clone());
    }
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
    Ok(())
}

/// The target in origin form, rewritten as the route asks for; `None` if it is that already.
///
/// # Errors
/// The rewritten target is longer than a URI can be.
fn upstream_uri(uri: &Uri, rewrite: Option<&Rewrite>) -> Result<Option<Uri>, LocalReply> {
    if let Some(path) = rewrite.and_then(|rewrite| rewrite.apply(uri.path())) {
        let target = uri.query().map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
        return target.parse().map(Some).map_err(|_| {
            let detail = "the request target is too long once it is rewritten";
            LocalReply { status: StatusCode::URI_TOO_LONG, ..normalize::too_large(detail) }
        });
    }
    if uri.authority().is_none() {
        return Ok(None);
    }
    let target = uri.path_and_query().filter(|target| !target.as_str().is_empty()).cloned();
    Ok(Some(target.map_or_else(|| Uri::from_static("/"), Uri::from)))
}

/// Adapts a request to the target and the protocol of an attempt: Host or `:authority`, origin form or a whole URI. An
/// earlier attempt may have adapted it to another protocol.
pub fn adapt_for(request: &mut Request<RequestBody>, transaction: &Transaction, route: &RouteConfig, http2: bool) {
    let config: &RuntimeConfig = transaction.config();
    let service = &config.services[route.service];
    let target: Option<&TargetConfig> = transaction.upstream().target.map(|target| &service.targets[target]);
    if let (false, Some(target)) = (route.client_host, target) {
        request.headers_mut().insert(HOST, target.host.clone());
    } else if !request.headers().contains_key(HOST) {
        let host = transaction.request().host.clone().unwrap_or_else(|| HeaderValue::from_static(""));
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
    let secure = target.is_some_and(|target| config.upstreams[target.upstream].tls.is_some());
    let headers = request.headers_mut();
    headers.remove(TRANSFER_ENCODING);
    let host = headers.get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = request.uri().clone().into_parts();
    parts.scheme = Some(if secure { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = host.or_else(|| target.and_then(|target| target.host.to_str().ok()?.parse().ok()));
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
        // `:authority` replaces Host (RFC 9113 section 8.3.1).
        request.headers_mut().remove(HOST);
    }
    *request.version_mut() = Version::HTTP_2;
}

/// Makes the request's body replayable, if it has one. Returns the handle to send it again.
pub fn keep_body(request: &mut Request<RequestBody>, bytes_max: usize) -> Option<Rewind> {
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

/// The copied head with its body from the beginning; `None` if that body cannot be sent again.
#[must_use]
pub fn rebuild(copy: HeadCopy, rewind: Option<&Rewind>) -> Option<Request<RequestBody>> {
    let body = match rewind {
        Some(rewind) => RequestBody::Replay(Box::new(rewind.again()?)),
        None => RequestBody::Empty,
    };
    copy.into_request(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_proxy_http::routing::PathPattern;
    use tollgate_record::vocabulary::ErrorClass;

    fn sent(from: &str, rewrite: Option<&Rewrite>) -> String {
        let uri = upstream_uri(&from.parse().unwrap(), rewrite);
        uri.map_or_else(|reply| reply.detail, |uri| uri.map_or_else(|| from.to_owned(), |uri| uri.to_string()))
    }

    #[test]
    fn a_target_that_a_rewrite_makes_too_long_is_refused_and_not_another() {
        let rewrite = Rewrite::parse(&PathPattern::parse("/a").unwrap(), "/longer").unwrap();
        // `/longer?` and these are as long as a URI may be for the http crate: 65,534 bytes.
        let longest = format!("/a?{}", "q".repeat(65_526));
        assert_eq!(sent(&longest, Some(&rewrite)).len(), 65_534);
        let reply = upstream_uri(&format!("{longest}q").parse().unwrap(), Some(&rewrite)).map(drop).unwrap_err();
        assert_eq!((reply.status, reply.class), (StatusCode::URI_TOO_LONG, ErrorClass::TooLarge));
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
