//! The path that an upstream sees, made from the one that a client asked for.
//!
//! `rewrite: /v2/people/{id}` is filled with the values that the route's template captured. Behind a prefix, the rest
//! of the path is added. A value keeps the canonical spelling in which it was matched, so that it cannot leave its
//! segment. The result begins with exactly one slash, because some upstreams read two as the beginning of a host.

use crate::canonical_path;
use crate::routing::{PathPattern, Reach};

/// A piece of the path that is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// The variable with this index.
    Value(usize),
    /// Whatever follows the pattern's own segments.
    Rest,
}

/// A rewrite of the paths that one pattern matches.
#[derive(Debug, Clone)]
pub struct Rewrite {
    pattern: PathPattern,
    pieces: Vec<Piece>,
}

impl Rewrite {
    /// Reads the path to send, with the variables of `pattern` in it. `/` behind a prefix only removes the prefix.
    ///
    /// # Errors
    /// A sentence about what is wrong with `to`, for this pattern.
    pub fn parse(pattern: &PathPattern, to: &str) -> Result<Self, String> {
        if !to.starts_with('/') || to.contains(['?', '#', ' ', ';']) {
            return Err(format!("`{to}` is not a path; write one that starts with /, without ? # ; or spaces"));
        }
        match canonical_path::canonical(to) {
            Ok(spelt) if spelt == to => {}
            Ok(spelt) => return Err(format!("`{to}` is not the usual spelling; write `{spelt}`")),
            Err(wrong) => return Err(format!("`{to}` cannot be sent: {wrong}")),
        }
        let variables = pattern.variables();
        let mut pieces = Vec::new();
        let mut text = String::new();
        for name in to.split('/').filter(|name| !name.is_empty()) {
            let variable = name.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
            let Some(variable) = variable else {
                if name.contains(['{', '}', '*']) {
                    return Err(format!("`{to}` has `{name}`; a variable is a whole segment, as {{id}}"));
                }
                text.push('/');
                text.push_str(name);
                continue;
            };
            let (variable, is_tail) = variable.strip_prefix('*').map_or((variable, false), |tail| (tail, true));
            let place = variables.iter().position(|known| *known == variable);
            let known_tail = matches!(&pattern.reach, Reach::Tail(tail) if tail == variable);
            let Some(place) = place.filter(|_| is_tail == known_tail) else {
                return Err(format!("`{name}` is no variable of `{}`; write one that every path has", pattern.text));
            };
            if !is_tail {
                text.push('/');
            }
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(if is_tail { Piece::Rest } else { Piece::Value(place) });
        }
        if to.len() > 1 && to.ends_with('/') && pattern.reach == Reach::Whole {
            text.push('/');
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        if pattern.reach == Reach::Below {
            pieces.push(Piece::Rest);
        }
        Ok(Self { pattern: pattern.clone(), pieces })
    }

    /// Returns the path to send; `None` = the target is no path, as `*`.
    #[must_use]
    pub fn apply(&self, path: &str) -> Option<String> {
        if !path.starts_with('/') {
            return None;
        }
        let (values, rest) = self.pattern.capture(path)?;
        let mut sent = String::with_capacity(path.len() + 16);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => sent.push_str(text),
                Piece::Value(place) => sent.push_str(values.get(*place)?),
                Piece::Rest => sent.push_str(rest),
            }
        }
        let slashes = sent.bytes().take_while(|b| *b == b'/').count();
        match slashes {
            0 => sent.insert(0, '/'),
            1 => {}
            more => drop(sent.drain(..more - 1)),
        }
        Some(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite(pattern: &str, to: &str) -> Result<Rewrite, String> {
        Rewrite::parse(&PathPattern::parse(pattern).unwrap(), to)
    }

    #[test]
    fn paths_are_made_of_what_was_matched() {
        let table = [
            ("/members", "/", "/members/7", "/7"),
            ("/members", "/", "/members", "/"),
            ("/members", "/", "/members/", "/"),
            ("/members", "/", "//members;v=1//7", "/7"),
            ("/members", "/", "/members//evil.example", "/evil.example"),
            ("/members", "/v2/people", "/members/7/x", "/v2/people/7/x"),
            ("/members", "/v2/people/", "/members", "/v2/people"),
            ("/", "/v2", "/members", "/v2/members"),
            ("=/health", "/status/live", "/health/", "/status/live"),
            ("=/health", "/status/", "/health", "/status/"),
            ("/members/{id}", "/people/{id}/profile", "/members/7", "/people/7/profile"),
            ("/a/{x}/{y}", "/{y}/{x}", "/a/1/2%2B", "/2%2B/1"),
            ("/a/{x}/{*rest}", "/b/{*rest}", "/a/1/2//3/", "/b/2//3/"),
            ("/a/{x}/{*rest}", "/b/{x}/c/{*rest}", "/a/1", "/b/1/c"),
            ("/a/{*rest}", "/{*rest}", "/a", "/"),
        ];
        for (pattern, to, path, sent) in table {
            assert_eq!(rewrite(pattern, to).unwrap().apply(path).as_deref(), Some(sent), "{pattern} {to} {path}");
        }
        assert_eq!(rewrite("/", "/v2").unwrap().apply("*"), None);
    }

    #[test]
    fn what_cannot_be_made_says_why() {
        for (pattern, to) in [
            ("/a", "b"),
            ("/a", "/b?c"),
            ("/a/{*id}", "/b?c/{*id}"),
            ("/a/{*id}", "/b;c/{*id}"),
            ("/a", "/b/../c"),
            ("/a", "/{id}"),
            ("/a/{id}", "/x/{*id}"),
            ("/a/{*id}", "/x/{id}"),
            ("/a/{id}", "/x{id}"),
            ("/a", "/%61"),
            ("/a", "/b*"),
        ] {
            assert!(rewrite(pattern, to).is_err_and(|error| error.contains('`')), "{pattern} {to}");
        }
    }
}
