//! Tokens and signatures: what they say about the caller, and whether it is true. No I/O, no threads, no clock.
//!
//! ```text
//! Authorization: Bearer … ─▶ Head::parse ─▶ verify(rules, KeySet, now) ─▶ Verified { Claims }
//!                            an opaque one ─▶ (the issuer is asked) ─▶ introspection::verdict ─▶ Claims
//! Signature, Signature-Input ─▶ message::Signed ─▶ verify(secret, now) ─▶ replayed? ─▶ content digest
//! ```
//! * [`KeySet`] holds an issuer's keys; [`discovery`] says where they are. The key decides the algorithm.
//! * [`TokenRules`] are a provider's: issuer, audiences, algorithms, skew, where groups and the consumer stand.
//! * [`message`] verifies signatures over requests (RFC 9421) with a shared secret.
//! * [`Bounded`] is the memory of verified tokens, unknown keys and signatures that were seen.
//!
//! Limits: [`TOKEN_BYTES_MAX`], [`KEY_SET_BYTES_MAX`], [`KEYS_MAX`], [`GROUPS_MAX`], [`NAME_BYTES_MAX`],
//! [`introspection::INTROSPECTION_BYTES_MAX`], [`discovery::DISCOVERY_BYTES_MAX`], [`message::FIELD_BYTES_MAX`].
//!
//! Invariants: no message of an error holds a part of a token, secret or signature. A token in which an object names a
//! key twice is refused, whatever its signature.

mod bounded;
mod claims;
pub mod discovery;
mod error;
pub mod introspection;
mod json;
mod jwt;
mod keys;
mod limits;
pub mod message;
#[cfg(any(test, fuzzing))]
pub mod promises;
#[cfg(feature = "testkit")]
pub mod testkit;

pub use bounded::Bounded;
pub use claims::{ClaimRules, Claims, GROUPS_MAX, NAME_BYTES_MAX};
pub use error::{AnswerError, TokenError};
pub use jsonwebtoken::Algorithm;
pub use jwt::{Head, TokenRules, Verified, algorithm, algorithm_names, looks_like_jwt};
pub use keys::{KEY_ID_BYTES_MAX, KEY_SET_BYTES_MAX, Key, KeySet};
pub use limits::{KEYS_MAX, TOKEN_BYTES_MAX};

/// The SHA-256 of a credential, under which it is remembered.
#[must_use]
pub fn fingerprint(credential: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, credential);
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest.as_ref());
    fingerprint
}
