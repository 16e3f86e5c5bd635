//! The digest of a request's content (RFC 9530).

use aws_lc_rs::{constant_time, digest};
use http::header::HeaderMap;
use sfv::{BareItem, ListEntry};

use super::MessageError;
use super::signed::dictionary;

/// What a body must hash to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyDigest {
    sha512: bool,
    expected: Vec<u8>,
}

/// The digest of a body that passes.
pub struct DigestRunning {
    context: digest::Context,
    expected: Vec<u8>,
}

impl std::fmt::Debug for DigestRunning {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("DigestRunning")
    }
}

impl BodyDigest {
    /// Reads `Content-Digest`: SHA-512 if it is there, else SHA-256.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, MessageError> {
        let digests = dictionary(headers, "content-digest")?;
        for (name, sha512, bytes) in [("sha-512", true, 64), ("sha-256", false, 32)] {
            match digests.get(name) {
                None => {}
                Some(ListEntry::Item(item)) => match &item.bare_item {
                    BareItem::ByteSequence(expected) if expected.len() == bytes => {
                        return Ok(Self { sha512, expected: expected.clone() });
                    }
                    _ => return Err(MessageError::Malformed),
                },
                Some(_) => return Err(MessageError::Malformed),
            }
        }
        Err(MessageError::Malformed)
    }

    /// Begins to hash.
    #[must_use]
    pub fn begin(self) -> DigestRunning {
        let algorithm = if self.sha512 { &digest::SHA512 } else { &digest::SHA256 };
        DigestRunning { context: digest::Context::new(algorithm), expected: self.expected }
    }
}

impl DigestRunning {
    /// Takes the next bytes of the body.
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    /// Whether the whole body is the one that was signed.
    #[must_use]
    pub fn agrees(self) -> bool {
        constant_time::verify_slices_are_equal(self.context.finish().as_ref(), &self.expected).is_ok()
    }
}
