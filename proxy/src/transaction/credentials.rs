//! The presented credential as a keyed hash: enough to find it again and to see its reuse, never to use it.

use http::header::{AUTHORIZATION, HeaderMap, HeaderName};

use crate::plan::HmacConfig;

/// The keyed hash of the token in Authorization, else of the first API key header that is there.
#[must_use]
pub fn hash(config: Option<&HmacConfig>, headers: &HeaderMap) -> Option<[u8; 32]> {
    let config = config?;
    let presented = match headers.get(AUTHORIZATION) {
        Some(value) => Some(token_of(value.as_bytes())),
        None => config.api_key_headers.iter().find_map(|name| headers.get(name)).map(|value| value.as_bytes()),
    };
    presented.filter(|token| !token.is_empty()).map(|token| config.hasher.hash(token))
}

/// Whether a field's credential or challenge authenticates the connection, not the request alone: NTLM, and Negotiate
/// with some servers (RFC 4559 section 6). The next client on that upstream connection would be taken for this one.
#[must_use]
pub fn is_of_connection(headers: &HeaderMap, name: HeaderName) -> bool {
    let of_connection = |challenge: &[u8]| {
        let scheme = challenge.trim_ascii_start().split(|b| *b == b' ').next().unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate")
    };
    headers.get_all(name).iter().any(|value| value.as_bytes().split(|b| *b == b',').any(of_connection))
}

/// The credential after its scheme: `Bearer abc` → `abc`.
fn token_of(authorization: &[u8]) -> &[u8] {
    let token = authorization.iter().position(|b| *b == b' ').map_or(authorization, |space| &authorization[space..]);
    token.trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn schemes_that_authenticate_a_connection_are_told_from_others() {
        for (value, is) in [
            ("NTLM", true),
            ("negotiate YII=", true),
            ("Basic realm=\"a\", NTLM", true),
            ("Basic bmVnb3RpYXRl", false),
            ("Negotiated", false),
            ("Bearer ntlm", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
            assert_eq!(is_of_connection(&headers, AUTHORIZATION), is, "{value}");
        }
    }

    #[test]
    fn the_scheme_is_no_part_of_the_credential() {
        assert_eq!(token_of(b"Bearer abc.def"), b"abc.def");
        assert_eq!(token_of(b"Basic  dTpw "), b"dTpw");
        assert_eq!(token_of(b"bare"), b"bare");
    }
}
