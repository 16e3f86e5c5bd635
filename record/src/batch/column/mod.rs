//! Builders of one column each. They keep their memory from batch to batch.
//!
//! `append` takes one row's value and returns how many bytes it takes beside the fixed ones; `finish` makes the Arrow
//! array and empties the builder.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Int32Type};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, DictionaryArray, Int32Array, ListArray, PrimitiveArray, StringArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType};

use super::interner::{Interner, strings};
use crate::columns::LIST_ITEMS_MAX;
use crate::schema::{TIME_ZONE, list_item};
use crate::vocabulary::Vocabulary;

type Finished = Result<ArrayRef, ArrowError>;

/// One bit a row.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    len: usize,
}

impl Bits {
    #[inline]
    fn push(&mut self, bit: bool) {
        let place = self.len % 8;
        if place == 0 {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << place;
        }
        self.len += 1;
    }

    fn push_unset(&mut self, rows: usize) {
        self.len += rows;
        self.bytes.resize(self.len.div_ceil(8), 0);
    }

    fn push_set(&mut self, rows: usize) {
        let end = self.len + rows;
        while self.len < end && !self.len.is_multiple_of(8) {
            self.push(true);
        }
        if self.len < end {
            self.bytes.resize(end / 8, 0xff);
            self.len = self.bytes.len() * 8;
        }
        while self.len < end {
            self.push(true);
        }
    }

    fn finish(&mut self) -> BooleanBuffer {
        let bits = BooleanBuffer::new(Buffer::from_slice_ref(&self.bytes), 0, self.len);
        self.bytes.clear();
        self.len = 0;
        bits
    }
}

/// Which rows are valid. Most columns of a batch are all valid or all null, and then a row costs a count: bits are written from
/// the first null on, and nulls once they end.
#[derive(Default)]
struct Validity {
    bits: Bits,
    /// Valid rows before the first null.
    valid: usize,
    /// Nulls at the end that neither the bits nor the column's values have yet.
    nulls: usize,
    some_null: bool,
}

impl Validity {
    #[inline]
    fn push_null(&mut self) {
        self.nulls += 1;
    }

    /// Pushes a valid row; returns how many rows of the column's values are missing before it.
    #[inline]
    fn push_valid(&mut self) -> usize {
        let nulls = self.nulls;
        if nulls > 0 {
            self.settle();
        }
        match self.some_null {
            true => self.bits.push(true),
            false => self.valid += 1,
        }
        nulls
    }

    /// Writes the bits of the nulls at the end; returns how many rows of the column's values are missing.
    #[cold]
    fn settle(&mut self) -> usize {
        let nulls = std::mem::take(&mut self.nulls);
        if nulls > 0 {
            self.bits.push_set(std::mem::take(&mut self.valid));
            self.bits.push_unset(nulls);
            self.some_null = true;
        }
        nulls
    }

    /// The bits: nothing when all rows are valid. The column is settled.
    fn finish(&mut self) -> Option<NullBuffer> {
        self.valid = 0;
        let some_null = std::mem::take(&mut self.some_null);
        some_null.then(|| NullBuffer::new(self.bits.finish()))
    }
}

/// Numbers and instants.
pub(super) struct Numbers<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    validity: Validity,
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    pub(super) fn new(_cap: usize) -> Self {
        Self { values: Vec::new(), validity: Validity::default() }
    }

    #[inline]
    pub(super) fn append(&mut self, value: impl Into<Option<T::Native>>) -> usize {
        match value.into() {
            None => self.validity.push_null(),
            Some(value) => {
                let missing = self.validity.push_valid();
                self.pad(missing);
                self.values.push(value);
            }
        }
        0
    }

    /// Appends the values of null rows.
    #[inline]
    fn pad(&mut self, rows: usize) {
        if rows > 0 {
            self.values.resize(self.values.len() + rows, T::Native::default());
        }
    }

    fn settle(&mut self) {
        let missing = self.validity.settle();
        self.pad(missing);
    }

    pub(super) fn finish(&mut self) -> Finished {
        self.settle();
        let values = ScalarBuffer::from(Buffer::from_slice_ref(&self.values));
        self.values.clear();
        let array = PrimitiveArray::<T>::try_new(values, self.validity.finish())?;
        Ok(match T::DATA_TYPE {
            DataType::Timestamp(..) => {
                let utc = DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, Some(TIME_ZONE.into()));
                Arc::new(array.with_data_type(utc))
            }
            _ => Arc::new(array),
        })
    }
}

/// Truth values.
pub(super) struct Booleans {
    values: Bits,
    validity: Validity,
}

impl Booleans {
    pub(super) fn new(_cap: usize) -> Self {
        Self { values: Bits::default(), validity: Validity::default() }
    }

    #[inline]
    pub(super) fn append(&mut self, value: Option<bool>) -> usize {
        match value {
            None => self.validity.push_null(),
            Some(value) => {
                let missing = self.validity.push_valid();
                self.values.push_unset(missing);
                self.values.push(value);
            }
        }
        0
    }

    pub(super) fn finish(&mut self) -> Finished {
        self.values.push_unset(self.validity.settle());
        let validity = self.validity.finish();
        Ok(Arc::new(BooleanArray::new(self.values.finish(), validity)))
    }
}

/// Texts, or bytes, one after the other.
struct Spans {
    /// `offsets[row]..offsets[row + 1]` is the row's span of `bytes`.
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

impl Spans {
    fn new() -> Self {
        Self { offsets: vec![0], bytes: Vec::new() }
    }

    #[inline]
    fn push(&mut self, span: &[u8]) -> usize {
        self.bytes.extend_from_slice(span);
        self.offsets.push(self.bytes.len() as i32);
        span.len()
    }

    fn clear(&mut self) {
        self.offsets.truncate(1);
        self.bytes.clear();
    }
}

/// Texts that seldom repeat.
pub(super) struct Text {
    spans: Spans,
    validity: Validity,
    cap: usize,
}

impl Text {
    pub(super) fn new(cap: usize) -> Self {
        Self { spans: Spans::new(), validity: Validity::default(), cap }
    }

    #[inline]
    pub(super) fn append(&mut self, value: Option<&str>) -> usize {
        let Some(text) = value else {
            self.validity.push_null();
            return 0;
        };
        pad(&mut self.spans.offsets, self.validity.push_valid());
        self.spans.push(cut(text, self.cap).as_bytes())
    }

    pub(super) fn finish(&mut self) -> Finished {
        pad(&mut self.spans.offsets, self.validity.settle());
        let array = strings(&self.spans.offsets, &self.spans.bytes)?;
        self.spans.clear();
        let (offsets, bytes, _) = array.into_parts();
        Ok(Arc::new(StringArray::try_new(offsets, bytes, self.validity.finish())?))
    }
}

/// JSON objects: one that is too long is left out whole.
pub(super) struct Json(Text);

impl Json {
    pub(super) fn new(cap: usize) -> Self {
        Self(Text::new(cap))
    }

    #[inline]
    pub(super) fn append(&mut self, value: Option<&str>) -> usize {
        self.0.append(value.filter(|json| json.len() <= self.0.cap))
    }

    pub(super) fn finish(&mut self) -> Finished {
        self.0.finish()
    }
}

/// Bytes of one width.
pub(super) struct Bytes<const WIDTH: usize> {
    spans: Spans,
    validity: Validity,
}

impl<const WIDTH: usize> Bytes<WIDTH> {
    pub(super) fn new(_cap: usize) -> Self {
        Self { spans: Spans::new(), validity: Validity::default() }
    }

    #[inline]
    pub(super) fn append(&mut self, value: Option<&[u8; WIDTH]>) -> usize {
        let Some(bytes) = value else {
            self.validity.push_null();
            return 0;
        };
        pad(&mut self.spans.offsets, self.validity.push_valid());
        self.spans.push(bytes)
    }

    pub(super) fn finish(&mut self) -> Finished {
        pad(&mut self.spans.offsets, self.validity.settle());
        let offsets = ScalarBuffer::from(Buffer::from_slice_ref(&self.spans.offsets));
        let bytes = Buffer::from_slice_ref(&self.spans.bytes);
        self.spans.clear();
        let validity = self.validity.finish();
        Ok(Arc::new(BinaryArray::try_new(OffsetBuffer::new(offsets), bytes, validity)?))
    }
}

/// Texts that repeat.
pub(super) struct Dictionary {
    keys: Numbers<Int32Type>,
    values: Interner,
    /// Key of the last text; neighbours are often equal, and comparing is cheaper than hashing.
    last: Option<i32>,
    cap: usize,
}

impl Dictionary {
    pub(super) fn new(cap: usize) -> Self {
        Self { keys: Numbers::new(0), values: Interner::new(), last: None, cap }
    }

    #[inline]
    pub(super) fn append(&mut self, value: Option<&str>) -> usize {
        let Some(text) = value else {
            return self.keys.append(None);
        };
        let text = cut(text, self.cap);
        if let Some(last) = self.last
            && self.values.is(last, text)
        {
            return self.keys.append(last);
        }
        let (key, new) = self.values.intern(text);
        self.last = Some(key);
        self.keys.append(key);
        if new { text.len() + size_of::<i32>() } else { 0 }
    }

    pub(super) fn finish(&mut self) -> Finished {
        self.last = None;
        dictionary(&mut self.keys, self.values.finish()?)
    }
}

/// The column that holds `text` in each of `rows` rows.
pub(super) fn repeated(text: &str, rows: usize) -> Finished {
    let values = StringArray::from_iter_values([text]);
    let keys = Int32Array::from_value(0, rows);
    Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, Arc::new(values))?))
}

fn dictionary(keys: &mut Numbers<Int32Type>, values: StringArray) -> Finished {
    keys.settle();
    let buffer = ScalarBuffer::from(Buffer::from_slice_ref(&keys.values));
    keys.values.clear();
    let keys = Int32Array::try_new(buffer, keys.validity.finish())?;
    Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, Arc::new(values))?))
}

/// Values of a closed list: no hashing at all.
pub(super) struct Closed<V: Vocabulary> {
    keys: Numbers<Int32Type>,
    /// The key of each value in this batch, by the value's index.
    key_of: Vec<Option<i32>>,
    /// The values of this batch, by key.
    values: Vec<&'static str>,
    vocabulary: PhantomData<V>,
}

impl<V: Vocabulary> Closed<V> {
    pub(super) fn new(_cap: usize) -> Self {
        Self {
            keys: Numbers::new(0),
            key_of: vec![None; V::ALL.len()],
            values: Vec::with_capacity(V::ALL.len()),
            vocabulary: PhantomData,
        }
    }

    #[inline]
    pub(super) fn append(&mut self, value: impl Into<Option<V>>) -> usize {
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

    pub(super) fn finish(&mut self) -> Finished {
        let values = StringArray::from_iter_values(self.values.drain(..));
        self.key_of.fill(None);
        dictionary(&mut self.keys, values)
    }
}

/// Lists of texts.
pub(super) struct Texts {
    offsets: Vec<i32>,
    items: Spans,
    validity: Validity,
    cap: usize,
}

impl Texts {
    pub(super) fn new(cap: usize) -> Self {
        Self { offsets: vec![0], items: Spans::new(), validity: Validity::default(), cap }
    }

    #[inline]
    pub(super) fn append(&mut self, value: &[&str]) -> usize {
        if value.is_empty() {
            self.validity.push_null();
            return 0;
        }
        pad(&mut self.offsets, self.validity.push_valid());
        let mut added = 0;
        for item in value.iter().take(LIST_ITEMS_MAX) {
            added += self.items.push(cut(item, self.cap).as_bytes()) + size_of::<i32>();
        }
        self.offsets.push((self.items.offsets.len() - 1) as i32);
        added
    }

    pub(super) fn finish(&mut self) -> Finished {
        let items = strings(&self.items.offsets, &self.items.bytes)?;
        self.items.clear();
        list(&mut self.offsets, Arc::new(items), &mut self.validity)
    }
}

/// Lists of numbers.
pub(super) struct Int32s {
    offsets: Vec<i32>,
    items: Vec<i32>,
    validity: Validity,
}

impl Int32s {
    pub(super) fn new(_cap: usize) -> Self {
        Self { offsets: vec![0], items: Vec::new(), validity: Validity::default() }
    }

    #[inline]
    pub(super) fn append(&mut self, value: &[i32]) -> usize {
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

    pub(super) fn finish(&mut self) -> Finished {
        let items = Int32Array::from(self.items.clone());
        self.items.clear();
        list(&mut self.offsets, Arc::new(items), &mut self.validity)
    }
}

/// Appends the offsets of `rows` null rows.
#[inline]
fn pad(offsets: &mut Vec<i32>, rows: usize) {
    if rows > 0
        && let Some(&end) = offsets.last()
    {
        offsets.resize(offsets.len() + rows, end);
    }
}

fn list(offsets: &mut Vec<i32>, items: ArrayRef, validity: &mut Validity) -> Finished {
    pad(offsets, validity.settle());
    let buffer = OffsetBuffer::new(ScalarBuffer::from(Buffer::from_slice_ref(&*offsets)));
    offsets.truncate(1);
    let item = list_item(items.data_type().clone());
    Ok(Arc::new(ListArray::try_new(item, buffer, items, validity.finish())?))
}

/// `text`, at most `bytes_max` bytes of it, and no half character.
#[inline]
fn cut(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    &text[..text.floor_char_boundary(bytes_max)]
}
