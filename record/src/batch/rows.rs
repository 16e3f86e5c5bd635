//! The columns of the open batch.

use arrow_array::ArrayRef;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_schema::ArrowError;

use super::column::{Booleans, Bytes, Closed, Dictionary, Int32s, Json, Numbers, Text, Texts, repeated};
use super::meta::BatchHeader;
use crate::columns::{
    COLUMNS, CORRELATION_BYTES_MAX, ColumnType, HEADERS_BYTES_MAX, PATH_BYTES_MAX, QUERY_BYTES_MAX, TEXT_BYTES_MAX,
    record_columns,
};
use crate::record::Record;

/// Bytes that every row takes before compression, even one of nulls.
pub(super) const FIXED_ROW_BYTES: usize = fixed_row_bits() / 8;

const fn fixed_row_bits() -> usize {
    let mut bits = 0;
    let mut index = 0;
    while index < COLUMNS.len() {
        let value = match COLUMNS[index].ty {
            ColumnType::Timestamp | ColumnType::Int64 => 64,
            ColumnType::Boolean => 1,
            // A key, an offset or the value itself.
            _ => 32,
        };
        bits += value + 1;
        index += 1;
    }
    bits
}

macro_rules! column {
    (timestamp) => { Numbers<TimestampMicrosecondType> };
    (int64) => { Numbers<Int64Type> };
    (int32) => { Numbers<Int32Type> };
    (boolean) => { Booleans };
    (text) => { Text };
    (json) => { Json };
    (dictionary) => { Dictionary };
    ((closed $vocabulary:ident)) => { Closed<$crate::vocabulary::$vocabulary> };
    ((bytes $width:literal)) => { Bytes<$width> };
    (texts) => { Texts };
    (int32s) => { Int32s };
}

macro_rules! rows {
    (
        first [ $($first:ident($first_field:ident): $first_storage:tt $first_null:tt, $first_cap:expr, $first_otel:tt, $first_ecs:tt, $first_meaning:literal;)* ]
        header [ $($header:ident($header_field:ident): $header_storage:tt $header_null:tt, $header_cap:expr, $header_otel:tt, $header_ecs:tt, $header_meaning:literal;)* ]
        rest [ $($name:ident($field:ident): $storage:tt $null:tt, $cap:expr, $otel:tt, $ecs:tt, $meaning:literal;)* ]
    ) => {
        /// One builder per column that a [`Record`] fills.
        pub(super) struct Rows {
            $($first: column!($first_storage),)*
            $($name: column!($storage),)*
        }

        impl Rows {
            pub(super) fn new() -> Self {
                Self {
                    $($first: <column!($first_storage)>::new($first_cap),)*
                    $($name: <column!($storage)>::new($cap),)*
                }
            }

            /// Appends one row; returns the bytes it takes before compression.
            pub(super) fn append(&mut self, record: &Record<'_>) -> usize {
                let mut bytes = FIXED_ROW_BYTES;
                $(bytes += self.$first.append(record.$first_field);)*
                $(bytes += self.$name.append(record.$field);)*
                bytes
            }

            /// The `rows` appended rows as arrays in the order of the registry; none are left.
            pub(super) fn finish(&mut self, header: &BatchHeader, rows: usize) -> Result<Vec<ArrayRef>, ArrowError> {
                Ok(vec![
                    $(self.$first.finish()?,)*
                    $(repeated(&header.$header_field, rows)?,)*
                    $(self.$name.finish()?,)*
                ])
            }
        }
    };
}
record_columns!(rows);
