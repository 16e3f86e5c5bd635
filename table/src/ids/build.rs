//! Makes the filters of a file, row group by row group.

use std::io::{self, Write};

use arrow_array::cast::AsArray as _;
use arrow_array::{Array, ArrayRef};
use siphasher::sip::SipHasher13;
use uuid::Uuid;
use xorf::BinaryFuse16;

use super::directory::{Directory, Group};
use super::filter::{Filter, Fuse, seal};
use super::{COLUMNS, LIST_MAX, VALUES_MAX};
use crate::TableError;

/// Takes the values of [`COLUMNS`] and makes a filter when the last one of a row group is there. It holds the finished filters,
/// 2.3 bytes a distinct value, and eight bytes a row of the column that is coming in.
pub(crate) struct IdsBuilder {
    groups: Vec<Pending>,
    blocks: Vec<u8>,
}

struct Pending {
    rows: usize,
    hasher: SipHasher13,
    group: Group,
    columns: [Column; COLUMNS.len()],
}

#[derive(Default)]
struct Column {
    rows: usize,
    hashes: Vec<u64>,
}

impl IdsBuilder {
    /// For a file with row groups of these lengths.
    pub(crate) fn new(row_groups: &[usize]) -> Self {
        Self::with_keys(row_groups.iter().map(|rows| (*rows, *Uuid::new_v4().as_bytes())))
    }

    /// As [`IdsBuilder::new`], with given keys.
    fn with_keys(row_groups: impl IntoIterator<Item = (usize, [u8; 16])>) -> Self {
        let groups = row_groups.into_iter().map(|(rows, key)| Pending {
            rows,
            hasher: SipHasher13::new_with_key(&key),
            // Stands if the column does not come: it may hold anything.
            group: Group { key, filters: [Filter::Anything; COLUMNS.len()] },
            columns: Default::default(),
        });
        Self { groups: groups.collect(), blocks: Vec::new() }
    }

    /// A builder whose filters have the keys of these.
    pub(crate) fn like(directory: &Directory, row_groups: &[usize]) -> Self {
        Self::with_keys(row_groups.iter().zip(&directory.groups).map(|(rows, group)| (*rows, group.key)))
    }

    /// The next values of a column; others than [`COLUMNS`] are passed over.
    ///
    /// # Errors
    /// If the column is neither text nor bytes.
    pub(crate) fn add(&mut self, row_group: usize, column: &str, values: &ArrayRef) -> Result<(), TableError> {
        let Some(at) = COLUMNS.iter().position(|name| *name == column) else { return Ok(()) };
        let Some(pending) = self.groups.get_mut(row_group) else { return Ok(()) };
        let state = &mut pending.columns[at];
        if state.rows == 0 {
            state.hashes.reserve(pending.rows.min(VALUES_MAX));
        }
        state.rows += values.len();
        let hasher = pending.hasher;
        let mut before: Option<&[u8]> = None;
        let hash = |value: &'_ [u8]| hasher.hash(value);
        if let Some(texts) = values.as_string_opt::<i32>() {
            for value in texts.iter().flatten() {
                if before != Some(value.as_bytes()) {
                    state.hashes.push(hash(value.as_bytes()));
                    before = Some(value.as_bytes());
                }
            }
        } else if let Some(bytes) = values.as_binary_opt::<i32>() {
            state.hashes.extend(bytes.iter().flatten().map(hash));
        } else {
            return Err(TableError::Schema(format!("{column} is neither text nor bytes")));
        }
        if state.rows == pending.rows {
            let hashes = std::mem::take(&mut state.hashes);
            pending.group.filters[at] = filter_of(hashes, &mut self.blocks);
        }
        Ok(())
    }

    /// What differs from a part: its first row group and column.
    pub(crate) fn difference(&self, part: &[u8]) -> Option<String> {
        let Some(directory) = Directory::of(part) else { return Some("ids: the directory is damaged".to_owned()) };
        let (made, found) = (self.groups.len(), directory.groups.len());
        if made != found {
            return Some(format!("ids: {found} row groups in place of {made}"));
        }
        for (at, (made, found)) in self.groups.iter().zip(&directory.groups).enumerate() {
            let filters = made.group.filters.iter().zip(&found.filters).zip(COLUMNS);
            for ((made, found), column) in filters {
                let same = made.moved_to(0) == found.moved_to(0)
                    && found.stored(part).is_some_and(|found| Some(found) == made.stored(&self.blocks));
                if !same {
                    return Some(format!("ids: another filter for {column} in row group {at}"));
                }
            }
        }
        None
    }

    /// The whole part.
    pub(crate) fn write_to(self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.blocks)?;
        let groups = self.groups.into_iter().map(|pending| pending.group).collect();
        out.write_all(&Directory { groups }.to_bytes())
    }
}

/// The filter of these hashes; its blocks are appended.
fn filter_of(mut hashes: Vec<u64>, blocks: &mut Vec<u8>) -> Filter {
    hashes.sort_unstable();
    hashes.dedup();
    let offset = blocks.len() as u64;
    match hashes.len() {
        0 => Filter::Nothing,
        1..=LIST_MAX => {
            let data: Vec<u8> = hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect();
            seal(&data, blocks);
            Filter::List { offset, values: hashes.len() as u32 }
        }
        values if values > VALUES_MAX => Filter::Anything,
        values => {
            let Ok(built) = BinaryFuse16::try_from(&hashes) else { return Filter::Anything };
            let descriptor = &built.descriptor;
            let (segment, segments) = (descriptor.segment_length, descriptor.segment_count_length);
            let fuse = Fuse { offset, values: values as u32, seed: descriptor.seed, segment, segments };
            let filter = Filter::Fuse(fuse);
            // Another version of the crate may lay them out otherwise.
            if filter.data_bytes() != 2 * built.fingerprints.len() as u64 || !filter.is_sound(u64::MAX) {
                return Filter::Anything;
            }
            let data: Vec<u8> = built.fingerprints.iter().flat_map(|fingerprint| fingerprint.to_le_bytes()).collect();
            seal(&data, blocks);
            filter
        }
    }
}
