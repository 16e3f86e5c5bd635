//! One frame: its bytes, written and read.

use std::sync::Arc;

use bytes::Bytes;

use crate::little_endian::{u32_at, u64_at};
use crate::segment::Seed;

/// Bytes before the producer's name. Frames start at multiples of [`FRAME_ALIGN`].
pub const FRAME_HEADER_BYTES: usize = 64;
/// Frames are padded with zeros to this, so that a scan for the next good one need not look at every byte.
pub const FRAME_ALIGN: usize = 8;
/// No longer frame is written or believed.
pub const FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest name of a producer.
pub const PRODUCER_BYTES_MAX: usize = 128;

const MAGIC: u32 = u32::from_le_bytes(*b"TGfr");

/// A batch to append, byte for byte, with the facts that its frame carries.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The producer that numbered the batch.
    pub producer: Arc<str>,
    /// The producer's number for it.
    pub batch_seq: u64,
    /// Smallest record number in it.
    pub first_seq: i64,
    /// Largest record number in it.
    pub last_seq: i64,
    /// How many records it holds.
    pub rows: u32,
    /// When it was received, in microseconds since the Unix epoch.
    pub received_us: i64,
    /// The batch, byte for byte.
    pub payload: Bytes,
}

impl Entry {
    /// Bytes of the frame without padding.
    pub(crate) fn frame_bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.producer.len() + self.payload.len()
    }

    /// Bytes that the frame takes up in its segment.
    pub(crate) fn padded_bytes(&self) -> usize {
        padded(self.frame_bytes())
    }
}

/// A frame as read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The frame's index in the journal.
    pub position: u64,
    /// The producer that numbered the batch.
    pub producer: Arc<str>,
    /// The producer's number for it.
    pub batch_seq: u64,
    /// Smallest record number in it.
    pub first_seq: i64,
    /// Largest record number in it.
    pub last_seq: i64,
    /// How many records it holds.
    pub rows: u32,
    /// When it was received, in microseconds since the Unix epoch.
    pub received_us: i64,
    /// The batch, byte for byte.
    pub payload: Bytes,
}

/// A frame that was found good, still in its buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parsed<'a> {
    pub position: u64,
    pub batch_seq: u64,
    pub first_seq: i64,
    pub last_seq: i64,
    pub rows: u32,
    pub received_us: i64,
    pub group_start: u32,
    pub producer: &'a str,
    pub payload: &'a [u8],
    /// With padding.
    pub padded_bytes: usize,
}

impl Parsed<'_> {
    pub(crate) fn to_frame(self) -> Frame {
        Frame {
            position: self.position,
            producer: Arc::from(self.producer),
            batch_seq: self.batch_seq,
            first_seq: self.first_seq,
            last_seq: self.last_seq,
            rows: self.rows,
            received_us: self.received_us,
            payload: Bytes::copy_from_slice(self.payload),
        }
    }
}

pub(crate) const fn padded(bytes: usize) -> usize {
    bytes.div_ceil(FRAME_ALIGN) * FRAME_ALIGN
}

/// Appends one frame to `out`. `group_start` is the offset at which the bytes begin that no sync covers yet.
pub(crate) fn encode(entry: &Entry, position: u64, group_start: u32, seed: Seed, out: &mut Vec<u8>) {
    let start = out.len();
    let length = entry.frame_bytes();
    debug_assert!(length <= FRAME_BYTES_MAX && entry.producer.len() <= PRODUCER_BYTES_MAX);
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend_from_slice(&(length as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&entry.rows.to_le_bytes());
    out.extend_from_slice(&position.to_le_bytes());
    out.extend_from_slice(&entry.batch_seq.to_le_bytes());
    out.extend_from_slice(&entry.first_seq.to_le_bytes());
    out.extend_from_slice(&entry.last_seq.to_le_bytes());
    out.extend_from_slice(&entry.received_us.to_le_bytes());
    out.extend_from_slice(&group_start.to_le_bytes());
    out.extend_from_slice(&(entry.producer.len() as u16).to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(entry.producer.as_bytes());
    out.extend_from_slice(&entry.payload);
    set_checksum(&mut out[start..], seed);
    out.resize(start + padded(length), 0);
}

pub(crate) fn set_checksum(frame: &mut [u8], seed: Seed) {
    let crc = checksum(frame, seed);
    frame[8..12].copy_from_slice(&crc.to_le_bytes());
}

/// CRC32C of the whole frame but the checksum itself, so that a flipped length is caught like any other byte.
fn checksum(frame: &[u8], seed: Seed) -> u32 {
    let crc = crc32c::crc32c_append(seed.0, &frame[..8]);
    crc32c::crc32c_append(crc, &frame[12..])
}

/// Length of the frame that claims to start here, if its header alone is plausible.
pub(crate) fn plausible(bytes: &[u8]) -> Option<usize> {
    let header = bytes.first_chunk::<FRAME_HEADER_BYTES>()?;
    if u32_at(header, 0) != MAGIC || header[62..64] != [0; 2] {
        return None;
    }
    let length = u32_at(header, 4) as usize;
    let producer = usize::from(u16::from_le_bytes([header[60], header[61]]));
    let fits = length <= FRAME_BYTES_MAX && producer <= PRODUCER_BYTES_MAX && length >= FRAME_HEADER_BYTES + producer;
    fits.then_some(length)
}

/// The position that a frame header claims, unchecked.
pub(crate) fn claimed_position(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk::<FRAME_HEADER_BYTES>().map(|header| u64_at(header, 16))
}

/// The frame at the start of `bytes`, if it is whole and its checksum holds.
pub(crate) fn parse(bytes: &[u8], seed: Seed) -> Option<Parsed<'_>> {
    let length = plausible(bytes)?;
    let frame = bytes.get(..length)?;
    if u32_at(frame, 8) != checksum(frame, seed) {
        return None;
    }
    let producer_end = FRAME_HEADER_BYTES + usize::from(u16::from_le_bytes([frame[60], frame[61]]));
    Some(Parsed {
        position: u64_at(frame, 16),
        batch_seq: u64_at(frame, 24),
        first_seq: u64_at(frame, 32) as i64,
        last_seq: u64_at(frame, 40) as i64,
        rows: u32_at(frame, 12),
        received_us: u64_at(frame, 48) as i64,
        group_start: u32_at(frame, 56),
        producer: std::str::from_utf8(&frame[FRAME_HEADER_BYTES..producer_end]).ok()?,
        payload: &frame[producer_end..],
        padded_bytes: padded(length),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(payload: &'static [u8]) -> Entry {
        Entry {
            producer: Arc::from("gw-1/5f/0"),
            batch_seq: 7,
            first_seq: -1,
            last_seq: 9,
            rows: 3,
            received_us: 1_700_000_000_000_000,
            payload: Bytes::from_static(payload),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut out = Vec::new();
        encode(&entry(b"hello"), 42, 64, Seed::of(40), &mut out);
        assert_eq!(out.len() % FRAME_ALIGN, 0);
        let parsed = parse(&out, Seed::of(40)).expect("good frame");
        assert_eq!((parsed.position, parsed.batch_seq, parsed.first_seq, parsed.last_seq), (42, 7, -1, 9));
        assert_eq!((parsed.producer, parsed.payload, parsed.group_start), ("gw-1/5f/0", &b"hello"[..], 64));
        assert_eq!(parsed.padded_bytes, out.len());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let mut out = Vec::new();
        encode(&entry(b"hello"), 42, 64, Seed::of(40), &mut out);
        let length = entry(b"hello").frame_bytes();
        for bit in 0..length * 8 {
            let mut bad = out.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&bad, Seed::of(40)), None, "bit {bit}");
        }
    }

    #[test]
    fn a_frame_of_another_segment_is_not_believed() {
        let mut out = Vec::new();
        encode(&entry(b"hello"), 42, 64, Seed::of(40), &mut out);
        assert_eq!(parse(&out, Seed::of(41)), None);
    }

    #[test]
    fn a_cut_frame_is_not_read() {
        let mut out = Vec::new();
        encode(&entry(b"hello"), 42, 64, Seed::of(40), &mut out);
        for end in 0..entry(b"hello").frame_bytes() {
            assert_eq!(parse(&out[..end], Seed::of(40)), None);
        }
    }
}
