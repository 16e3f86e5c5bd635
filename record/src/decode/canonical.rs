//! Conversion of columns to the schema that this version writes.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::BinaryBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, ArrayRef, ListArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_schema::{DataType, TimeUnit};

use super::DecodeError;
use super::strings::{self, Budget};
use crate::columns::{COLUMNS, Column, ColumnType};
use crate::schema::{self, list_item};

/// The known columns of `found`, in the schema of [`schema::wire`]; converting adds at most `bytes_max` bytes.
pub(super) fn canonical(found: &RecordBatch, bytes_max: usize) -> Result<RecordBatch, DecodeError> {
    let mut by_name = HashMap::with_capacity(found.num_columns());
    for (field, array) in found.schema_ref().fields().iter().zip(found.columns()) {
        if by_name.insert(field.name().as_str(), array).is_some() {
            let name = super::meta::shown(field.name());
            return Err(DecodeError::Inconsistent(format!("column `{name}` occurs twice")));
        }
    }
    let mut budget = Budget { left: bytes_max, max: bytes_max };
    let wire = schema::wire();
    let mut arrays = Vec::with_capacity(COLUMNS.len());
    for (column, field) in COLUMNS.iter().zip(wire.fields()) {
        let expected = field.data_type();
        let array = match by_name.get(column.name) {
            Some(array) => convert(column, array, expected, &mut budget)?,
            None if column.nullable => new_null_array(expected, found.num_rows()),
            None => return Err(wrong(column, expected, "missing".to_owned())),
        };
        check_values(column, &array)?;
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(found.num_rows()));
    RecordBatch::try_new_with_options(wire, arrays, &options).map_err(|error| DecodeError::NotArrow(error.to_string()))
}

/// `array` in the type that `column` has on the wire.
fn convert(
    column: &Column,
    array: &ArrayRef,
    expected: &DataType,
    budget: &mut Budget,
) -> Result<ArrayRef, DecodeError> {
    let found = array.data_type();
    if found == expected && (!column.dictionary || strings::is_canonical_dictionary(array)) {
        return Ok(array.clone());
    }
    match (column.ty, found) {
        (ColumnType::Utf8, _) if strings::is_text(found) => match column.dictionary {
            true => strings::to_dictionary(array, budget),
            false => strings::to_plain(array, budget),
        },
        (ColumnType::Binary, DataType::FixedSizeBinary(_) | DataType::LargeBinary) => Ok(binary(array)),
        (ColumnType::Timestamp, DataType::Timestamp(TimeUnit::Microsecond, Some(zone)))
            if matches!(&**zone, "+00:00" | "-00:00" | "Z" | "Etc/UTC" | "GMT") =>
        {
            let instants = array.as_primitive::<TimestampMicrosecondType>().clone();
            Ok(Arc::new(instants.with_data_type(expected.clone())))
        }
        (ColumnType::Utf8List | ColumnType::Int32List, DataType::List(_)) => {
            list(array, expected).ok_or_else(|| wrong(column, expected, found.to_string()))
        }
        _ => Err(wrong(column, expected, found.to_string())),
    }
}

/// Bytes, however wide their offsets are. Neither source can stand for more bytes than it has.
fn binary(array: &ArrayRef) -> ArrayRef {
    let mut builder = BinaryBuilder::new();
    if let Some(fixed) = array.as_fixed_size_binary_opt() {
        fixed.iter().for_each(|value| builder.append_option(value));
    } else {
        array.as_binary::<i64>().iter().for_each(|value| builder.append_option(value));
    }
    Arc::new(builder.finish())
}

/// A list whose element field has another name or nullability: nothing when its elements are of another type.
fn list(array: &ArrayRef, expected: &DataType) -> Option<ArrayRef> {
    let DataType::List(item) = expected else {
        return None;
    };
    let (_, offsets, values, nulls) = array.as_list_opt::<i32>()?.clone().into_parts();
    let item = list_item(item.data_type().clone());
    let list = ListArray::try_new(item, offsets, values, nulls).ok()?;
    Some(Arc::new(list))
}

/// Required columns without nulls, bytes of the right width.
fn check_values(column: &Column, array: &ArrayRef) -> Result<(), DecodeError> {
    if !column.nullable && array.null_count() > 0 {
        return Err(DecodeError::Inconsistent(format!("column `{}` has nulls", column.name)));
    }
    if column.ty == ColumnType::Binary {
        let mut values = array.as_binary::<i32>().iter().flatten();
        if let Some(value) = values.find(|value| value.len() != column.bytes_max) {
            return Err(DecodeError::Inconsistent(format!(
                "column `{}` has a value of {} bytes instead of {}",
                column.name,
                value.len(),
                column.bytes_max
            )));
        }
    }
    Ok(())
}

fn wrong(column: &Column, expected: &DataType, found: String) -> DecodeError {
    DecodeError::WrongSchema {
        column: column.name.to_owned(),
        expected: expected.to_string(),
        found: super::meta::shown(&found),
    }
}
