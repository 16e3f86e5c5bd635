//! Paths of Kong as paths of the proxy.
//!
//! Kong's plain path is a prefix by characters, the proxy's by whole segments. Kong's regular expressions become
//! templates where each variable part is one whole segment, and are refused otherwise.

use tollgate_proxy_http::canonical_path;
use tollgate_proxy_http::routing::{PathPattern, Reach};

/// A path, and how it differs from Kong's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// As the proxy has it.
    pub text: String,
    /// Variables of a template whose part Kong strips is the whole match; `Some` for regular expressions. The path to
    /// send when the match is stripped.
    pub stripped: Option<String>,
    /// Sentences about differences.
    pub differs: Vec<&'static str>,
}

/// What differs of every plain path.
const BY_SEGMENT: &str =
    "Kong's path is a prefix of characters, here it is one of whole segments: `/a` does not serve `/ab`";
const SLASH: &str = "Kong's path with a slash at its end does not serve the path without it; here it does";
const NARROW: &str = "the regular expression takes fewer segments than the variable that it became, which takes any";
const NO_SLASH: &str = "the regular expression says whether a slash may stand at the end; here it never counts";
const PART: &str = "the regular expression goes on within a segment; here a segment ends where it ends";

/// Whether a path is a regular expression: from format 3.0 on it begins with `~`, before that its characters tell.
pub fn is_regex(path: &str, marked: bool) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%".contains(&b);
    if marked { path.starts_with('~') } else { !path.bytes().all(plain) }
}

/// Maps a path.
///
/// # Errors
/// Why the proxy has no such path.
pub fn map(path: &str, marked: bool) -> Result<Path, String> {
    if is_regex(path, marked) {
        return template(path.strip_prefix('~').filter(|_| marked).unwrap_or(path));
    }
    let text = written(path)?;
    let mut differs = vec![BY_SEGMENT];
    if text == "/" {
        differs.clear();
    } else if path.ends_with('/') {
        differs = vec![SLASH];
    }
    let trimmed = text.trim_end_matches('/');
    let text = if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() };
    check(&text)?;
    Ok(Path { text, stripped: None, differs })
}

fn written(path: &str) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err(format!("`{path}` does not begin with /"));
    }
    canonical_path::canonical(path)
        .map(|path| path.to_string())
        .map_err(|wrong| format!("`{path}` cannot be routed: {wrong}"))
}

fn check(path: &str) -> Result<(), String> {
    PathPattern::parse(path).map(drop)
}

/// One part of a regular expression.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(char),
    /// A segment's worth, and whether any segment fits.
    Segment {
        name: Option<String>,
        any: bool,
    },
    /// Anything, slashes too.
    Rest,
    End,
    MaybeSlash,
}

/// Makes a template of a regular expression.
fn template(regex: &str) -> Result<Path, String> {
    let refuse = |why: &str| Err(format!("the regular expression `{regex}` has no equal here: {why}"));
    let regex_text = regex.strip_prefix('^').unwrap_or(regex);
    let pieces = match pieces(regex_text) {
        Ok(pieces) => pieces,
        Err(why) => return refuse(&why),
    };
    let mut differs = Vec::new();
    let (mut text, mut variables, mut ended, mut tail) = (String::new(), 0_usize, false, false);
    for (nth, piece) in pieces.iter().enumerate() {
        let at_start = text.ends_with('/');
        let before_end = matches!(pieces.get(nth + 1), None | Some(Piece::End | Piece::MaybeSlash | Piece::Text('/')));
        if ended || tail && *piece != Piece::End {
            return refuse("it goes on behind its end");
        }
        match piece {
            Piece::Text(c) => text.push(*c),
            Piece::Segment { name, any } if at_start && before_end => {
                variables += 1;
                let name = name.clone().unwrap_or_else(|| format!("v{variables}"));
                text.push_str(&format!("{{{name}}}"));
                if !any {
                    differs.push(NARROW);
                }
            }
            Piece::Segment { .. } => return refuse("a variable part is not a whole segment"),
            Piece::Rest => {
                if !at_start {
                    differs.push(PART);
                }
                tail = true;
            }
            Piece::End => ended = true,
            Piece::MaybeSlash => differs.push(NO_SLASH),
        }
    }
    if !text.starts_with('/') {
        return refuse("it does not begin with /");
    }
    if !ended && !tail && !text.ends_with('/') {
        differs.push(PART);
    }
    differs.dedup();
    let open = !ended || tail;
    finish(&text, variables, open, differs).or_else(|why| refuse(&why))
}

fn finish(text: &str, variables: usize, open: bool, differs: Vec<&'static str>) -> Result<Path, String> {
    let trimmed = text.trim_end_matches('/');
    let base = if trimmed.is_empty() { "/" } else { trimmed };
    let text = match (variables, open) {
        (0, true) => base.to_owned(),
        (0, false) => format!("={base}"),
        (_, true) => format!("{trimmed}/{{*rest}}"),
        (_, false) => base.to_owned(),
    };
    let pattern = PathPattern::parse(&text)?;
    let stripped = match pattern.reach {
        Reach::Below => None,
        Reach::Whole => Some("/".to_owned()),
        Reach::Tail(_) => Some("/{*rest}".to_owned()),
    };
    Ok(Path { text, stripped, differs })
}

/// Cuts a regular expression into pieces.
fn pieces(regex: &str) -> Result<Vec<Piece>, String> {
    let chars: Vec<char> = regex.chars().collect();
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let (piece, next) = match chars[at] {
            '$' => (Piece::End, at + 1),
            '(' => group(&chars, at)?,
            '\\' | '[' | '.' => atom(&chars, at)?,
            c @ ('*' | '+' | '?' | '{' | '|' | ')' | ']' | '}' | '^') => {
                return Err(format!("`{c}` stands where only a plain text can be read"));
            }
            '/' if chars.get(at + 1) == Some(&'?') => (Piece::MaybeSlash, at + 2),
            c if matches!(chars.get(at + 1), Some('*' | '+' | '?' | '{')) => {
                return Err(format!("`{c}` repeats"));
            }
            c => (Piece::Text(c), at + 1),
        };
        pieces.push(piece);
        at = next;
    }
    Ok(pieces)
}

/// Reads `(?<name>…)`, `(?:…)` or `(…)` around one atom.
fn group(chars: &[char], at: usize) -> Result<(Piece, usize), String> {
    let mut inner = at + 1;
    let mut name = None;
    if chars.get(inner) == Some(&'?') {
        let rest: String = chars[inner + 1..].iter().collect();
        if rest.starts_with(':') {
            inner += 2;
        } else {
            let named = rest.strip_prefix("P<").map(|rest| (3, rest)).or(rest.strip_prefix('<').map(|rest| (2, rest)));
            let (skipped, named) = named.ok_or("a group looks around")?;
            let (text, _) = named.split_once('>').ok_or("the name of a group has no end")?;
            inner += skipped + text.chars().count() + 1;
            name = Some(text.to_owned());
        }
    }
    let optional_tail: String = chars[inner..].iter().collect();
    for tail in ["/.*)?", "/.*)", "/.+)?"] {
        if optional_tail.starts_with(tail) {
            return Ok((Piece::Rest, inner + tail.len()));
        }
    }
    if !matches!(chars.get(inner), Some('\\' | '[' | '.')) {
        return Err("a group holds more than one part".to_owned());
    }
    let (piece, end) = atom(chars, inner)?;
    if chars.get(end) != Some(&')') {
        return Err("a group holds more than one part".to_owned());
    }
    if matches!(chars.get(end + 1), Some('*' | '+' | '?' | '{')) {
        return Err("a group repeats".to_owned());
    }
    let piece = match piece {
        Piece::Segment { any, .. } => Piece::Segment { name, any },
        other => other,
    };
    Ok((piece, end + 1))
}

/// Reads an escape, a class or a dot, with how often it repeats.
fn atom(chars: &[char], at: usize) -> Result<(Piece, usize), String> {
    let repeats = |end: usize| match chars.get(end) {
        Some('+') => Ok(Some(end + 1)),
        Some('{') => {
            let close = chars[end..].iter().position(|c| *c == '}').ok_or("`{` has no end")?;
            Ok::<_, String>(Some(end + close + 1))
        }
        Some('*') => Ok(Some(end + 1)),
        _ => Ok(None),
    };
    match chars[at] {
        '.' => match repeats(at + 1)? {
            Some(end) => Ok((Piece::Rest, end)),
            None => Err("`.` takes any one character".to_owned()),
        },
        '\\' => match chars.get(at + 1) {
            Some('d' | 'w' | 'S') => match repeats(at + 2)? {
                Some(end) => Ok((Piece::Segment { name: None, any: false }, end)),
                None => Err("a class takes one character".to_owned()),
            },
            Some(c) if !c.is_ascii_alphanumeric() => match repeats(at + 2)? {
                Some(_) => Err(format!("`{c}` repeats")),
                None => Ok((Piece::Text(*c), at + 2)),
            },
            _ => Err("an escape is unknown".to_owned()),
        },
        _ => {
            let close = chars[at + 1..].iter().position(|c| *c == ']').ok_or("`[` has no end")? + at + 1;
            let class: String = chars[at + 1..close].iter().collect();
            let any = matches!(class.as_str(), "^/" | "^/?" | "^\\/");
            let negated = class.starts_with('^');
            if (!negated && class.contains('/')) || (negated && !class.contains('/')) {
                return Err("a class takes slashes".to_owned());
            }
            match repeats(close + 1)? {
                Some(end) => Ok((Piece::Segment { name: None, any }, end)),
                None => Err("a class takes one character".to_owned()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_the_nearest_of_ours() {
        for (kong, ours) in [
            ("/", "/"),
            ("/a", "/a"),
            ("/a/", "/a"),
            ("/a/%7Eb", "/a/~b"),
            ("~/a$", "=/a"),
            ("~/a/?$", "=/a"),
            ("~/a", "/a"),
            ("~^/a/b$", "=/a/b"),
            ("~/users/(?<id>[^/]+)$", "/users/{id}"),
            ("~/users/(?P<id>\\d+)/orders", "/users/{id}/orders/{*rest}"),
            ("~/users/[0-9]+$", "/users/{v1}"),
            ("~/v1/.*", "/v1"),
            ("~/v1(/.*)?$", "/v1"),
            ("~/v1\\.0/x$", "=/v1.0/x"),
            ("~/a/\\w+/b/[a-z0-9-]{3,8}$", "/a/{v1}/b/{v2}"),
            ("~/$", "=/"),
        ] {
            assert_eq!(map(kong, true).map(|path| path.text).as_deref(), Ok(ours), "{kong}");
        }
        assert_eq!(map("/users/\\d+$", false).unwrap().text, "/users/{v1}");
    }

    #[test]
    fn what_has_no_equal_says_why() {
        for kong in [
            "~/a|/b",
            "~/a(b|c)",
            "~/a[bc]",
            "~/a.b",
            "~/x(?!y)",
            "~/a+b",
            "~/pre\\d+$",
            "~a",
            "a",
            "/a/../b",
            "~/a[",
            "~/(?<x",
            "~\\",
        ] {
            assert!(map(kong, true).is_err(), "{kong}: {:?}", map(kong, true));
        }
    }

    #[test]
    fn what_is_stripped_of_a_regular_expression_is_the_whole_match() {
        assert_eq!(map("~/a/(?<x>[^/]+)$", true).unwrap().stripped.as_deref(), Some("/"));
        assert_eq!(map("~/a/(?<x>[^/]+)/", true).unwrap().stripped.as_deref(), Some("/{*rest}"));
        assert_eq!(map("~/a$", true).unwrap().stripped.as_deref(), Some("/"));
        assert_eq!(map("~/a", true).unwrap().stripped, None);
    }
}
