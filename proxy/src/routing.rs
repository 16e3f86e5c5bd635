//! Which route serves a request: host first, then the longest path prefix, then the method.
//!
//! ```text
//! exact host ─▶ tree        a tree has one node a path segment; the walk down remembers the last
//! *.suffix   ─▶ tree        node that holds a route for this method, so a lookup costs the length
//! any        ─▶ tree        of the path and never the number of routes
//! ```
//! A more specific host wins over a longer path. Where the specific host has nothing for the path
//! and method, the next host is asked. Prefixes match whole segments: `/a` serves `/a` and `/a/b`, not `/ab`. Empty
//! segments and parameters (`;…`) do not count, so that neither leads past a route: `/a` serves `//a` and `/a;v=1/b`.

use std::collections::HashMap;

use http::Method;

/// Longest host name that can match; DNS allows 253 octets.
const HOST_BYTES_MAX: usize = 253;

/// Which hosts a route answers to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// Any host.
    Any,
    /// This host, in lower case and without a port.
    Exact(String),
    /// Every host one or more labels below this suffix (`*.example.com` holds `example.com`).
    Below(String),
}

impl HostPattern {
    /// Reads `*`, `*.example.com` or `api.example.com`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the pattern.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (suffix_only, name) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if name.is_empty() || name.len() > HOST_BYTES_MAX {
            return Err(format!("`{text}` is not a host name of 1 to {HOST_BYTES_MAX} characters"));
        }
        if name.contains(':') && !name.starts_with('[') {
            return Err(format!("`{text}` has a port; write the host alone, routes match every port"));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '[' | ']' | ':');
        if let Some(bad) = name.chars().find(|c| !allowed(*c)) {
            return Err(format!(
                "`{text}` has `{bad}` in it; write a host name, `*.name` for every host below a name, or `*` for any"
            ));
        }
        let name = name.to_ascii_lowercase();
        Ok(if suffix_only { Self::Below(name) } else { Self::Exact(name) })
    }
}

/// What a route answers to. `methods` empty = all of them.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// The hosts; empty = any.
    pub hosts: Vec<HostPattern>,
    /// Path prefixes, each starting with `/`; empty = `/`.
    pub paths: Vec<String>,
    /// Methods; empty = all.
    pub methods: Vec<Method>,
}

/// Two routes that claim the same host, path and method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// Index of the route added first.
    pub first: usize,
    /// Index of the one that collides with it.
    pub second: usize,
    /// The path both claim.
    pub path: String,
}

#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<str>, u32>,
    /// Routes that end here with the method they take; `None` = all methods.
    routes: Vec<(Option<Method>, u32)>,
}

impl Node {
    fn route_for(&self, method: &Method) -> Option<u32> {
        let named = self.routes.iter().find(|(m, _)| m.as_ref() == Some(method));
        named.or_else(|| self.routes.iter().find(|(m, _)| m.is_none())).map(|(_, route)| *route)
    }
}

/// All routes, ready for lookup.
#[derive(Debug, Default)]
pub struct Router {
    nodes: Vec<Node>,
    any: Option<u32>,
    exact: HashMap<Box<str>, u32>,
    below: HashMap<Box<str>, u32>,
}

impl Router {
    /// Builds the router; the index of a pattern is what [`Router::find`] returns.
    ///
    /// # Errors
    /// Every pair of routes that claims the same host, path and method.
    pub fn build(patterns: &[Pattern]) -> Result<Self, Vec<Overlap>> {
        let mut router = Self::default();
        let mut overlaps = Vec::new();
        for (index, pattern) in patterns.iter().enumerate() {
            router.insert(index, pattern, &mut overlaps);
        }
        if overlaps.is_empty() { Ok(router) } else { Err(overlaps) }
    }

    fn insert(&mut self, index: usize, pattern: &Pattern, overlaps: &mut Vec<Overlap>) {
        let any_host = [HostPattern::Any];
        let root_path = [String::from("/")];
        let hosts = if pattern.hosts.is_empty() { &any_host[..] } else { &pattern.hosts[..] };
        let paths = if pattern.paths.is_empty() { &root_path[..] } else { &pattern.paths[..] };
        for host in hosts {
            let root = self.tree_of(host);
            for path in paths {
                let node = self.node_of(root, path);
                let methods: Vec<Option<Method>> = match pattern.methods.is_empty() {
                    true => vec![None],
                    false => pattern.methods.iter().cloned().map(Some).collect(),
                };
                for method in methods {
                    let routes = &mut self.nodes[node as usize].routes;
                    match routes.iter().find(|(m, _)| *m == method) {
                        Some((_, first)) => {
                            overlaps.push(Overlap { first: *first as usize, second: index, path: path.clone() });
                        }
                        None => routes.push((method, index as u32)),
                    }
                }
            }
        }
    }

    fn tree_of(&mut self, host: &HostPattern) -> u32 {
        let next = self.nodes.len() as u32;
        let root = match host {
            HostPattern::Any => *self.any.get_or_insert(next),
            HostPattern::Exact(name) => *self.exact.entry(name.as_str().into()).or_insert(next),
            HostPattern::Below(name) => *self.below.entry(name.as_str().into()).or_insert(next),
        };
        if root == next {
            self.nodes.push(Node::default());
        }
        root
    }

    fn node_of(&mut self, root: u32, path: &str) -> u32 {
        let mut at = root;
        for segment in segments(path.trim_end_matches('/')) {
            let next = self.nodes.len() as u32;
            at = *self.nodes[at as usize].children.entry(segment.into()).or_insert(next);
            if at == next {
                self.nodes.push(Node::default());
            }
        }
        at
    }

    /// The route for a request. `host` may carry a port and any case; `path` is without the query.
    #[must_use]
    pub fn find(&self, host: &str, path: &str, method: &Method) -> Option<usize> {
        if self.exact.is_empty() && self.below.is_empty() {
            return self.any.and_then(|root| self.walk(root, path, method));
        }
        let mut lower = [0u8; HOST_BYTES_MAX];
        let name = host_name(host);
        let name = match name.bytes().any(|b| b.is_ascii_uppercase()) {
            false => name,
            true if name.len() <= HOST_BYTES_MAX => {
                let copy = &mut lower[..name.len()];
                copy.copy_from_slice(name.as_bytes());
                copy.make_ascii_lowercase();
                std::str::from_utf8(copy).unwrap_or(name)
            }
            true => return self.any.and_then(|root| self.walk(root, path, method)),
        };
        let exact = self.exact.get(name).and_then(|root| self.walk(*root, path, method));
        exact
            .or_else(|| self.find_below(name, path, method))
            .or_else(|| self.any.and_then(|root| self.walk(root, path, method)))
    }

    fn find_below(&self, name: &str, path: &str, method: &Method) -> Option<usize> {
        if self.below.is_empty() {
            return None;
        }
        let mut rest = name;
        while let Some(dot) = rest.find('.') {
            rest = &rest[dot + 1..];
            if let Some(found) = self.below.get(rest).and_then(|root| self.walk(*root, path, method)) {
                return Some(found);
            }
        }
        None
    }

    fn walk(&self, root: u32, path: &str, method: &Method) -> Option<usize> {
        let mut node = &self.nodes[root as usize];
        let mut best = node.route_for(method);
        for segment in segments(path) {
            match node.children.get(segment) {
                Some(child) => node = &self.nodes[*child as usize],
                None => break,
            }
            best = node.route_for(method).or(best);
        }
        best.map(|route| route as usize)
    }
}

/// The host without its port: `a:80` → `a`, `[::1]:80` → `[::1]`.
#[must_use]
pub fn host_name(host: &str) -> &str {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.starts_with('[') {
        return host.find(']').map_or(host, |end| &host[..=end]);
    }
    let name = host.rfind(':').map_or(host, |colon| &host[..colon]);
    name.strip_suffix('.').unwrap_or(name)
}

/// What follows `prefix` in a path, matched as routes are; empty, or with a slash in front.
#[must_use]
pub fn after_prefix<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let mut rest = path;
    for wanted in segments(prefix) {
        loop {
            let inner = rest.strip_prefix('/')?;
            let (segment, after) = inner.split_at(inner.find('/').unwrap_or(inner.len()));
            rest = after;
            match name_of(segment) {
                "" => {}
                name if name == wanted => break,
                _ => return None,
            }
        }
    }
    Some(rest)
}

/// The names that a path is matched by: most upstreams pass over empty segments, and many over parameters.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').skip(1).map(name_of).filter(|name| !name.is_empty())
}

/// A segment without its parameters.
fn name_of(segment: &str) -> &str {
    segment.split(';').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(hosts: &[&str], paths: &[&str], methods: &[&str]) -> Pattern {
        Pattern {
            hosts: hosts.iter().map(|h| HostPattern::parse(h).unwrap()).collect(),
            paths: paths.iter().map(|p| (*p).to_owned()).collect(),
            methods: methods.iter().map(|m| m.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn the_most_specific_route_wins() {
        let router = Router::build(&[
            pattern(&[], &["/"], &[]),
            pattern(&["api.example.com"], &["/members"], &[]),
            pattern(&["api.example.com"], &["/members/list"], &["GET"]),
            pattern(&["*.example.com"], &["/members"], &[]),
            pattern(&["*"], &["/only/any"], &[]),
        ])
        .unwrap();
        let find = |host, path, method: &str| router.find(host, path, &method.parse().unwrap());
        assert_eq!(find("api.example.com", "/members", "GET"), Some(1));
        assert_eq!(find("API.Example.com:8443", "/members/", "GET"), Some(1));
        assert_eq!(find("api.example.com", "/members/list/3", "GET"), Some(2));
        assert_eq!(find("api.example.com", "/members/list", "POST"), Some(1));
        assert_eq!(find("api.example.com", "/membership", "GET"), Some(0));
        assert_eq!(find("a.b.example.com", "/members/1", "GET"), Some(3));
        assert_eq!(find("example.com", "/members/1", "GET"), Some(0));
        assert_eq!(find("api.example.com", "/only/any/1", "GET"), Some(4));
        assert_eq!(find("api.example.com.", "/members", "GET"), Some(1));
        assert_eq!(find("api.example.com", "//members//list", "GET"), Some(2));
        assert_eq!(find("api.example.com", "/;/members;v=1/list;x", "GET"), Some(2));
    }

    #[test]
    fn overlapping_routes_are_named() {
        let overlaps = Router::build(&[
            pattern(&["a"], &["/x"], &["GET", "POST"]),
            pattern(&["a"], &["/x/"], &["POST"]),
            pattern(&["a"], &["/x"], &[]),
        ])
        .unwrap_err();
        assert_eq!(overlaps, vec![Overlap { first: 0, second: 1, path: "/x/".into() }]);
    }

    #[test]
    fn bad_hosts_say_what_to_write() {
        for bad in ["", "a:80", "a b", "http://a", "*", "*."] {
            let parsed = HostPattern::parse(bad);
            assert_eq!(parsed.is_ok(), bad == "*", "{bad}: {parsed:?}");
        }
    }

    /// The rule in words, by brute force.
    fn naive(patterns: &[Pattern], host: &str, path: &str, method: &Method) -> Option<usize> {
        let mut best: Option<((usize, usize, usize), usize)> = None;
        let path: String = path.split('/').filter(|s| !s.is_empty()).map(|s| format!("/{s}")).collect();
        for (index, pattern) in patterns.iter().enumerate() {
            let host_score = |h: &HostPattern| match h {
                HostPattern::Any => Some(0),
                HostPattern::Exact(name) => (name == host).then_some(usize::MAX),
                HostPattern::Below(name) => host.ends_with(&format!(".{name}")).then_some(1 + name.len()),
            };
            let path_score = |p: &String| {
                let p = p.trim_end_matches('/');
                (path == p || path.starts_with(&format!("{p}/"))).then_some(p.len())
            };
            let hosts = if pattern.hosts.is_empty() { vec![HostPattern::Any] } else { pattern.hosts.clone() };
            let takes = pattern.methods.is_empty() || pattern.methods.contains(method);
            for host in hosts.iter().filter_map(host_score) {
                for path in pattern.paths.iter().filter_map(path_score) {
                    let score = (host, path, usize::from(!pattern.methods.is_empty()));
                    if takes && best.is_none_or(|(b, _)| score > b) {
                        best = Some((score, index));
                    }
                }
            }
        }
        best.map(|(_, index)| index)
    }

    fn any_pattern() -> impl Strategy<Value = Pattern> {
        let host = prop_oneof![
            Just(HostPattern::Any),
            "[ab](\\.[ab]){0,2}".prop_map(HostPattern::Exact),
            "[ab](\\.[ab]){0,2}".prop_map(HostPattern::Below),
        ];
        let path = "(/[xy]){0,3}".prop_map(|p: String| if p.is_empty() { "/".into() } else { p });
        let method = prop_oneof![Just(Method::GET), Just(Method::POST)];
        (prop::collection::vec(host, 0..3), prop::collection::vec(path, 1..3), prop::collection::vec(method, 0..2))
            .prop_map(|(hosts, paths, methods)| Pattern { hosts, paths, methods })
    }

    proptest! {
        #[test]
        fn agrees_with_the_naive_reference(
            patterns in prop::collection::vec(any_pattern(), 1..12),
            host in "[ab](\\.[ab]){0,3}",
            path in "(/[xyz]?){1,4}",
            post in any::<bool>(),
        ) {
            let method = if post { Method::POST } else { Method::GET };
            if let Ok(router) = Router::build(&patterns) {
                prop_assert_eq!(router.find(&host, &path, &method), naive(&patterns, &host, &path, &method));
            }
        }
    }
}
