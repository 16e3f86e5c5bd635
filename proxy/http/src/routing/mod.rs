//! Finds the route that serves a request.
//!
//! ```text
//! exact host ─▶ tree        a tree has one node for each path segment; the walk down prefers a literal to a variable
//! *.suffix   ─▶ tree        and returns for the variable if the literal leads nowhere, so that a look-up costs the
//! any        ─▶ tree        length of the path and never the number of routes
//! ```
//! A route wins by the first of these in which two routes differ:
//! 1. its host: exact, then the longest suffix, then any;
//! 2. its path, segment by segment from the left: a name, then a variable, then the end of a pattern (of a whole path
//!    before that of a prefix or tail). Among prefixes the longest wins;
//! 3. whether it names the method;
//! 4. the number of its conditions on fields.
//!
//! If the best one does not serve the method or the fields, the next is tried. Two routes that fit some request equally
//! well are an error, unless their conditions exclude each other.

mod condition;
mod host;
mod path;
mod shadow;
#[cfg(test)]
mod tests;

use http::{HeaderMap, Method};
use rustc_hash::FxHashMap;

pub use condition::{HeaderCondition, Wanted};
pub use host::{HostPattern, host_name};
pub use path::{Part, PathPattern, Reach};

use host::HOST_BYTES_MAX;
use path::{name_of, next_segment};

/// The methods of RFC 9110 and RFC 5789. Any other is served only by a route that names it.
pub const KNOWN_METHODS: [Method; 8] = [
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::PATCH,
    Method::HEAD,
    Method::OPTIONS,
    Method::TRACE,
];

/// The requests that a route serves.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// The hosts; empty = any.
    pub hosts: Vec<HostPattern>,
    /// The paths; empty = all.
    pub paths: Vec<PathPattern>,
    /// Methods; empty = all.
    pub methods: Vec<Method>,
    /// Conditions on fields, all of which must hold.
    pub conditions: Vec<HeaderCondition>,
}

/// Two routes that fit some request equally well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// Index of the route added first.
    pub first: usize,
    /// Index of the route that collides with it.
    pub second: usize,
    /// The path that both claim, as the second has it.
    pub path: String,
}

/// The route for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Index of the route's pattern.
    pub route: usize,
    /// Index of the path in the pattern; 0 if it names none.
    pub path: usize,
}

/// A route that ends at a node, for one method, or for all (`None`).
#[derive(Debug)]
struct Claim {
    method: Option<Method>,
    route: u32,
    path: u32,
}

#[derive(Debug, Default)]
struct Node {
    // Clients choose the names that are looked up, not those that are stored: they cannot make them collide, so that
    // the fast hash is safe.
    children: FxHashMap<Box<str>, u32>,
    variable: Option<u32>,
    /// Routes for the path that ends here, best first.
    ends: Vec<Claim>,
    /// Routes for this path and everything below, best first.
    below: Vec<Claim>,
}

/// All routes, ready for lookup.
#[derive(Debug, Default)]
pub struct Router {
    nodes: Vec<Node>,
    any: Option<u32>,
    exact: FxHashMap<Box<str>, u32>,
    below: FxHashMap<Box<str>, u32>,
    /// Conditions by route.
    conditions: Vec<Box<[HeaderCondition]>>,
}

impl Router {
    /// Builds the router; the index of a pattern is what [`Router::find`] returns.
    ///
    /// # Errors
    /// Pairs of routes that fit some request equally well.
    pub fn build(patterns: &[Pattern]) -> Result<Self, Vec<Overlap>> {
        let mut router = Self::default();
        let mut overlaps = Vec::new();
        for (index, pattern) in patterns.iter().enumerate() {
            router.conditions.push(pattern.conditions.clone().into());
            router.insert(index, pattern, &mut overlaps);
        }
        if overlaps.is_empty() { Ok(router) } else { Err(overlaps) }
    }

    fn insert(&mut self, index: usize, pattern: &Pattern, overlaps: &mut Vec<Overlap>) {
        let (any_host, any_path) = ([HostPattern::Any], [PathPattern::any()]);
        let hosts = if pattern.hosts.is_empty() { &any_host[..] } else { &pattern.hosts[..] };
        let paths = if pattern.paths.is_empty() { &any_path[..] } else { &pattern.paths[..] };
        for host in hosts {
            let root = self.tree_of(host);
            for (nth, path) in paths.iter().enumerate() {
                let node = self.node_of(root, &path.parts);
                let methods: Vec<Option<Method>> = match pattern.methods.is_empty() {
                    true => vec![None],
                    false => pattern.methods.iter().cloned().map(Some).collect(),
                };
                for method in methods {
                    let claim = Claim { method, route: index as u32, path: nth as u32 };
                    if let Err(first) = self.claim(node, path.reach == Reach::Whole, claim) {
                        overlaps.push(Overlap { first, second: index, path: path.text.clone() });
                    }
                }
            }
        }
    }

    /// Inserts a claim among those of a node, by rank. The error is the route that has an equal claim.
    fn claim(&mut self, node: u32, whole: bool, claim: Claim) -> Result<(), usize> {
        let node = &mut self.nodes[node as usize];
        let claims = if whole { &mut node.ends } else { &mut node.below };
        let asked = |claim: &Claim| &self.conditions[claim.route as usize];
        let rank = |claim: &Claim| (claim.method.is_none(), std::cmp::Reverse(asked(claim).len()));
        let same = |other: &&Claim| {
            let excluded = asked(other).iter().any(|one| asked(&claim).iter().any(|two| one.excludes(two)));
            other.method == claim.method && rank(other) == rank(&claim) && !excluded
        };
        if let Some(other) = claims.iter().find(same) {
            return Err(other.route as usize);
        }
        let place = claims.partition_point(|other| rank(other) <= rank(&claim));
        claims.insert(place, claim);
        Ok(())
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

    fn node_of(&mut self, root: u32, parts: &[Part]) -> u32 {
        let mut at = root;
        for part in parts {
            let next = self.nodes.len() as u32;
            let node = &mut self.nodes[at as usize];
            at = match part {
                Part::Literal(name) => *node.children.entry(name.as_str().into()).or_insert(next),
                Part::Variable(_) => *node.variable.get_or_insert(next),
            };
            if at == next {
                self.nodes.push(Node::default());
            }
        }
        at
    }

    /// Finds the route for a request. `host` may have a port and any case; `path` has no query.
    #[must_use]
    pub fn find(&self, host: &str, path: &str, method: &Method, headers: &HeaderMap) -> Option<Found> {
        self.walk_hosts(host, path, &mut |claims| {
            let fits = |claim: &&Claim| {
                claim.method.as_ref().is_none_or(|named| named == method) && self.holds(claim.route, headers)
            };
            claims.iter().find(fits).map(|claim| Found { route: claim.route as usize, path: claim.path as usize })
        })
    }

    /// Returns the methods, in order, that some route serves for this host, path and fields. Called where no route
    /// serves the method asked for.
    #[must_use]
    pub fn methods(&self, host: &str, path: &str, headers: &HeaderMap) -> Vec<Method> {
        let mut methods: Vec<Method> = Vec::new();
        let nothing = self.walk_hosts(host, path, &mut |claims| {
            let fits = claims.iter().filter(|claim| self.holds(claim.route, headers));
            methods.extend(fits.filter_map(|claim| claim.method.clone()));
            None
        });
        debug_assert!(nothing.is_none(), "the walk went to its end");
        methods.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        methods.dedup();
        methods
    }

    fn holds(&self, route: u32, headers: &HeaderMap) -> bool {
        self.conditions[route as usize].iter().all(|condition| condition.holds(headers))
    }

    /// Shows the claims on a path to `look`, best first, until `look` takes one.
    fn walk_hosts<F>(&self, host: &str, path: &str, look: &mut F) -> Option<Found>
    where
        F: FnMut(&[Claim]) -> Option<Found>,
    {
        if !self.exact.is_empty() || !self.below.is_empty() {
            let mut lower = [0u8; HOST_BYTES_MAX];
            if let Some(name) = lower_case(host_name(host), &mut lower) {
                if let Some(found) = self.exact.get(name).and_then(|root| self.walk(*root, path, look)) {
                    return Some(found);
                }
                let mut rest = name;
                while let Some(dot) = rest.find('.').filter(|_| !self.below.is_empty()) {
                    rest = &rest[dot + 1..];
                    if let Some(found) = self.below.get(rest).and_then(|root| self.walk(*root, path, look)) {
                        return Some(found);
                    }
                }
            }
        }
        self.any.and_then(|root| self.walk(root, path, look))
    }

    /// Walks down one tree. The recursion is as deep as the longest pattern, which has a bound.
    fn walk<F>(&self, at: u32, path: &str, look: &mut F) -> Option<Found>
    where
        F: FnMut(&[Claim]) -> Option<Found>,
    {
        let node = &self.nodes[at as usize];
        let found = match next_segment(path) {
            None => look(&node.ends),
            Some((segment, after)) => {
                let child = node.children.get(name_of(segment));
                let found = child.and_then(|child| self.walk(*child, after, look));
                found.or_else(|| node.variable.and_then(|child| self.walk(child, after, look)))
            }
        };
        found.or_else(|| look(&node.below))
    }
}

/// Returns the name in lower case; `None` = it is longer than a host can be.
fn lower_case<'a>(name: &'a str, buffer: &'a mut [u8; HOST_BYTES_MAX]) -> Option<&'a str> {
    if !name.bytes().any(|b| b.is_ascii_uppercase()) {
        return Some(name);
    }
    let copy = buffer.get_mut(..name.len())?;
    copy.copy_from_slice(name.as_bytes());
    copy.make_ascii_lowercase();
    std::str::from_utf8(copy).ok()
}
