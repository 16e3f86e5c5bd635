//! Columns of lists.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int32Array, ListArray};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};

use super::interner::strings;
use super::validity::Validity;
use super::var_bytes::VarBytes;
use super::{Finished, pad, safe};
use crate::columns::LIST_ITEMS_MAX;
use crate::schema::list_item;

/// Lists of texts.
pub(in crate::batch) struct Texts {
    offsets: Vec<i32>,
    items: VarBytes,
    validity: Validity,
    cap: usize,
}

impl Texts {
    pub(in crate::batch) fn new(cap: usize) -> Self {
        Self { offsets: vec![0], items: VarBytes::new(), validity: Validity::default(), cap }
    }

    #[inline]
    pub(in crate::batch) fn append(&mut self, value: &[&str]) -> usize {
        if value.is_empty() {
            self.validity.push_null();
            return 0;
        }
        pad(&mut self.offsets, self.validity.push_valid());
        let mut added = 0;
        for item in value.iter().take(LIST_ITEMS_MAX) {
            added += self.items.push(safe(item, self.cap).as_bytes()) + size_of::<i32>();
        }
        self.offsets.push((self.items.offsets.len() - 1) as i32);
        added
    }

    pub(in crate::batch) fn finish(&mut self) -> Finished {
        let items = strings(&self.items.offsets, &self.items.bytes)?;
        self.items.clear();
        list(&mut self.offsets, Arc::new(items), &mut self.validity)
    }
}

/// Lists of numbers.
pub(in crate::batch) struct Int32s {
    offsets: Vec<i32>,
    items: Vec<i32>,
    validity: Validity,
}

impl Int32s {
    pub(in crate::batch) fn new(_cap: usize) -> Self {
        Self { offsets: vec![0], items: Vec::new(), validity: Validity::default() }
    }

    #[inline]
    pub(in crate::batch) fn append(&mut self, value: &[i32]) -> usize {
        if value.is_empty() {
            self.validity.push_null();
            return 0;
        }
        pad(&mut self.offsets, self.validity.push_valid());
        let value = &value[..value.len().min(LIST_ITEMS_MAX)];
        self.items.extend_from_slice(value);
        self.offsets.push(self.items.len() as i32);
        size_of_val(value)
    }

    pub(in crate::batch) fn finish(&mut self) -> Finished {
        let items = Int32Array::from(self.items.clone());
        self.items.clear();
        list(&mut self.offsets, Arc::new(items), &mut self.validity)
    }
}

fn list(offsets: &mut Vec<i32>, items: ArrayRef, validity: &mut Validity) -> Finished {
    pad(offsets, validity.settle());
    let buffer = OffsetBuffer::new(ScalarBuffer::from(Buffer::from_slice_ref(&*offsets)));
    offsets.truncate(1);
    let item = list_item(items.data_type().clone());
    Ok(Arc::new(ListArray::try_new(item, buffer, items, validity.finish())?))
}
