//! What each plugin asks for, as keys of routes.
//!
//! A plugin that may refuse a request, or that is unknown, closes its routes unless it is mapped: they answer 503 until
//! somebody has decided. One that only tells of requests, or changes them, is left out, and the routes are served.

mod answer;
mod cors;
mod limits;
mod transform;

use std::collections::BTreeMap;

use super::entities::{Kong, Plugin};
use super::reader::Reader;
use crate::node::Node;
use crate::out::{Addresses, Correlation, Cors, Edits, Rate, Respond, Route};

/// How the answer of a closed route begins.
pub const CLOSED: &str = "closed by `tollgate import`";

/// Whether an answer is that of a closed route.
pub fn is_closed(respond: &Respond) -> bool {
    respond.body.as_ref().is_some_and(|body| body.starts_with(CLOSED))
}

/// What one plugin asks of a route.
#[derive(Debug, Clone, Default)]
pub struct Piece {
    pub addresses: Option<Addresses>,
    pub cors: Option<Cors>,
    pub correlation: Option<Correlation>,
    pub caps: BTreeMap<&'static str, Rate>,
    pub respond: Option<Respond>,
    pub request_headers: Edits,
    pub response_headers: Edits,
    pub request_body_bytes_max: Option<String>,
    /// Why its routes are closed.
    pub closed: Option<String>,
}

impl Piece {
    /// Closes the routes of a plugin.
    fn closed(reason: impl Into<String>) -> Self {
        Self { closed: Some(reason.into()), ..Self::default() }
    }

    /// Adds what is asked to a route.
    pub fn apply(&self, route: &mut Route) {
        let policy = &mut route.policy;
        policy.addresses = self.addresses.clone().or(policy.addresses.take());
        policy.cors = self.cors.clone().or(policy.cors.take());
        policy.correlation = self.correlation.clone().or(policy.correlation.take());
        let answers = policy.respond.as_ref().is_some_and(is_closed);
        if let Some(reason) = &self.closed {
            policy.respond = Some(super::route::closed(reason));
        } else if !answers && self.respond.is_some() {
            policy.respond.clone_from(&self.respond);
        }
        for (edits, more) in
            [(&mut route.request_headers, &self.request_headers), (&mut route.response_headers, &self.response_headers)]
        {
            edits.remove.extend(more.remove.iter().cloned());
            edits.set.extend(more.set.clone());
            edits.add.extend(more.add.clone());
        }
        if self.request_body_bytes_max.is_some() {
            route.request_body_bytes_max.clone_from(&self.request_body_bytes_max);
        }
    }
}

/// Plugins that tell of requests, and what tells of them here.
const TELL: [(&str, &str); 15] = [
    ("http-log", RECORDS),
    ("file-log", RECORDS),
    ("tcp-log", RECORDS),
    ("udp-log", RECORDS),
    ("syslog", RECORDS),
    ("loggly", RECORDS),
    ("kafka-log", "the collector's Kafka sink has the records"),
    ("prometheus", "`/metrics` of the proxy and of the collector"),
    ("statsd", "`/metrics` of the proxy and of the collector"),
    ("statsd-advanced", "`/metrics` of the proxy and of the collector"),
    ("datadog", "`/metrics` of the proxy and of the collector"),
    ("opentelemetry", "the collector exports spans; see `trace` of the proxy"),
    ("zipkin", "the collector exports spans; see `trace` of the proxy"),
    ("app-dynamics", "the collector exports spans; see `trace` of the proxy"),
    ("konnect-analytics", RECORDS),
];
const RECORDS: &str = "each transaction leaves a record with the collector, which passes it on";

/// Plugins without an equal that never refuse a request: routes are served without them.
const LEFT_OUT: [(&str, &str); 12] = [
    ("proxy-cache", "answers are not cached"),
    ("proxy-cache-advanced", "answers are not cached"),
    ("graphql-proxy-cache-advanced", "answers are not cached"),
    ("grpc-gateway", "JSON is not translated to gRPC"),
    ("grpc-web", "gRPC-Web is not translated"),
    ("jq", "bodies are not changed"),
    ("exit-transformer", "the gateway's own answers cannot be changed"),
    ("canary", "write a second route with a condition in `headers`, or weights of targets"),
    ("route-by-header", "write routes with conditions in `headers`"),
    ("route-transformer-advanced", "write `rewrite` of the route"),
    ("forward-proxy", "upstreams are reached directly"),
    ("tls-metadata-headers", "see `forwarding.client_cert` for the certificate in headers"),
];

/// Maps every plugin once.
pub fn all(kong: &Kong<'_>, reader: &mut Reader<'_>) -> Vec<Piece> {
    kong.plugins.iter().map(|plugin| map(plugin, reader)).collect()
}

fn map(plugin: &Plugin<'_>, reader: &mut Reader<'_>) -> Piece {
    let what = format!("plugin `{}`", plugin.name);
    for (key, how) in [
        ("protocols", "the plugin holds for requests of every protocol"),
        ("run_on", "it has no effect here"),
        ("instance_name", "it has no effect here"),
    ] {
        if let Some(value) = plugin.node.get(key) {
            value.take_whole();
            reader.differs(value, format!("`{key}` of a plugin"), how);
        }
    }
    for key in ["condition", "ordering"] {
        if let Some(value) = plugin.node.get(key) {
            reader.missing(
                value,
                format!("`{key}` of {what}"),
                "a plugin holds for every request, in Tollgate's order",
            );
        }
    }
    if plugin.consumer.is_some() || plugin.group.is_some() {
        let why = "what holds for one consumer, or one group of them, alone has no equal yet; see `caps` and `allow`";
        reader.missing(plugin.node, format!("{what} of a consumer"), why);
        return Piece::default();
    }
    match plugin.name.as_str() {
        "cors" => cors::map(plugin, reader),
        "rate-limiting" | "rate-limiting-advanced" => limits::rate(plugin, reader),
        "request-size-limiting" => limits::size(plugin, reader),
        "request-transformer" | "request-transformer-advanced" => transform::request(plugin, reader),
        "response-transformer" | "response-transformer-advanced" => transform::response(plugin, reader),
        "correlation-id" => answer::correlation(plugin, reader),
        "request-termination" => answer::termination(plugin, reader),
        "ip-restriction" => answer::addresses(plugin, reader),
        "pre-function" | "post-function" => functions(plugin, reader),
        name => without_equal(name, plugin, reader),
    }
}

/// Plugins that ask who calls, and what to write in their place.
const ASKS_WHO: [(&str, &str); 7] = [
    ("key-auth", "`auth: {any_of: [{api_key: …}]}` and `consumers`"),
    ("basic-auth", "`auth: {any_of: [basic]}` and `consumers`"),
    ("mtls-auth", "`auth: {any_of: [mtls]}` and `consumers`"),
    ("jwt", "`auth: {any_of: [{jwt: …}]}` and `identity.providers`"),
    ("openid-connect", "`auth: {any_of: [{jwt: …}]}` and `identity.providers`"),
    ("oauth2-introspection", "`auth: {any_of: [{oauth2: …}]}` and `identity.providers`"),
    ("acl", "`allow` and `deny`"),
];

fn without_equal(name: &str, plugin: &Plugin<'_>, reader: &mut Reader<'_>) -> Piece {
    let what = format!("plugin `{name}`");
    plugin.node.take_whole();
    if let Some((_, instead)) = TELL.iter().find(|(known, _)| *known == name) {
        reader.differs(plugin.node, what, format!("left out: {instead}"));
        return Piece::default();
    }
    if let Some((_, why)) = LEFT_OUT.iter().find(|(known, _)| *known == name) {
        reader.missing(plugin.node, what, format!("left out, and its routes are served without it: {why}"));
        return Piece::default();
    }
    let closed = "its routes answer 503 until `respond` is removed";
    let why = match ASKS_WHO.iter().find(|(known, _)| *known == name) {
        Some((_, ours)) => format!("the import writes no authentication: write {ours} by hand; {closed}"),
        None => format!("no equal is known; as it may decide who is served, {closed}"),
    };
    reader.missing(plugin.node, what, why);
    Piece::closed(format!("the plugin {name} was not imported"))
}

/// Lua is never run. A function that ends requests closes its routes, as it may be the one that keeps callers out.
fn functions(plugin: &Plugin<'_>, reader: &mut Reader<'_>) -> Piece {
    let ends = |text: &str| ["exit", "ngx.say", "ngx.redirect", "error("].iter().any(|word| text.contains(word));
    let mut closes = false;
    let config = plugin.config.into_iter().flat_map(Node::entries);
    for (phase, functions) in config {
        for function in functions.items() {
            let decides = function.text().is_some_and(ends);
            closes |= decides;
            let why = match decides {
                true => {
                    "Lua cannot be run; it ends requests itself, so its routes answer 503 until `respond` is removed"
                }
                false => "Lua cannot be run; its routes are served without it",
            };
            reader.missing(function, format!("`{}` in `{phase}`", plugin.name), why);
        }
    }
    plugin.node.take_whole();
    if closes { Piece::closed(format!("a {} was not imported", plugin.name)) } else { Piece::default() }
}

/// Takes keys of a plugin's configuration that change nothing here.
fn without_effect(config: &Node, plugin: &str, keys: &[&str], how: &str, reader: &mut Reader<'_>) {
    let there: Vec<&str> = keys.iter().copied().filter(|key| config.get(key).is_some()).collect();
    for key in &there {
        if let Some(value) = config.get(key) {
            value.take_whole();
        }
    }
    if !there.is_empty() {
        let keys: Vec<String> = there.iter().map(|key| format!("`{key}`")).collect();
        reader.differs(config, format!("{} of plugin `{plugin}`", keys.join(", ")), how);
    }
}
