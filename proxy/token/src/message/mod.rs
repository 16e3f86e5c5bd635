//! Signatures over requests with a shared secret (RFC 9421, `hmac-sha256`).
//!
//! ```text
//! Signature-Input: sig1=("@method" "@target-uri" "content-digest");created=1718;keyid="h1";nonce="…"
//! Signature:       sig1=:base64:
//!
//! parse ─▶ coverage ─▶ signature base ─▶ Signed ── verify(secret, now) ─▶ Proof ─▶ Replays::note, BodyDigest
//! ```
//! A signature is only worth what it covers. Required are the method, the whole target with its authority, a time, and
//! the content's digest if there is a body: `@method`; `@target-uri`, or `@authority` with `@request-target` or with
//! `@path` and `@query`; `created` or the field `date`; `content-digest` (RFC 9530).
//!
//! Left out, because no deployment was found that needs it for requests: parameters of components (`;sf`, `;key`,
//! `;bs`, `;req`, `;tr`), `@query-param` and `@status`. A signature that covers one is refused as malformed.

mod base;
mod digest;
mod replay;
mod signed;

pub use base::Request;
pub use digest::{BodyDigest, DigestRunning};
pub use replay::{ReplayError, Replays};
pub use signed::{Proof, Secret, Signed, is_presented, parse};

/// Bytes of `Signature-Input`, of `Signature` and of each covered field, with all its values.
pub const FIELD_BYTES_MAX: usize = 8 * 1024;
/// Signatures of one request.
pub const SIGNATURES_MAX: usize = 4;
/// Components that one signature covers.
pub const COMPONENTS_MAX: usize = 32;
/// Least bytes of a secret.
pub const SECRET_BYTES_MIN: usize = 32;

/// Why a signature does not authenticate a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The fields are no signature, or pass a bound.
    #[error("`Signature-Input` and `Signature` are no signature that is understood (RFC 9421)")]
    Malformed,
    /// Something that must be covered is not.
    #[error("the signature does not cover {0}")]
    NotCovered(&'static str),
    /// A covered field is not there.
    #[error("a field that the signature covers is not in the request")]
    NoField,
    /// Another algorithm.
    #[error("the signature's algorithm is not `hmac-sha256`")]
    Algorithm,
    /// Too old, or past its `expires`.
    #[error("the signature is too old")]
    Expired,
    /// From the future.
    #[error("the signature is of a time to come")]
    NotYet,
    /// The signature is not of the secret.
    #[error("the signature does not verify")]
    Signature,
}

impl MessageError {
    /// The reason in the record.
    #[must_use]
    pub fn reason(self) -> tollgate_record::vocabulary::AuthFailReason {
        use tollgate_record::vocabulary::AuthFailReason;
        match self {
            Self::Malformed | Self::NotCovered(_) | Self::NoField | Self::Algorithm => AuthFailReason::Malformed,
            Self::Expired | Self::NotYet => AuthFailReason::Expired,
            Self::Signature => AuthFailReason::BadSignature,
        }
    }
}

#[cfg(test)]
mod tests;
