//! The keys of Kong's entities, from the schema of its declarative format (go-database-reconciler,
//! `pkg/file/kong_json_schema.json`): a key that no entity has is a mistake, and is refused by name.

use tollgate_config::Diagnostic;

use super::reader::Reader;
use crate::node::{Node, Value};

/// Keys of the whole file.
pub const TOP: &[&str] = &[
    "_format_version",
    "_info",
    "_konnect",
    "_plugin_configs",
    "_transform",
    "_workspace",
    "_comment",
    "_ignore",
    "acls",
    "basicauth_credentials",
    "ca_certificates",
    "certificates",
    "cloned_plugins",
    "consumer_group_consumers",
    "consumer_group_plugins",
    "consumer_groups",
    "consumers",
    "custom_entities",
    "custom_plugins",
    "degraphql_routes",
    "filter_chains",
    "graphql_ratelimiting_cost_decorations",
    "hmacauth_credentials",
    "jwt_secrets",
    "key_sets",
    "keyauth_credentials",
    "keyauth_enc_credentials",
    "keys",
    "licenses",
    "mtls_auth_credentials",
    "oauth2_credentials",
    "oauth2_tokens",
    "parameters",
    "partials",
    "plugins",
    "plugins_partials",
    "rbac_endpoint_permissions",
    "rbac_roles",
    "routes",
    "service_packages",
    "services",
    "snis",
    "targets",
    "upstreams",
    "vaults",
    "workspaces",
];
/// Keys of a service.
pub const SERVICE: &[&str] = &[
    "ca_certificates",
    "client_certificate",
    "connect_timeout",
    "enabled",
    "filter_chains",
    "host",
    "name",
    "path",
    "plugins",
    "port",
    "protocol",
    "read_timeout",
    "retries",
    "routes",
    "tls_sans",
    "tls_verify",
    "tls_verify_depth",
    "url",
    "write_timeout",
];
/// Keys of a route.
pub const ROUTE: &[&str] = &[
    "destinations",
    "expression",
    "filter_chains",
    "headers",
    "hosts",
    "https_redirect_status_code",
    "methods",
    "name",
    "path_handling",
    "paths",
    "plugins",
    "preserve_host",
    "priority",
    "protocols",
    "regex_priority",
    "request_buffering",
    "response_buffering",
    "service",
    "snis",
    "sources",
    "strip_path",
];
/// Keys of a plugin.
pub const PLUGIN: &[&str] = &[
    "_config",
    "condition",
    "config",
    "consumer",
    "consumer_group",
    "enabled",
    "instance_name",
    "name",
    "ordering",
    "partials",
    "protocols",
    "route",
    "run_on",
    "service",
];
/// Keys of a consumer.
pub const CONSUMER: &[&str] = &[
    "acls",
    "basicauth_credentials",
    "custom_id",
    "groups",
    "hmacauth_credentials",
    "jwt_secrets",
    "keyauth_credentials",
    "keyauth_enc_credentials",
    "mtls_auth_credentials",
    "oauth2_credentials",
    "plugins",
    "username",
];
/// Keys of an upstream.
pub const UPSTREAM: &[&str] = &[
    "algorithm",
    "client_certificate",
    "hash_fallback",
    "hash_fallback_header",
    "hash_fallback_query_arg",
    "hash_fallback_uri_capture",
    "hash_on",
    "hash_on_cookie",
    "hash_on_cookie_path",
    "hash_on_header",
    "hash_on_query_arg",
    "hash_on_uri_capture",
    "healthchecks",
    "host_header",
    "name",
    "slots",
    "sticky_sessions_cookie",
    "sticky_sessions_cookie_path",
    "targets",
    "use_srv_name",
];
/// Keys of a target.
pub const TARGET: &[&str] = &["failover", "target", "upstream", "weight"];
/// Keys that every entity may have and that no request depends on.
pub const BOOKKEEPING: &[&str] =
    &["_comment", "_ignore", "created_at", "id", "tags", "updated_at", "workspace", "ws_id"];

/// Resemblance of a key to a known one, from which on that one is meant.
const SIMILARITY_MIN: f64 = 0.75;

/// Checks that a node is a mapping with these keys and no others. Bookkeeping is taken.
pub fn check(node: &Node, what: &str, known: &[&str], reader: &mut Reader<'_>) -> bool {
    let Value::Map(entries) = &node.value else {
        reader.refuse(node, format!("{what} is a mapping of keys to values; write one"));
        return false;
    };
    for (name, value) in entries {
        if BOOKKEEPING.contains(&name.as_str()) {
            value.take_whole();
        } else if !known.contains(&name.as_str()) {
            value.take_whole();
            let problem = unknown(name, what, known);
            reader.problems.push(Diagnostic { key: value.key.clone(), ..value.problem(reader.file(), problem) });
        }
    }
    true
}

fn unknown(name: &str, what: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|known| (strsim::jaro_winkler(name, known), known));
    let nearest = nearest.filter(|(similar, _)| *similar >= SIMILARITY_MIN).max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((_, known)) => format!("{what} has no such key; did you mean `{known}`?"),
        None => format!("{what} has no such key; remove it, or correct its place"),
    }
}
