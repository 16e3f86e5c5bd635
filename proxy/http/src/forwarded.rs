//! The `for` of each element of a Forwarded field (RFC 7239), read with its quoting.
//!
//! ```text
//! Forwarded: for=192.0.2.43;host="a, b", For="[2001:db8::1]:4711", for=_hidden, for=unknown
//! ```
//! A comma or semicolon inside quotes separates nothing: a client chooses the host that a trusted hop quotes, and its
//! text must not become an element. An element that breaks the grammar names no hop, and neither does a field whose
//! quotes do not end.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

/// The address in one element; `None` = the element names none.
pub type Node = Option<IpAddr>;

/// Reads the nodes of a field, its lines joined by commas, from the left; `None` = a quote does not end.
#[must_use]
pub fn nodes(field: &str) -> Option<Vec<Node>> {
    let elements = split(field, b',')?;
    // A list may have empty elements (RFC 9110 section 5.6.1).
    let elements = elements.into_iter().map(str::trim).filter(|element| !element.is_empty());
    Some(elements.map(|element| node(element).flatten()).collect())
}

/// Writes an address as a `for` parameter (section 6).
#[must_use]
pub fn write(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => format!("for={ip}"),
        IpAddr::V6(ip) => format!("for=\"[{ip}]\""),
    }
}

/// Reads the node of an element; the outer `None` = the element breaks the grammar (section 4).
fn node(element: &str) -> Option<Node> {
    let mut found = None;
    for pair in split(element, b';')?.into_iter().map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        let value = unquote(value)?;
        if !is_token(name) {
            return None;
        }
        // A repeated parameter is forbidden (section 4), and two readers could each take another one.
        if name.eq_ignore_ascii_case("for") && found.replace(address(&value)).is_some() {
            return None;
        }
    }
    Some(found.flatten())
}

/// Splits where `separator` is outside quotes; `None` = a quote is not closed.
fn split(text: &str, separator: u8) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if byte == separator && !quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (!quoted).then_some(parts)
}

/// Reads a token, or the text inside a quoted string (RFC 9110 section 5.6.4). Addresses with ports and IPv6 addresses
/// are accepted without their quotes too, because proxies send them so.
fn unquote(value: &str) -> Option<Cow<'_, str>> {
    let Some(inner) = value.strip_prefix('"') else {
        return (!value.is_empty() && !value.contains(['"', ' ', '\t'])).then_some(value.into());
    };
    let inner = inner.strip_suffix('"')?;
    if !inner.contains(['\\', '"']) {
        return Some(inner.into());
    }
    let (mut plain, mut chars) = (String::with_capacity(inner.len()), inner.chars());
    while let Some(char) = chars.next() {
        match char {
            '\\' => plain.push(chars.next()?),
            '"' => return None,
            char => plain.push(char),
        }
    }
    Some(plain.into())
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Reads `node = nodename [ ":" node-port ]` (section 6); `unknown` and obfuscated names have no address.
fn address(node: &str) -> Node {
    if let Some(rest) = node.strip_prefix('[') {
        let (ip, port) = rest.split_once(']')?;
        let fits = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return fits.then(|| ip.parse::<Ipv6Addr>().ok().map(IpAddr::V6))?;
    }
    if let Ok(ip) = node.parse() {
        return Some(ip);
    }
    let (ip, port) = node.split_once(':')?;
    is_port(port).then(|| ip.parse().ok().map(IpAddr::V4))?
}

/// Returns whether a text is one to five digits, or an obfuscated name (section 6.2).
fn is_port(port: &str) -> bool {
    let obfuscated = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    let digits = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    digits || port.strip_prefix('_').is_some_and(obfuscated)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_of_the_rfc() {
        let v4 = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let table: &[(&str, Option<&[Node]>)] = &[
            ("for=192.0.2.43", Some(&[v4("192.0.2.43")])),
            ("For=\"192.0.2.43:47011\";proto=http;by=203.0.113.43", Some(&[v4("192.0.2.43")])),
            ("for=192.0.2.43:47011", Some(&[v4("192.0.2.43")])),
            ("for=\"192.0.2.43:_a.b-c\"", Some(&[v4("192.0.2.43")])),
            ("FOR=\"[2001:db8:cafe::17]:4711\"", Some(&[v4("2001:db8:cafe::17")])),
            ("for=\"[2001:db8::1]:_x\", for=\"[2001:db8::2]\"", Some(&[v4("2001:db8::1"), v4("2001:db8::2")])),
            ("for=[2001:db8::1]", Some(&[v4("2001:db8::1")])),
            ("for=\"2001:db8::1\"", Some(&[v4("2001:db8::1")])),
            ("for=unknown, for=_hidden, for=\"_SEVKISEK\"", Some(&[None, None, None])),
            ("proto=http", Some(&[None])),
            ("host=\"a, for=9.9.9.9\";for=192.0.2.1", Some(&[v4("192.0.2.1")])),
            ("host=\"a\\\", for=9.9.9.9;\";for=192.0.2.1", Some(&[v4("192.0.2.1")])),
            ("for=\"1\\92.0.2.1\"", Some(&[v4("192.0.2.1")])),
            (" for=192.0.2.1 ,, ; for=192.0.2.2;", Some(&[v4("192.0.2.1"), v4("192.0.2.2")])),
            ("", Some(&[])),
            ("for=192.0.2.1:123456", Some(&[None])),
            ("for=\"[192.0.2.1]\"", Some(&[None])),
            ("for=\"[::1]x\"", Some(&[None])),
            ("for=192.0.2.1:_", Some(&[None])),
            ("for=1.1.1.1;for=2.2.2.2", Some(&[None])),
            ("for=\"192.0.2.1", None),
            ("for=192.0.2.1\"", None),
            ("for=\"192.0.2.1\"x", Some(&[None])),
            ("x, for=192.0.2.1", Some(&[None, v4("192.0.2.1")])),
            ("for", Some(&[None])),
            ("for=", Some(&[None])),
            ("for =192.0.2.1", Some(&[None])),
        ];
        for (line, expected) in table {
            assert_eq!(nodes(line).as_deref(), *expected, "{line}");
        }
    }

    fn text() -> impl Strategy<Value = String> {
        // Every character that a quoted string can hold.
        "[ -~]{0,12}"
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            ips in proptest::collection::vec(any::<IpAddr>(), 0..8),
            port in any::<u16>(),
            host in text(),
        ) {
            let quoted = host.replace('\\', "\\\\").replace('"', "\\\"");
            let plain: Vec<String> = ips.iter().map(|ip| write(*ip)).collect();
            prop_assert_eq!(nodes(&plain.join(", ")), Some(ips.iter().copied().map(Some).collect()));
            let long: Vec<String> = ips.iter().map(|ip| {
                let ip = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
                format!("host=\"{quoted}\";fOr=\"{ip}:{port}\"")
            }).collect();
            prop_assert_eq!(nodes(&long.join(",")), Some(ips.iter().copied().map(Some).collect()));
        }

        #[test]
        fn nothing_inside_quotes_is_a_hop(host in text()) {
            let quoted = host.replace('\\', "\\\\").replace('"', "\\\"");
            let read = nodes(&format!("for=192.0.2.1;host=\"{quoted}\""));
            prop_assert_eq!(read, Some(vec![Some("192.0.2.1".parse().unwrap())]));
        }

        #[test]
        fn any_text_is_read_or_not(line in "[ -~]{0,60}") {
            let _ = nodes(&line);
        }
    }
}
