//! The Arrow schemas that follow from the registry.

use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use crate::columns::{COLUMNS, Column, ColumnType};

/// The time zone of every timestamp.
pub const TIME_ZONE: &str = "UTC";
/// The name of a list's elements; Parquet, Delta and arrow agree on it.
pub const LIST_ITEM: &str = "item";

static WIRE: LazyLock<SchemaRef> = LazyLock::new(|| schema(wire_type));
static TABLE: LazyLock<SchemaRef> = LazyLock::new(|| schema(table_type));

/// The schema of a batch: dictionary columns are `Dictionary(Int32, Utf8)`. It carries no metadata.
pub fn wire() -> SchemaRef {
    WIRE.clone()
}

/// The schema of the table: the same columns, with plain `Utf8` for the dictionaries.
pub fn table() -> SchemaRef {
    TABLE.clone()
}

fn schema(data_type: fn(&Column) -> DataType) -> SchemaRef {
    let fields = COLUMNS.iter().map(|column| Field::new(column.name, data_type(column), column.nullable));
    Arc::new(Schema::new(Fields::from_iter(fields)))
}

fn wire_type(column: &Column) -> DataType {
    if column.dictionary {
        return DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    }
    table_type(column)
}

fn table_type(column: &Column) -> DataType {
    match column.ty {
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some(TIME_ZONE.into())),
        ColumnType::Utf8 => DataType::Utf8,
        ColumnType::Int32 => DataType::Int32,
        ColumnType::Int64 => DataType::Int64,
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Binary => DataType::Binary,
        ColumnType::Utf8List => DataType::List(list_item(DataType::Utf8)),
        ColumnType::Int32List => DataType::List(list_item(DataType::Int32)),
    }
}

/// The element field of a list. Elements are nullable, as Parquet and Delta write lists; this version writes no null element.
pub(crate) fn list_item(data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new(LIST_ITEM, data_type, true))
}
