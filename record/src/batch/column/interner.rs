//! The values of one dictionary column in the batch at hand.

use std::hash::BuildHasher;

use arrow_array::StringArray;
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::ArrowError;
use hashbrown::{DefaultHashBuilder, HashTable};

/// Numbers texts in the order in which they first occur. It keeps its memory when it is emptied.
///
/// Clients choose some of the texts. They cannot make it slow by collisions, because the hash is seeded at random in each process, nor
/// make it grow without bound, because a batch bounds the number of texts.
pub(super) struct Interner {
    keys: HashTable<i32>,
    hasher: DefaultHashBuilder,
    /// `offsets[key]..offsets[key + 1]` is the text of `key` in `bytes`.
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

impl Interner {
    pub(super) fn new() -> Self {
        Self { keys: HashTable::new(), hasher: DefaultHashBuilder::default(), offsets: vec![0], bytes: Vec::new() }
    }

    /// Returns the key of `text`, if it has one.
    #[inline]
    pub(super) fn find(&self, text: &str) -> Option<i32> {
        let Self { keys, hasher, offsets, bytes } = self;
        let hash = hasher.hash_one(text.as_bytes());
        keys.find(hash, |&key| value(offsets, bytes, key) == text.as_bytes()).copied()
    }

    /// Returns the length of the text of `key`.
    #[inline]
    pub(super) fn text_bytes(&self, key: i32) -> usize {
        value(&self.offsets, &self.bytes, key).len()
    }

    /// Returns the key of `text`, and whether the text is new.
    #[inline]
    pub(super) fn intern(&mut self, text: &str) -> (i32, bool) {
        let Self { keys, hasher, offsets, bytes } = self;
        let hash = hasher.hash_one(text.as_bytes());
        let found = keys.find(hash, |&key| value(offsets, bytes, key) == text.as_bytes());
        if let Some(&key) = found {
            return (key, false);
        }
        let key = (offsets.len() - 1) as i32;
        bytes.extend_from_slice(text.as_bytes());
        offsets.push(bytes.len() as i32);
        keys.insert_unique(hash, key, |&key| hasher.hash_one(value(offsets, bytes, key)));
        (key, true)
    }

    /// Returns whether `key` is the key of `text`.
    #[inline]
    pub(super) fn is(&self, key: i32, text: &str) -> bool {
        value(&self.offsets, &self.bytes, key) == text.as_bytes()
    }

    /// Returns the texts in the order of their keys, and empties the interner.
    pub(super) fn finish(&mut self) -> Result<StringArray, ArrowError> {
        let values = strings(&self.offsets, &self.bytes)?;
        self.keys.clear();
        self.offsets.truncate(1);
        self.bytes.clear();
        Ok(values)
    }
}

#[inline]
fn value<'a>(offsets: &[i32], bytes: &'a [u8], key: i32) -> &'a [u8] {
    let key = key as usize;
    &bytes[offsets[key] as usize..offsets[key + 1] as usize]
}

/// Makes the array of the texts in `bytes`, none of them null.
pub(super) fn strings(offsets: &[i32], bytes: &[u8]) -> Result<StringArray, ArrowError> {
    let offsets = OffsetBuffer::new(ScalarBuffer::from(Buffer::from_slice_ref(offsets)));
    StringArray::try_new(offsets, Buffer::from_slice_ref(bytes), None)
}
