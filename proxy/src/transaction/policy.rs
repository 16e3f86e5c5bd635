//! The rules of a route around authentication: TLS, addresses, preflights, the caller's own id, answers in the
//! upstream's place.

use std::net::IpAddr;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, ORIGIN, UPGRADE};
use http::request::Parts;
use tollgate_proxy_http::local_reply::{Fixed, LocalReply};
use tollgate_proxy_http::routing::host_name;
use tollgate_proxy_http::{cors, forwarding};
use tollgate_record::vocabulary::{AuthPattern, AuthResult, ErrorClass};

use crate::plan::{FixedResponse, RoutePolicy, RuntimeConfig};
use crate::transaction::Transaction;

/// Checks what is asked before a credential is looked at, in this order: TLS, address, preflight.
///
/// # Errors
/// A refusal, a redirect, or the answer to a preflight.
pub fn before_authentication(
    transaction: &mut Transaction,
    policy: &RoutePolicy,
    config: &RuntimeConfig,
    head: &mut Parts,
    host: &HeaderValue,
    client: IpAddr,
) -> Result<(), LocalReply> {
    correlate(transaction, policy, &mut head.headers);
    if policy.cors.is_some() {
        transaction.asked_mut().origin = head.headers.get(ORIGIN).cloned();
    }
    if let Some(status) = policy.https_only {
        let connection = transaction.connection();
        let secure = connection.tls.is_some();
        if !forwarding::is_secure(secure, connection.client.ip(), &head.headers, &config.trusted_hops) {
            return Err(without_tls(status, head, host));
        }
    }
    if let Some(rules) = &policy.addresses {
        let among = |networks: &[_]| forwarding::is_trusted(client, networks);
        if among(&rules.deny) || !(rules.allow.is_empty() || among(&rules.allow)) {
            let detail = "the client's address may not use this API";
            return Err(LocalReply::gateway(StatusCode::FORBIDDEN, ErrorClass::Acl, detail));
        }
    }
    match &policy.cors {
        Some(cors) if cors::preflight_method(&head.method, &head.headers).is_some() => {
            transaction.asked_mut().preflight = true;
            transaction.auth_mut().checked(AuthPattern::None, Some(AuthResult::NotRequired));
            Err(preflight(cors.preflight(&head.headers)))
        }
        _ => Ok(()),
    }
}

/// Keeps the caller's own id for the record, and gives a request without one the request id.
fn correlate(transaction: &mut Transaction, policy: &RoutePolicy, headers: &mut HeaderMap) {
    let Some((name, echo)) = &policy.correlation else { return };
    let id = match headers.get(name) {
        Some(id) => {
            let id = id.clone();
            transaction.correlated(id.clone());
            id
        }
        None => transaction.identity().request_id.clone(),
    };
    headers.insert(name.clone(), id.clone());
    if *echo {
        transaction.asked_mut().correlation = Some(id);
    }
}

/// Answers a request without TLS: 426, or a redirect to the same URL with https.
fn without_tls(status: StatusCode, head: &Parts, host: &HeaderValue) -> LocalReply {
    let detail = "the route is served over TLS alone";
    let reply = LocalReply::gateway(status, ErrorClass::BadRequest, detail);
    let mut fixed = Fixed::default();
    if status == StatusCode::UPGRADE_REQUIRED {
        fixed.fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        fixed.fields.insert(UPGRADE, HeaderValue::from_static("TLS/1.2, HTTP/1.1"));
        return LocalReply { fixed: Some(Box::new(fixed)), ..reply };
    }
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let target = if target.starts_with('/') { target } else { "/" };
    let location = format!("https://{}{target}", host_name(host.to_str().unwrap_or_default()));
    if let Ok(location) = HeaderValue::from_str(&location) {
        fixed.fields.insert(LOCATION, location);
    }
    LocalReply { fixed: Some(Box::new(Fixed { body: Some(Bytes::new()), is_fine: true, ..fixed })), ..reply }
}

/// Answers a preflight, which carries no credential and asks for none.
fn preflight(fields: Option<HeaderMap>) -> LocalReply {
    let Some(fields) = fields else {
        let detail = "pages of this origin may not use this API";
        return LocalReply::gateway(StatusCode::FORBIDDEN, ErrorClass::Acl, detail);
    };
    let fixed = Fixed { fields, body: Some(Bytes::new()), is_fine: true };
    let reply = LocalReply::gateway(StatusCode::OK, ErrorClass::Acl, "");
    LocalReply { fixed: Some(Box::new(fixed)), ..reply }
}

/// Answers in the upstream's place, if the route does.
///
/// # Errors
/// The answer.
pub fn in_place_of_upstream(policy: &RoutePolicy) -> Result<(), LocalReply> {
    let Some(respond) = &policy.respond else { return Ok(()) };
    let FixedResponse { status, content_type, body, location } = &**respond;
    let class = match status.as_u16() {
        404 | 410 => ErrorClass::NoRoute,
        500.. => ErrorClass::NoHealthyUpstream,
        _ => ErrorClass::Acl,
    };
    let mut fixed = Fixed { body: body.clone(), is_fine: status.as_u16() < 400, ..Fixed::default() };
    for (name, value) in [(CONTENT_TYPE, content_type), (LOCATION, location)] {
        if let Some(value) = value {
            fixed.fields.insert(name, value.clone());
        }
    }
    let reply = LocalReply::gateway(*status, class, "the route answers in the upstream's place");
    Err(LocalReply { fixed: Some(Box::new(fixed)), ..reply })
}

/// Writes into an answer, the upstream's or the gateway's own, what its route tells the client.
pub fn write(transaction: &Transaction, headers: &mut HeaderMap) {
    let Some(route) = transaction.request().route else { return };
    let policy = &transaction.config().routes[route].policy;
    // The answer to a preflight has its fields already.
    if let Some(cors) = policy.cors.as_ref().filter(|_| !transaction.asked().preflight) {
        cors.write(transaction.asked().origin.as_ref(), headers);
    }
    if let (Some((name, _)), Some(id)) = (&policy.correlation, &transaction.asked().correlation) {
        headers.insert(name.clone(), id.clone());
    }
}
