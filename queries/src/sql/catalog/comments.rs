//! `col_description`, `obj_description`, and others that say in words what a number of the catalogs means.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, Int64Array, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::Described;
use super::functions::listed;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Comment {
    /// By table and number of the column.
    OfColumn,
    /// By table or function.
    OfObject,
    /// The text of a view.
    Definition,
    /// What a function takes.
    Arguments,
    /// What it answers.
    Result,
}

impl Comment {
    pub const ALL: [Self; 5] = [Self::OfColumn, Self::OfObject, Self::Definition, Self::Arguments, Self::Result];
}

/// The number of a table, and more, to what is said of it; null for everything else.
#[derive(Debug)]
pub(super) struct Comments {
    comment: Comment,
    described: Arc<HashMap<i32, Described>>,
    signature: Signature,
}

impl Comments {
    pub fn new(comment: Comment, described: Arc<HashMap<i32, Described>>) -> Self {
        Self { comment, described, signature: Signature::variadic_any(Volatility::Stable) }
    }

    fn of(&self, oid: i64, number: Option<i64>) -> Option<&'static str> {
        let table = i32::try_from(oid).ok().and_then(|oid| self.described.get(&oid));
        match self.comment {
            Comment::OfObject => table.map(|table| table.meaning).or_else(|| Some(listed(oid)?.meaning)),
            Comment::Definition => table?.definition,
            // PostgreSQL counts columns from 1.
            Comment::OfColumn => *table?.columns.get(usize::try_from(number?).ok()?.checked_sub(1)?)?,
            Comment::Arguments => Some(listed(oid)?.arguments),
            Comment::Result => Some(listed(oid)?.result),
        }
    }
}

impl PartialEq for Comments {
    fn eq(&self, other: &Self) -> bool {
        self.comment == other.comment && Arc::ptr_eq(&self.described, &other.described)
    }
}

impl Eq for Comments {}

impl Hash for Comments {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.comment.hash(state);
    }
}

impl ScalarUDFImpl for Comments {
    fn name(&self) -> &str {
        match self.comment {
            Comment::OfColumn => "col_description",
            Comment::OfObject => "obj_description",
            Comment::Definition => "pg_get_viewdef",
            Comment::Arguments => "pg_get_function_arguments",
            Comment::Result => "pg_get_function_result",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let numbers = |at: usize| -> Option<Int64Array> {
            let numbers = cast(arrays.get(at)?, &DataType::Int64).ok()?;
            Some(numbers.as_primitive::<Int64Type>().clone())
        };
        let rows = arrays.first().map_or(args.number_rows, |array| array.len());
        let (oids, columns) = (numbers(0), numbers(1).filter(|_| self.comment == Comment::OfColumn));
        let at = |numbers: &Option<Int64Array>, row: usize| {
            numbers.as_ref().filter(|numbers| numbers.is_valid(row)).map(|numbers| numbers.value(row))
        };
        let said = (0..rows).map(|row| self.of(at(&oids, row)?, at(&columns, row)));
        Ok(ColumnarValue::Array(Arc::new(said.collect::<StringArray>())))
    }
}
