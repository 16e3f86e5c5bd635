//! One spelling for a path, so that the route that matches is the route that the upstream serves.
//!
//! Upstreams decode, resolve and cut paths, each in its own way. A path that two of them read differently could pass by
//! the route that guards it. Routing and the upstream therefore see the same canonical path (RFC 3986 section 6.2.2):
//! unreserved characters are decoded, escapes are written in capitals, and every character that must be escaped is. A
//! path that cannot be made unambiguous is refused: dot segments, also those with parameters, and encoded slashes,
//! backslashes and NULs.

use std::borrow::Cow;
use std::fmt::Write;

/// Bytes that need no escape in a path: `pchar` and `/` (RFC 3986 section 3.3), and braces, which no route can name.
const PLAIN: [bool; 256] = plain();

const fn plain() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let other = matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'@'
                | b'/'
                | b'{'
                | b'}'
        );
        table[byte as usize] = byte.is_ascii_alphanumeric() || other;
        byte += 1;
    }
    table
}

/// Returns the path in the one spelling that is matched and forwarded. A path that has it already is borrowed.
///
/// # Errors
/// A sentence about what makes the path ambiguous.
#[inline]
pub fn canonical(path: &str) -> Result<Cow<'_, str>, &'static str> {
    let bytes = path.as_bytes();
    let plain = bytes.iter().all(|b| PLAIN[usize::from(*b)]);
    if plain && memchr::memmem::find(bytes, b"/.").is_none() {
        return Ok(Cow::Borrowed(path));
    }
    if path.contains('\\') {
        return Err("the path has a backslash");
    }
    let spelt = match plain {
        true => Cow::Borrowed(path),
        false => Cow::Owned(respell(path)?),
    };
    match spelt.split('/').any(is_dots) {
        true => Err("the path has a dot segment; resolve it before sending"),
        false => Ok(spelt),
    }
}

fn respell(path: &str) -> Result<String, &'static str> {
    let mut out = String::with_capacity(path.len() + 8);
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => match (bytes.next().and_then(digit), bytes.next().and_then(digit)) {
                (Some(high), Some(low)) => high << 4 | low,
                _ => return Err("the path has a broken escape"),
            },
            plain if PLAIN[usize::from(plain)] => {
                out.push(char::from(plain));
                continue;
            }
            other => other,
        };
        match byte {
            0 | b'/' | b'\\' => return Err("the path has an encoded slash, backslash or NUL"),
            b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => out.push(char::from(b)),
            b => {
                let _infallible = write!(out, "%{b:02X}");
            }
        }
    }
    Ok(out)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Returns whether a segment is `.` or `..` once its parameters are cut: some upstreams cut them before they resolve.
fn is_dots(segment: &str) -> bool {
    let name = segment.split(';').next().unwrap_or_default();
    matches!(name.split("%3B").next(), Some("." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Decodes a path once, as an upstream does.
    fn decoded(path: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = path.as_bytes();
        while let [first, after @ ..] = rest {
            let escape = (*first == b'%').then(|| Some((digit(*after.first()?)?, digit(*after.get(1)?)?))).flatten();
            rest = escape.map_or(after, |_| &after[2..]);
            out.push(escape.map_or(*first, |(high, low)| high << 4 | low));
        }
        out
    }

    proptest! {
        #[test]
        fn the_spelling_is_stable_and_means_the_same(path in "/(%[0-9a-fA-F]{2}|[ -~é]|/|\\.|;){0,12}") {
            if let Ok(spelt) = canonical(&path) {
                let again = canonical(&spelt);
                prop_assert_eq!(again.as_deref(), Ok(&*spelt));
                prop_assert_eq!(decoded(&spelt), decoded(&path));
                prop_assert!(spelt.is_ascii() && !spelt.contains('\\'));
                let seen = String::from_utf8_lossy(&decoded(&spelt)).into_owned();
                prop_assert!(!seen.split('/').any(|segment| [".", ".."].contains(&segment)), "{}", seen);
                prop_assert_eq!(seen.matches('/').count(), path.matches('/').count());
            }
        }

        #[test]
        fn escaping_an_unreserved_character_changes_nothing(path in "(/[a-z0-9._~-]{1,5}){1,3}", at in 0usize..12) {
            let Some(character) = path.chars().nth(at).filter(|c| *c != '/') else { return Ok(()) };
            let escaped = format!("{}%{:02x}{}", &path[..at], character as u32, &path[at + 1..]);
            prop_assert_eq!(canonical(&escaped), canonical(&path));
        }
    }

    #[test]
    fn one_spelling_or_none() {
        let table = [
            ("/a/b", Some("/a/b")),
            ("/%61dmin", Some("/admin")),
            ("/a%2Db%7E", Some("/a-b~")),
            ("/caf%c3%a9", Some("/caf%C3%A9")),
            ("/a%20b;v=1", Some("/a%20b;v=1")),
            ("/café", Some("/caf%C3%A9")),
            ("/a\"b|c^d{e}", Some("/a%22b%7Cc%5Ed{e}")),
            ("/a%2Bb+c%3a:@", Some("/a%2Bb+c%3A:@")),
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
