//! The memory of tokens that were verified, or refused by their issuer, by the SHA-256 of the whole token.

use std::sync::{Mutex, PoisonError};

use tollgate_proxy_token::Bounded;

/// Tokens of one provider.
pub const TOKENS_MAX: usize = 32_768;
/// Seconds for which a verified token is remembered, and never past its `exp`.
pub const TOKEN_AGE_MAX_S: u64 = 60;
/// Parts with a lock each, so that workers seldom wait for each other.
const SHARDS: usize = 16;

/// The memory.
#[derive(Debug)]
pub struct Tokens<V> {
    shards: [Mutex<Bounded<[u8; 32], V>>; SHARDS],
}

impl<V: Clone> Tokens<V> {
    /// An empty memory of at most `tokens_max`.
    #[must_use]
    pub fn new(tokens_max: usize) -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::new(Bounded::new(tokens_max / SHARDS))) }
    }

    /// What is known of a token at a time, in seconds since 1970.
    #[must_use]
    pub fn get(&self, fingerprint: &[u8; 32], now_s: u64) -> Option<V> {
        self.shard(fingerprint).lock().unwrap_or_else(PoisonError::into_inner).get(fingerprint, now_s).cloned()
    }

    /// Remembers what is known of a token until a time.
    pub fn put(&self, fingerprint: [u8; 32], known: V, until_s: u64, now_s: u64) {
        if until_s > now_s {
            let mut shard = self.shard(&fingerprint).lock().unwrap_or_else(PoisonError::into_inner);
            shard.put(fingerprint, known, until_s, now_s);
        }
    }

    /// Forgets every token, because the keys that signed them may have been withdrawn.
    pub fn clear(&self) {
        for shard in &self.shards {
            shard.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// Tokens that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    fn shard(&self, fingerprint: &[u8; 32]) -> &Mutex<Bounded<[u8; 32], V>> {
        &self.shards[usize::from(fingerprint[0]) % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_bounded_and_end_at_their_time() {
        let tokens = Tokens::new(320);
        for number in 0..10_000_u32 {
            let mut fingerprint = [0; 32];
            fingerprint[..4].copy_from_slice(&number.to_le_bytes());
            tokens.put(fingerprint, number, 160, 100);
            assert_eq!(tokens.get(&fingerprint, 159), Some(number));
            assert_eq!(tokens.get(&fingerprint, 160), None);
        }
        assert!(tokens.len() <= 320);
        tokens.put([9; 32], 1, 100, 100);
        assert_eq!(tokens.get(&[9; 32], 99), None, "what ends now is not remembered");
        tokens.clear();
        assert_eq!(tokens.len(), 0);
    }
}
