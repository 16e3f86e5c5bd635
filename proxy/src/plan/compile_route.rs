//! Compiles routes as written to patterns and the router.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use http::Method;
use http::header::{HeaderName, HeaderValue};
use tollgate_config::{Diagnostics, Spanned};
use tollgate_proxy_config::{HeaderEditing, HeaderMatch, ProxyConfig, Route, UpstreamHost};
use tollgate_proxy_http::header_edits::{self, HeaderEdits};
use tollgate_proxy_http::rewrite::Rewrite;
use tollgate_proxy_http::routing::{HeaderCondition, HostPattern, PathPattern, Pattern, Reach, Router, Wanted};
use tollgate_record::redact::{Headers, QueryPolicy};

use super::compile::noted;
use super::compile_auth::{self, Known, route_auth};
use super::compile_quota::Quotas;
use super::{PathConfig, RouteConfig, compile_policy};
use crate::providers::Provider;

/// Conditions of one route, and edits of one message.
const FIELDS_MAX: usize = 32;

pub(super) fn routes(
    config: &ProxyConfig,
    quotas: &Quotas<'_>,
    providers: &[Arc<Provider>],
    problems: &mut Diagnostics<'_>,
) -> (Vec<RouteConfig>, Option<Router>) {
    if config.routes.is_empty() {
        problems.key("routes", "there is no route; write at least one with a name and a service");
    }
    let services: HashMap<&str, usize> =
        config.services.iter().enumerate().map(|(index, service)| (service.name.as_str(), index)).collect();
    let known = Known::of(config, providers);
    compile_auth::check_services(config, &known, problems);
    let mut compiled = Vec::new();
    let mut patterns = Vec::new();
    for route in &config.routes {
        let pattern = pattern(route, problems);
        match services.get(route.service.as_str()) {
            Some(service) => {
                let context = (config, quotas, &known);
                compiled.push(compile_route(route, &pattern, *service, context, problems));
            }
            None => problems.at(&route.service, unknown_service(&route.service, services.keys())),
        }
        patterns.push(pattern);
    }
    let router = Router::build(&patterns).map_err(|overlaps| {
        for overlap in overlaps {
            let (first, second) = (&config.routes[overlap.first], &config.routes[overlap.second]);
            let problem = format!(
                "the route claims path `{}` for a host and method that route `{}` on {} claims; change host, path, \
                 methods or headers of one",
                overlap.path,
                first.name.value,
                problems.place(&first.name)
            );
            problems.at(&second.name, problem);
        }
    });
    (compiled, router.ok())
}

fn unknown_service<'a>(name: &str, known: impl Iterator<Item = &'a &'a str>) -> String {
    let distance = |a: &str| a.len().abs_diff(name.len()) + a.bytes().zip(name.bytes()).filter(|(x, y)| x != y).count();
    let nearest = known.min_by_key(|known| distance(known));
    let cure = nearest.map_or("write it under `services`".to_owned(), |nearest| format!("did you mean `{nearest}`?"));
    format!("there is no service `{name}`; {cure}")
}

fn pattern(route: &Route, problems: &mut Diagnostics<'_>) -> Pattern {
    let hosts = route.hosts.iter().filter_map(|host| noted(host, HostPattern::parse(host), problems)).collect();
    // A wrong path keeps its index, by which the router answers; its problem is noted.
    let any = PathPattern::any;
    let paths =
        route.paths.iter().map(|path| noted(path, PathPattern::parse(path), problems).unwrap_or_else(any)).collect();
    let method = |method: &Spanned<String>| {
        let upper = method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
        let parsed = Method::from_bytes(method.as_bytes()).ok().filter(|_| upper);
        parsed.ok_or_else(|| format!("`{}` is not a method; write it in capitals, as GET", method.value))
    };
    let methods = route.methods.iter().filter_map(|m| noted(m, method(m), problems)).collect();
    let mut conditions: Vec<HeaderCondition> = Vec::new();
    for written in &route.headers {
        let Some(condition) = noted(&written.name, condition(written), problems) else { continue };
        if conditions.iter().any(|other| other.name == condition.name) {
            problems.at(&written.name, "a condition on this header is there already; write one");
        }
        conditions.push(condition);
    }
    if conditions.len() > FIELDS_MAX {
        problems.at(&route.name, format!("a route has {FIELDS_MAX} conditions on headers at most; remove some"));
    }
    Pattern { hosts, paths, methods, conditions }
}

fn condition(written: &HeaderMatch) -> Result<HeaderCondition, String> {
    let text = &written.name.value;
    let name = HeaderName::from_bytes(text.as_bytes());
    let name = name.map_err(|_| format!("`{text}` is not a header name; write for example X-Team"))?;
    if header_edits::is_protected(text) {
        // A client can set these fields to anything; what is true of them is known only after routing.
        return Err(format!("routes cannot depend on `{text}`; name another header, and hosts under `hosts`"));
    }
    let wanted = match (&written.value, written.absent) {
        (Some(_), true) => return Err(format!("`{text}` cannot be absent and have a value; write one of them")),
        (Some(value), false) if HeaderValue::from_str(value).is_err() || value.trim() != value.as_str() => {
            return Err(format!("the value of `{text}` is one that no header can have; write another"));
        }
        (Some(value), false) => Wanted::Value(value.value.clone()),
        (None, true) => Wanted::Absent,
        (None, false) => Wanted::Present,
    };
    Ok(HeaderCondition { name, wanted })
}

fn compile_route(
    route: &Route,
    pattern: &Pattern,
    service: usize,
    (config, quotas, known): (&ProxyConfig, &Quotas<'_>, &Known<'_>),
    problems: &mut Diagnostics<'_>,
) -> RouteConfig {
    let of = &config.services[service];
    let general = &config.timeouts;
    let own = &route.timeouts;
    let api_keys: &[Spanned<String>] = config.hmac.as_ref().map_or(&[], |hmac| &hmac.api_key_headers);
    for name in &route.header_allow {
        let is_key = api_keys.iter().any(|key| key.eq_ignore_ascii_case(name));
        if is_key || Headers::denied(name) || HeaderName::from_bytes(name.as_bytes()).is_err() {
            problems.at(name, format!("`{}` cannot stand in records; name a header without credentials", name.value));
        }
    }
    RouteConfig {
        name: route.name.value.clone(),
        service,
        paths: paths(route, pattern, problems),
        request_headers: edits(route, &route.request_headers, problems),
        response_headers: edits(route, &route.response_headers, problems),
        methods_named: !route.methods.is_empty(),
        require_client_cert: route.require_client_cert,
        auth: route_auth(route, &config.services[service], known, problems),
        query_policy: QueryPolicy::new(route.query_allow.iter().cloned()),
        headers: Headers::new(route.header_allow.iter().map(|name| &name.value)),
        connect: own.connect.unwrap_or(general.connect).0,
        first_byte: own.first_byte.unwrap_or(general.first_byte).0,
        body_idle: own.body_idle.unwrap_or(general.body_idle).0,
        total: own.total.unwrap_or(general.total).0,
        request_body_bytes_max: route.request_body_bytes_max.unwrap_or(config.limits.request_body_bytes_max).0,
        client_host: route.upstream_host.unwrap_or(of.host) == UpstreamHost::Client,
        policy: compile_policy::policy(route, of, quotas, problems),
    }
}

/// Compiles what is done with the requests of each path of a route.
fn paths(route: &Route, pattern: &Pattern, problems: &mut Diagnostics<'_>) -> Box<[PathConfig]> {
    let any = [PathPattern::any()];
    let patterns = if pattern.paths.is_empty() { &any[..] } else { &pattern.paths[..] };
    if let (true, Some(rewrite)) = (route.strip_prefix, &route.rewrite) {
        problems.at(rewrite, "the route has strip_prefix too; write one of them");
    }
    let mut compiled = Vec::with_capacity(patterns.len());
    for (nth, path) in patterns.iter().enumerate() {
        if route.strip_prefix && path.reach != Reach::Below {
            let place = route.paths.get(nth).unwrap_or(&route.name);
            problems.at(place, "strip_prefix is for prefixes; write `rewrite` with the path to send");
        }
        let rewrite = match (&route.rewrite, route.strip_prefix) {
            (Some(to), _) => noted(to, Rewrite::parse(path, to), problems),
            (None, true) => noted(&route.name, Rewrite::parse(path, "/"), problems),
            (None, false) => None,
        };
        let http_route = route.http_route.as_deref().or(path.http_route()).map(str::to_owned);
        compiled.push(PathConfig { http_route, rewrite });
    }
    compiled.into()
}

fn edits(route: &Route, written: &HeaderEditing, problems: &mut Diagnostics<'_>) -> Option<Box<HeaderEdits>> {
    let mut taken: Vec<HeaderName> = Vec::new();
    let mut once = |name: &HeaderName, place: &Spanned<String>, problems: &mut Diagnostics<'_>| {
        if taken.contains(name) {
            problems.at(place, format!("`{name}` is edited twice here; write one edit"));
        }
        taken.push(name.clone());
    };
    let mut remove = Vec::new();
    for text in &written.remove {
        if let Some(name) = noted(text, header_edits::name(text), problems) {
            once(&name, text, problems);
            remove.push(name);
        }
    }
    let mut fields = |written: &BTreeMap<String, Spanned<String>>, problems: &mut Diagnostics<'_>| {
        let mut fields = Vec::new();
        for (name, value) in written {
            if let Some(field) = noted(value, header_edits::field(name, value), problems) {
                once(&field.0, value, problems);
                fields.push(field);
            }
        }
        fields
    };
    let set = fields(&written.set, problems);
    let add = fields(&written.add, problems);
    if remove.len() + set.len() + add.len() > FIELDS_MAX {
        problems.at(&route.name, format!("a route edits {FIELDS_MAX} headers of a message at most; remove some"));
    }
    let nothing = remove.is_empty() && set.is_empty() && add.is_empty();
    (!nothing).then(|| Box::new(HeaderEdits { remove, set, add }))
}
