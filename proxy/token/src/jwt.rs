//! Signed JWTs (RFC 7519, RFC 7515).
//!
//! ```text
//! Jwt::parse ─▶ header: alg, kid; no crit        (no key needed: who is asked, and with which key)
//!     verify ─▶ a key of the set that fits ─▶ signature ─▶ claims ─▶ Verified
//! ```
//! Keys come from the provider's set alone: `jwk`, `jku`, `x5c` and `x5u` of the header are read by nobody.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::Value;

use crate::claims::is_name;
use crate::limits::TOKEN_BYTES_MAX;
use crate::{ClaimRules, Claims, Key, KeySet, TokenError, json};

/// Asymmetric algorithms. There is no other: a symmetric one would take a public key for a secret.
const ALGORITHMS: [(&str, Algorithm); 9] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

/// The algorithm of a name, if it is one that tokens may have.
#[must_use]
pub fn algorithm(name: &str) -> Option<Algorithm> {
    ALGORITHMS.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
}

/// Names of the algorithms that tokens may have.
pub fn algorithm_names() -> impl Iterator<Item = &'static str> {
    ALGORITHMS.iter().map(|(name, _)| *name)
}

/// Whether a token has the form of a JWT. What has not is opaque, and only its issuer knows what it says.
#[must_use]
pub fn looks_like_jwt(token: &str) -> bool {
    let mut parts = token.split('.');
    let header = parts.next().unwrap_or_default();
    parts.count() == 2 && header.starts_with("eyJ")
}

/// A provider's tokens: algorithms and claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRules {
    /// Algorithms that are accepted.
    pub algorithms: Vec<Algorithm>,
    /// What the claims must be like.
    pub claims: ClaimRules,
}

/// A token whose header is read, and of which nothing is verified.
#[derive(Debug, Clone, Copy)]
pub struct Jwt<'a> {
    token: &'a str,
    /// Where the payload begins, and where the signature.
    parts: (usize, usize),
    algorithm: Algorithm,
}

/// A parsed token with its key id.
#[derive(Debug, Clone)]
pub struct Head<'a> {
    jwt: Jwt<'a>,
    /// Id of the key that signed.
    pub key_id: Option<String>,
}

/// A verified token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Id of the key that signed.
    pub key_id: Option<String>,
    /// What the token says.
    pub claims: Claims,
}

impl<'a> Head<'a> {
    /// Reads a token's header.
    ///
    /// # Errors
    /// The token is no JWT, has an extension that is not understood, or an algorithm that no token may have.
    pub fn parse(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let (header, rest) = token.split_once('.').ok_or(TokenError::NotJwt)?;
        let (payload, signature) = rest.split_once('.').ok_or(TokenError::NotJwt)?;
        if signature.contains('.') || payload.is_empty() {
            return Err(TokenError::NotJwt);
        }
        let header = decoded(header).and_then(|bytes| json::object(&bytes)).ok_or(TokenError::NotJwt)?;
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err(TokenError::Critical);
        }
        let named = header.get("alg").and_then(Value::as_str).ok_or(TokenError::NotJwt)?;
        let algorithm = algorithm(named).ok_or(TokenError::Algorithm)?;
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) if is_name(id) => Some(id.clone()),
            Some(_) => return Err(TokenError::NotJwt),
        };
        let payload_at = token.len() - rest.len();
        let jwt = Jwt { token, parts: (payload_at, token.len() - signature.len()), algorithm };
        Ok(Self { jwt, key_id })
    }

    /// The issuer that the token names. It decides who is asked, and proves nothing.
    #[must_use]
    pub fn claimed_issuer(&self) -> Option<String> {
        match json::object(&decoded(self.jwt.payload())?)?.remove("iss") {
            Some(Value::String(issuer)) => Some(issuer),
            _ => None,
        }
    }

    /// The keys of a set that may have signed the token.
    ///
    /// # Errors
    /// The provider does not accept the algorithm, or no key fits.
    pub fn keys<'k>(&self, rules: &TokenRules, keys: &'k KeySet) -> Result<Vec<&'k Key>, TokenError> {
        if !rules.algorithms.contains(&self.jwt.algorithm) {
            return Err(TokenError::Algorithm);
        }
        let found = keys.candidates(self.key_id.as_deref(), self.jwt.algorithm);
        if found.is_empty() { Err(TokenError::UnknownKey) } else { Ok(found) }
    }

    /// Verifies the token against a set of keys at a time, in seconds since 1970.
    ///
    /// # Errors
    /// The token is not valid.
    pub fn verify(self, rules: &TokenRules, keys: &KeySet, now_s: u64) -> Result<Verified, TokenError> {
        let found = self.keys(rules, keys)?;
        if !found.iter().any(|key| self.jwt.is_signed_by(key)) {
            return Err(TokenError::Signature);
        }
        let claims = decoded(self.jwt.payload()).and_then(|bytes| json::object(&bytes)).ok_or(TokenError::NotJwt)?;
        Ok(Verified { claims: rules.claims.of_jwt(&claims, now_s)?, key_id: self.key_id })
    }
}

impl Jwt<'_> {
    fn payload(&self) -> &str {
        &self.token[self.parts.0..self.parts.1 - 1]
    }

    fn is_signed_by(&self, key: &Key) -> bool {
        let (message, signature) = (&self.token[..self.parts.1 - 1], &self.token[self.parts.1..]);
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.key, self.algorithm).unwrap_or(false)
    }
}

fn decoded(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}
