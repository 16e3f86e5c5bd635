//! An issuer for tests and benches: keys that sign what it is told to, valid or not.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A key with its id.
#[derive(Debug)]
pub struct Issuer {
    /// Id of the key.
    pub key_id: String,
    key: Private,
}

#[derive(Debug)]
enum Private {
    Rsa(Box<RsaKeyPair>),
    P256(Box<EcdsaKeyPair>),
}

/// base64url without padding.
#[must_use]
pub fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Issuer {
    /// An RSA key of 2,048 bits.
    ///
    /// # Panics
    /// The library cannot make one.
    #[must_use]
    pub fn rsa(key_id: &str) -> Self {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).expect("an RSA key");
        Self { key_id: key_id.into(), key: Private::Rsa(Box::new(key)) }
    }

    /// A key on P-256.
    ///
    /// # Panics
    /// The library cannot make one.
    #[must_use]
    pub fn p256(key_id: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a P-256 key");
        Self { key_id: key_id.into(), key: Private::P256(Box::new(key)) }
    }

    /// The name of its algorithm.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match self.key {
            Private::Rsa(_) => "RS256",
            Private::P256(_) => "ES256",
        }
    }

    /// Its public key, as a JWK.
    #[must_use]
    pub fn jwk(&self) -> Value {
        match &self.key {
            Private::Rsa(key) => {
                let parts = RsaPublicKeyComponents::<Vec<u8>>::from(key.public_key());
                json!({"kty": "RSA", "kid": self.key_id, "use": "sig", "n": encoded(parts.n), "e": encoded(parts.e)})
            }
            Private::P256(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": self.key_id, "x": encoded(x), "y": encoded(y)})
            }
        }
    }

    /// Its key set.
    #[must_use]
    pub fn key_set(&self) -> String {
        json!({"keys": [self.jwk()]}).to_string()
    }

    /// A token with these claims.
    #[must_use]
    pub fn token(&self, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm(), "kid": self.key_id, "typ": "JWT"});
        self.sign(&header.to_string(), &claims.to_string())
    }

    /// A token with this header and payload, whatever they are.
    ///
    /// # Panics
    /// The library cannot sign.
    #[must_use]
    pub fn sign(&self, header: &str, payload: &str) -> String {
        let message = format!("{}.{}", encoded(header), encoded(payload));
        let random = SystemRandom::new();
        let signature = match &self.key {
            Private::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).expect("a signature");
                signature
            }
            Private::P256(key) => key.sign(&random, message.as_bytes()).expect("a signature").as_ref().to_vec(),
        };
        format!("{message}.{}", encoded(signature))
    }
}
