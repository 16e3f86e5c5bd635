//! One column, prepared to be written row by row.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, DictionaryArray, Int32Array, Int64Array, ListArray, StringArray,
    TimestampMicrosecondArray,
};

use super::values::{is_flat_object, write_hex, write_instant, write_list, write_number, write_str};
use crate::columns::{COLUMNS, ColumnType, index_of};

const HEADERS: usize = index_of("headers").unwrap();
/// The most bytes of rendered values that are kept, apart from one value; further values are rendered for each row.
pub(super) const RENDERED_BYTES_MAX: usize = 1024 * 1024;
/// A value that every row has is kept up to this length.
const SAME_BYTES_MAX: usize = 1024;

/// A column and its `"key":`.
pub(super) struct Cells<'a> {
    index: usize,
    key: &'static str,
    kind: Kind<'a>,
}

enum Kind<'a> {
    /// One value for every row: the range of `rendered` that holds it with its key and a comma.
    Same(Range<usize>),
    /// Keys and values of a dictionary, and for each value its range of `rendered` once it was needed. There are no ranges if the
    /// dictionary has more values than the batch has rows.
    Dictionary(&'a Int32Array, &'a StringArray, Vec<Option<Range<usize>>>),
    Instants(&'a TimestampMicrosecondArray),
    Longs(&'a Int64Array),
    Ints(&'a Int32Array),
    Truths(&'a BooleanArray),
    Texts(&'a StringArray),
    Bytes(&'a BinaryArray),
    TextLists(&'a ListArray, &'a StringArray),
    IntLists(&'a ListArray, &'a Int32Array),
}

impl<'a> Cells<'a> {
    /// Prepares the column at this index of [`COLUMNS`]; `None` if no row has a value.
    pub(super) fn of(index: usize, key: &'static str, array: &'a ArrayRef, rendered: &mut Vec<u8>) -> Option<Self> {
        if array.null_count() == array.len() {
            return None;
        }
        let kind = match COLUMNS[index].ty {
            ColumnType::Timestamp => Kind::Instants(array.as_primitive_opt::<TimestampMicrosecondType>()?),
            ColumnType::Int64 => Kind::Longs(array.as_primitive_opt::<Int64Type>()?),
            ColumnType::Int32 => Kind::Ints(array.as_primitive_opt::<Int32Type>()?),
            ColumnType::Boolean => Kind::Truths(array.as_boolean_opt()?),
            ColumnType::Binary => Kind::Bytes(array.as_binary_opt::<i32>()?),
            ColumnType::Utf8List => {
                let lists = array.as_list_opt::<i32>()?;
                Kind::TextLists(lists, lists.values().as_string_opt::<i32>()?)
            }
            ColumnType::Int32List => {
                let lists = array.as_list_opt::<i32>()?;
                Kind::IntLists(lists, lists.values().as_primitive_opt::<Int32Type>()?)
            }
            ColumnType::Utf8 => match array.as_dictionary_opt::<Int32Type>() {
                Some(dictionary) => Kind::of_dictionary(index, key, dictionary, rendered)?,
                None => Kind::Texts(array.as_string_opt::<i32>()?),
            },
        };
        Some(Self { index, key, kind })
    }

    /// Merges `next` into this column if both have one value for every row. Returns whether it did.
    pub(super) fn merge(&mut self, next: &Self) -> bool {
        match (&mut self.kind, &next.kind) {
            (Kind::Same(ours), Kind::Same(theirs)) if ours.end == theirs.start => {
                ours.end = theirs.end;
                true
            }
            _ => false,
        }
    }

    /// Appends `"key":value,`, or nothing where the row has no value.
    #[inline]
    pub(super) fn write(&mut self, row: usize, rendered: &mut Vec<u8>, out: &mut Vec<u8>) {
        let key = self.key.as_bytes();
        match &mut self.kind {
            Kind::Same(range) => return out.extend_from_slice(&rendered[range.clone()]),
            Kind::Dictionary(codes, values, places) => {
                let code = codes.values()[row] as usize;
                if codes.is_null(row) || code >= values.len() || values.is_null(code) {
                    return;
                }
                let place = places.get_mut(code).filter(|place| place.is_some() || rendered.len() < RENDERED_BYTES_MAX);
                let Some(place) = place else { return write_text(self.index, self.key, values.value(code), out) };
                let place = place.get_or_insert_with(|| {
                    let start = rendered.len();
                    write_text(self.index, self.key, values.value(code), rendered);
                    start..rendered.len()
                });
                return out.extend_from_slice(&rendered[place.clone()]);
            }
            Kind::Instants(values) if values.is_valid(row) => {
                out.extend_from_slice(key);
                write_instant(values.value(row), out);
            }
            Kind::Longs(values) if values.is_valid(row) => {
                out.extend_from_slice(key);
                write_number(values.value(row), out);
            }
            Kind::Ints(values) if values.is_valid(row) => {
                out.extend_from_slice(key);
                write_number(values.value(row).into(), out);
            }
            Kind::Truths(values) if values.is_valid(row) => {
                out.extend_from_slice(key);
                out.extend_from_slice(if values.value(row) { b"true" } else { b"false" });
            }
            Kind::Texts(values) if values.is_valid(row) => {
                return write_text(self.index, self.key, values.value(row), out);
            }
            Kind::Bytes(values) if values.is_valid(row) => {
                out.extend_from_slice(key);
                write_hex(values.value(row), out);
            }
            Kind::TextLists(lists, items) if lists.is_valid(row) => {
                out.extend_from_slice(key);
                let items = bounds(lists, row).filter(|item| items.is_valid(*item)).map(|item| items.value(item));
                write_list(items, out, write_str);
            }
            Kind::IntLists(lists, items) if lists.is_valid(row) => {
                out.extend_from_slice(key);
                let items = items.values().get(bounds(lists, row)).unwrap_or_default();
                write_list(items.iter(), out, |number, out| write_number(i64::from(*number), out));
            }
            _ => return,
        }
        out.push(b',');
    }
}

impl<'a> Kind<'a> {
    fn of_dictionary(
        index: usize,
        key: &'static str,
        dictionary: &'a DictionaryArray<Int32Type>,
        rendered: &mut Vec<u8>,
    ) -> Option<Self> {
        let values = dictionary.values().as_string_opt::<i32>()?;
        let same = dictionary.null_count() == 0 && values.len() == 1 && values.is_valid(0);
        if same && values.value(0).len() <= SAME_BYTES_MAX {
            let start = rendered.len();
            write_text(index, key, values.value(0), rendered);
            return Some(Self::Same(start..rendered.len()));
        }
        let places = if values.len() <= dictionary.len() { values.len() } else { 0 };
        Some(Self::Dictionary(dictionary.keys(), values, vec![None; places]))
    }
}

/// Appends `"key":"text",`.
fn write_text(index: usize, key: &str, text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(key.as_bytes());
    // Our own writers store a JSON object in this column. Anything else is quoted, so that the row stays valid JSON.
    match index == HEADERS && is_flat_object(text) {
        true => out.extend_from_slice(text.as_bytes()),
        false => write_str(text, out),
    }
    out.push(b',');
}

/// Returns the range of a row's items.
fn bounds(lists: &ListArray, row: usize) -> Range<usize> {
    let offsets = lists.value_offsets();
    let at = |index: usize| offsets.get(index).and_then(|offset| usize::try_from(*offset).ok()).unwrap_or_default();
    at(row)..at(row + 1)
}
