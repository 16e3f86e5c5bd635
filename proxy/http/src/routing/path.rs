//! Paths that a route serves: a prefix, one path, or a template.
//!
//! `/a` is a prefix by whole segments, `=/a` is that path alone, `/a/{id}` is every path of two segments that begins
//! with `a`, and `/a/{id}/{*rest}` every path that begins so. Empty segments and parameters (`;…`) are ignored, so that
//! a client cannot pass by a route with them: `/a` serves `//a` and `/a;v=1/b`.

use crate::canonical_path;

/// Segments of one pattern, and so the depth of the walk to a route.
const SEGMENTS_MAX: usize = 64;
/// Variables of one template.
const VARIABLES_MAX: usize = 16;

/// A segment of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Part {
    /// Exactly this name.
    Literal(String),
    /// Any name, captured under this one.
    Variable(String),
}

/// The part of a path that may follow the segments of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Nothing.
    Whole,
    /// Anything.
    Below,
    /// Anything, captured under this name.
    Tail(String),
}

/// Paths that a route serves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PathPattern {
    /// The pattern as written.
    pub text: String,
    /// Segments of the pattern.
    pub parts: Vec<Part>,
    /// The part that may follow the segments.
    pub reach: Reach,
}

impl PathPattern {
    /// Reads `/prefix`, `=/path` or `/template/{variable}/{*tail}`.
    ///
    /// # Errors
    /// A sentence about what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (exact, path) = match text.strip_prefix('=') {
            Some(path) => (true, path),
            None => (false, text),
        };
        if !path.starts_with('/') || path.contains(['?', '#', ' ']) {
            let cure = "a path starts with / (or =/ for that path alone), without ? # or spaces";
            return Err(format!("`{text}` is not a path; {cure}"));
        }
        match canonical_path::canonical(path) {
            Ok(spelt) if spelt != path => {
                return Err(format!("`{text}` is matched in another spelling; write `{spelt}`"));
            }
            Ok(_) if !path.contains(';') => {}
            _ => return Err(format!("`{text}` is a path that no request can have; write a plain one")),
        }
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        if names.len() > SEGMENTS_MAX {
            return Err(format!("`{text}` has more than {SEGMENTS_MAX} segments; write a shorter prefix"));
        }
        let template = path.contains(['{', '}']);
        let mut reach = if exact || template { Reach::Whole } else { Reach::Below };
        let mut parts = Vec::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            match part(name).map_err(|wrong| format!("`{text}` {wrong}"))? {
                (Part::Variable(tail), true) if index + 1 == names.len() => reach = Reach::Tail(tail),
                (_, true) => return Err(format!("`{text}` goes on after its tail; write `{name}` last")),
                (part, false) => parts.push(part),
            }
        }
        if exact && template {
            return Err(format!("`{text}` is both; a template matches whole paths by itself, write it without `=`"));
        }
        let pattern = Self { text: text.to_owned(), parts, reach };
        let mut variables = pattern.variables();
        if variables.len() > VARIABLES_MAX {
            return Err(format!("`{text}` has more than {VARIABLES_MAX} variables; end it with a tail, as {{*rest}}"));
        }
        variables.sort_unstable();
        match variables.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("`{text}` has two variables `{}`; give one another name", pair[0])),
            None => Ok(pattern),
        }
    }

    /// Matches every path.
    #[must_use]
    pub fn any() -> Self {
        Self { text: "/".into(), parts: Vec::new(), reach: Reach::Below }
    }

    /// Returns the names of the variables in order, the tail last.
    #[must_use]
    pub fn variables(&self) -> Vec<&str> {
        let named = |part: &'_ Part| matches!(part, Part::Variable(_));
        let mut variables: Vec<&str> = Vec::new();
        for part in self.parts.iter().filter(|part| named(part)) {
            if let Part::Variable(name) = part {
                variables.push(name);
            }
        }
        if let Reach::Tail(name) = &self.reach {
            variables.push(name);
        }
        variables
    }

    /// Returns the path template for a record; `None` = the pattern is a prefix, which says too little.
    #[must_use]
    pub fn http_route(&self) -> Option<&str> {
        match self.reach {
            Reach::Below => None,
            _ => Some(self.text.strip_prefix('=').unwrap_or(&self.text)),
        }
    }

    /// Returns the segments of `path` that stand for the variables, and whatever follows the pattern's own segments,
    /// which is empty or begins with a slash.
    #[must_use]
    pub fn capture<'p>(&self, path: &'p str) -> Option<(Vec<&'p str>, &'p str)> {
        let (mut values, mut rest) = (Vec::new(), path);
        for part in &self.parts {
            let (segment, after) = next_segment(rest)?;
            rest = after;
            match part {
                Part::Literal(name) if name == name_of(segment) => {}
                Part::Literal(_) => return None,
                Part::Variable(_) => values.push(segment),
            }
        }
        Some((values, rest))
    }
}

/// Reads one segment of a pattern, and whether it is a tail.
fn part(name: &str) -> Result<(Part, bool), String> {
    let Some(inner) = name.strip_prefix('{').and_then(|name| name.strip_suffix('}')) else {
        if name.contains(['{', '}', '*']) {
            return Err(format!("has `{name}`; a variable is a whole segment, as {{id}}, or a tail, as {{*rest}}"));
        }
        return Ok((Part::Literal(name.to_owned()), false));
    };
    let (variable, tail) = inner.strip_prefix('*').map_or((inner, false), |tail| (tail, true));
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if variable.is_empty() || variable.len() > SEGMENTS_MAX || !variable.bytes().all(allowed) {
        return Err(format!("has `{name}`; a variable has a name of letters, digits and _, as {{id}}"));
    }
    Ok((Part::Variable(variable.to_owned()), tail))
}

/// Returns the next segment that counts, with its parameters, and what follows it.
pub(super) fn next_segment(path: &str) -> Option<(&str, &str)> {
    let mut rest = path;
    loop {
        let inner = rest.strip_prefix('/')?;
        // Segments are short: a plain loop ends before a vectorised search has set up.
        let end = inner.bytes().position(|byte| byte == b'/').unwrap_or(inner.len());
        let (segment, after) = inner.split_at(end);
        rest = after;
        if !segment.is_empty() && !segment.starts_with(';') {
            return Some((segment, after));
        }
    }
}

/// Returns a segment without its parameters, which many upstreams ignore.
pub(super) fn name_of(segment: &str) -> &str {
    segment.bytes().position(|byte| byte == b';').map_or(segment, |end| &segment[..end])
}
