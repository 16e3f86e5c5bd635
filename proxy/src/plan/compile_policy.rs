//! Compiles what a route has of its own or of its service: addresses, CORS, answers in the upstream's place.

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{Method, StatusCode};
use tollgate_config::{Diagnostics, Spanned};
use tollgate_proxy_config::{Addresses, Correlation, Cors, Respond, Route, Service};
use tollgate_proxy_http::cidr::Cidr;
use tollgate_proxy_http::cors::{self, OriginPattern};
use tollgate_proxy_http::header_edits;

use super::compile::noted;
use super::compile_quota::Quotas;
use super::{AddressRules, FixedResponse, RoutePolicy};

/// Networks of one list.
const NETWORKS_MAX: usize = 1_000;
/// Origins of one list.
const ORIGINS_MAX: usize = 200;
/// Bytes of the body of an answer.
const BODY_BYTES_MAX: usize = 65_536;
/// Statuses for requests without TLS.
const HTTPS_ONLY: [u16; 5] = [301, 302, 307, 308, 426];

/// Compiles the rules of a route, each from the route if it is there, else from the service.
pub(super) fn policy(
    route: &Route,
    service: &Service,
    quotas: &Quotas<'_>,
    problems: &mut Diagnostics<'_>,
) -> RoutePolicy {
    let addresses = route.addresses.as_ref().or(service.addresses.as_ref());
    let https_only = route.https_only.as_ref().or(service.https_only.as_ref());
    let cors = route.cors.as_ref().or(service.cors.as_ref());
    let correlation = route.correlation.as_ref().or(service.correlation.as_ref());
    let respond = route.respond.as_ref().or(service.respond.as_ref());
    RoutePolicy {
        addresses: addresses.map(|addresses| Box::new(networks(addresses, &route.name, problems))),
        https_only: https_only.and_then(|status| plaintext(status, problems)),
        cors: cors.and_then(|cors| compile_cors(cors, problems)).map(Box::new),
        correlation: correlation.and_then(|correlation| field(correlation, problems)),
        respond: respond.and_then(|respond| answer(respond, problems)).map(Box::new),
        quota: quotas.route(&route.name, &route.caps, problems),
    }
}

fn networks(addresses: &Addresses, route: &Spanned<String>, problems: &mut Diagnostics<'_>) -> AddressRules {
    if addresses.allow.is_empty() && addresses.deny.is_empty() {
        problems.at(route, "`addresses` names no network; write `allow` or `deny`, or remove it");
    }
    let mut compile = |list: &[Spanned<String>]| {
        if let Some(over) = list.get(NETWORKS_MAX) {
            problems.at(over, format!("a list has {NETWORKS_MAX} networks at most; write larger ones"));
        }
        list.iter().filter_map(|text| noted(text, Cidr::parse(text), problems)).collect()
    };
    AddressRules { allow: compile(&addresses.allow), deny: compile(&addresses.deny) }
}

fn plaintext(status: &Spanned<u16>, problems: &mut Diagnostics<'_>) -> Option<StatusCode> {
    if !HTTPS_ONLY.contains(&status.value) {
        problems.at(status, "must be 426, or a redirect: 301, 302, 307 or 308; write one of them");
        return None;
    }
    StatusCode::from_u16(status.value).ok()
}

fn compile_cors(written: &Cors, problems: &mut Diagnostics<'_>) -> Option<cors::Cors> {
    let list = &written.origins;
    if list.is_empty() || list.len() > ORIGINS_MAX {
        problems.at(list, format!("1 to {ORIGINS_MAX} origins; write for example `https://app.example.com`, or `*`"));
    }
    let origins: Vec<_> = list.iter().filter_map(|text| noted(text, OriginPattern::parse(text), problems)).collect();
    let any = list.iter().find(|text| text.as_str() == "*");
    if let (Some(any), true) = (any, written.credentials) {
        let problem = "any origin together with `credentials` lets every page on the web act as the user; name the \
                       origins, or leave `credentials` out";
        problems.at(any, problem);
        return None;
    }
    if let (Some(any), true) = (any, list.len() > 1) {
        problems.at(any, "`*` is every origin already; remove it, or the others");
    }
    let method = |text: &str| Method::from_bytes(text.as_bytes()).map(|_| text.to_owned());
    let methods =
        joined(&written.methods, |text| method(text).map_err(|_| format!("`{text}` is not a method")), problems);
    let name = |text: &str| match HeaderName::from_bytes(text.as_bytes()) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("`{text}` is not a header name")),
    };
    let headers = joined(&written.headers, name, problems);
    let exposed = joined(&written.exposed_headers, name, problems);
    Some(cors::Cors {
        origins,
        methods: methods.unwrap_or_else(|| HeaderValue::from_static("")),
        headers,
        exposed,
        credentials: written.credentials,
        max_age: written.max_age.map(|age| HeaderValue::from(age.0.as_secs())),
        private_network: written.private_network,
    })
}

/// Joins the items of a list to one value; `None` = the list is empty.
fn joined(
    list: &[Spanned<String>],
    read: impl Fn(&str) -> Result<String, String>,
    problems: &mut Diagnostics<'_>,
) -> Option<HeaderValue> {
    let items: Vec<String> = list.iter().filter_map(|text| noted(text, read(text), problems)).collect();
    HeaderValue::from_str(&items.join(", ")).ok().filter(|value| !value.is_empty())
}

fn field(correlation: &Correlation, problems: &mut Diagnostics<'_>) -> Option<(HeaderName, bool)> {
    let name = &correlation.header;
    noted(name, header_edits::field(name, "x"), problems).map(|(name, _)| (name, correlation.echo))
}

fn answer(respond: &Respond, problems: &mut Diagnostics<'_>) -> Option<FixedResponse> {
    let Some(status) =
        StatusCode::from_u16(respond.status.value).ok().filter(|status| (200..600).contains(&status.as_u16()))
    else {
        problems.at(&respond.status, "a status is 200 to 599; write such a number");
        return None;
    };
    let mut header = |text: &Option<Spanned<String>>| {
        let text = text.as_ref()?;
        let value = HeaderValue::from_str(text).map_err(|_| format!("`{}` cannot be sent in a header", text.value));
        noted(text, value, problems)
    };
    let (content_type, location) = (header(&respond.content_type), header(&respond.location));
    if let (Some(place), false) = (&respond.location, status.is_redirection()) {
        problems.at(place, "a location is for redirects; write a status of 301, 302, 303, 307 or 308 beside it");
    }
    let body = respond.body.as_ref();
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED);
    if let Some(body) = body.filter(|body| body.len() > BODY_BYTES_MAX || (bodiless && !body.is_empty())) {
        let problem = format!("a body has {BODY_BYTES_MAX} bytes at most, and with 204, 205 and 304 none; write less");
        problems.at(body, problem);
    }
    let fine = status.as_u16() < 400;
    let body = body.map(|body| Bytes::copy_from_slice(body.as_bytes())).or(fine.then(Bytes::new));
    let plain = body.as_ref().is_some_and(|body| !body.is_empty()) && content_type.is_none();
    let content_type = content_type.or(plain.then(|| HeaderValue::from_static("text/plain; charset=utf-8")));
    Some(FixedResponse { status, content_type, body, location })
}
