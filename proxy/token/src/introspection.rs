//! Answers to token introspection (RFC 7662).

use serde_json::Value;

use crate::{AnswerError, ClaimRules, Claims, TokenError, json};

/// Bytes of an answer.
pub const INTROSPECTION_BYTES_MAX: usize = 64 * 1024;

/// Reads what an issuer says about a token, at a time in seconds since 1970: the claims of an active one, or why it is
/// not taken.
///
/// # Errors
/// It is no answer to an introspection: there is no verdict then, and the token may be good.
pub fn verdict(rules: &ClaimRules, body: &[u8], now_s: u64) -> Result<Result<Claims, TokenError>, AnswerError> {
    if body.len() > INTROSPECTION_BYTES_MAX {
        return Err(AnswerError::TooLong(INTROSPECTION_BYTES_MAX));
    }
    let not_an_answer = AnswerError::NotJson("an introspection's (RFC 7662 section 2.2)");
    let answer = json::object(body).ok_or(not_an_answer.clone())?;
    match answer.get("active") {
        Some(Value::Bool(true)) => Ok(rules.of_introspection(&answer, now_s)),
        Some(Value::Bool(false)) => Ok(Err(TokenError::Inactive)),
        _ => Err(not_an_answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_true_active_is_active_and_its_claims_are_checked() {
        let rules = ClaimRules {
            issuer: "https://idp".into(),
            audiences: Some(vec!["api".into()]),
            skew_s: 0,
            groups_claim: Some("scope".into()),
            consumer_claim: None,
        };
        let of = |body: &str| verdict(&rules, body.as_bytes(), 100);
        let good =
            of(r#"{"active":true,"aud":"api","client_id":"svc","scope":"read write","exp":100}"#).unwrap().unwrap();
        assert_eq!((good.client.as_deref(), good.groups.len(), good.expires_at_s), (Some("svc"), 2, Some(100)));
        assert_eq!(of(r#"{"active":false}"#), Ok(Err(TokenError::Inactive)));
        assert_eq!(of(r#"{"active":true,"aud":"api","exp":99}"#), Ok(Err(TokenError::Expired)));
        assert_eq!(of(r#"{"active":true,"aud":"other"}"#), Ok(Err(TokenError::Audience)));
        assert_eq!(of(r#"{"active":true}"#), Ok(Err(TokenError::NoClaim("aud"))));
        assert_eq!(of(r#"{"active":true,"aud":"api","iss":"https://else"}"#), Ok(Err(TokenError::Issuer)));
        assert_eq!(of(r#"{"active":true,"aud":"api","exp":"100"}"#), Ok(Err(TokenError::WrongClaim("exp"))));
        for none in [r#"{"active":"true"}"#, r#"{"active":1}"#, "{}", "", "<html>", r#"{"active":true,"active":false}"#]
        {
            assert!(of(none).is_err(), "{none} is no verdict");
        }
        assert!(of(&" ".repeat(INTROSPECTION_BYTES_MAX + 1)).is_err());
    }
}
