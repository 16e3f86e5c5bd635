//! The presented credential, as a keyed hash: enough to see reuse and to find it again, never to use it.

use http::header::{AUTHORIZATION, HeaderMap};

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

/// The credential after its scheme: `Bearer abc` → `abc`.
fn token_of(authorization: &[u8]) -> &[u8] {
    let token = authorization.iter().position(|b| *b == b' ').map_or(authorization, |space| &authorization[space..]);
    token.trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_no_part_of_the_credential() {
        assert_eq!(token_of(b"Bearer abc.def"), b"abc.def");
        assert_eq!(token_of(b"Basic  dTpw "), b"dTpw");
        assert_eq!(token_of(b"bare"), b"bare");
    }
}
