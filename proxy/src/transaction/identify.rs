//! Finds out who calls and whether that caller may, and takes the credentials out of the request.

use http::header::{AUTHORIZATION, HeaderMap};
use http::request::Parts;
use http::{StatusCode, Uri};
use tollgate_clock::now_us;
use tollgate_proxy_auth::{Refusal, Verdict};
use tollgate_proxy_http::local_reply::LocalReply;
use tollgate_record::vocabulary::{AclDecision, AuthFailReason, AuthPattern, AuthResult, ErrorClass};

use crate::identity::{self, Method, Presented, RouteAuth, Step};
use crate::transaction::Transaction;
use crate::transaction::facts::CallerFacts;

/// Retry-After of a credential that nobody could judge. Nothing tells when somebody can.
const UNAVAILABLE_RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// Asks the route's methods who calls, and the route's lists whether that caller may.
///
/// # Errors
/// 401 without a verified caller, 403 for one who may not, 503 if nobody could judge.
pub async fn caller(transaction: &mut Transaction, auth: &RouteAuth, head: &mut Parts) -> Result<(), LocalReply> {
    hash_credential(transaction, auth, head);
    let steps = begin(transaction, auth, head);
    let mut outcomes = Vec::with_capacity(steps.len());
    for (pattern, step) in steps {
        outcomes.push((pattern, step.outcome().await));
    }
    let mut facts = Box::<CallerFacts>::default();
    let verdict = auth.requirement.decide(outcomes);
    let decided = judge(transaction, auth, verdict, &mut facts);
    transaction.auth_mut().caller = Some(facts);
    decided?;
    strip(auth, head);
    Ok(())
}

/// Notes the keyed hash of the credential at the place that the route names, whether it is right or not.
fn hash_credential(transaction: &mut Transaction, auth: &RouteAuth, head: &Parts) {
    let Some(hmac) = transaction.config().hmac.clone() else { return };
    let mut methods = auth.methods.iter();
    let presented = methods.find_map(|method| identity::credential(method, &head.headers, head.uri.query()));
    if let Some(credential) = presented {
        transaction.auth_mut().presented(hmac.hasher.hash(&credential));
    }
}

fn begin(transaction: &Transaction, auth: &RouteAuth, head: &Parts) -> Vec<(AuthPattern, Step)> {
    let certificate = transaction.connection().tls.as_ref().and_then(|tls| tls.client.as_deref());
    let (headers, query) = (&head.headers, head.uri.query());
    let request = Presented { headers, query, certificate, now_us: now_us() };
    let callers = &transaction.config().callers;
    auth.methods.iter().map(|method| (method.pattern(), callers.begin(method, &request))).collect()
}

/// Turns a verdict into facts for the record, and into a reply where the caller is refused.
fn judge(
    transaction: &mut Transaction,
    auth: &RouteAuth,
    verdict: Verdict,
    facts: &mut CallerFacts,
) -> Result<(), LocalReply> {
    let record = transaction.auth_mut();
    match verdict {
        Verdict::Authenticated(principal) => {
            record.checked(principal.pattern, Some(AuthResult::Success));
            facts.principal = Some(principal);
        }
        Verdict::Anonymous => record.checked(AuthPattern::None, Some(AuthResult::Anonymous)),
        Verdict::Refused(Refusal { pattern, failure }) => {
            record.checked(pattern, None);
            let reply = unauthorized(auth, failure.reason, &failure.detail);
            facts.failure = Some(failure);
            return Err(reply);
        }
        Verdict::Unavailable { pattern, detail } => {
            record.checked(pattern, None);
            let reply = LocalReply::gateway(StatusCode::SERVICE_UNAVAILABLE, ErrorClass::AuthUnavailable, detail);
            return Err(LocalReply { retry_after: Some(UNAVAILABLE_RETRY), ..reply });
        }
    }
    let Some(access) = &auth.access else { return Ok(()) };
    let decision = access.decide(facts.principal.as_deref());
    facts.acl = Some(decision.decision);
    if decision.decision != AclDecision::Deny {
        return Ok(());
    }
    if facts.principal.is_none() {
        // Whoever has no identity may get one (RFC 9110 section 15.5.2).
        let detail = "an anonymous caller is not on allow";
        return Err(unauthorized(auth, AuthFailReason::Missing, detail));
    }
    Err(LocalReply::gateway(StatusCode::FORBIDDEN, ErrorClass::Acl, decision.because))
}

fn unauthorized(auth: &RouteAuth, reason: AuthFailReason, detail: &str) -> LocalReply {
    let reply = LocalReply::gateway(StatusCode::UNAUTHORIZED, ErrorClass::Auth, detail);
    LocalReply { auth: Some(reason), challenges: Some(auth.challenges.clone()), ..reply }
}

/// Takes the credentials of the route's methods out of the request, unless they go upstream on purpose. A key that was
/// not looked at, because another one came first, goes too.
fn strip(auth: &RouteAuth, head: &mut Parts) {
    for method in &auth.methods {
        match method {
            Method::Mtls | Method::Basic { forward: true } => {}
            Method::Basic { forward: false } => strip_scheme(&mut head.headers, b"basic"),
            Method::Jwt(method) | Method::Oauth2(method) if method.forward => {}
            Method::Jwt(_) | Method::Oauth2(_) => strip_scheme(&mut head.headers, b"bearer"),
            Method::ApiKey(place) if place.forward => {}
            Method::ApiKey(place) => {
                if let Some(name) = &place.header {
                    head.headers.remove(name);
                }
                if let Some(query) = head.uri.query().and_then(|query| place.stripped(query)) {
                    head.uri = with_query(&head.uri, &query);
                }
            }
        }
    }
}

fn strip_scheme(headers: &mut HeaderMap, scheme: &[u8]) {
    let is_of = |value: &[u8]| value.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    if headers.get(AUTHORIZATION).is_some_and(|value| is_of(value.as_bytes())) {
        headers.remove(AUTHORIZATION);
    }
}

/// The same target with another query. It is shorter, and made of parts of the one before.
fn with_query(uri: &Uri, query: &str) -> Uri {
    let path = uri.path();
    let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = target.parse().ok();
    // Never the credential: if the parts made no target, the bare path would go.
    Uri::from_parts(parts).unwrap_or_else(|_| path.parse().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_keeps_everything_but_its_query() {
        for (from, query, to) in [
            ("/a?key=s", "", "/a"),
            ("/a?b=1&key=s", "b=1", "/a?b=1"),
            ("http://host/a?key=s&c", "c", "http://host/a?c"),
            ("*", "", "*"),
        ] {
            assert_eq!(with_query(&from.parse().unwrap(), query).to_string(), to, "{from}");
        }
    }

    #[test]
    fn only_a_basic_credential_is_taken_out() {
        for (value, left) in [("Basic YTpi", false), ("bASIC YTpi", false), ("Bearer abc", true), ("Bas", true)] {
            let mut headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
            strip_scheme(&mut headers, b"basic");
            assert_eq!(headers.contains_key(AUTHORIZATION), left, "{value}");
        }
    }
}
