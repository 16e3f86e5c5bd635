//! Why a token, a key set or an issuer's answer is not taken.

use tollgate_record::vocabulary::AuthFailReason;

/// Why a presented token does not authenticate. No message holds a part of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// More bytes than [`TOKEN_BYTES_MAX`](crate::limits::TOKEN_BYTES_MAX).
    #[error("the token is longer than {} bytes", crate::limits::TOKEN_BYTES_MAX)]
    TooLong,
    /// It is no JWT: not three parts of base64url, or no JSON objects in them.
    #[error("the token is not a signed JWT (RFC 7519)")]
    NotJwt,
    /// The header demands an extension that is not understood (RFC 7515 section 4.1.11).
    #[error("the token's header has `crit` or `b64`, which are not understood")]
    Critical,
    /// The algorithm is not one of the provider's.
    #[error("the token's algorithm is not one of the provider's `algorithms`")]
    Algorithm,
    /// A claim that is required is not there.
    #[error("the token has no claim `{0}`")]
    NoClaim(&'static str),
    /// A claim has another type than it must have, or a value out of bounds.
    #[error("the token's claim `{0}` has a wrong type or value")]
    WrongClaim(&'static str),
    /// Another issuer's token.
    #[error("the token's `iss` is not the provider's `issuer`")]
    Issuer,
    /// A token for others.
    #[error("the token's `aud` has none of the provider's `audiences`")]
    Audience,
    /// Past `exp` and the skew.
    #[error("the token has expired")]
    Expired,
    /// Before `nbf` less the skew.
    #[error("the token is not valid yet")]
    NotYet,
    /// No key of the set has this id and fits the algorithm.
    #[error("no key of the provider has the token's `kid` and fits its algorithm")]
    UnknownKey,
    /// The signature is not of the key.
    #[error("the token's signature does not verify")]
    Signature,
    /// The issuer says that it is not active (RFC 7662).
    #[error("the issuer says that the token is not active")]
    Inactive,
}

impl TokenError {
    /// The reason in the record.
    #[must_use]
    pub fn reason(self) -> AuthFailReason {
        match self {
            Self::TooLong
            | Self::NotJwt
            | Self::Critical
            | Self::Algorithm
            | Self::NoClaim(_)
            | Self::WrongClaim(_) => AuthFailReason::Malformed,
            Self::Expired | Self::NotYet => AuthFailReason::Expired,
            Self::Signature => AuthFailReason::BadSignature,
            Self::Issuer | Self::Audience | Self::UnknownKey | Self::Inactive => AuthFailReason::Unknown,
        }
    }
}

/// Why an answer of an issuer cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// More bytes than the answer may have.
    #[error("the answer has more than {0} bytes")]
    TooLong(usize),
    /// It is not what it must be.
    #[error("the answer is not {0}")]
    NotJson(&'static str),
    /// More keys than a set may have.
    #[error("the set has more than {} keys", crate::limits::KEYS_MAX)]
    TooManyKeys,
    /// No key of the set can verify anything.
    #[error(
        "the set has no key that can verify a signature: RSA of 2048 to 8192 bits, P-256, P-384 or Ed25519, and not for encryption alone"
    )]
    NoKeys,
    /// The document is of another issuer (OpenID Connect Discovery 1.0 section 4.3).
    #[error("the document's `issuer` is not the configured one; write `issuer` exactly as the provider does")]
    OtherIssuer,
}
