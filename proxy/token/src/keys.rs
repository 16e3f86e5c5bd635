//! Key sets (RFC 7517): the keys of an issuer that can verify a signature.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use serde_json::Value;

use crate::limits::KEYS_MAX;
use crate::{AnswerError, fingerprint, json};

/// Bytes of a key set.
pub const KEY_SET_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a key's id. A longer one matches no token.
pub const KEY_ID_BYTES_MAX: usize = 256;
/// Keys of one id that are tried for one token.
const CANDIDATES_MAX: usize = 4;
/// Bits of an RSA key.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Bits up to which an RSA signature should take less than 100 µs.
const RSA_BITS_CHEAP_MAX: usize = 3072;

const RSA: &[Algorithm] =
    &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// A key that can verify a signature. The key decides which algorithms it is for, never the token.
#[derive(Debug, Clone)]
pub struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    pub(crate) key: DecodingKey,
    cheap: bool,
}

/// The keys of one issuer.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    /// Of the bytes that it was read from.
    fingerprint: [u8; 32],
    /// Keys that cannot verify: symmetric ones, those for encryption, unknown curves, too short ones.
    pub unusable: usize,
}

impl KeySet {
    /// Reads a set. Keys that cannot verify are left out (RFC 7517 section 5), and counted.
    ///
    /// # Errors
    /// It is no set, passes a bound, or has no key that can verify.
    pub fn parse(bytes: &[u8]) -> Result<Self, AnswerError> {
        if bytes.len() > KEY_SET_BYTES_MAX {
            return Err(AnswerError::TooLong(KEY_SET_BYTES_MAX));
        }
        let not_a_set = AnswerError::NotJson("a JWK set (RFC 7517 section 5)");
        let mut object = json::object(bytes).ok_or(not_a_set.clone())?;
        let Some(Value::Array(listed)) = object.remove("keys") else { return Err(not_a_set) };
        if listed.len() > KEYS_MAX {
            return Err(AnswerError::TooManyKeys);
        }
        let all = listed.len();
        let keys: Vec<Key> = listed.into_iter().filter_map(Key::parse).collect();
        match keys.is_empty() {
            true => Err(AnswerError::NoKeys),
            false => Ok(Self { unusable: all - keys.len(), keys, fingerprint: fingerprint(bytes) }),
        }
    }

    /// Whether both were read from the same bytes.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }

    /// How many keys can verify.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key, as before the first set is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that may have signed a token with this header. Without an id only a set with one fitting key decides.
    #[must_use]
    pub fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<&Key> {
        let fits = |key: &&Key| key.algorithms.contains(&algorithm) && (id.is_none() || key.id.as_deref() == id);
        let found: Vec<&Key> = self.keys.iter().filter(fits).take(CANDIDATES_MAX).collect();
        match (id, found.len()) {
            (None, 2..) => Vec::new(),
            _ => found,
        }
    }
}

impl Key {
    /// Whether a signature should take less than 100 µs to verify, by its kind.
    #[must_use]
    pub fn is_cheap(&self) -> bool {
        self.cheap
    }

    fn parse(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let common = &jwk.common;
        if matches!(&common.public_key_use, Some(usage) if *usage != PublicKeyUse::Signature)
            || matches!(&common.key_operations, Some(operations) if !operations.contains(&KeyOperations::Verify))
        {
            return None;
        }
        let (fitting, mut cheap): (&[Algorithm], bool) = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => (RSA, true),
            AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
                EllipticCurve::P256 => (&[Algorithm::ES256], true),
                EllipticCurve::P384 => (&[Algorithm::ES384], false),
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
                (&[Algorithm::EdDSA], true)
            }
            _ => return None,
        };
        let declared = |algorithm: &&Algorithm| match common.key_algorithm {
            Some(declared) => KeyAlgorithm::from(**algorithm) == declared,
            None => true,
        };
        let algorithms: Vec<Algorithm> = fitting.iter().filter(declared).copied().collect();
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        if let DecodingKeyKind::RsaModulusExponent { n, .. } = key.kind() {
            let bits = bits(n);
            cheap = bits <= RSA_BITS_CHEAP_MAX;
            if !RSA_BITS.contains(&bits) {
                return None;
            }
        }
        let id = jwk.common.key_id.filter(|id| id.len() <= KEY_ID_BYTES_MAX);
        (!algorithms.is_empty()).then_some(Self { id, algorithms, key, cheap })
    }
}

fn bits(modulus: &[u8]) -> usize {
    let significant = modulus.iter().skip_while(|byte| **byte == 0);
    let (first, count) = (significant.clone().next(), significant.count());
    first.map_or(0, |first| count * 8 - first.leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_cannot_verify_are_left_out_and_counted() {
        let ed = r#"{"kty":"OKP","crv":"Ed25519","kid":"e","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let others = [
            r#"{"kty":"oct","kid":"h","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}"#,
            r#"{"kty":"RSA","kid":"short","n":"AQAB","e":"AQAB"}"#,
            r#"{"kty":"EC","crv":"P-521","kid":"c","x":"AA","y":"AA"}"#,
            r#"{"kty":"OKP","crv":"X25519","kid":"x","x":"AA"}"#,
            r#"{"kty":"OKP","crv":"Ed25519","use":"enc","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
            r#"{"kty":"OKP","crv":"Ed25519","alg":"RS256","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
            r#"{"kty":"OKP","crv":"Ed25519","key_ops":["sign"],"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
            r#"{"kty":"future"}"#,
            "7",
        ];
        let set = KeySet::parse(format!(r#"{{"keys":[{ed},{}]}}"#, others.join(",")).as_bytes()).unwrap();
        assert_eq!((set.len(), set.unusable), (1, others.len()));
        assert_eq!(set.candidates(Some("e"), Algorithm::EdDSA).len(), 1);
        assert!(set.candidates(Some("e"), Algorithm::ES256).is_empty(), "the key decides the algorithm");
        let none = format!(r#"{{"keys":[{}]}}"#, others.join(","));
        assert_eq!(KeySet::parse(none.as_bytes()).unwrap_err(), AnswerError::NoKeys);
    }

    #[test]
    fn a_set_is_bounded_in_bytes_and_keys() {
        let ed = r#"{"kty":"OKP","crv":"Ed25519","kid":"e","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let of = |count: usize| format!(r#"{{"keys":[{}]}}"#, vec![ed; count].join(","));
        assert_eq!(KeySet::parse(of(KEYS_MAX).as_bytes()).unwrap().len(), KEYS_MAX);
        assert_eq!(KeySet::parse(of(KEYS_MAX + 1).as_bytes()).unwrap_err(), AnswerError::TooManyKeys);
        let long = format!("{}{}", of(1), " ".repeat(KEY_SET_BYTES_MAX));
        assert_eq!(KeySet::parse(long.as_bytes()).unwrap_err(), AnswerError::TooLong(KEY_SET_BYTES_MAX));
    }

    #[test]
    fn without_an_id_only_a_single_fitting_key_decides() {
        let ed = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let one = KeySet::parse(format!(r#"{{"keys":[{ed}]}}"#).as_bytes()).unwrap();
        assert_eq!(one.candidates(None, Algorithm::EdDSA).len(), 1);
        let two = KeySet::parse(format!(r#"{{"keys":[{ed},{ed}]}}"#).as_bytes()).unwrap();
        assert!(two.candidates(None, Algorithm::EdDSA).is_empty());
    }
}
