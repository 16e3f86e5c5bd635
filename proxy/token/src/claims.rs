//! Claims: what a provider's rules ask of them, and what they say about the caller.
//!
//! The times are checked here, not by `jsonwebtoken`, because its clock cannot be set, and so neither the edge of the
//! skew nor an introspection's answer could be checked with it.

use serde_json::{Map, Value};

use crate::TokenError;

/// Groups of one token.
pub const GROUPS_MAX: usize = 1_000;
/// Bytes of a name in a token: subject, client, group.
pub const NAME_BYTES_MAX: usize = 256;

/// What a provider's tokens must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRules {
    /// Compared exactly with `iss`.
    pub issuer: String,
    /// One of them must be in `aud`; `None` = the check is off.
    pub audiences: Option<Vec<String>>,
    /// Seconds by which the clocks of the issuer and of this machine may differ.
    pub skew_s: u64,
    /// Claim with the groups: its name, or a path with dots.
    pub groups_claim: Option<String>,
    /// Claim that names the consumer.
    pub consumer_claim: Option<String>,
}

/// What a valid token says about the caller.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims {
    /// `sub`.
    pub subject: Option<String>,
    /// `azp`, else `client_id`.
    pub client: Option<String>,
    /// Value of the consumer claim.
    pub consumer: Option<String>,
    /// Values of the groups claim, in order, each once.
    pub groups: Vec<String>,
    /// `exp`, in seconds since 1970.
    pub expires_at_s: Option<u64>,
}

impl ClaimRules {
    /// Checks the claims of a signed token at a time, in seconds since 1970.
    ///
    /// # Errors
    /// `iss`, `aud` or `exp` is absent or wrong, or another claim has a wrong type.
    pub fn of_jwt(&self, claims: &Map<String, Value>, now_s: u64) -> Result<Claims, TokenError> {
        match claims.get("iss") {
            None => return Err(TokenError::NoClaim("iss")),
            Some(Value::String(issuer)) if *issuer == self.issuer => {}
            Some(Value::String(_)) => return Err(TokenError::Issuer),
            Some(_) => return Err(TokenError::WrongClaim("iss")),
        }
        if !claims.contains_key("exp") {
            return Err(TokenError::NoClaim("exp"));
        }
        self.check(claims, now_s)
    }

    /// Checks the claims of an introspection's answer, in which `iss` and `exp` are optional (RFC 7662 section 2.2).
    pub(crate) fn of_introspection(&self, claims: &Map<String, Value>, now_s: u64) -> Result<Claims, TokenError> {
        match claims.get("iss") {
            Some(issuer) if issuer.as_str() != Some(&self.issuer) => Err(TokenError::Issuer),
            _ => self.check(claims, now_s),
        }
    }

    fn check(&self, claims: &Map<String, Value>, now_s: u64) -> Result<Claims, TokenError> {
        self.check_audience(claims)?;
        let expires_at_s = time(claims, "exp")?;
        if expires_at_s.is_some_and(|exp| now_s > exp.saturating_add(self.skew_s)) {
            return Err(TokenError::Expired);
        }
        if time(claims, "nbf")?.is_some_and(|nbf| now_s.saturating_add(self.skew_s) < nbf) {
            return Err(TokenError::NotYet);
        }
        let client = match text(claims.get("azp"), "azp")? {
            None => text(claims.get("client_id"), "client_id")?,
            found => found,
        };
        let consumer = self.consumer_claim.as_deref().and_then(|path| at(claims, path));
        Ok(Claims {
            subject: text(claims.get("sub"), "sub")?,
            client,
            consumer: text(consumer, "consumer_claim")?,
            groups: self.groups_claim.as_deref().map_or(Ok(Vec::new()), |path| groups(at(claims, path)))?,
            expires_at_s,
        })
    }

    fn check_audience(&self, claims: &Map<String, Value>) -> Result<(), TokenError> {
        let Some(wanted) = &self.audiences else { return Ok(()) };
        let is_wanted = |name: &str| wanted.iter().any(|wanted| wanted == name);
        match claims.get("aud") {
            None => Err(TokenError::NoClaim("aud")),
            Some(Value::String(name)) if is_wanted(name) => Ok(()),
            Some(Value::String(_)) => Err(TokenError::Audience),
            Some(Value::Array(names)) if names.iter().all(Value::is_string) => {
                match names.iter().filter_map(Value::as_str).any(is_wanted) {
                    true => Ok(()),
                    false => Err(TokenError::Audience),
                }
            }
            Some(_) => Err(TokenError::WrongClaim("aud")),
        }
    }
}

/// A NumericDate (RFC 7519 section 2): a number, which may have a fraction, never a text.
fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<u64>, TokenError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let whole = value.as_u64();
    let fraction = || value.as_f64().filter(|time| (0.0..1e15).contains(time)).map(|time| time as u64);
    whole.or_else(fraction).map(Some).ok_or(TokenError::WrongClaim(name))
}

/// A name. Control characters and the like would be shown to people and sent in fields, so that they are refused.
fn text(value: Option<&Value>, name: &'static str) -> Result<Option<String>, TokenError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if is_name(text) => Ok(Some(text.clone())),
        Some(_) => Err(TokenError::WrongClaim(name)),
    }
}

pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.chars().any(char::is_control)
}

/// A claim by its name, which may itself have dots, or by a path with dots.
fn at<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let (first, rest) = path.split_once('.')?;
    at(claims.get(first)?.as_object()?, rest)
}

/// A list of names, or one text that is split at blanks, as `scope` is.
fn groups(value: Option<&Value>) -> Result<Vec<String>, TokenError> {
    let wrong = TokenError::WrongClaim("groups_claim");
    let names: Vec<&str> = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::String(text)) => text.split_ascii_whitespace().collect(),
        Some(Value::Array(names)) => names.iter().map(Value::as_str).collect::<Option<_>>().ok_or(wrong)?,
        Some(_) => return Err(wrong),
    };
    if names.len() > GROUPS_MAX || !names.iter().all(|name| is_name(name)) {
        return Err(wrong);
    }
    let mut groups: Vec<String> = Vec::with_capacity(names.len());
    for name in names {
        if !groups.iter().any(|group| group == name) {
            groups.push(name.to_owned());
        }
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules() -> ClaimRules {
        ClaimRules {
            issuer: "https://idp".into(),
            audiences: Some(vec!["api".into(), "api2".into()]),
            skew_s: 30,
            groups_claim: Some("realm_access.roles".into()),
            consumer_claim: Some("azp".into()),
        }
    }

    fn check(rules: &ClaimRules, claims: Value, now_s: u64) -> Result<Claims, TokenError> {
        rules.of_jwt(claims.as_object().unwrap(), now_s)
    }

    #[test]
    fn the_skew_is_allowed_and_a_second_more_is_not() {
        let claims = json!({"iss": "https://idp", "aud": "api", "exp": 1_000, "nbf": 500});
        let at = |now_s| check(&rules(), claims.clone(), now_s).map(|_| ());
        assert_eq!(at(1_030), Ok(()));
        assert_eq!(at(1_031), Err(TokenError::Expired));
        assert_eq!(at(470), Ok(()));
        assert_eq!(at(469), Err(TokenError::NotYet));
        let far = json!({"iss": "https://idp", "aud": "api", "exp": u64::MAX});
        assert!(check(&rules(), far, 1).is_ok(), "no overflow");
    }

    #[test]
    fn groups_come_from_a_path_a_dotted_name_a_list_or_a_text() {
        let base = |name: &str, value: Value| {
            let mut claims = json!({"iss": "https://idp", "aud": ["x", "api2"], "exp": 1_000, "azp": "svc"});
            claims[name] = value;
            claims
        };
        let of = |path: &str, claims: Value| {
            let rules = ClaimRules { groups_claim: Some(path.into()), ..rules() };
            check(&rules, claims, 1).map(|claims| claims.groups)
        };
        let ab = Ok(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(of("realm_access.roles", base("realm_access", json!({"roles": ["a", "b", "a"]}))), ab);
        assert_eq!(of("https://acme.example/roles", base("https://acme.example/roles", json!(["a", "b"]))), ab);
        assert_eq!(of("scope", base("scope", json!("a b"))), ab);
        assert_eq!(of("scope", base("other", json!("a b"))), Ok(vec![]));
        for wrong in [json!([1]), json!({"a": 1}), json!(7), json!(["a\u{7}"]), json!([""]), json!(["a".repeat(257)])] {
            assert_eq!(of("scope", base("scope", wrong)), Err(TokenError::WrongClaim("groups_claim")));
        }
        let many: Vec<String> = (0..=GROUPS_MAX).map(|n| n.to_string()).collect();
        assert_eq!(of("scope", base("scope", json!(many))), Err(TokenError::WrongClaim("groups_claim")));
    }

    #[test]
    fn audiences_are_required_unless_the_check_is_off() {
        let claims = |aud: Value| json!({"iss": "https://idp", "aud": aud, "exp": 1_000});
        assert_eq!(check(&rules(), claims(json!("other")), 1), Err(TokenError::Audience));
        assert_eq!(check(&rules(), claims(json!([])), 1), Err(TokenError::Audience));
        assert_eq!(check(&rules(), claims(json!(["api", 1])), 1), Err(TokenError::WrongClaim("aud")));
        assert_eq!(check(&rules(), claims(Value::Null), 1), Err(TokenError::WrongClaim("aud")));
        let off = ClaimRules { audiences: None, ..rules() };
        assert!(check(&off, json!({"iss": "https://idp", "exp": 1_000}), 1).is_ok());
        assert_eq!(check(&rules(), json!({"iss": "https://idp", "exp": 1_000}), 1), Err(TokenError::NoClaim("aud")));
    }
}
