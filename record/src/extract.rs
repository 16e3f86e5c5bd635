//! Reads values of one row, without allocating.
//!
//! Columns are named by their index in [`COLUMNS`](crate::columns::COLUMNS), which is their index in a canonical batch:
//!
//! ```
//! use tollgate_record::columns::index_of;
//! const STATUS: usize = index_of("status").unwrap();
//! # let _ = STATUS;
//! ```
//!
//! Every function returns `None` for null, for a column of another type, and for a row or column out of range. All of them read the
//! wire schema (dictionaries) as well as the table schema (plain text).

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};

use crate::columns::index_of;
use crate::id::{RequestId, producer_tag};

const TIME: usize = index_of("time").unwrap();
const PRODUCER: usize = index_of("producer").unwrap();
const SEQ: usize = index_of("seq").unwrap();

/// Returns the column if it has the row and the row is not null.
fn valid(batch: &RecordBatch, column: usize, row: usize) -> Option<&ArrayRef> {
    let array = batch.columns().get(column)?;
    (row < array.len() && array.is_valid(row)).then_some(array)
}

/// Returns the text of a column, plain or from a dictionary.
#[inline]
pub fn str_at(batch: &RecordBatch, column: usize, row: usize) -> Option<&str> {
    let array = valid(batch, column, row)?;
    if let Some(dictionary) = array.as_dictionary_opt::<Int32Type>() {
        let values = dictionary.values().as_string_opt::<i32>()?;
        let key = usize::try_from(dictionary.keys().value(row)).ok()?;
        return (key < values.len() && values.is_valid(key)).then(|| values.value(key));
    }
    if let Some(view) = array.as_string_view_opt() {
        return Some(view.value(row));
    }
    Some(array.as_string_opt::<i32>()?.value(row))
}

/// Returns a 64-bit integer, or an instant in microseconds since 1970.
#[inline]
pub fn i64_at(batch: &RecordBatch, column: usize, row: usize) -> Option<i64> {
    let array = valid(batch, column, row)?;
    if let Some(numbers) = array.as_primitive_opt::<Int64Type>() {
        return Some(numbers.value(row));
    }
    Some(array.as_primitive_opt::<TimestampMicrosecondType>()?.value(row))
}

/// Returns a 32-bit integer.
#[inline]
pub fn i32_at(batch: &RecordBatch, column: usize, row: usize) -> Option<i32> {
    Some(valid(batch, column, row)?.as_primitive_opt::<Int32Type>()?.value(row))
}

/// Returns a boolean.
#[inline]
pub fn bool_at(batch: &RecordBatch, column: usize, row: usize) -> Option<bool> {
    Some(valid(batch, column, row)?.as_boolean_opt()?.value(row))
}

/// Returns the bytes of a binary column.
#[inline]
pub fn bytes_at(batch: &RecordBatch, column: usize, row: usize) -> Option<&[u8]> {
    Some(valid(batch, column, row)?.as_binary_opt::<i32>()?.value(row))
}

/// Returns the texts of a list in order, without null elements.
pub fn strs_at(batch: &RecordBatch, column: usize, row: usize) -> Option<impl Iterator<Item = &str> + Clone> {
    let list = valid(batch, column, row)?.as_list_opt::<i32>()?;
    let items = list.values().as_string_opt::<i32>()?;
    let (from, to) = bounds(list.value_offsets(), row)?;
    Some((from..to).filter(|&item| items.is_valid(item)).map(|item| items.value(item)))
}

/// Returns the numbers of a list in order; a null element reads 0.
pub fn i32s_at(batch: &RecordBatch, column: usize, row: usize) -> Option<&[i32]> {
    let list = valid(batch, column, row)?.as_list_opt::<i32>()?;
    let items = list.values().as_primitive_opt::<Int32Type>()?;
    let (from, to) = bounds(list.value_offsets(), row)?;
    items.values().get(from..to)
}

fn bounds(offsets: &[i32], row: usize) -> Option<(usize, usize)> {
    let from = usize::try_from(*offsets.get(row)?).ok()?;
    let to = usize::try_from(*offsets.get(row + 1)?).ok()?;
    Some((from, to))
}

/// Computes the `request_id` of a row.
pub fn request_id(batch: &RecordBatch, row: usize) -> Option<RequestId> {
    let time_us = i64_at(batch, TIME, row)?;
    let seq = i64_at(batch, SEQ, row)?;
    let producer = str_at(batch, PRODUCER, row)?;
    Some(RequestId::from_parts(time_us, producer_tag(producer), seq))
}
