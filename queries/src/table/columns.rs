//! The columns of SQL, and how each comes from the stored ones.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};

/// Name of the computed column.
pub(super) const REQUEST_ID: &str = "request_id";
/// The column that [`REQUEST_ID`] follows.
const AFTER: &str = "kind";
/// What [`REQUEST_ID`] is computed from, in the order of the function's arguments.
pub(super) const REQUEST_ID_FROM: [&str; 4] = ["time", "producer", "seq", "kind"];

/// Where a column of SQL comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// As stored; the index in the stored schema.
    Stored(usize),
    /// Stored as bytes; lower-case hexadecimal text in SQL.
    Hex(usize),
    /// Computed by [`REQUEST_ID_FROM`].
    RequestId,
}

/// The schema of SQL, and the origin of each of its columns.
#[derive(Debug)]
pub(super) struct SqlColumns {
    pub schema: SchemaRef,
    pub stored: SchemaRef,
    pub origins: Vec<Origin>,
}

static SQL_COLUMNS: LazyLock<SqlColumns> = LazyLock::new(|| {
    let stored = tollgate_record::schema::table();
    let mut fields = Vec::with_capacity(stored.fields().len() + 1);
    let mut origins = Vec::with_capacity(stored.fields().len() + 1);
    for (index, field) in stored.fields().iter().enumerate() {
        if field.data_type() == &DataType::Binary {
            fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, field.is_nullable())));
            origins.push(Origin::Hex(index));
        } else {
            fields.push(field.clone());
            origins.push(Origin::Stored(index));
        }
        if field.name() == AFTER {
            fields.push(Arc::new(Field::new(REQUEST_ID, DataType::Utf8, true)));
            origins.push(Origin::RequestId);
        }
    }
    SqlColumns { schema: Arc::new(Schema::new(fields)), stored, origins }
});

pub(super) fn sql_columns() -> &'static SqlColumns {
    &SQL_COLUMNS
}

/// The columns of `transactions`, in the order of the record.
pub fn sql_schema() -> SchemaRef {
    SQL_COLUMNS.schema.clone()
}

impl SqlColumns {
    /// The origin of the column of this name.
    pub fn origin(&self, name: &str) -> Option<Origin> {
        self.schema.index_of(name).ok().map(|index| self.origins[index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_computed_column_stands_after_kind_and_binaries_are_text() {
        let schema = sql_schema();
        let kind = schema.index_of("kind").expect("kind");
        assert_eq!(schema.field(kind + 1).name(), REQUEST_ID);
        for name in ["trace_id", "span_id", "client_cert_sha256", "token_hmac"] {
            assert_eq!(schema.field_with_name(name).expect(name).data_type(), &DataType::Utf8);
        }
        assert_eq!(schema.fields().len(), sql_columns().stored.fields().len() + 1);
    }
}
