//! Credentials: recorded as a keyed hash, which can be searched for and not used.

use std::fmt;

use aws_lc_rs::hmac;

/// The shortest secret in bytes: as long as the digest (RFC 2104, section 3).
pub const SECRET_BYTES_MIN: usize = 32;

/// Makes `token_hmac`: HMAC-SHA256 (RFC 2104) of a credential under a secret of the gateway.
///
/// The same credential under the same key gives the same 32 bytes, so a support engineer who was given a token can find its
/// transactions. The bytes do not reveal the token. Keys rotate, and each batch states the id of its key.
#[derive(Clone)]
pub struct TokenHasher {
    key_id: String,
    key: hmac::Key,
}

/// The secret is too short.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the secret of hmac key `{key_id}` has {bytes} bytes; give it at least 32 random ones, as from `openssl rand 32`"
)]
pub struct ShortSecret {
    key_id: String,
    bytes: usize,
}

impl TokenHasher {
    /// A hasher under `secret`, which the batches call `key_id`.
    pub fn new(key_id: &str, secret: &[u8]) -> Result<Self, ShortSecret> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(ShortSecret { key_id: key_id.to_owned(), bytes: secret.len() });
        }
        Ok(Self { key_id: key_id.to_owned(), key: hmac::Key::new(hmac::HMAC_SHA256, secret) })
    }

    /// Returns the id of the key.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Returns the hash of `credential`.
    pub fn hash(&self, credential: &[u8]) -> [u8; 32] {
        let tag = hmac::sign(&self.key, credential);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(tag.as_ref());
        bytes
    }
}

impl fmt::Debug for TokenHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the secret.
        f.debug_struct("TokenHasher").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}
