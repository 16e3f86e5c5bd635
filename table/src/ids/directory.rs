//! The directory at the end of the part: where the filters are.

use super::filter::{Filter, Fuse};
use super::{COLUMNS, GROUPS_MAX};

const MAGIC: &[u8; 8] = b"TGIDS\0\0\x01";
/// `groups`, checksum and [`MAGIC`].
const TAIL_BYTES: usize = 16;
const KEY_BYTES: usize = 16;
const ENTRY_BYTES: usize = 32;
const GROUP_BYTES: usize = KEY_BYTES + COLUMNS.len() * ENTRY_BYTES;

/// Where the filters of a file are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(super) groups: Vec<Group>,
}

/// The filters of a row group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// Under which its values are hashed.
    pub(super) key: [u8; KEY_BYTES],
    /// By place in [`COLUMNS`].
    pub(super) filters: [Filter; COLUMNS.len()],
}

/// What the end of a file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Whole(Directory),
    /// So many bytes at the end are needed.
    Needs(usize),
}

impl Directory {
    /// Memory that it takes.
    pub(super) fn heap_bytes(&self) -> usize {
        self.groups.capacity() * size_of::<Group>()
    }

    /// That of a whole part; `None` if it is damaged.
    pub(crate) fn of(part: &[u8]) -> Option<Self> {
        match Self::parse(part, part.len() as u64)? {
            Parsed::Whole(directory) => Some(directory),
            Parsed::Needs(_) => None,
        }
    }

    /// Reads it from the last bytes of a file of `size` bytes; `None` if it is damaged.
    pub(super) fn parse(end: &[u8], size: u64) -> Option<Parsed> {
        let (rest, tail) = end.split_last_chunk::<TAIL_BYTES>()?;
        let (groups, tail) = tail.split_first_chunk::<4>()?;
        let (sum, magic) = tail.split_first_chunk::<4>()?;
        let count = u32::from_le_bytes(*groups) as usize;
        if magic != MAGIC || count > GROUPS_MAX {
            return None;
        }
        let length = count * GROUP_BYTES;
        let filters_end = size.checked_sub((length + TAIL_BYTES) as u64)?;
        let Some(begin) = rest.len().checked_sub(length) else { return Some(Parsed::Needs(length + TAIL_BYTES)) };
        let directory = &rest[begin..];
        if crc32c::crc32c_append(crc32c::crc32c(directory), groups) != u32::from_le_bytes(*sum) {
            return None;
        }
        let groups = directory.as_chunks::<GROUP_BYTES>().0.iter().map(|bytes| parse_group(bytes, filters_end));
        Some(Parsed::Whole(Self { groups: groups.collect::<Option<_>>()? }))
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.groups.len() * GROUP_BYTES + TAIL_BYTES);
        for group in &self.groups {
            bytes.extend_from_slice(&group.key);
            group.filters.iter().for_each(|filter| push_entry(&mut bytes, filter));
        }
        bytes.extend_from_slice(&(self.groups.len() as u32).to_le_bytes());
        let sum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes.extend_from_slice(MAGIC);
        bytes
    }
}

fn parse_group(bytes: &[u8; GROUP_BYTES], end: u64) -> Option<Group> {
    let (key, entries) = bytes.split_first_chunk::<KEY_BYTES>()?;
    let mut filters = [Filter::Nothing; COLUMNS.len()];
    for (filter, entry) in filters.iter_mut().zip(entries.as_chunks::<ENTRY_BYTES>().0) {
        *filter = parse_entry(entry).filter(|filter| filter.is_sound(end))?;
    }
    Some(Group { key: *key, filters })
}

fn parse_entry(bytes: &[u8; ENTRY_BYTES]) -> Option<Filter> {
    let u32_at = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let u64_at = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let (values, offset) = (u32_at(4)?, u64_at(8)?);
    match bytes[0] {
        0 => Some(Filter::Nothing),
        1 => {
            Some(Filter::Fuse(Fuse { offset, values, seed: u64_at(16)?, segment: u32_at(24)?, segments: u32_at(28)? }))
        }
        2 => Some(Filter::List { offset, values }),
        3 => Some(Filter::Anything),
        _ => None,
    }
}

fn push_entry(bytes: &mut Vec<u8>, filter: &Filter) {
    let (kind, values, seed, segment, segments) = match filter {
        Filter::Nothing => (0, 0, 0, 0, 0),
        Filter::Fuse(fuse) => (1, fuse.values, fuse.seed, fuse.segment, fuse.segments),
        Filter::List { values, .. } => (2, *values, 0, 0, 0),
        Filter::Anything => (3, 0, 0, 0, 0),
    };
    bytes.extend_from_slice(&[kind, 0, 0, 0]);
    bytes.extend_from_slice(&u32::to_le_bytes(values));
    bytes.extend_from_slice(&filter.offset().to_le_bytes());
    bytes.extend_from_slice(&u64::to_le_bytes(seed));
    bytes.extend_from_slice(&u32::to_le_bytes(segment));
    bytes.extend_from_slice(&u32::to_le_bytes(segments));
}

/// What a look-up makes of any bytes as a part: the row groups that may hold the value; `None` if it notices damage.
#[cfg(any(test, fuzzing))]
pub fn fuzz(part: &[u8], column: usize, value: &[u8]) -> Option<Vec<usize>> {
    let directory = Directory::of(part)?;
    // A vector makes room for four at first.
    assert!(directory.heap_bytes() <= 4 * (part.len() + size_of::<Group>()), "more memory than bytes");
    let mut groups = Vec::new();
    for (at, group) in directory.groups.iter().enumerate() {
        let filter = &group.filters[column % COLUMNS.len()];
        let hash = super::lookup::hash(&group.key, value);
        let blocks = filter.blocks(hash).into_iter().map(|range| &part[range.start as usize..range.end as usize]);
        if filter.may_hold(hash, &blocks.collect::<Vec<_>>())? {
            groups.push(at);
        }
    }
    Some(groups)
}
