//! Tokens in `Authorization: Bearer` (RFC 6750 section 2.1): whose they are, and what is known of them.
//!
//! A route may take the tokens of several issuers, signed and opaque. Each method then takes its own: a signed token is
//! of the method whose issuer it names, an opaque one of `oauth2`. A token that is none of the route's is every method's,
//! and is refused: it is never taken for no token at all.

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use tollgate_proxy_auth::Outcome;
use tollgate_proxy_token::{Head, TOKEN_BYTES_MAX, TokenError, fingerprint, looks_like_jwt};
use tollgate_record::vocabulary::{AuthFailReason, AuthPattern};

use super::{Callers, Presented, Step, TokenMethod};
use crate::providers::{Caller, Fault, Provider};

/// A token that nobody has verified yet.
#[derive(Debug)]
pub struct TokenCheck {
    callers: Arc<Callers>,
    provider: Arc<Provider>,
    pattern: AuthPattern,
    token: String,
    fingerprint: [u8; 32],
    now_s: u64,
}

/// Begins to verify a signed token.
pub(super) fn jwt(callers: &Arc<Callers>, method: &TokenMethod, request: &Presented<'_>) -> Step {
    let token = match bearer(request.headers) {
        Ok(Some(token)) => token,
        Ok(None) => return Step::Done(Outcome::Absent),
        Err(why) => return malformed(why),
    };
    if is_of_another(method, token) {
        return Step::Done(Outcome::Absent);
    }
    begin(callers, &method.provider, AuthPattern::Jwt, token, request)
}

/// Begins to ask about an opaque token.
pub(super) fn oauth2(callers: &Arc<Callers>, method: &TokenMethod, request: &Presented<'_>) -> Step {
    match bearer(request.headers) {
        Ok(Some(token)) if !method.other_issuers.is_empty() && looks_like_jwt(token) => Step::Done(Outcome::Absent),
        Ok(Some(token)) => begin(callers, &method.provider, AuthPattern::Oauth2, token, request),
        Ok(None) => Step::Done(Outcome::Absent),
        Err(why) => malformed(why),
    }
}

/// Whether a token is another method's of the route.
fn is_of_another(method: &TokenMethod, token: &str) -> bool {
    if !looks_like_jwt(token) {
        return method.opaque_elsewhere;
    }
    if method.other_issuers.is_empty() {
        return false;
    }
    let issuer = Head::parse(token).ok().and_then(|head| head.claimed_issuer());
    issuer.is_some_and(|issuer| method.other_issuers.iter().any(|other| **other == *issuer))
}

fn begin(
    callers: &Arc<Callers>,
    provider: &Arc<Provider>,
    pattern: AuthPattern,
    token: &str,
    request: &Presented<'_>,
) -> Step {
    if token.len() > TOKEN_BYTES_MAX {
        return Step::Done(refused(TokenError::TooLong));
    }
    let now_s = u64::try_from(request.now_us / 1_000_000).unwrap_or_default();
    let fingerprint = fingerprint(token.as_bytes());
    let known = match pattern {
        AuthPattern::Oauth2 => provider.answered.get(&fingerprint, now_s),
        _ => provider.verified.get(&fingerprint, now_s).map(Ok),
    };
    if let Some(known) = known {
        return Step::Done(outcome(callers, provider, pattern, known.map_err(Fault::Refused)));
    }
    let (callers, provider, token) = (callers.clone(), provider.clone(), token.to_owned());
    Step::Token(Box::new(TokenCheck { callers, provider, pattern, token, fingerprint, now_s }))
}

impl TokenCheck {
    /// Verifies the token, or asks its issuer.
    pub async fn outcome(self) -> Outcome {
        let Self { callers, provider, pattern, token, fingerprint, now_s } = self;
        let found = match pattern {
            AuthPattern::Oauth2 => provider.ask(token, fingerprint).await,
            _ => provider.verify(&token, fingerprint, now_s).await,
        };
        outcome(&callers, &provider, pattern, found)
    }
}

fn outcome(callers: &Callers, provider: &Provider, pattern: AuthPattern, found: Result<Arc<Caller>, Fault>) -> Outcome {
    match found {
        Ok(caller) => Outcome::Succeeded(Box::new(callers.owners.principal(pattern, provider, &caller))),
        Err(Fault::Refused(error)) => refused(error),
        Err(Fault::Unavailable(detail)) => Outcome::Unavailable(detail),
    }
}

fn refused(error: TokenError) -> Outcome {
    Outcome::failed(error.reason(), error.to_string())
}

fn malformed(why: &str) -> Step {
    Step::Done(Outcome::failed(AuthFailReason::Malformed, why))
}

/// The token of a request; `None` = there is none. The scheme is compared without case (RFC 9110 section 11.1).
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, &'static str> {
    const SCHEME: &str = "bearer";
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(first) = values.next() else { return Ok(None) };
    let bytes = first.as_bytes();
    let (scheme, rest) = bytes.split_at(SCHEME.len().min(bytes.len()));
    if !scheme.eq_ignore_ascii_case(SCHEME.as_bytes()) || rest.first().is_some_and(|byte| *byte != b' ') {
        return Ok(None);
    }
    if values.next().is_some() {
        return Err("the request has more than one Authorization field");
    }
    let token = std::str::from_utf8(rest).map_err(|_| "the token is not text")?.trim_matches(' ');
    // RFC 6750 section 2.1: b64token.
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    match !token.is_empty() && token.bytes().all(is_part) {
        true => Ok(Some(token)),
        false => Err("the bearer token has characters that no token has (RFC 6750)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_whatever_the_case_of_its_scheme() {
        let of = |value: &'static str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
            bearer(&headers).map(|token| token.map(str::to_owned))
        };
        for value in ["Bearer a.b-c", "bEARER  a.b-c", "Bearer a.b-c "] {
            assert_eq!(of(value), Ok(Some("a.b-c".to_owned())), "{value}");
        }
        for value in ["Basic YTpi", "Bear", "Bearers x", "", "Negotiate x"] {
            assert_eq!(of(value), Ok(None), "{value}");
        }
        for value in ["Bearer", "Bearer ", "Bearer a b", "Bearer a,b", "Bearer \"a\""] {
            assert!(of(value).is_err(), "{value}");
        }
        let value = || (AUTHORIZATION, "Bearer a".parse().unwrap());
        let mut twice = HeaderMap::from_iter([value()]);
        twice.append(AUTHORIZATION, value().1);
        assert!(bearer(&twice).is_err());
    }
}
