//! The entities of a file, nested or at its top, with what they refer to.

use std::collections::HashMap;

use super::fields;
use super::reader::Reader;
use crate::node::Node;

/// All entities.
#[derive(Debug, Default)]
pub struct Kong<'n> {
    /// Whether regular expressions in paths are marked with `~`.
    pub marked: bool,
    pub services: Vec<Entity<'n>>,
    pub routes: Vec<RouteEntity<'n>>,
    pub plugins: Vec<Plugin<'n>>,
    pub consumers: Vec<Entity<'n>>,
    pub upstreams: Vec<Entity<'n>>,
    /// Targets by the upstream that they refer to.
    pub targets: Vec<(String, &'n Node)>,
    /// Credentials and groups at the top, by the consumer that they refer to.
    pub credentials: Vec<Credential<'n>>,
    pub certificates: Vec<&'n Node>,
    pub ca_certificates: Vec<&'n Node>,
    /// `_info.defaults`, by entity.
    pub defaults: HashMap<&'static str, &'n Node>,
    /// Whether passwords are hashes of Kong's.
    pub hashed: bool,
}

/// An entity with its name.
#[derive(Debug)]
pub struct Entity<'n> {
    pub name: String,
    pub id: Option<String>,
    pub node: &'n Node,
}

/// A route, and the index of its service.
#[derive(Debug)]
pub struct RouteEntity<'n> {
    pub name: String,
    pub id: Option<String>,
    pub node: &'n Node,
    pub service: Option<usize>,
}

/// A credential of a kind, or a group.
#[derive(Debug, Clone)]
pub struct Credential<'n> {
    pub kind: &'static str,
    pub consumer: String,
    pub node: &'n Node,
}

/// A plugin with its scope.
#[derive(Debug)]
pub struct Plugin<'n> {
    pub name: String,
    pub node: &'n Node,
    pub config: Option<&'n Node>,
    pub service: Option<usize>,
    pub route: Option<usize>,
    pub consumer: Option<String>,
    pub group: Option<String>,
}

/// Kinds of credentials, and groups, as the file calls them.
pub const CREDENTIALS: [&str; 7] = [
    "acls",
    "keyauth_credentials",
    "basicauth_credentials",
    "jwt_secrets",
    "hmacauth_credentials",
    "mtls_auth_credentials",
    "oauth2_credentials",
];

/// What stands at the top and has no equal, with what to do instead.
const WITHOUT_EQUAL: [(&str, &str); 23] = [
    ("_konnect", "names a control plane of Konnect, which Tollgate does without"),
    ("_workspace", "Tollgate has no workspaces; give each its own folder"),
    ("vaults", "secrets are files here; write each value to one"),
    ("partials", "Tollgate has no parts of plugins; what they hold is not read"),
    ("plugins_partials", "Tollgate has no parts of plugins; what they hold is not read"),
    ("licenses", "Tollgate needs none"),
    ("rbac_roles", "administration is by files and the rights on them"),
    ("rbac_endpoint_permissions", "administration is by files and the rights on them"),
    ("workspaces", "Tollgate has no workspaces; give each its own folder"),
    ("custom_entities", "belong to plugins that are not mapped"),
    ("custom_plugins", "Lua cannot be run; write what it does as keys of routes, or serve it as an upstream"),
    ("cloned_plugins", "copies of plugins under other names are not mapped"),
    ("filter_chains", "WebAssembly filters cannot be run"),
    ("service_packages", "belong to a portal; see `tollgate govern`"),
    ("keys", "keys of issuers are read from `identity.providers[].jwks`; write them there"),
    ("key_sets", "keys of issuers are read from `identity.providers[].jwks`; write them there"),
    ("parameters", "settings of a node are not mapped"),
    ("oauth2_tokens", "Tollgate issues no tokens"),
    ("keyauth_enc_credentials", "encrypted keys cannot be read; give out new ones"),
    ("degraphql_routes", "GraphQL is not translated"),
    ("graphql_ratelimiting_cost_decorations", "the cost of GraphQL queries is not counted"),
    ("consumer_group_plugins", "plugins of consumer groups are not mapped"),
    ("consumer_group_consumers", "write the groups under the consumers"),
];

impl<'n> Kong<'n> {
    /// Reads all entities of a file.
    pub fn read(root: &'n Node, format: &str, reader: &mut Reader<'_>) -> Self {
        let mut kong = Self { marked: format == "3.0", ..Self::default() };
        kong.head(root, reader);
        for node in reader.list(root, "services") {
            kong.service(node, reader);
        }
        for node in reader.list(root, "routes") {
            kong.route(node, None, reader);
        }
        for node in reader.list(root, "consumers") {
            kong.consumer(node, reader);
        }
        kong.consumer_groups(root, reader);
        kong.upstreams_of(root, reader);
        for kind in CREDENTIALS {
            for node in reader.list(root, kind) {
                match reader.reference(node, "consumer") {
                    Some(consumer) => kong.credentials.push(Credential { kind, consumer, node }),
                    None => reader.refuse(node, "`consumer` is missing; name whose it is"),
                }
            }
        }
        for node in reader.list(root, "plugins") {
            kong.plugin(node, (None, None), None, reader);
        }
        kong.certificates = reader.list(root, "certificates");
        kong.ca_certificates = reader.list(root, "ca_certificates");
        for (key, why) in WITHOUT_EQUAL {
            if let Some(node) = root.get(key).filter(|node| !node.is_empty()) {
                reader.missing(node, format!("`{key}`"), why);
            }
        }
        kong
    }

    fn head(&mut self, root: &'n Node, reader: &mut Reader<'_>) {
        for key in ["_comment", "_ignore"] {
            if let Some(node) = root.get(key) {
                node.take_whole();
            }
        }
        self.hashed = reader.flag(root, "_transform") == Some(false);
        if let Some(configs) = root.get("_plugin_configs") {
            configs.take_whole();
        }
        let Some(info) = root.get("_info") else { return };
        if let Some(tags) = info.get("select_tags").filter(|tags| !tags.is_empty()) {
            tags.take_whole();
            reader.differs(
                tags,
                "`_info.select_tags`",
                "the tags that say what decK owns; here a folder is what one team owns",
            );
        }
        self.hashed |= reader.flag(info, "skip_hash_for_basic_auth") == Some(true);
        if let Some(defaults) = info.get("defaults") {
            for entity in ["service", "route", "upstream", "target"] {
                if let Some(node) = defaults.get(entity) {
                    node.take_whole();
                    self.defaults.insert(entity, node);
                }
            }
        }
    }

    fn service(&mut self, node: &'n Node, reader: &mut Reader<'_>) {
        if !fields::check(node, "a service", fields::SERVICE, reader) {
            return;
        }
        let id = node.get("id").and_then(|_| reader.text(node, "id"));
        let name = reader.text(node, "name").or_else(|| id.clone());
        let index = self.services.len();
        let name = name.unwrap_or_else(|| format!("service-{}", index + 1));
        if self.services.iter().any(|service| service.name == name) {
            reader.refuse(node, format!("the service `{name}` is there already; change one name"));
        }
        self.services.push(Entity { name, id, node });
        for route in reader.list(node, "routes") {
            self.route(route, Some(index), reader);
        }
        for plugin in reader.list(node, "plugins") {
            self.plugin(plugin, (Some(index), None), None, reader);
        }
    }

    fn route(&mut self, node: &'n Node, service: Option<usize>, reader: &mut Reader<'_>) {
        if !fields::check(node, "a route", fields::ROUTE, reader) {
            return;
        }
        let service = match (service, reader.reference(node, "service")) {
            (None, Some(name)) => {
                let found = self.find_service(&name);
                if found.is_none() {
                    reader.refuse(node, format!("there is no service `{name}` in this file; add it"));
                    return;
                }
                found
            }
            (service, _) => service,
        };
        let id = node.get("id").and_then(|_| reader.text(node, "id"));
        let name = reader.text(node, "name").or_else(|| id.clone()).unwrap_or_else(|| {
            let of = service.map_or("route", |service| self.services[service].name.as_str());
            let nth = self.routes.iter().filter(|route| route.service == service).count() + 1;
            format!("{of}-{nth}")
        });
        if self.routes.iter().any(|route| route.name == name) {
            reader.refuse(node, format!("the route `{name}` is there already; change one name"));
        }
        let index = self.routes.len();
        self.routes.push(RouteEntity { name, id, node, service });
        for plugin in reader.list(node, "plugins") {
            self.plugin(plugin, (service, Some(index)), None, reader);
        }
    }

    fn find_service(&self, name: &str) -> Option<usize> {
        self.services.iter().position(|service| service.name == name || service.id.as_deref() == Some(name))
    }

    fn find_route(&self, name: &str) -> Option<usize> {
        self.routes.iter().position(|route| route.name == name || route.id.as_deref() == Some(name))
    }

    fn consumer(&mut self, node: &'n Node, reader: &mut Reader<'_>) {
        if !fields::check(node, "a consumer", fields::CONSUMER, reader) {
            return;
        }
        let id = node.get("id").and_then(|_| reader.text(node, "id"));
        let name = reader.text(node, "username").or_else(|| reader.text(node, "custom_id"));
        let Some(name) = name else {
            return reader.refuse(node, "a consumer has a `username` or a `custom_id`; write one");
        };
        if self.consumers.iter().any(|consumer| consumer.name == name) {
            reader.refuse(node, format!("the consumer `{name}` is there already; change one name"));
        }
        for kind in CREDENTIALS {
            for node in reader.list(node, kind) {
                self.credentials.push(Credential { kind, consumer: name.clone(), node });
            }
        }
        for group in reader.list(node, "groups") {
            group_of_consumers(group, reader);
        }
        for plugin in reader.list(node, "plugins") {
            self.plugin(plugin, (None, None), Some(name.clone()), reader);
        }
        self.consumers.push(Entity { name, id, node });
    }

    fn consumer_groups(&mut self, root: &'n Node, reader: &mut Reader<'_>) {
        for group in reader.list(root, "consumer_groups") {
            group_of_consumers(group, reader);
        }
    }

    fn upstreams_of(&mut self, root: &'n Node, reader: &mut Reader<'_>) {
        for node in reader.list(root, "upstreams") {
            if !fields::check(node, "an upstream", fields::UPSTREAM, reader) {
                continue;
            }
            let Some(name) = reader.text(node, "name") else {
                reader.refuse(node, "an upstream has a `name`; write it");
                continue;
            };
            for target in reader.list(node, "targets") {
                self.targets.push((name.clone(), target));
            }
            let id = node.get("id").and_then(|_| reader.text(node, "id"));
            self.upstreams.push(Entity { name, id, node });
        }
        for node in reader.list(root, "targets") {
            match reader.reference(node, "upstream") {
                Some(upstream) => self.targets.push((upstream, node)),
                None => reader.refuse(node, "`upstream` is missing; name whose it is"),
            }
        }
    }

    /// Adds a plugin with its scope: where it stands, or what it refers to.
    fn plugin(
        &mut self,
        node: &'n Node,
        (service, route): (Option<usize>, Option<usize>),
        consumer: Option<String>,
        reader: &mut Reader<'_>,
    ) {
        if !fields::check(node, "a plugin", fields::PLUGIN, reader) {
            return;
        }
        let Some(name) = reader.text(node, "name") else {
            return reader.refuse(node, "a plugin has a `name`; write it");
        };
        let named = |found: Option<usize>, what: &str, name: Option<&String>, reader: &mut Reader<'_>| {
            if let (None, Some(name)) = (found, name) {
                reader.refuse(node, format!("there is no {what} `{name}` in this file; add it"));
            }
        };
        let service_name = reader.reference(node, "service");
        let service = service.or_else(|| service_name.as_ref().and_then(|name| self.find_service(name)));
        named(service, "service", service_name.as_ref(), reader);
        let route_name = reader.reference(node, "route");
        let route = route.or_else(|| route_name.as_ref().and_then(|name| self.find_route(name)));
        named(route, "route", route_name.as_ref(), reader);
        let consumer = consumer.or_else(|| reader.reference(node, "consumer"));
        let group = reader.reference(node, "consumer_group");
        if reader.flag(node, "enabled") == Some(false) {
            node.take_whole();
            reader.differs(node, format!("plugin `{name}`"), "it is switched off, and left out");
            return;
        }
        let config = node.get("config");
        self.plugins.push(Plugin { name, node, config, service, route, consumer, group });
    }

    /// Returns the plugins in force for a route: of each name the nearest. Those of consumers are not among them.
    pub fn in_force(&self, route: &RouteEntity<'n>, index: usize, scopes: &Scopes) -> Vec<usize> {
        let own = scopes.by_route.get(&index).into_iter().flatten();
        let of_service = route.service.and_then(|service| scopes.by_service.get(&service)).into_iter().flatten();
        let mut in_force: Vec<usize> = Vec::new();
        for nth in own.chain(of_service).chain(&scopes.of_all) {
            let name = &self.plugins[*nth].name;
            if in_force.iter().all(|nearer| self.plugins[*nearer].name != *name) {
                in_force.push(*nth);
            }
        }
        in_force
    }

    /// Sorts the plugins by what they hold for.
    pub fn scopes(&self) -> Scopes {
        let mut scopes = Scopes::default();
        for (nth, plugin) in self.plugins.iter().enumerate() {
            match (plugin.route, plugin.service) {
                _ if plugin.consumer.is_some() || plugin.group.is_some() => {}
                (Some(route), _) => scopes.by_route.entry(route).or_default().push(nth),
                (None, Some(service)) => scopes.by_service.entry(service).or_default().push(nth),
                (None, None) => scopes.of_all.push(nth),
            }
        }
        scopes
    }
}

/// Plugins by what they hold for.
#[derive(Debug, Default)]
pub struct Scopes {
    by_route: HashMap<usize, Vec<usize>>,
    by_service: HashMap<usize, Vec<usize>>,
    of_all: Vec<usize>,
}

fn group_of_consumers(group: &Node, reader: &mut Reader<'_>) {
    let why =
        "groups of consumers, and plugins for them, are not mapped; give each consumer `groups`, and routes `allow`";
    reader.missing(group, "a consumer group", why);
}
