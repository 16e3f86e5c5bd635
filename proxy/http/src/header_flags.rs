//! One scan over the fields of a head, so that later steps look up only the fields that may be there.
//!
//! A look-up hashes a name, and an ordinary head would answer a dozen of them with no. The scan sets one bit for each
//! kind of field instead. A bit may be set without the field (a name with the same beginning, a field removed since); a
//! field that is there always has its bit.

use http::HeaderMap;
use http::header::HeaderValue;

/// Transfer-Encoding.
pub const TRANSFER_ENCODING: u32 = 1;
/// Content-Length.
pub const CONTENT_LENGTH: u32 = 1 << 1;
/// Connection.
pub const CONNECTION: u32 = 1 << 2;
/// Upgrade.
pub const UPGRADE: u32 = 1 << 3;
/// TE.
pub const TE: u32 = 1 << 4;
/// Other fields that belong to one connection.
pub const OTHER_HOP: u32 = 1 << 5;
/// Expect.
pub const EXPECT: u32 = 1 << 6;
/// Cookie.
pub const COOKIE: u32 = 1 << 7;
/// User-Agent.
pub const USER_AGENT: u32 = 1 << 8;
/// X-Correlation-Id or X-Request-Id.
pub const CORRELATION: u32 = 1 << 9;
/// Traceparent.
pub const TRACEPARENT: u32 = 1 << 10;
/// Forwarded, X-Forwarded-… or X-Real-Ip.
pub const FORWARDED: u32 = 1 << 11;
/// Client-Cert…, X-Client-Cert…, or a field that tells who called.
pub const CLIENT_CERT: u32 = 1 << 12;
/// A name with `_` in it.
pub const UNDERSCORE: u32 = 1 << 13;
/// Authorization.
pub const AUTHORIZATION: u32 = 1 << 14;
/// Content-Length more than once, or with more than digits in it.
pub const ODD_LENGTH: u32 = 1 << 15;
/// Host.
pub const HOST: u32 = 1 << 16;
/// Host more than once.
pub const HOSTS: u32 = 1 << 17;
/// Every field that belongs to one connection.
pub const HOP_BY_HOP: u32 = TRANSFER_ENCODING | CONNECTION | UPGRADE | TE | OTHER_HOP;

/// The kinds of fields that a head may have, and its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderFlags {
    /// Bytes of the fields and of the line that ends them, as HTTP/1.1 would write them.
    pub bytes: i64,
    kinds: u32,
}

/// The scan of a request's head, with the two values that every request is asked for.
#[derive(Debug, Clone)]
pub struct RequestScan {
    /// The kinds that may be there.
    pub flags: HeaderFlags,
    /// The first Host.
    pub host: Option<HeaderValue>,
    /// The first User-Agent.
    pub user_agent: Option<HeaderValue>,
}

impl RequestScan {
    /// Scans every field of a request.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let (mut host, mut user_agent) = (None, None);
        let flags = scan(headers, |kind, value| match kind {
            HOST => host = host.or(Some(value)),
            USER_AGENT => user_agent = user_agent.or(Some(value)),
            _ => {}
        });
        Self { flags, host: host.cloned(), user_agent: user_agent.cloned() }
    }
}

fn scan<'a>(headers: &'a HeaderMap, mut each: impl FnMut(u32, &'a HeaderValue)) -> HeaderFlags {
    let (mut bytes, mut kinds) = ("\r\n".len(), 0);
    for (name, value) in headers {
        let name = name.as_str();
        bytes += name.len() + value.len() + ": \r\n".len();
        let kind = kind(name.as_bytes());
        each(kind, value);
        kinds |= kind
            | match kind {
                CONTENT_LENGTH if kinds & CONTENT_LENGTH != 0 || !is_number(value) => ODD_LENGTH,
                HOST if kinds & HOST != 0 => HOSTS,
                _ => 0,
            };
    }
    HeaderFlags { bytes: bytes as i64, kinds }
}

fn is_number(value: &HeaderValue) -> bool {
    value.as_bytes().iter().all(u8::is_ascii_digit)
}

/// Returns the bytes of the fields and of the line that ends them, as HTTP/1.1 would write them.
#[must_use]
pub fn bytes_of(headers: &HeaderMap) -> i64 {
    let fields = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    (fields.sum::<usize>() + "\r\n".len()) as i64
}

impl HeaderFlags {
    /// Scans every field.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        scan(headers, |_, _| {})
    }

    /// Returns whether a field of one of these kinds may be there.
    #[must_use]
    #[inline]
    pub fn may_have(self, kinds: u32) -> bool {
        self.kinds & kinds != 0
    }
}

/// Returns the kind of a field by its name. The names that nearly every head has are told apart by their length and
/// first byte alone, and are not searched for a `_`.
#[inline]
fn kind(name: &[u8]) -> u32 {
    match name {
        b"host" => HOST,
        b"user-agent" => USER_AGENT,
        b"content-length" => CONTENT_LENGTH,
        b"connection" => CONNECTION,
        b"accept" | b"accept-encoding" | b"content-type" | b"date" | b"server" | b"etag" | b"vary" => 0,
        b"authorization" => AUTHORIZATION,
        b"transfer-encoding" => TRANSFER_ENCODING,
        b"upgrade" => UPGRADE,
        b"te" => TE,
        b"keep-alive" | b"proxy-connection" | b"proxy-authorization" | b"http2-settings" => OTHER_HOP,
        b"expect" => EXPECT,
        b"cookie" => COOKIE,
        b"x-correlation-id" | b"x-request-id" => CORRELATION,
        b"traceparent" => TRACEPARENT,
        b"forwarded" | b"x-real-ip" => FORWARDED,
        other => by_beginning(other),
    }
}

fn by_beginning(name: &[u8]) -> u32 {
    let kind = match name {
        [b'x', b'-', b'f', ..] => FORWARDED,
        [b'x', b'-', b'c', ..] | [b'c', b'l', ..] | [b'x', b'-', b'a', b'n' | b'u', ..] => CLIENT_CERT,
        _ => 0,
    };
    kind | if name.contains(&b'_') { UNDERSCORE } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{HeaderName, HeaderValue};

    #[test]
    fn every_field_that_is_looked_for_shows() {
        let table = [
            ("transfer-encoding", TRANSFER_ENCODING),
            ("content-length", CONTENT_LENGTH),
            ("connection", CONNECTION),
            ("upgrade", UPGRADE),
            ("te", TE),
            ("keep-alive", OTHER_HOP),
            ("proxy-connection", OTHER_HOP),
            ("proxy-authorization", OTHER_HOP),
            ("http2-settings", OTHER_HOP),
            ("expect", EXPECT),
            ("cookie", COOKIE),
            ("authorization", AUTHORIZATION),
            ("host", HOST),
            ("user-agent", USER_AGENT),
            ("x-correlation-id", CORRELATION),
            ("x-request-id", CORRELATION),
            ("traceparent", TRACEPARENT),
            ("forwarded", FORWARDED),
            ("x-real-ip", FORWARDED),
            ("x-forwarded", FORWARDED),
            ("x-forwarded-for", FORWARDED),
            ("x-client-cert", CLIENT_CERT),
            ("x-client-cert-subject", CLIENT_CERT),
            ("client-cert", CLIENT_CERT),
            ("client-cert-chain", CLIENT_CERT),
            ("x-consumer-groups", CLIENT_CERT),
            ("x-credential-identifier", CLIENT_CERT),
            ("x-anonymous-consumer", CLIENT_CERT),
            ("x-authenticated-groups", CLIENT_CERT),
            ("x-authenticated-userid", CLIENT_CERT),
            ("x_forwarded_for", UNDERSCORE),
            ("content_length", UNDERSCORE),
        ];
        for (name, kind) in table {
            let mut headers = HeaderMap::new();
            headers.insert("accept", HeaderValue::from_static("*/*"));
            let plain = HeaderFlags::of(&headers);
            assert_eq!(plain, HeaderFlags { bytes: 13 + 2, kinds: 0 });
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
            let flags = HeaderFlags::of(&headers);
            assert!(flags.may_have(kind), "{name}");
            assert_eq!(flags.bytes, plain.bytes + name.len() as i64 + 5, "{name}");
            assert_eq!(flags.bytes, bytes_of(&headers), "{name}");
            assert!(!flags.may_have(HOSTS | ODD_LENGTH), "{name}");
        }
    }

    #[test]
    fn what_is_there_twice_or_is_no_number_shows() {
        let table: [(&[(&'static str, &'static str)], u32); 5] = [
            (&[("content-length", "20")], 0),
            (&[("content-length", "20"), ("content-length", "20")], ODD_LENGTH),
            (&[("content-length", "20, 20")], ODD_LENGTH),
            (&[("host", "a")], 0),
            (&[("host", "a"), ("host", "b")], HOSTS),
        ];
        for (fields, odd) in table {
            let mut headers = HeaderMap::new();
            fields.iter().for_each(|(name, value)| {
                headers.append(*name, HeaderValue::from_static(value));
            });
            assert_eq!(HeaderFlags::of(&headers).kinds & (HOSTS | ODD_LENGTH), odd, "{fields:?}");
            let found = RequestScan::of(&headers);
            assert_eq!(found.host.as_ref(), headers.get("host"), "{fields:?}");
            assert_eq!((found.flags, found.user_agent), (HeaderFlags::of(&headers), None));
        }
    }
}
