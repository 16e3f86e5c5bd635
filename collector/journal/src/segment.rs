//! Names and headers of segment files.

use crate::error::JournalError;
use crate::little_endian::{u32_at, u64_at};

/// Bytes before the first frame of a segment.
pub const SEGMENT_HEADER_BYTES: usize = 64;
/// Version of the format that this build writes, and the only one that it reads.
pub const FORMAT_VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"TOLLGATE";
const SUFFIX: &str = ".seg";
/// Suffix of a segment that is being made; such files are deleted when the journal opens.
pub(crate) const UNBORN_SUFFIX: &str = ".seg.new";

/// Start value of the checksums in a segment.
///
/// The segment's first position determines it. A frame that was copied into another segment, or lies inside a payload,
/// then fails its checksum and is not taken for a frame of this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seed(pub u32);

impl Seed {
    pub(crate) fn of(first_position: u64) -> Self {
        Self(crc32c::crc32c(&first_position.to_le_bytes()))
    }
}

/// File name of the segment that starts at `first`.
pub(crate) fn name(first: u64) -> String {
    format!("{first:020}{SUFFIX}")
}

/// First position of a segment, from its file name.
pub(crate) fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// The header of a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Position of the first frame; equals the file's name.
    pub first: u64,
    /// Where the segment before it ended. Less than `first` when positions were skipped on purpose.
    pub continues_from: u64,
}

impl Header {
    pub(crate) fn encode(self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut out = [0; SEGMENT_HEADER_BYTES];
        out[..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        out[16..24].copy_from_slice(&self.first.to_le_bytes());
        out[24..32].copy_from_slice(&self.continues_from.to_le_bytes());
        let crc = crc32c::crc32c(&out[..60]);
        out[60..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// `Ok(None)` if the header is damaged: the frames behind it may still be good.
    pub(crate) fn decode(bytes: &[u8], first: u64) -> Result<Option<Self>, JournalError> {
        let Some(header) = bytes.first_chunk::<SEGMENT_HEADER_BYTES>() else { return Ok(None) };
        if header[..8] != *MAGIC || u32_at(header, 60) != crc32c::crc32c(&header[..60]) {
            return Ok(None);
        }
        let version = u32_at(header, 8);
        if version != FORMAT_VERSION {
            return Err(JournalError::Version { segment: name(first), version, supported: FORMAT_VERSION });
        }
        let decoded = Self { first: u64_at(header, 16), continues_from: u64_at(header, 24) };
        Ok((decoded.first == first).then_some(decoded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_positions_do() {
        assert_eq!(name(7), "00000000000000000007.seg");
        assert_eq!(first_of(&name(u64::MAX)), Some(u64::MAX));
        assert!(name(99) < name(100));
        for other in ["7.seg", "LOCK", "00000000000000000007.seg.new", "0000000000000000000x.seg"] {
            assert_eq!(first_of(other), None, "{other}");
        }
    }

    #[test]
    fn header_round_trip_and_damage() {
        let header = Header { first: 12, continues_from: 10 };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes, 12).expect("version"), Some(header));
        assert_eq!(Header::decode(&bytes, 13).expect("version"), None);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bad, 12).expect("damaged, not another version"), None, "bit {bit}");
        }
    }

    #[test]
    fn another_version_is_named() {
        let mut bytes = Header { first: 0, continues_from: 0 }.encode();
        bytes[8..12].copy_from_slice(&2u32.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        let error = Header::decode(&bytes, 0).expect_err("version 2");
        assert!(error.to_string().contains("format version 2"), "{error}");
    }
}
