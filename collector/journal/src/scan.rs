//! Reading a whole segment that may be torn or damaged. Total: no bytes make it panic, loop or allocate beyond their
//! own size, which the fuzz target holds it to.

use std::ops::Range;

use crate::error::JournalError;
use crate::frame::{self, FRAME_ALIGN, Parsed, padded};
use crate::segment::{Header, SEGMENT_HEADER_BYTES, Seed};

/// Looking for the next good frame may checksum this many times the segment's size, then gives up: bytes made to look
/// like frame headers must not cost quadratic time.
const RESYNC_CHECKSUM_FACTOR: usize = 16;

/// Bytes in which no good frame was found, with good ones on either side or positions known to be lost in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DamagedRun {
    /// Where in the segment.
    pub bytes: Range<usize>,
    /// Positions that are not readable because of it.
    pub positions: Range<u64>,
    /// A later frame's group began behind these bytes, so they had been synced.
    pub known_durable: bool,
}

/// The bytes behind the last good frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Nothing, or zeros.
    Clean,
    /// Bytes that are not a good frame.
    Torn(Range<usize>),
    /// Frames at positions that the next segment holds: writes that failed and were never acknowledged.
    Leftover(Range<usize>),
}

/// A segment, read.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    /// `None` if damaged.
    pub header: Option<Header>,
    /// Good frames in order.
    pub frames: Vec<Parsed<'a>>,
    /// Damage between frames.
    pub damaged: Vec<DamagedRun>,
    /// Offset behind the last good frame.
    pub end: usize,
    /// The bytes from `end` on.
    pub tail: Tail,
    /// Position that would follow.
    pub next_position: u64,
}

/// Reads the segment that starts at position `first`; `limit` is where the next segment starts, if there is one.
pub(crate) fn segment(bytes: &[u8], first: u64, limit: Option<u64>) -> Result<Scan<'_>, JournalError> {
    let seed = Seed::of(first);
    let mut scan = Scan {
        header: Header::decode(bytes, first)?,
        frames: Vec::new(),
        damaged: Vec::new(),
        end: SEGMENT_HEADER_BYTES.min(bytes.len()),
        tail: Tail::Clean,
        next_position: first,
    };
    let limit = limit.unwrap_or(u64::MAX);
    let mut budget = bytes.len().saturating_mul(RESYNC_CHECKSUM_FACTOR);
    loop {
        let Some((offset, parsed)) = next_good(bytes, scan.end, scan.next_position, seed, &mut budget) else {
            let used = bytes.len() - zeros_at_end(bytes);
            if used > scan.end {
                scan.tail = Tail::Torn(scan.end..used);
            }
            return Ok(scan);
        };
        if parsed.position >= limit {
            scan.tail = Tail::Leftover(scan.end..bytes.len());
            return Ok(scan);
        }
        if offset != scan.end || parsed.position != scan.next_position {
            let positions = scan.next_position..parsed.position;
            scan.damaged.push(DamagedRun { bytes: scan.end..offset, positions, known_durable: false });
        }
        for run in scan.damaged.iter_mut().rev().take_while(|run| !run.known_durable) {
            run.known_durable = parsed.group_start as usize > run.bytes.start;
        }
        scan.end = (offset + parsed.padded_bytes).min(bytes.len());
        scan.next_position = parsed.position.saturating_add(1);
        scan.frames.push(parsed);
    }
}

/// The first good frame at or after `from` whose position is at least `expected`.
pub(crate) fn next_good<'a>(
    bytes: &'a [u8],
    from: usize,
    expected: u64,
    seed: Seed,
    budget: &mut usize,
) -> Option<(usize, Parsed<'a>)> {
    // More positions than frames of the smallest size would fit between are not plausible.
    let mut offset = from;
    while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
        if let Some(length) = frame::plausible(rest) {
            let position = frame::claimed_position(rest)?;
            let farthest = expected.saturating_add(((offset - from) / frame::FRAME_HEADER_BYTES) as u64);
            if (expected..=farthest).contains(&position) && length <= rest.len() {
                *budget = budget.checked_sub(length)?;
                if let Some(parsed) = frame::parse(rest, seed) {
                    return Some((offset, parsed));
                }
            }
        }
        offset = next_candidate(bytes, offset);
    }
    None
}

/// The next aligned offset at which a frame could start, over runs of zeros in one stride.
fn next_candidate(bytes: &[u8], offset: usize) -> usize {
    let next = padded(offset + 1);
    match bytes.get(next..) {
        Some(rest) if rest.first() == Some(&0) => {
            let zeros = zeros_at_start(rest);
            next + (zeros / FRAME_ALIGN) * FRAME_ALIGN
        }
        _ => next,
    }
}

/// Preallocated zeros are most of a young segment: compared by the page.
static ZEROS: [u8; 4096] = [0; 4096];

fn zeros_at_start(bytes: &[u8]) -> usize {
    let pages = bytes.chunks_exact(ZEROS.len()).take_while(|page| *page == ZEROS).count() * ZEROS.len();
    pages + bytes[pages..].iter().take_while(|byte| **byte == 0).count()
}

fn zeros_at_end(bytes: &[u8]) -> usize {
    let pages = bytes.rchunks_exact(ZEROS.len()).take_while(|page| *page == ZEROS).count() * ZEROS.len();
    pages + bytes[..bytes.len() - pages].iter().rev().take_while(|byte| **byte == 0).count()
}

/// The same bytes with the checksum set wherever a plausible frame starts, so that a fuzz target gets past it.
pub(crate) fn with_checksums(bytes: &[u8], first: u64) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let mut offset = SEGMENT_HEADER_BYTES;
    while let Some(rest) = out.get_mut(offset..).filter(|rest| !rest.is_empty()) {
        offset += match frame::plausible(rest).filter(|length| *length <= rest.len()) {
            Some(length) => {
                frame::set_checksum(&mut rest[..length], Seed::of(first));
                padded(length)
            }
            None => FRAME_ALIGN,
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::frame::{Entry, encode};

    /// A segment with frames of these payload lengths, the first at position 5.
    fn segment_of(lengths: &[usize]) -> Vec<u8> {
        let mut out = Header { first: 5, continues_from: 5 }.encode().to_vec();
        for (position, length) in (5..).zip(lengths) {
            let entry = Entry {
                producer: Arc::from("gw-1/1/0"),
                batch_seq: position,
                first_seq: 1,
                last_seq: 1,
                rows: 1,
                received_us: 1,
                payload: Bytes::from(vec![0x54; *length]),
            };
            let group_start = out.len() as u32;
            encode(&entry, position, group_start, Seed::of(5), &mut out);
        }
        out
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_consistently(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            crate::offline::check_bytes(&bytes, 5, None);
        }

        #[test]
        fn a_segment_with_any_bytes_overwritten_is_read_consistently(
            lengths in prop::collection::vec(0usize..80, 1..8),
            at in any::<prop::sample::Index>(),
            patch in prop::collection::vec(any::<u8>(), 1..100),
        ) {
            let mut bytes = segment_of(&lengths);
            let at = at.index(bytes.len());
            let end = (at + patch.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&patch[..end - at]);
            crate::offline::check_bytes(&bytes, 5, None);
            let scan = segment(&bytes, 5, None);
            // Frames that the patch did not touch are found.
            if let Ok(scan) = scan {
                let mut offset = SEGMENT_HEADER_BYTES;
                for (position, length) in (5..).zip(&lengths) {
                    let frame_end = offset + frame::FRAME_HEADER_BYTES + 8 + length;
                    if frame_end <= at || end <= offset {
                        prop_assert!(scan.frames.iter().any(|frame| frame.position == position), "{position}");
                    }
                    offset = padded(frame_end);
                }
            }
        }
    }

    #[test]
    fn zeros_are_counted_over_pages_and_bytes() {
        for zeros in [0, 1, 4095, 4096, 4097, 9000] {
            let mut bytes = vec![0; zeros];
            bytes.push(1);
            assert_eq!((zeros_at_start(&bytes), zeros_at_end(&bytes)), (zeros, 0));
            bytes.reverse();
            assert_eq!((zeros_at_start(&bytes), zeros_at_end(&bytes)), (0, zeros));
            assert_eq!((zeros_at_start(&bytes[1..]), zeros_at_end(&bytes[1..])), (zeros, zeros));
        }
    }

    #[test]
    fn damage_before_a_later_group_was_durable() {
        let mut bytes = segment_of(&[10, 10, 10]);
        bytes[SEGMENT_HEADER_BYTES + 20] ^= 1;
        let scan = segment(&bytes, 5, None).expect("reads");
        assert!(scan.damaged[0].known_durable);
        assert_eq!(scan.damaged[0].positions, 5..6);
    }

    #[test]
    fn bytes_that_look_like_headers_do_not_cost_quadratic_time() {
        let mut bytes = segment_of(&[1 << 20]);
        let start = SEGMENT_HEADER_BYTES;
        bytes[start + 9] ^= 1;
        let header = bytes[start..start + frame::FRAME_HEADER_BYTES].to_vec();
        let fake = start + 128..bytes.len() - 64;
        for chunk in bytes[fake].chunks_exact_mut(64) {
            chunk.copy_from_slice(&header);
            chunk[4..8].copy_from_slice(&500_000u32.to_le_bytes());
        }
        let mut budget = bytes.len() * RESYNC_CHECKSUM_FACTOR;
        assert_eq!(next_good(&bytes, start, 5, Seed::of(5), &mut budget), None);
        assert!(budget < 500_000, "it stopped for the budget's sake, not at the end");
    }
}
