//! Columns of texts that repeat: a key a row, and each text once.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{DictionaryArray, Int32Array, StringArray};

use super::fixed::Numbers;
use super::interner::Interner;
use super::{Finished, safe};
use crate::vocabulary::Vocabulary;

/// Texts that repeat.
pub(in crate::batch) struct Dictionary {
    keys: Numbers<Int32Type>,
    values: Interner,
    /// Key of the last text; neighbours are often equal, and comparing is cheaper than hashing.
    last: Option<i32>,
    cap: usize,
}

impl Dictionary {
    pub(in crate::batch) fn new(cap: usize) -> Self {
        Self { keys: Numbers::new(0), values: Interner::new(), last: None, cap }
    }

    #[inline]
    pub(in crate::batch) fn append(&mut self, value: Option<&str>) -> usize {
        let Some(text) = value else {
            return self.keys.append(None);
        };
        // The texts of a batch are safe, so one that is equal to one of them is, too.
        if let Some(last) = self.last
            && self.values.is(last, text)
        {
            return self.keys.append(last);
        }
        let (key, new) = match self.values.find(text) {
            Some(key) => (key, false),
            None => self.values.intern(&safe(text, self.cap)),
        };
        self.last = Some(key);
        self.keys.append(key);
        if new { self.values.text_bytes(key) + size_of::<i32>() } else { 0 }
    }

    pub(in crate::batch) fn finish(&mut self) -> Finished {
        self.last = None;
        dictionary(&mut self.keys, self.values.finish()?)
    }
}

/// The column that holds `text` in each of `rows` rows.
pub(in crate::batch) fn repeated(text: &str, rows: usize) -> Finished {
    let values = StringArray::from_iter_values([text]);
    let keys = Int32Array::from_value(0, rows);
    Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, Arc::new(values))?))
}

fn dictionary(keys: &mut Numbers<Int32Type>, values: StringArray) -> Finished {
    let (keys, validity) = keys.take_keys();
    let keys = Int32Array::try_new(keys, validity)?;
    Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, Arc::new(values))?))
}

/// Values of a closed list: no hashing at all.
pub(in crate::batch) struct Closed<V: Vocabulary> {
    keys: Numbers<Int32Type>,
    /// The key of each value in this batch, by the value's index.
    key_of: Vec<Option<i32>>,
    /// The values of this batch, by key.
    values: Vec<&'static str>,
    vocabulary: PhantomData<V>,
}

impl<V: Vocabulary> Closed<V> {
    pub(in crate::batch) fn new(_cap: usize) -> Self {
        Self {
            keys: Numbers::new(0),
            key_of: vec![None; V::ALL.len()],
            values: Vec::with_capacity(V::ALL.len()),
            vocabulary: PhantomData,
        }
    }

    #[inline]
    pub(in crate::batch) fn append(&mut self, value: impl Into<Option<V>>) -> usize {
        let Some(value) = value.into() else {
            return self.keys.append(None);
        };
        if let Some(key) = self.key_of[value.index()] {
            return self.keys.append(key);
        }
        let key = self.values.len() as i32;
        self.key_of[value.index()] = Some(key);
        self.values.push(value.as_str());
        self.keys.append(key);
        value.as_str().len() + size_of::<i32>()
    }

    pub(in crate::batch) fn finish(&mut self) -> Finished {
        let values = StringArray::from_iter_values(self.values.drain(..));
        self.key_of.fill(None);
        dictionary(&mut self.keys, values)
    }
}
