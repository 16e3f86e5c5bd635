//! One filter: how it is asked, and the blocks that it is kept in.

use std::ops::Range;

use super::{BLOCK_BYTES, BLOCK_DATA, LIST_MAX, VALUES_MAX};

/// What is known of the values of one column in one row group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter {
    /// No row has a value.
    Nothing,
    /// A binary fuse filter.
    Fuse(Fuse),
    /// Hashes, ascending.
    List {
        /// Where its blocks begin.
        offset: u64,
        /// How many.
        values: u32,
    },
    /// Any value may be there.
    Anything,
}

/// The descriptor of a binary fuse filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fuse {
    /// Where its blocks begin.
    pub(super) offset: u64,
    /// Values that it holds.
    pub(super) values: u32,
    pub(super) seed: u64,
    /// Length of a segment, a power of two.
    pub(super) segment: u32,
    /// Length of all segments but two.
    pub(super) segments: u32,
}

impl Filter {
    /// Bytes of its fingerprints or hashes.
    pub(super) fn data_bytes(&self) -> u64 {
        match self {
            Self::Nothing | Self::Anything => 0,
            Self::Fuse(fuse) => fuse.fingerprints() * 2,
            Self::List { values, .. } => u64::from(*values) * 8,
        }
    }

    /// Bytes of its blocks.
    pub(super) fn stored_bytes(&self) -> u64 {
        let data = self.data_bytes();
        data + data.div_ceil(BLOCK_DATA as u64) * 4
    }

    pub(super) fn offset(&self) -> u64 {
        match self {
            Self::Nothing | Self::Anything => 0,
            Self::Fuse(fuse) => fuse.offset,
            Self::List { offset, .. } => *offset,
        }
    }

    /// Its blocks in a file.
    pub(super) fn stored<'a>(&self, file: &'a [u8]) -> Option<&'a [u8]> {
        let begin = usize::try_from(self.offset()).ok()?;
        file.get(begin..begin.checked_add(usize::try_from(self.stored_bytes()).ok()?)?)
    }

    /// The same filter, elsewhere in a file.
    pub(super) fn moved_to(mut self, to: u64) -> Self {
        match &mut self {
            Self::Nothing | Self::Anything => {}
            Self::Fuse(fuse) => fuse.offset = to,
            Self::List { offset, .. } => *offset = to,
        }
        self
    }

    /// Whether its parts fit each other, and it lies before `end`.
    pub(super) fn is_sound(&self, end: u64) -> bool {
        let fits = self.offset().checked_add(self.stored_bytes()).is_some_and(|its_end| its_end <= end);
        fits && match self {
            Self::Nothing | Self::Anything => true,
            Self::Fuse(fuse) => fuse.is_sound(),
            Self::List { values, .. } => (1..=LIST_MAX as u32).contains(values),
        }
    }

    /// Where the blocks are that tell whether a hash is in it.
    pub(super) fn blocks(&self, hash: u64) -> Vec<Range<u64>> {
        match self {
            Self::Nothing | Self::Anything => Vec::new(),
            Self::List { .. } => vec![self.block(0)],
            Self::Fuse(fuse) => fuse.places(hash).map(|place| self.block(block_of(place))).to_vec(),
        }
    }

    fn block(&self, block: u64) -> Range<u64> {
        let begin = block * BLOCK_BYTES as u64;
        self.offset() + begin..self.offset() + self.stored_bytes().min(begin + BLOCK_BYTES as u64)
    }

    /// Whether it may hold the hash, by the blocks that [`Filter::blocks`] asked for; `None` if one of them is damaged.
    pub(super) fn may_hold<B: AsRef<[u8]>>(&self, hash: u64, blocks: &[B]) -> Option<bool> {
        match self {
            Self::Nothing => Some(false),
            Self::Anything => Some(true),
            Self::List { values, .. } => {
                let data = unsealed(blocks.first()?.as_ref(), 0)?;
                let hashes = data.as_chunks::<8>().0;
                (hashes.len() == *values as usize).then(|| hashes.contains(&hash.to_le_bytes()))
            }
            Self::Fuse(fuse) => fuse.may_hold(hash, blocks),
        }
    }
}

impl Fuse {
    fn fingerprints(&self) -> u64 {
        u64::from(self.segments) + 2 * u64::from(self.segment)
    }

    fn is_sound(&self) -> bool {
        self.segment.is_power_of_two()
            && self.segments > 0
            && self.segments.is_multiple_of(self.segment)
            && self.fingerprints() <= 8 * VALUES_MAX as u64
    }

    /// The hash within the filter: MurmurHash3's finalizer.
    fn mixed(&self, hash: u64) -> u64 {
        let mut mixed = hash.wrapping_add(self.seed);
        mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        mixed ^ (mixed >> 33)
    }

    /// The three fingerprints that together tell.
    fn places(&self, hash: u64) -> [u64; 3] {
        let (mixed, mask) = (self.mixed(hash), u64::from(self.segment - 1));
        let first = ((u128::from(mixed) * u128::from(self.segments)) >> 64) as u64;
        let segment = u64::from(self.segment);
        [first, (first + segment) ^ ((mixed >> 18) & mask), (first + 2 * segment) ^ (mixed & mask)]
    }

    fn may_hold<B: AsRef<[u8]>>(&self, hash: u64, blocks: &[B]) -> Option<bool> {
        let mixed = self.mixed(hash);
        let mut fingerprint = (mixed ^ (mixed >> 32)) as u16;
        let places = self.places(hash);
        if blocks.len() != places.len() {
            return None;
        }
        for (place, block) in places.into_iter().zip(blocks) {
            let data = unsealed(block.as_ref(), block_of(place))?;
            let at = (place * 2) as usize % BLOCK_DATA;
            let bytes = data.get(at..at + 2)?;
            fingerprint ^= u16::from_le_bytes([bytes[0], bytes[1]]);
        }
        Some(fingerprint == 0)
    }
}

fn block_of(place: u64) -> u64 {
    place * 2 / BLOCK_DATA as u64
}

/// Appends a filter's bytes in blocks.
pub(super) fn seal(data: &[u8], out: &mut Vec<u8>) {
    for (number, data) in data.chunks(BLOCK_DATA).enumerate() {
        out.extend_from_slice(data);
        out.extend_from_slice(&checksum(data, number as u64).to_le_bytes());
    }
}

/// The bytes of a block, if they are what was written.
fn unsealed(block: &[u8], number: u64) -> Option<&[u8]> {
    let (data, sum) = block.split_last_chunk::<4>()?;
    (checksum(data, number) == u32::from_le_bytes(*sum)).then_some(data)
}

fn checksum(data: &[u8], number: u64) -> u32 {
    crc32c::crc32c_append(number as u32, data)
}
