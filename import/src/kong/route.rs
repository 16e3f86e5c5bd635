//! Routes of Kong as routes of the proxy, with the plugins in force for each.

use std::collections::{BTreeMap, HashMap};

use tollgate_proxy_http::routing::{HeaderCondition, HostPattern, PathPattern, Pattern, Router, Wanted};

use super::entities::{Kong, Plugin, RouteEntity};
use super::plugins::{self, Piece};
use super::reader::Reader;
use super::{path, service};
use crate::node::{Node, Value};
use crate::out::{HeaderMatch, Rate, Respond, Route, Service};

/// Routes that one route of Kong may become: one for each path with a rewrite of its own, and for each value of a
/// header.
pub const ROUTES_OF_ONE_MAX: usize = 64;

/// Maps everything to services with their routes, in the order of the file.
pub fn all(kong: &Kong<'_>, reader: &mut Reader<'_>) -> Vec<(Service, Vec<Route>)> {
    let pieces: Vec<Piece> = plugins::all(kong, reader);
    let services: Vec<Option<service::Mapped>> =
        kong.services.iter().map(|entity| service::map(kong, entity, reader)).collect();
    let mut routes: Vec<(Option<usize>, Vec<Route>, &Node)> = Vec::new();
    let scopes = kong.scopes();
    let mut caps: HashMap<usize, BTreeMap<&'static str, Rate>> = HashMap::new();
    for (index, entity) in kong.routes.iter().enumerate() {
        let mapped = match entity.service {
            Some(of) => match &services[of] {
                Some(mapped) => mapped.clone(),
                None => {
                    reader.missing(entity.node, format!("route `{}`", entity.name), "its service is not written");
                    continue;
                }
            },
            None => service::Mapped { path: "/".to_owned(), ..service::Mapped::default() },
        };
        let in_force = kong.in_force(entity, index, &scopes);
        let in_force: Vec<(&Plugin<'_>, &Piece)> =
            in_force.into_iter().map(|nth| (&kong.plugins[nth], &pieces[nth])).collect();
        let shared = in_force.iter().filter(|(plugin, _)| plugin.route.is_none());
        if let Some(service) = entity.service {
            caps.entry(service).or_default().extend(shared.flat_map(|(_, piece)| piece.caps.clone()));
        }
        if let Some(written) = map(kong, entity, &mapped, &in_force, reader) {
            routes.push((entity.service, written, entity.node));
        }
    }
    let mut routes = without_doubles(routes, reader);
    let mut written = Vec::new();
    for (index, mapped) in services.into_iter().enumerate() {
        let Some(mapped) = mapped else { continue };
        let of = |(service, _): &(Option<usize>, Vec<Route>)| *service == Some(index);
        let own: Vec<Route> = routes.iter().filter(|route| of(route)).flat_map(|(_, routes)| routes.clone()).collect();
        let (mut service, own) = hoisted(mapped.service, own);
        service.caps = caps.remove(&index).unwrap_or_default();
        if let (false, Some(own)) = (service.caps.is_empty(), own.iter().find(|route| !route.caps.is_empty())) {
            let what = format!("rates of route `{}`", own.name);
            let how = "the rate of its service holds beside its own; in Kong the route's own holds alone";
            reader.differs(kong.services[index].node, what, how);
        }
        written.push((service, own));
    }
    for (_, own) in routes.extract_if(.., |(service, _)| service.is_none()) {
        let name = own.first().map(|route| route.service.clone()).unwrap_or_default();
        // Such a service has no target: its answer stands in the service itself.
        written.push(hoisted(Service { name, ..Service::default() }, own));
    }
    written
}

/// Puts what all routes of a service have in common into the service.
fn hoisted(mut service: Service, mut routes: Vec<Route>) -> (Service, Vec<Route>) {
    let common = routes.first().map(|first| first.policy.clone()).unwrap_or_default();
    macro_rules! hoist {
        ($($field:ident),*) => {$(
            if routes.iter().all(|route| route.policy.$field == common.$field) {
                service.policy.$field = common.$field.clone();
                routes.iter_mut().for_each(|route| route.policy.$field = Default::default());
            }
        )*};
    }
    hoist!(addresses, https_only, cors, correlation, respond);
    (service, routes)
}

/// Maps one route; none = it is not written.
fn map(
    kong: &Kong<'_>,
    entity: &RouteEntity<'_>,
    service: &service::Mapped,
    pieces: &[(&Plugin<'_>, &Piece)],
    reader: &mut Reader<'_>,
) -> Option<Vec<Route>> {
    let node = entity.node;
    let what = format!("route `{}`", entity.name);
    let mut base = Route { name: entity.name.clone(), ..Route::default() };
    base.service = match entity.service {
        Some(_) => service.service.name.clone(),
        None => entity.name.clone(),
    };
    base.timeouts = service.timeouts.clone();
    carried(node, &what, &mut base, kong, reader)?;
    for (plugin, piece) in pieces {
        piece.apply(&mut base);
        if plugin.route.is_some() {
            base.caps.extend(piece.caps.clone());
        }
    }
    if entity.service.is_none() && base.policy.respond.is_none() {
        reader.missing(node, what, "it has no service, and no plugin that answers in a service's place");
        return None;
    }
    let strip = flag(kong, node, "strip_path", reader).unwrap_or(true);
    if flag(kong, node, "preserve_host", reader).unwrap_or(false) {
        base.upstream_host = Some("client");
    }
    let conditions = conditions(node, &what, reader)?;
    let paths = paths(kong, node, &what, reader)?;
    let mut written: Vec<Route> = Vec::new();
    for group in by_rewrite(paths, strip, &service.path, node, reader)? {
        for headers in &conditions {
            let mut route = base.clone();
            (route.paths, route.rewrite, route.strip_prefix) = group.clone();
            route.headers.clone_from(headers);
            written.push(route);
        }
    }
    if written.len() > ROUTES_OF_ONE_MAX {
        let why = format!("it would become {} routes, and {ROUTES_OF_ONE_MAX} are the most; split it", written.len());
        reader.missing(node, what, why);
        return None;
    }
    if written.len() > 1 {
        let how =
            "it became several routes, one for each way to rewrite a path or value of a header; records name each";
        reader.differs(node, &what, how);
        for (nth, route) in written.iter_mut().enumerate().skip(1) {
            route.name = format!("{}.{}", entity.name, nth + 1);
        }
    }
    let closed =
        base.policy.respond.as_ref().is_some_and(|respond| respond.status == 503 && plugins::is_closed(respond));
    if !closed {
        reader.mapped(node, what, "route in `routes`");
    }
    Some(written)
}

fn flag(kong: &Kong<'_>, node: &Node, key: &str, reader: &mut Reader<'_>) -> Option<bool> {
    let defaults = kong.defaults.get("route").copied();
    reader.flag(node, key).or_else(|| defaults.and_then(|defaults| reader.flag(defaults, key)))
}

/// Maps protocols, hosts and methods; none = the route is not written.
fn carried(node: &Node, what: &str, base: &mut Route, kong: &Kong<'_>, reader: &mut Reader<'_>) -> Option<()> {
    for (key, why) in [
        ("expression", "routes by expression are not read; write its conditions as hosts, paths, methods and headers"),
        ("snis", "a route cannot depend on the name of the TLS handshake; name it in `hosts`"),
        ("sources", "a route cannot depend on the client's address; use `addresses` to refuse others"),
        ("destinations", "a route cannot depend on the address that was connected to; use a listener"),
    ] {
        if let Some(value) = node.get(key).filter(|value| !value.is_empty()) {
            reader.missing(value, format!("`{key}` of {what}"), why);
            reader.missing(node, what, "it is left out, as it would serve more requests without this condition");
            return None;
        }
    }
    let mut protocols = reader.texts(node, "protocols");
    if protocols.is_empty()
        && let Some(defaults) = kong.defaults.get("route")
    {
        protocols = reader.texts(defaults, "protocols");
    }
    let is_web = |protocol: &String| matches!(protocol.as_str(), "http" | "https" | "grpc" | "grpcs" | "ws" | "wss");
    if !protocols.iter().all(is_web) {
        reader.missing(node, what, "its protocols are not HTTP, which is what Tollgate carries");
        return None;
    }
    let plain =
        protocols.is_empty() || protocols.iter().any(|protocol| matches!(protocol.as_str(), "http" | "grpc" | "ws"));
    let status = reader.whole(node, "https_redirect_status_code").unwrap_or(426) as u16;
    if !plain {
        base.policy.https_only = Some(status);
    } else if !protocols.is_empty()
        && protocols.iter().all(|protocol| matches!(protocol.as_str(), "http" | "grpc" | "ws"))
    {
        reader.differs(node, "`protocols` without TLS", "the route is served over TLS too");
    }
    for host in reader.texts(node, "hosts") {
        let name =
            host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map(|(name, _)| name);
        if name.is_some() {
            reader.differs(node, "a host with a port", "hosts are compared without ports");
        }
        let name = name.unwrap_or(&host).to_owned();
        match HostPattern::parse(&name) {
            Ok(_) => base.hosts.push(name),
            Err(why) => reader.missing(node, format!("host `{host}` of {what}"), why.to_string()),
        }
    }
    if base.hosts.is_empty() && node.get("hosts").is_some_and(|hosts| !hosts.is_empty()) {
        reader.missing(node, what, "it is left out, as none of its hosts can be written");
        return None;
    }
    base.methods = reader.texts(node, "methods");
    for (key, how) in [
        ("regex_priority", "templates are ordered segment by segment, not by a number"),
        ("priority", "routes are ordered by what they say, not by a number"),
        ("request_buffering", "bodies always stream"),
        ("response_buffering", "bodies always stream"),
        ("path_handling", "paths are joined with one slash, as with `v0`"),
    ] {
        if let Some(value) = node.get(key) {
            value.take_whole();
            if !matches!((key, value.text()), ("path_handling", Some("v0")) | ("regex_priority", Some("0"))) {
                reader.differs(value, format!("`{key}`"), how);
            }
        }
    }
    Some(())
}

/// Maps conditions on headers: a list of conditions for each combination of values.
fn conditions(node: &Node, what: &str, reader: &mut Reader<'_>) -> Option<Vec<Vec<HeaderMatch>>> {
    let mut all = vec![Vec::new()];
    let Some(headers) = node.get("headers").filter(|headers| matches!(headers.value, Value::Map(_))) else {
        return Some(all);
    };
    for (name, _) in headers.entries() {
        let values: Vec<String> = reader.texts(headers, name);
        if values.iter().any(|value| value.starts_with("~*")) || values.is_empty() {
            reader.missing(headers, format!("`headers` of {what}"), "a value by regular expression has no equal");
            reader.missing(node, what, "it is left out, as it would serve more requests without this condition");
            return None;
        }
        reader.differs(headers, "conditions on headers", "values are compared byte by byte; Kong ignores case");
        let with = |before: &Vec<HeaderMatch>, value: &String| {
            let condition = HeaderMatch { name: name.to_owned(), value: value.clone() };
            before.iter().cloned().chain([condition]).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(|before| values.iter().map(|value| with(before, value))).collect();
        if all.len() > ROUTES_OF_ONE_MAX {
            break;
        }
    }
    Some(all)
}

fn paths(kong: &Kong<'_>, node: &Node, what: &str, reader: &mut Reader<'_>) -> Option<Vec<path::Path>> {
    let written = reader.texts(node, "paths");
    let place = node.get("paths").unwrap_or(node);
    let mut mapped = Vec::new();
    for text in &written {
        match path::map(text, kong.marked) {
            Ok(path) => {
                for how in &path.differs {
                    reader.differs(place, "paths", *how);
                }
                mapped.push(path);
            }
            Err(why) => reader.missing(place, format!("path `{text}` of {what}"), why),
        }
    }
    if written.is_empty() {
        mapped.push(path::Path { text: "/".to_owned(), stripped: None, differs: Vec::new() });
    }
    if mapped.is_empty() {
        reader.missing(node, what, "it is left out, as none of its paths can be written");
        return None;
    }
    mapped.dedup_by(|a, b| a.text == b.text);
    Some(mapped)
}

/// Paths, the rewrite that they have in common, and whether their prefix is removed.
type Group = (Vec<String>, Option<String>, bool);

/// Groups paths by how they are rewritten.
fn by_rewrite(
    paths: Vec<path::Path>,
    strip: bool,
    base: &str,
    node: &Node,
    reader: &mut Reader<'_>,
) -> Option<Vec<Group>> {
    let trimmed = base.trim_end_matches('/');
    let mut groups: BTreeMap<(Option<String>, bool), Vec<String>> = BTreeMap::new();
    for path in paths {
        let plain = path.text.trim_start_matches('=');
        let joined = |rest: &str| match (trimmed, rest) {
            ("", rest) => rest.to_owned(),
            (base, "/") => base.to_owned(),
            (base, rest) => format!("{base}{rest}"),
        };
        let (rewrite, removed) = match (strip, &path.stripped) {
            (true, None) if plain == "/" && trimmed.is_empty() => (None, false),
            (true, None) if trimmed.is_empty() => (None, true),
            (true, None) => (Some(trimmed.to_owned()), false),
            (true, Some(stripped)) => (Some(joined(stripped)), false),
            (false, _) if trimmed.is_empty() => (None, false),
            (false, _) => (Some(joined(plain)), false),
        };
        groups.entry((rewrite, removed)).or_default().push(path.text);
    }
    if trimmed.contains(['?', '#', '{', '}', '*', ';']) {
        reader.missing(node, "a route whose service has a path that cannot be sent", "write its `rewrite` by hand");
        return None;
    }
    Some(groups.into_iter().map(|((rewrite, removed), paths)| (paths, rewrite, removed)).collect())
}

/// Leaves out routes that claim the same requests as an earlier one. The proxy refuses such a pair.
fn without_doubles(
    routes: Vec<(Option<usize>, Vec<Route>, &Node)>,
    reader: &mut Reader<'_>,
) -> Vec<(Option<usize>, Vec<Route>)> {
    let mut all: Vec<(usize, Route)> = Vec::new();
    for (nth, (_, own, _)) in routes.iter().enumerate() {
        all.extend(own.iter().map(|route| (nth, route.clone())));
    }
    let mut left_out: HashMap<usize, String> = HashMap::new();
    while let Err(overlaps) = Router::build(&patterns(&all)) {
        for overlap in &overlaps {
            left_out.entry(overlap.second).or_insert_with(|| all[overlap.first].1.name.clone());
        }
        let mut kept = Vec::new();
        for (nth, (of, route)) in std::mem::take(&mut all).into_iter().enumerate() {
            match left_out.get(&nth) {
                Some(other) => {
                    let what = format!("route `{}`", route.name);
                    let why = format!("route `{other}` claims the same requests; Kong serves the older of the two");
                    reader.report.note(crate::Fate::Missing, routes[of].2.line, what, why);
                }
                None => kept.push((of, route)),
            }
        }
        all = kept;
        left_out.clear();
    }
    let mut kept: Vec<(Option<usize>, Vec<Route>)> = routes.into_iter().map(|(of, _, _)| (of, Vec::new())).collect();
    for (nth, route) in all {
        kept[nth].1.push(route);
    }
    kept.retain(|(_, own)| !own.is_empty());
    kept
}

fn patterns(routes: &[(usize, Route)]) -> Vec<Pattern> {
    let pattern = |route: &Route| Pattern {
        hosts: route.hosts.iter().filter_map(|host| HostPattern::parse(host).ok()).collect(),
        paths: route.paths.iter().filter_map(|path| PathPattern::parse(path).ok()).collect(),
        methods: route.methods.iter().filter_map(|method| method.parse().ok()).collect(),
        conditions: route
            .headers
            .iter()
            .filter_map(|header| {
                Some(HeaderCondition { name: header.name.parse().ok()?, wanted: Wanted::Value(header.value.clone()) })
            })
            .collect(),
    };
    routes.iter().map(|(_, route)| pattern(route)).collect()
}

/// Closes a route: an answer in the upstream's place.
pub fn closed(reason: &str) -> Respond {
    Respond {
        status: 503,
        content_type: Some("text/plain".to_owned()),
        body: Some(format!("{}: {reason}\n", plugins::CLOSED)),
    }
}
