//! One look at each field of a head, so that the rest asks only for fields that may be there.
//!
//! A look-up hashes a name, and a head without surprises answers a dozen of them with no. Bits may say more than there
//! is (a name that merely looks like one of a kind, or a field that was removed since), and never less.

use http::HeaderMap;

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
/// What names the client's certificate.
pub const CLIENT_CERT: u32 = 1 << 12;
/// A name with `_` in it.
pub const UNDERSCORE: u32 = 1 << 13;
/// Every field that belongs to one connection.
pub const HOP_BY_HOP: u32 = TRANSFER_ENCODING | CONNECTION | UPGRADE | TE | OTHER_HOP;

/// What may be in a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Survey {
    /// Bytes of the fields and of the line that ends them, as HTTP/1.1 would write them.
    pub bytes: i64,
    kinds: u32,
}

impl Survey {
    /// Looks at every field.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let (mut bytes, mut kinds) = ("\r\n".len(), 0);
        for (name, value) in headers {
            let name = name.as_str();
            bytes += name.len() + value.len() + ": \r\n".len();
            kinds |= kind(name);
        }
        Self { bytes: bytes as i64, kinds }
    }

    /// Whether a field of these kinds may be there.
    #[must_use]
    pub fn may_have(self, kinds: u32) -> bool {
        self.kinds & kinds != 0
    }
}

fn kind(name: &str) -> u32 {
    let kind = match name.as_bytes() {
        b"transfer-encoding" => TRANSFER_ENCODING,
        b"content-length" => CONTENT_LENGTH,
        b"connection" => CONNECTION,
        b"upgrade" => UPGRADE,
        b"te" => TE,
        b"keep-alive" | b"proxy-connection" | b"proxy-authorization" | b"http2-settings" => OTHER_HOP,
        b"expect" => EXPECT,
        b"cookie" => COOKIE,
        b"user-agent" => USER_AGENT,
        b"x-correlation-id" | b"x-request-id" => CORRELATION,
        b"traceparent" => TRACEPARENT,
        b"forwarded" | b"x-real-ip" => FORWARDED,
        [b'x', b'-', b'f', ..] => FORWARDED,
        [b'x', b'-', b'c', ..] | [b'c', b'l', ..] => CLIENT_CERT,
        _ => 0,
    };
    let underscore = name.as_bytes().contains(&b'_');
    kind | if underscore { UNDERSCORE } else { 0 }
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
            ("x_forwarded_for", UNDERSCORE),
            ("content_length", UNDERSCORE),
        ];
        for (name, kind) in table {
            let mut headers = HeaderMap::new();
            headers.insert("accept", HeaderValue::from_static("*/*"));
            let plain = Survey::of(&headers);
            assert_eq!(plain, Survey { bytes: 13 + 2, kinds: 0 });
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
            let survey = Survey::of(&headers);
            assert!(survey.may_have(kind), "{name}");
            assert_eq!(survey.bytes, plain.bytes + name.len() as i64 + 5, "{name}");
        }
    }
}
