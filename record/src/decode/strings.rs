//! Text columns, in every layout that Arrow has for text.

use std::sync::Arc;

use arrow_array::builder::{StringBuilder, StringDictionaryBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, DictionaryArray, Int32Array, StringArray};
use arrow_schema::DataType;

use super::DecodeError;

/// The bytes that conversions may still add: a small dictionary or view can stand for a very large plain column.
pub(super) struct Budget {
    pub(super) left: usize,
    pub(super) max: usize,
}

impl Budget {
    fn spend(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| DecodeError::TooLarge {
            what: "the text of the columns, written out,".to_owned(),
            max: self.max,
        })?;
        Ok(())
    }
}

/// Whether `data_type` is text that [`to_plain`] and [`to_dictionary`] can read.
pub(super) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_plain_text(values),
        other => is_plain_text(other),
    }
}

fn is_plain_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// The column as plain `Utf8`.
pub(super) fn to_plain(array: &ArrayRef, budget: &mut Budget) -> Result<ArrayRef, DecodeError> {
    let mut builder = StringBuilder::new();
    each(array, |text| {
        budget.spend(text.map_or(0, str::len))?;
        builder.append_option(text);
        Ok(())
    })?;
    Ok(Arc::new(builder.finish()))
}

/// The column as `Dictionary(Int32, Utf8)` without null values.
pub(super) fn to_dictionary(array: &ArrayRef, budget: &mut Budget) -> Result<ArrayRef, DecodeError> {
    if array.as_any_dictionary_opt().is_some() {
        return with_own_keys(array, budget);
    }
    let mut builder = StringDictionaryBuilder::<Int32Type>::new();
    each(array, |text| {
        budget.spend(text.map_or(0, str::len))?;
        builder.append_option(text);
        Ok(())
    })?;
    Ok(Arc::new(builder.finish()))
}

/// The dictionary column with 32-bit keys and plain values.
fn with_own_keys(array: &ArrayRef, budget: &mut Budget) -> Result<ArrayRef, DecodeError> {
    let dictionary = array.as_any_dictionary();
    let mut values = StringBuilder::new();
    each(dictionary.values(), |text| {
        budget.spend(text.map_or(0, str::len))?;
        values.append_value(text.unwrap_or_default());
        Ok(())
    })?;
    let keys: Int32Array =
        indexes(array)?.into_iter().map(|index| index.and_then(|index| i32::try_from(index).ok())).collect();
    let dictionary = DictionaryArray::<Int32Type>::try_new(keys, Arc::new(values.finish()))
        .map_err(|error| DecodeError::NotArrow(error.to_string()))?;
    Ok(Arc::new(dictionary))
}

/// For each row of a dictionary column, the place of its value: nothing where key or value is null.
fn indexes(array: &ArrayRef) -> Result<Vec<Option<usize>>, DecodeError> {
    let dictionary = array.as_any_dictionary();
    let values = dictionary.values();
    if values.is_empty() {
        return Ok(vec![None; array.len()]);
    }
    let valid = |row: usize, index: usize| dictionary.keys().is_valid(row) && values.is_valid(index);
    let indexes = dictionary.normalized_keys().into_iter().enumerate();
    Ok(indexes.map(|(row, index)| valid(row, index).then_some(index)).collect())
}

/// Calls `then` with the text of each row.
fn each(array: &ArrayRef, mut then: impl FnMut(Option<&str>) -> Result<(), DecodeError>) -> Result<(), DecodeError> {
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().iter().try_for_each(then),
        DataType::LargeUtf8 => array.as_string::<i64>().iter().try_for_each(then),
        DataType::Utf8View => array.as_string_view().iter().try_for_each(then),
        DataType::Dictionary(..) => {
            let values = array.as_any_dictionary().values();
            let plain: Vec<Option<&str>> = match values.data_type() {
                DataType::Utf8 => values.as_string::<i32>().iter().collect(),
                DataType::LargeUtf8 => values.as_string::<i64>().iter().collect(),
                _ => values.as_string_view().iter().collect(),
            };
            let texts = indexes(array)?.into_iter().map(|index| index.and_then(|index| plain[index]));
            texts.into_iter().try_for_each(&mut then)
        }
        other => Err(DecodeError::NotArrow(format!("{other} is not text"))),
    }
}

/// Whether a dictionary column is in our shape, and none of its values is null.
pub(super) fn is_canonical_dictionary(array: &ArrayRef) -> bool {
    let values = array.as_any_dictionary_opt().map(|dictionary| dictionary.values());
    values.is_some_and(|values| values.null_count() == 0 && values.as_any().is::<StringArray>())
}
