//! Columns of texts and bytes.

use std::sync::Arc;

use arrow_array::{BinaryArray, StringArray};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};

use super::interner::strings;
use super::validity::Validity;
use super::{Finished, pad, safe};

/// Values of any length, one after the other, as Arrow lays them out.
pub(super) struct VarBytes {
    /// `offsets[row]..offsets[row + 1]` is where the row's value stands in `bytes`.
    pub(super) offsets: Vec<i32>,
    pub(super) bytes: Vec<u8>,
}

impl VarBytes {
    pub(super) fn new() -> Self {
        Self { offsets: vec![0], bytes: Vec::new() }
    }

    #[inline]
    pub(super) fn push(&mut self, value: &[u8]) -> usize {
        self.bytes.extend_from_slice(value);
        self.offsets.push(self.bytes.len() as i32);
        value.len()
    }

    pub(super) fn clear(&mut self) {
        self.offsets.truncate(1);
        self.bytes.clear();
    }
}

/// Texts that seldom repeat.
pub(in crate::batch) struct Text {
    values: VarBytes,
    validity: Validity,
    cap: usize,
}

impl Text {
    pub(in crate::batch) fn new(cap: usize) -> Self {
        Self { values: VarBytes::new(), validity: Validity::default(), cap }
    }

    #[inline]
    pub(in crate::batch) fn append(&mut self, value: Option<&str>) -> usize {
        let Some(text) = value else {
            self.validity.push_null();
            return 0;
        };
        pad(&mut self.values.offsets, self.validity.push_valid());
        self.values.push(safe(text, self.cap).as_bytes())
    }

    pub(in crate::batch) fn finish(&mut self) -> Finished {
        pad(&mut self.values.offsets, self.validity.settle());
        let array = strings(&self.values.offsets, &self.values.bytes)?;
        self.values.clear();
        let (offsets, bytes, _) = array.into_parts();
        Ok(Arc::new(StringArray::try_new(offsets, bytes, self.validity.finish())?))
    }
}

/// JSON objects: one that is too long is left out whole.
pub(in crate::batch) struct Json(Text);

impl Json {
    pub(in crate::batch) fn new(cap: usize) -> Self {
        Self(Text::new(cap))
    }

    #[inline]
    pub(in crate::batch) fn append(&mut self, value: Option<&str>) -> usize {
        self.0.append(value.filter(|json| json.len() <= self.0.cap))
    }

    pub(in crate::batch) fn finish(&mut self) -> Finished {
        self.0.finish()
    }
}

/// Bytes of one width.
pub(in crate::batch) struct Bytes<const WIDTH: usize> {
    values: VarBytes,
    validity: Validity,
}

impl<const WIDTH: usize> Bytes<WIDTH> {
    pub(in crate::batch) fn new(_cap: usize) -> Self {
        Self { values: VarBytes::new(), validity: Validity::default() }
    }

    #[inline]
    pub(in crate::batch) fn append(&mut self, value: Option<&[u8; WIDTH]>) -> usize {
        let Some(bytes) = value else {
            self.validity.push_null();
            return 0;
        };
        pad(&mut self.values.offsets, self.validity.push_valid());
        self.values.push(bytes)
    }

    pub(in crate::batch) fn finish(&mut self) -> Finished {
        pad(&mut self.values.offsets, self.validity.settle());
        let offsets = ScalarBuffer::from(Buffer::from_slice_ref(&self.values.offsets));
        let bytes = Buffer::from_slice_ref(&self.values.bytes);
        self.values.clear();
        let validity = self.validity.finish();
        Ok(Arc::new(BinaryArray::try_new(OffsetBuffer::new(offsets), bytes, validity)?))
    }
}
