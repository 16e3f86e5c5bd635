//! Functions whose result can be much larger than their arguments.
//!
//! DataFusion's memory pool does not count what a function makes, and a text of 64 KiB is enough to ask for more memory than
//! the machine has. So functions whose argument names the size of the result are absent ([`ABSENT`]). For those that join,
//! replace or collect ([`GROWING`], and `||`) the arguments are measured before each call, and the result after it. Both
//! rules hold for the plan, whatever text led to it: an array's brackets and `||` are such calls too.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::kernels::concat_elements::concat_elements_dyn;
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

use crate::error::{ErrorKind, QueryError};

/// Functions that are left out, with their other names.
pub(super) const ABSENT: [&str; 7] =
    ["repeat", "lpad", "rpad", "array_repeat", "array_resize", "range", "generate_series"];

/// Functions whose result is about as large as their arguments together.
const GROWING: [&str; 22] = [
    "array_append",
    "array_concat",
    "array_prepend",
    "array_replace",
    "array_replace_all",
    "array_replace_n",
    "array_to_string",
    "array_union",
    "arrays_zip",
    "concat",
    "concat_ws",
    "encode",
    "flatten",
    "make_array",
    "map",
    "named_struct",
    "overlay",
    "string_to_array",
    "struct",
    "to_char",
    "translate",
    "upper",
];
/// Functions that put their third argument in many places of their first.
const REPLACING: [&str; 2] = ["replace", "regexp_replace"];

/// Longest value that one of these functions makes: as long as a query's own text can be.
const VALUE_BYTES_MAX: usize = 64 * 1024;
/// One call may make this share of all queries' memory of a batch of rows, as a divisor, and never less than
/// [`CALL_BYTES_MIN`].
const CALL_SHARE: usize = 16;
const CALL_BYTES_MIN: usize = 1024 * 1024;

/// The plan with every growing call limited.
pub(crate) fn capped(plan: LogicalPlan, memory_bytes_max: usize) -> Result<LogicalPlan> {
    let call_bytes_max = (memory_bytes_max / CALL_SHARE).max(CALL_BYTES_MIN);
    let limited = plan.transform_up_with_subqueries(|node| {
        node.map_expressions(|expression| expression.transform_up(|part| Ok(limit_call(part, call_bytes_max))))
    })?;
    Ok(limited.data)
}

fn limit_call(expression: Expr, call_bytes_max: usize) -> Transformed<Expr> {
    match expression {
        Expr::ScalarFunction(call) if is_limited(call.func.name()) => {
            let function = Capped { inner: call.func, call_bytes_max };
            let func = Arc::new(ScalarUDF::from(function));
            Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args: call.args }))
        }
        Expr::BinaryExpr(joined) if joined.op == Operator::StringConcat => {
            let inner = Arc::new(ScalarUDF::from(Joined { signature: Signature::user_defined(Volatility::Immutable) }));
            let func = Arc::new(ScalarUDF::from(Capped { inner, call_bytes_max }));
            Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args: vec![*joined.left, *joined.right] }))
        }
        other => Transformed::no(other),
    }
}

fn is_limited(name: &str) -> bool {
    GROWING.contains(&name) || REPLACING.contains(&name)
}

/// A function whose calls are limited.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Capped {
    inner: Arc<ScalarUDF>,
    call_bytes_max: usize,
}

impl Capped {
    fn check(&self, bytes: usize, bytes_max: usize, of: &str) -> Result<()> {
        if bytes <= bytes_max {
            return Ok(());
        }
        let message = format!("{} would make {of} of {bytes} bytes; at most {bytes_max} are", self.inner.name());
        let error = QueryError::new(ErrorKind::OutOfMemory, message).hint("make less of it, or of fewer rows");
        Err(DataFusionError::External(Box::new(error)))
    }

    /// Refuses a call that would make too much, before it is made.
    fn check_arguments(&self, args: &[ColumnarValue], rows: usize) -> Result<()> {
        let rows = if args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_))) { 1 } else { rows };
        let mut sizes = Vec::with_capacity(args.len());
        for arg in args {
            sizes.push(match arg {
                ColumnarValue::Array(array) => (size(array)?, longest(array)?),
                ColumnarValue::Scalar(value) => {
                    let bytes = size(&value.to_array()?)?;
                    (bytes.saturating_mul(rows), bytes)
                }
            });
        }
        if REPLACING.contains(&self.inner.name())
            && let [(bytes, _), _, (_, each), ..] = sizes[..]
        {
            let most = bytes.saturating_add(rows).saturating_mul(each.saturating_add(1));
            return self.check(most, self.call_bytes_max.saturating_mul(CALL_SHARE), "values");
        }
        let together = sizes.iter().fold(0_usize, |sum, (bytes, _)| sum.saturating_add(*bytes));
        self.check(together, self.call_bytes_max, "values")
    }
}

impl ScalarUDFImpl for Capped {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.inner.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.check_arguments(&args.args, args.number_rows)?;
        let made = self.inner.invoke_with_args(args)?;
        let (bytes, each) = match &made {
            ColumnarValue::Array(array) => (size(array)?, longest(array)?),
            ColumnarValue::Scalar(value) => {
                let bytes = size(&value.to_array()?)?;
                (bytes, bytes)
            }
        };
        self.check(bytes, self.call_bytes_max, "values")?;
        self.check(each, VALUE_BYTES_MAX, "a value")?;
        Ok(made)
    }
}

/// Bytes of all values.
fn size(array: &ArrayRef) -> Result<usize> {
    match array.as_string_view_opt() {
        Some(texts) => Ok(texts.iter().flatten().map(str::len).sum()),
        None => Ok(array.to_data().get_slice_memory_size()?),
    }
}

/// Bytes of the longest value; of what is neither text nor list, of an average one.
fn longest(array: &ArrayRef) -> Result<usize> {
    let longest = |lengths: &mut dyn Iterator<Item = usize>| Ok(lengths.max().unwrap_or(0));
    if let Some(texts) = array.as_string_opt::<i32>() {
        return longest(&mut texts.iter().flatten().map(str::len));
    }
    if let Some(texts) = array.as_string_opt::<i64>() {
        return longest(&mut texts.iter().flatten().map(str::len));
    }
    if let Some(texts) = array.as_string_view_opt() {
        return longest(&mut texts.iter().flatten().map(str::len));
    }
    if let Some(lists) = array.as_list_opt::<i32>() {
        let most = (0..lists.len()).max_by_key(|row| lists.value_length(*row));
        return most.map_or(Ok(0), |row| size(&lists.value(row)));
    }
    Ok(size(array)? / array.len().max(1))
}

/// The operator `||` as a function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Joined {
    signature: Signature,
}

impl ScalarUDFImpl for Joined {
    fn name(&self) -> &str {
        "||"
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args.iter().map(|arg| arg.schema_name().to_string()).collect::<Vec<_>>().join(" || "))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let [left, right] = two(types)?;
        BinaryTypeCoercer::new(left, &Operator::StringConcat, right).get_result_type()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [left, right] = two(types)?;
        let (left, right) = BinaryTypeCoercer::new(left, &Operator::StringConcat, right).get_input_types()?;
        Ok(vec![left, right])
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let single = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [left, right] = two(&arrays)?;
        let joined = concat_elements_dyn(left.as_ref(), right.as_ref())?;
        if single {
            return Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&joined, 0)?));
        }
        Ok(ColumnarValue::Array(joined))
    }
}

fn two<T>(both: &[T]) -> Result<&[T; 2]> {
    both.try_into().map_err(|_| DataFusionError::Internal("|| has two sides".to_owned()))
}
