//! Compiles what routes ask of their callers. A route's own `auth`, `allow` and `deny` replace its service's.

use std::collections::HashSet;
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};
use tollgate_config::{Diagnostics, Spanned};
use tollgate_proxy_auth::api_key::KeyPlace;
use tollgate_proxy_auth::{Access, AccessList, Combination, Requirement};
use tollgate_proxy_config::{AccessNames, ApiKeyPlace, Auth, AuthMethod, ProviderUse, ProxyConfig, Route, Service};
use tollgate_proxy_http::header_edits;

use super::compile::noted;
use crate::identity::{Method, RouteAuth, TokenMethod};
use crate::providers::Provider;

/// Methods of one route.
const METHODS_MAX: usize = 16;
/// Names on one list.
const NAMES_MAX: usize = 1_000;

/// Names that `allow` and `deny` may use.
pub(super) struct Known<'a> {
    consumers: HashSet<&'a str>,
    issuers: HashSet<&'a str>,
    providers: &'a [Arc<Provider>],
}

impl<'a> Known<'a> {
    pub(super) fn of(config: &'a ProxyConfig, providers: &'a [Arc<Provider>]) -> Self {
        let consumers = config.consumers.iter().map(|consumer| consumer.name.as_str()).collect();
        let issuers = config.identity.providers.iter().map(|provider| provider.issuer.as_str()).collect();
        Self { consumers, issuers, providers }
    }
}

/// Compiles the authentication of a route.
pub(super) fn route_auth(
    route: &Route,
    service: &Service,
    known: &Known<'_>,
    problems: &mut Diagnostics<'_>,
) -> Option<Box<RouteAuth>> {
    let access = access(route, service, known, problems);
    let auth = route.auth.as_ref().or(service.auth.as_ref());
    let methods = match auth.map(|auth| (auth, &auth.value)) {
        Some((at, Auth::Methods { all, methods, optional })) => {
            check_list(at, methods, problems);
            let combination = if *all { Combination::AllOf } else { Combination::AnyOf };
            Some((Requirement { combination, optional: *optional }, methods))
        }
        Some((_, Auth::None)) | None => None,
    };
    let Some((requirement, methods)) = methods else {
        if access.is_some() {
            let problem = "allow and deny need to know who calls; write `auth` with the methods beside them";
            let at = route.allow.as_ref().or(route.deny.as_ref()).or(service.allow.as_ref()).or(service.deny.as_ref());
            // Only a list that is written can be compiled.
            if let Some(at) = at {
                problems.at(at, problem);
            }
        }
        return None;
    };
    let compiled: Box<[Method]> =
        methods.iter().filter_map(|written| method(written, route, methods, known, problems)).collect();
    let mut challenges: Vec<HeaderValue> = Vec::new();
    for challenge in compiled.iter().filter_map(|method| HeaderValue::from_str(&method.challenge()).ok()) {
        if !challenges.contains(&challenge) {
            challenges.push(challenge);
        }
    }
    Some(Box::new(RouteAuth { requirement, methods: compiled, challenges: challenges.into(), access }))
}

fn check_list(at: &Spanned<Auth>, methods: &[Spanned<AuthMethod>], problems: &mut Diagnostics<'_>) {
    if methods.is_empty() {
        problems.at(at, "the list of methods is empty, so that nobody could pass; write one, or `auth: none`");
    }
    if methods.len() > METHODS_MAX {
        problems.at(at, format!("a route has {METHODS_MAX} methods at most; remove some"));
    }
    for (nth, method) in methods.iter().enumerate() {
        if methods[..nth].iter().any(|other| other.value == method.value) {
            problems.at(method, "this method is there already; remove one of the two");
        }
    }
}

fn method(
    written: &Spanned<AuthMethod>,
    route: &Route,
    all: &[Spanned<AuthMethod>],
    known: &Known<'_>,
    problems: &mut Diagnostics<'_>,
) -> Option<Method> {
    let name = match &written.value {
        AuthMethod::Mtls => return Some(Method::Mtls),
        AuthMethod::ApiKey(place) => return key_place(written, place, route, problems).map(Method::ApiKey),
        AuthMethod::Basic(basic) => return Some(Method::Basic { forward: basic.forward }),
        AuthMethod::Jwt(used) => return token_method(written, used, all, known, problems).map(Method::Jwt),
        AuthMethod::Oauth2(used) => {
            let method = token_method(written, used, all, known, problems)?;
            if method.provider.settings.introspection.is_none() {
                let name = &used.provider.value;
                let cure = "write its `introspection`, or `jwt` for tokens that are signed";
                problems.at(&used.provider, format!("the provider `{name}` cannot be asked; {cure}"));
            }
            if all.iter().filter(|method| matches!(method.value, AuthMethod::Oauth2(_))).count() > 1 {
                let why = "nothing tells whose an opaque token is";
                problems.at(written, format!("a route has one `oauth2` at most: {why}; remove one"));
            }
            return Some(Method::Oauth2(method));
        }
        AuthMethod::Hmac(_) => "hmac",
        AuthMethod::OidcSession(_) => "oidc_session",
    };
    problems.at(written, format!("`{name}` cannot be verified by this version; remove it"));
    None
}

fn token_method(
    written: &Spanned<AuthMethod>,
    used: &ProviderUse,
    all: &[Spanned<AuthMethod>],
    known: &Known<'_>,
    problems: &mut Diagnostics<'_>,
) -> Option<TokenMethod> {
    let name = &used.provider;
    let Some(provider) = known.providers.iter().find(|provider| provider.settings.name == name.value) else {
        let problem = format!("there is no provider `{}`; write it under `identity.providers`", name.value);
        problems.at(name, problem);
        return None;
    };
    let others = || all.iter().map(|other| &other.value).filter(|other| **other != written.value);
    let issuer = |other: &AuthMethod| match other {
        AuthMethod::Jwt(other) => {
            let named = |provider: &&Arc<Provider>| provider.settings.name == other.provider.value;
            known.providers.iter().find(named).map(|provider| provider.issuer.clone())
        }
        _ => None,
    };
    Some(TokenMethod {
        provider: provider.clone(),
        other_issuers: others().filter_map(issuer).collect(),
        opaque_elsewhere: others().any(|other| matches!(other, AuthMethod::Oauth2(_))),
        forward: used.forward,
    })
}

fn key_place(
    at: &Spanned<AuthMethod>,
    place: &ApiKeyPlace,
    route: &Route,
    problems: &mut Diagnostics<'_>,
) -> Option<KeyPlace> {
    if place.header.is_none() && place.query.is_none() {
        problems.at(at, "an API key needs a place; write `header`, `query` or both");
        return None;
    }
    let header = match &place.header {
        Some(text) => Some(noted(text, key_header(text), problems)?),
        None => None,
    };
    if let Some(query) = &place.query {
        if query.is_empty() || query.contains(['&', '=', '%', '#', '+']) {
            problems.at(query, "this is no key of a query; write a name without & = % # +");
        }
        if route.query_allow.contains(&query.value) {
            problems.at(query, "query_allow of the route would let the API key into records; remove it there");
        }
    }
    if let Some(shown) = route
        .header_allow
        .iter()
        .find(|name| header.as_ref().is_some_and(|header| header.as_str().eq_ignore_ascii_case(name)))
    {
        problems.at(shown, "the field holds the API key of the route, which cannot stand in records; remove it");
    }
    Some(KeyPlace { header, query: place.query.as_ref().map(|query| query.value.clone()), forward: place.forward })
}

fn key_header(text: &str) -> Result<HeaderName, String> {
    let name = HeaderName::from_bytes(text.as_bytes());
    let name = name.map_err(|_| format!("`{text}` is not a header name; write for example X-Api-Key"))?;
    if header_edits::is_protected(text) || matches!(name.as_str(), "authorization" | "cookie") {
        return Err(format!("`{text}` has another meaning; name another header for the API key"));
    }
    Ok(name)
}

fn access(route: &Route, service: &Service, known: &Known<'_>, problems: &mut Diagnostics<'_>) -> Option<Access> {
    let mut list = |written: Option<&Spanned<AccessNames>>, ours: bool| {
        let written = written?;
        let names = &written.value;
        if names.groups.len() + names.consumers.len() + names.issuers.len() > NAMES_MAX {
            problems.at(written, format!("a list has {NAMES_MAX} names at most; use a group"));
        }
        // A service's lists are checked with each of its routes; they are reported once.
        if ours {
            check_names(names, known, problems);
        }
        let texts = |names: &[Spanned<String>]| names.iter().map(|name| name.value.clone()).collect();
        let (groups, consumers, issuers) = (texts(&names.groups), texts(&names.consumers), texts(&names.issuers));
        Some(AccessList { groups, consumers, issuers })
    };
    let allow = list(route.allow.as_ref().or(service.allow.as_ref()), route.allow.is_some());
    let deny = list(route.deny.as_ref().or(service.deny.as_ref()), route.deny.is_some());
    (allow.is_some() || deny.is_some()).then_some(Access { allow, deny })
}

/// Reports consumers and issuers that there are not: a `deny` with a slip in a name would deny nobody.
fn check_names(names: &AccessNames, known: &Known<'_>, problems: &mut Diagnostics<'_>) {
    for name in names.consumers.iter().filter(|name| !known.consumers.contains(name.as_str())) {
        problems.at(name, format!("there is no consumer `{}`; write it under `consumers`", name.value));
    }
    for name in names.issuers.iter().filter(|name| !known.issuers.contains(name.as_str())) {
        problems.at(name, format!("no provider has the issuer `{}`; write it under `identity`", name.value));
    }
}

/// Checks the lists of services, each once.
pub(super) fn check_services(config: &ProxyConfig, known: &Known<'_>, problems: &mut Diagnostics<'_>) {
    for names in config.services.iter().flat_map(|service| [&service.allow, &service.deny]).flatten() {
        check_names(names, known, problems);
    }
}
