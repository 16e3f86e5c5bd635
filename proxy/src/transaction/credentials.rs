//! The presented credential, as a keyed hash: enough to see reuse and to find it again, never to use it.

use http::header::{AUTHORIZATION, HeaderMap, HeaderName};

use crate::config::HmacPlan;
use crate::transaction::Transaction;

/// Notes the hash of what the request presents: the token of Authorization, else the first API key header there is.
pub fn take(transaction: &mut Transaction, plan: Option<&HmacPlan>, headers: &HeaderMap) {
    let Some(plan) = plan else { return };
    let presented = match headers.get(AUTHORIZATION) {
        Some(value) => Some(token_of(value.as_bytes())),
        None => plan.api_key_headers.iter().find_map(|name| headers.get(name)).map(|value| value.as_bytes()),
    };
    if let Some(token) = presented.filter(|token| !token.is_empty()) {
        transaction.auth.token_hmac = Some(plan.hasher.hash(token));
    }
}

/// Whether a field's credential or challenge is for the connection, and not for the request alone: NTLM, and Negotiate as
/// some servers have it (RFC 4559 section 6). Whoever came next on that connection would be taken for this client.
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
