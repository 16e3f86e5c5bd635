//! Tells step by step how a request would be decided, with the parts that decide about real ones. Nothing is sent, and no
//! step holds a credential.

use http::header::{HeaderName, HeaderValue};
use http::{Request, request};
use tollgate_clock::now_us;
use tollgate_proxy_auth::{Outcome, Principal, Verdict};
use tollgate_proxy_http::local_reply::LocalReply;
use tollgate_proxy_http::normalize;
use tollgate_record::vocabulary::{AclDecision, AuthPattern};
use tollgate_tls::PeerCertificate;

use crate::identity::{Presented, RouteAuth};
use crate::plan::RuntimeConfig;

/// Fields of a request.
const FIELDS_MAX: usize = 10_000;

/// A request and what it comes with.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The head of an HTTP/1.1 request; what follows it is not looked at.
    pub request: &'a [u8],
    /// The client certificate, which is taken to be verified.
    pub certificate: Option<&'a PeerCertificate>,
}

/// Returns the steps, each as `what: how it went`. The last one is the answer.
#[must_use]
pub fn explain(config: &RuntimeConfig, asked: &Asked<'_>) -> Vec<String> {
    let mut steps = Vec::new();
    if let Err(answer) = decide(config, asked, &mut steps) {
        steps.push(format!("answer: {answer}"));
    } else {
        steps.push("answer: the upstream's, if the quotas of the service allow the request".to_owned());
    }
    steps
}

/// Takes a request through the steps. An error is the gateway's answer.
fn decide(config: &RuntimeConfig, asked: &Asked<'_>, steps: &mut Vec<String>) -> Result<(), String> {
    let mut head = parsed(asked.request).ok_or("400, bad_request: the request head cannot be parsed")?;
    let normal = normalize::request(&mut head, u32::MAX).map_err(|reply| refusal(&reply))?;
    let host = normal.host.to_str().unwrap_or_default();
    let path = if head.uri.path().is_empty() { "/" } else { head.uri.path() };
    let Some(found) = config.router.find(host, path, &head.method, &head.headers) else {
        let methods = config.router.methods(host, path, &head.headers);
        let status = if methods.is_empty() { "404, no_route" } else { "405, bad_request" };
        return Err(format!("{status}: no route fits"));
    };
    let route = &config.routes[found.route];
    let service = &config.services[route.service];
    steps.push(format!("route: {} of service {}", route.name, service.name));
    if route.require_client_cert {
        steps.push(format!(
            "client certificate: required, {}",
            if asked.certificate.is_some() { "there" } else { "missing" }
        ));
        if asked.certificate.is_none() {
            return Err("401, auth: this API needs a client certificate".to_owned());
        }
    }
    let Some(auth) = &route.auth else {
        steps.push("authentication: the route asks for none".to_owned());
        return Ok(());
    };
    let outcomes = outcomes(config, auth, &head, asked.certificate, steps)?;
    let principal = judged(auth, outcomes, steps)?;
    access(auth, principal.as_deref(), steps)
}

fn outcomes(
    config: &RuntimeConfig,
    auth: &RouteAuth,
    head: &request::Parts,
    certificate: Option<&PeerCertificate>,
    steps: &mut Vec<String>,
) -> Result<Vec<(AuthPattern, Outcome)>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("none, as there is no runtime: {error}"))?;
    let (headers, query) = (&head.headers, head.uri.query());
    let presented = Presented { headers, query, certificate, now_us: now_us() };
    let mut outcomes = Vec::new();
    for method in &auth.methods {
        let outcome = runtime.block_on(config.callers.begin(method, &presented).outcome());
        steps.push(format!("method {}: {}", method.pattern(), told(&outcome)));
        outcomes.push((method.pattern(), outcome));
    }
    Ok(outcomes)
}

fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Absent => "absent".to_owned(),
        Outcome::Failed(failure) => format!("failed, {}: {}", failure.reason, failure.detail),
        Outcome::Succeeded(principal) => format!("succeeded, {}", named(principal)),
        Outcome::Unavailable(detail) => format!("unavailable: {detail}"),
    }
}

fn named(principal: &Principal) -> String {
    let Principal { issuer, subject, consumer, credential_id, groups, .. } = principal;
    let texts =
        [("consumer", consumer), ("credential", credential_id), ("issuer", issuer), ("subject", subject)].into_iter();
    let mut parts: Vec<String> =
        texts.filter_map(|(what, text)| Some(format!("{what} {}", text.as_ref()?.escape_debug()))).collect();
    let groups: Vec<String> = groups.iter().map(|group| group.escape_debug().to_string()).collect();
    parts.push(if groups.is_empty() { "no groups".to_owned() } else { format!("groups {}", groups.join(" ")) });
    parts.join(", ")
}

fn judged(
    auth: &RouteAuth,
    outcomes: Vec<(AuthPattern, Outcome)>,
    steps: &mut Vec<String>,
) -> Result<Option<Box<Principal>>, String> {
    match auth.requirement.decide(outcomes) {
        Verdict::Authenticated(principal) => {
            steps.push(format!("caller: {}", named(&principal)));
            Ok(Some(principal))
        }
        Verdict::Anonymous => {
            steps.push("caller: anonymous, as the route has `optional`".to_owned());
            Ok(None)
        }
        Verdict::Refused(refusal) => {
            Err(format!("401, auth: {}, {}: {}", refusal.pattern, refusal.failure.reason, refusal.failure.detail))
        }
        Verdict::Unavailable { pattern, detail } => Err(format!("503, auth_unavailable: {pattern}: {detail}")),
    }
}

fn access(auth: &RouteAuth, principal: Option<&Principal>, steps: &mut Vec<String>) -> Result<(), String> {
    let Some(access) = &auth.access else {
        steps.push("access: the route has no list".to_owned());
        return Ok(());
    };
    let decision = access.decide(principal);
    steps.push(format!("access: {}, as {}", decision.decision, decision.because));
    match (decision.decision, principal) {
        (AclDecision::Deny, Some(_)) => Err(format!("403, acl: {}", decision.because)),
        (AclDecision::Deny, None) => Err("401, auth: an anonymous caller is not on allow".to_owned()),
        _ => Ok(()),
    }
}

fn refusal(reply: &LocalReply) -> String {
    format!("{}, {}: {}", reply.status.as_u16(), reply.class, reply.detail)
}

fn parsed(text: &[u8]) -> Option<request::Parts> {
    let mut fields = vec![httparse::EMPTY_HEADER; FIELDS_MAX.min(text.len() / 2 + 1)];
    let mut found = httparse::Request::new(&mut fields);
    // A file without the empty line at its end is whole all the same.
    let ended = [text, b"\r\n\r\n"].concat();
    let mut parser = httparse::ParserConfig::default();
    parser.allow_multiple_spaces_in_request_line_delimiters(false);
    match parser.parse_request(&mut found, &ended) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) | Err(_) => return None,
    }
    let mut built = Request::builder().method(found.method?).uri(found.path?);
    for field in found.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        built = built.header(name, HeaderValue::from_bytes(field.value).ok()?);
    }
    Some(built.body(()).ok()?.into_parts().0)
}
