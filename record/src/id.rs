//! Identity: producers, who number records, and request ids.
//!
//! A request id is a UUIDv7 (RFC 9562, section 5.7) whose 74 free bits hold the producer's tag and `seq`:
//!
//! ```text
//!  0                   48   52          64  66                                    128
//!  | unix milliseconds | 7 | high 12     | 2 | low 62                              |
//!                          '-------- 74 bits = F(tag (32) | seq (42)) -------------'
//! ```
//!
//! `F` is a fixed Feistel bijection, so that ids do not read as a counter. It is not a secret: time, tag and `seq`
//! can be computed from an id, so its record is found without an index.

use std::fmt;

use aws_lc_rs::digest;
use uuid::Uuid;

/// Bits of a request id that carry `seq`: 2^42 records last a producer for 70 years at 2,000 a second.
pub const SEQ_BITS: u32 = 42;
/// The largest `seq`.
pub const SEQ_MAX: i64 = (1 << SEQ_BITS) - 1;
/// Longest `node_id` in bytes.
pub const NODE_ID_BYTES_MAX: usize = 64;

const HALF_BITS: u32 = 37;
const HALF_MASK: u64 = (1 << HALF_BITS) - 1;
const TIME_MS_MAX: i64 = (1 << 48) - 1;

/// One odd constant a round: first digits of well-known irrational numbers, so that none was chosen for a purpose.
const ROUND_KEYS: [u64; 6] = [
    0x9e37_79b9_7f4a_7c15,
    0x6a09_e667_f3bc_c909,
    0xb7e1_5162_8aed_2a6b,
    0x2437_54a6_88d3_1319,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
];

/// The id of one request: time, producer and `seq` in a UUIDv7.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(Uuid);

/// Why a text is not a request id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IdError {
    /// The text is not a UUID.
    #[error("`{0}` is not a UUID; a request id reads like 0192f3c4-5b6a-7c8d-9e0f-a1b2c3d4e5f6")]
    NotUuid(String),
    /// The UUID has another version or variant.
    #[error("`{0}` is a UUID, but not of version 7; only ids made by the gateway can be looked up")]
    NotVersion7(String),
}

impl RequestId {
    /// Length of the text form in bytes.
    pub const TEXT_BYTES: usize = 36;

    /// The id of the request whose first byte arrived at `time_us` (microseconds since 1970) and that the producer with
    /// `producer_tag` numbered `seq`. Bits of `seq` past [`SEQ_MAX`] are lost; times outside of 1970 to 10889 are
    /// clamped.
    pub fn from_parts(time_us: i64, producer_tag: u32, seq: i64) -> Self {
        let time_ms = time_us.div_euclid(1000).clamp(0, TIME_MS_MAX) as u128;
        let plain = (u128::from(producer_tag) << SEQ_BITS) | (seq & SEQ_MAX) as u128;
        let free = scramble(plain);
        let high = free >> 62;
        let low = free & ((1 << 62) - 1);
        Self(Uuid::from_u128((time_ms << 80) | (7 << 76) | (high << 64) | (2 << 62) | low))
    }

    /// Parses the usual text forms of a UUID, in either case.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let shown = || text.chars().take(64).collect::<String>();
        let uuid = Uuid::try_parse(text.trim()).map_err(|_| IdError::NotUuid(shown()))?;
        let bits = uuid.as_u128();
        if (bits >> 76) & 0xf != 7 || (bits >> 62) & 0b11 != 2 {
            return Err(IdError::NotVersion7(shown()));
        }
        Ok(Self(uuid))
    }

    /// Returns when the request's first byte arrived, in milliseconds since 1970.
    pub fn time_ms(&self) -> i64 {
        (self.0.as_u128() >> 80) as i64
    }

    /// Returns the tag of the producer: see [`producer_tag`].
    pub fn producer_tag(&self) -> u32 {
        (self.plain() >> SEQ_BITS) as u32
    }

    /// Returns the producer's number of the record.
    pub fn seq(&self) -> i64 {
        (self.plain() as i64) & SEQ_MAX
    }

    /// Returns the 16 bytes of the id in network order.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Writes the 36 characters into `buffer` and returns them, without allocating.
    pub fn encode<'b>(&self, buffer: &'b mut [u8; Self::TEXT_BYTES]) -> &'b str {
        self.0.as_hyphenated().encode_lower(buffer)
    }

    fn plain(&self) -> u128 {
        let bits = self.0.as_u128();
        let high = (bits >> 64) & 0xfff;
        let low = bits & ((1 << 62) - 1);
        unscramble((high << 62) | low)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.0.as_hyphenated(), f)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The tag by which a request id names its producer: the first four bytes of SHA-256 of the producer's name.
pub fn producer_tag(producer: &str) -> u32 {
    let digest = digest::digest(&digest::SHA256, producer.as_bytes());
    let mut tag = [0; 4];
    tag.copy_from_slice(&digest.as_ref()[..4]);
    u32::from_be_bytes(tag)
}

/// A bijection of 74 bits: a balanced Feistel network over two halves of 37.
fn scramble(plain: u128) -> u128 {
    let (mut left, mut right) = halves(plain);
    for key in ROUND_KEYS {
        (left, right) = (right, left ^ round(right, key));
    }
    join(left, right)
}

/// The inverse of [`scramble`].
fn unscramble(free: u128) -> u128 {
    let (mut left, mut right) = halves(free);
    for key in ROUND_KEYS.into_iter().rev() {
        (left, right) = (right ^ round(left, key), left);
    }
    join(left, right)
}

fn halves(bits: u128) -> (u64, u64) {
    ((bits >> HALF_BITS) as u64 & HALF_MASK, bits as u64 & HALF_MASK)
}

fn join(left: u64, right: u64) -> u128 {
    (u128::from(left) << HALF_BITS) | u128::from(right)
}

/// The finalizer of SplitMix64, keyed and cut to a half.
fn round(half: u64, key: u64) -> u64 {
    let mut mixed = half.wrapping_add(key);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) & HALF_MASK
}

/// The name of a producer: one worker of one start of one node.
///
/// Its text is `node_id/start/worker`, with the start in microseconds since 1970 in lower-case hex, and the worker in
/// decimal. A name has exactly one text: leading zeros, signs and capitals are refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProducerName {
    /// The proxy instance: 1 to 64 of `A-Z a-z 0-9 . _ -`.
    pub node_id: String,
    /// When the process started, in microseconds since 1970.
    pub start_us: i64,
    /// Which worker of the process.
    pub worker: u32,
}

/// Why a text is not a producer's name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProducerError {
    /// The text does not have three parts.
    #[error("producer `{0}` must read node_id/start/worker")]
    Parts(String),
    /// The node id is malformed.
    #[error("node_id `{0}` must be 1 to 64 of A-Z, a-z, 0-9, dot, underscore and dash")]
    NodeId(String),
    /// The start is malformed.
    #[error("start `{0}` of the producer must be microseconds since 1970 in lower-case hex, without leading zeros")]
    Start(String),
    /// The worker is malformed.
    #[error("worker `{0}` of the producer must be a decimal number without leading zeros")]
    Worker(String),
}

impl ProducerName {
    /// Parses `node_id/start/worker`.
    pub fn parse(text: &str) -> Result<Self, ProducerError> {
        let shown = |part: &str| part.chars().take(64).collect::<String>();
        let mut parts = text.split('/');
        let (Some(node_id), Some(start), Some(worker), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(ProducerError::Parts(shown(text)));
        };
        if !is_node_id(node_id) {
            return Err(ProducerError::NodeId(shown(node_id)));
        }
        let start_us = i64::from_str_radix(start, 16)
            .ok()
            .filter(|us| format!("{us:x}") == start)
            .ok_or_else(|| ProducerError::Start(shown(start)))?;
        let worker = worker
            .parse::<u32>()
            .ok()
            .filter(|number| number.to_string() == worker)
            .ok_or_else(|| ProducerError::Worker(shown(worker)))?;
        Ok(Self { node_id: node_id.to_owned(), start_us, worker })
    }
}

/// Returns whether `text` is a valid node id: 1 to 64 of `A-Z a-z 0-9 . _ -`.
pub fn is_node_id(text: &str) -> bool {
    let fits = (1..=NODE_ID_BYTES_MAX).contains(&text.len());
    fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

impl fmt::Display for ProducerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:x}/{}", self.node_id, self.start_us, self.worker)
    }
}
