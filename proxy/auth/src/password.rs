//! HTTP Basic (RFC 7617) and the hashes of passwords.
//!
//! Hashes are argon2id in the PHC form. Verifying one takes tens of milliseconds and megabytes on purpose: it belongs on
//! a thread where nobody waits.

use std::fmt;

use argon2::password_hash::phc;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Argon2, Params};
use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use http::header::HeaderValue;

/// Bytes of name and password together.
pub const LOGIN_BYTES_MAX: usize = 1_024;
/// Least memory of a hash in KiB, and least memory times passes: the weakest settings that OWASP's cheat sheet on
/// password storage lists are 7 MiB in 5 passes, 9 in 4, 12 in 3, 19 in 2, 46 in 1.
const MEMORY_KIB_MIN: u32 = 7 * 1_024;
const MEMORY_PASSES_MIN: u64 = 35 * 1_024;
/// Most memory, passes and lanes: one login must not take the gateway's memory or a second of its time.
const MEMORY_KIB_MAX: u32 = 256 * 1_024;
const PASSES_MAX: u32 = 10;
const LANES_MAX: u32 = 4;

/// Padding may be missing: some clients leave it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The hash of a password.
#[derive(Clone)]
pub struct PasswordHash {
    hash: phc::PasswordHash,
    text: String,
    cost: u64,
}

/// What is wrong with the hash of a password. The text holds nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashFault {
    /// It is no argon2id hash: most likely the password itself.
    NoHash,
    /// Its parameters are too weak.
    Weak,
    /// Its parameters are too dear.
    Dear,
}

/// Name and password that a request presents.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub user: String,
    /// The password.
    pub password: Vec<u8>,
}

impl PasswordHash {
    /// Reads a hash as `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`.
    ///
    /// # Errors
    /// It is none, too weak, or too dear.
    pub fn parse(text: &str) -> Result<Self, HashFault> {
        let hash = phc::PasswordHash::new(text).map_err(|_| HashFault::NoHash)?;
        if hash.algorithm.as_str() != "argon2id" || hash.salt.is_none() || hash.hash.is_none() {
            return Err(HashFault::NoHash);
        }
        let params = Params::try_from(&hash).map_err(|_| HashFault::NoHash)?;
        let cost = u64::from(params.m_cost()) * u64::from(params.t_cost());
        if params.m_cost() < MEMORY_KIB_MIN || cost < MEMORY_PASSES_MIN {
            return Err(HashFault::Weak);
        }
        if params.m_cost() > MEMORY_KIB_MAX || params.t_cost() > PASSES_MAX || params.p_cost() > LANES_MAX {
            return Err(HashFault::Dear);
        }
        Ok(Self { hash, text: text.to_owned(), cost })
    }

    /// Hashes a password for a configuration file, with a random salt: 19 MiB in two passes.
    ///
    /// # Errors
    /// There is no randomness, or the password is longer than 4 GiB.
    pub fn of(password: &[u8]) -> Result<String, argon2::password_hash::Error> {
        Argon2::default().hash_password(password).map(|hash: phc::PasswordHash| hash.to_string())
    }

    /// Compares a password with the hash. Takes tens of milliseconds.
    #[must_use]
    pub fn is_of(&self, password: &[u8]) -> bool {
        Argon2::default().verify_password(password, &self.hash).is_ok()
    }

    /// The hash as it is written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What a comparison costs: KiB times passes.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.cost
    }
}

impl Credentials {
    /// Reads the value of Authorization; `None` = it has another scheme.
    ///
    /// # Errors
    /// Why it is malformed.
    #[must_use]
    pub fn parse(authorization: &HeaderValue) -> Option<Result<Self, &'static str>> {
        let bytes = authorization.as_bytes();
        let (scheme, token) = match bytes.iter().position(|byte| *byte == b' ') {
            Some(space) => (&bytes[..space], bytes[space..].trim_ascii()),
            None => (bytes, &[][..]),
        };
        scheme.eq_ignore_ascii_case(b"basic").then(|| Self::decode(token))
    }

    fn decode(token: &[u8]) -> Result<Self, &'static str> {
        if token.len() > LOGIN_BYTES_MAX * 4 / 3 + 4 {
            return Err("name and password are too long");
        }
        let plain = BASE64.decode(token).map_err(|_| "the credential is not base64")?;
        let colon = plain.iter().position(|byte| *byte == b':').ok_or("the credential has no colon")?;
        let (user, password) = (&plain[..colon], &plain[colon + 1..]);
        if plain.len() > LOGIN_BYTES_MAX {
            return Err("name and password are too long");
        }
        if plain.iter().any(u8::is_ascii_control) {
            return Err("name or password has control characters");
        }
        let user = std::str::from_utf8(user).map_err(|_| "the name is not UTF-8")?;
        Ok(Self { user: user.to_owned(), password: password.to_vec() })
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHash").field("cost", &self.cost).finish_non_exhaustive()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the password.
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl fmt::Display for HashFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoHash => {
                "this is no argon2id hash of a password; write what `tollgate-proxy hash password` prints, never the \
                 password itself"
            }
            Self::Weak => "the parameters of the hash are weak; hash the password again with at least m=19456,t=2,p=1",
            Self::Dear => {
                "the parameters of the hash are so dear that logins could stop the gateway; hash the password again \
                 with at most m=262144,t=10,p=4"
            }
        })
    }
}

#[cfg(test)]
mod tests;
