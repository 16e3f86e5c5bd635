//! One spelling for a path, so that the route which is matched is the route which the upstream serves.
//!
//! Upstreams decode, resolve and cut paths, each in its own way; a path that two of them could read differently could
//! pass by a route that guards it. So unreserved characters are decoded and escapes written in capitals (RFC 3986
//! section 6.2.2), for routing and for the upstream alike, and what cannot be made unambiguous is refused: dot
//! segments, also those with parameters, and slashes, backslashes and NULs in disguise.

use std::borrow::Cow;
use std::fmt::Write;

/// The path as it is matched and forwarded.
///
/// # Errors
/// What is wrong with the path.
pub fn canonical(path: &str) -> Result<Cow<'_, str>, &'static str> {
    let bytes = path.as_bytes();
    if memchr::memchr2(b'%', b'\\', bytes).is_none() && memchr::memmem::find(bytes, b"/.").is_none() {
        return Ok(Cow::Borrowed(path));
    }
    if path.contains('\\') {
        return Err("the path has a backslash");
    }
    let spelt = match path.contains('%') {
        true => Cow::Owned(decode_unreserved(path)?),
        false => Cow::Borrowed(path),
    };
    match spelt.split('/').any(is_dots) {
        true => Err("the path has a dot segment; resolve it before sending"),
        false => Ok(spelt),
    }
}

fn decode_unreserved(path: &str) -> Result<String, &'static str> {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let hex = rest.get(at + 1..at + 3).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).ok_or("the path has a broken escape")?;
        match byte {
            0 | b'/' | b'\\' => return Err("the path has an encoded slash, backslash or NUL"),
            b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => out.push(char::from(b)),
            b => {
                let _infallible = write!(out, "%{b:02X}");
            }
        }
        rest = &rest[at + 3..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Whether a segment is `.` or `..` once its parameters are cut, as some upstreams do before they resolve it.
fn is_dots(segment: &str) -> bool {
    let name = segment.split(';').next().unwrap_or_default();
    matches!(name.split("%3B").next(), Some("." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_or_none() {
        let table = [
            ("/a/b", Some("/a/b")),
            ("/%61dmin", Some("/admin")),
            ("/a%2Db%7E", Some("/a-b~")),
            ("/caf%c3%a9", Some("/caf%C3%A9")),
            ("/a%20b;v=1", Some("/a%20b;v=1")),
            ("/%2561", Some("/%2561")),
            ("/.well-known/x..y", Some("/.well-known/x..y")),
            ("/a/..", None),
            ("/pub/..;/admin", None),
            ("/pub/..%3bx/admin", None),
            ("/pub/.%2e;a=b/admin", None),
            ("/pub/..%2fadmin", None),
            ("/pub%5c..%5cadmin", None),
            ("/pub\\..\\admin", None),
            ("/a%00", None),
            ("/a%", None),
            ("/a%4", None),
            ("/a%+1", None),
            ("/a%é", None),
        ];
        for (path, expected) in table {
            assert_eq!(canonical(path).ok().as_deref(), expected, "{path}");
        }
    }
}
