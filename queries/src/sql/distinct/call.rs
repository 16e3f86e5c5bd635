//! One aggregate, as an aggregate of the first GROUP BY and those of the second that finish it.
//!
//! | aggregate | of the first | of the second |
//! |---|---|---|
//! | `count`, `sum`, `avg`, `min`, `max` of DISTINCT values | the values are a column of groups | the same, without DISTINCT |
//! | `count(x)` | `count(x)` | `sum`, 0 where there is nothing to add |
//! | `sum`, `min`, `max`, `bool_and`, `bool_or` | the same | the same |
//! | `avg(x)` of doubles, which whole numbers have become | `sum(x)`, `count(x)` | the quotient of their sums |
//! | `sketch`, `sketch_merge` | the same | `sketch_merge` |
//!
//! What a `FILTER` leaves out of DISTINCT values is null among them.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue, internal_err};
use datafusion::functions::core::coalesce;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{AggregateUDF, Expr, ExprSchemable, cast, lit, when};

use super::Inner;
use crate::sql::sketch::sketch_merge;

/// Aggregates of DISTINCT values that are the same in any order.
const OF_DISTINCT: [&str; 5] = ["count", "sum", "avg", "min", "max"];

/// An aggregate that can be put together from parts.
pub(super) enum Call {
    Distinct { func: Arc<AggregateUDF>, value: Expr },
    Merged { call: AggregateFunction, merge: Merge },
}

/// How parts of an aggregate become one.
#[derive(Clone, Copy)]
pub(super) enum Merge {
    Count,
    Same,
    Average,
    Sketch,
}

/// Makes an aggregate of the columns that its parts are merged to.
type Finish = fn(Vec<Expr>) -> Expr;

/// What the second GROUP BY computes for one aggregate.
pub(super) struct Outer {
    /// Its aggregates, each with the set that it reads.
    pub merges: Vec<(Expr, usize)>,
    pub finish: Finish,
}

impl Call {
    /// The aggregate, if it can be put together from parts.
    pub fn of(expression: &Expr, schema: &DFSchema) -> Option<Self> {
        let Expr::AggregateFunction(call) = expression.clone().unalias() else { return None };
        let params = &call.params;
        if !params.order_by.is_empty() || params.null_treatment.is_some() {
            return None;
        }
        let name = call.func.name();
        if params.distinct {
            let [value] = params.args.as_slice() else { return None };
            let value = match &params.filter {
                None => value.clone(),
                Some(filter) => when(filter.as_ref().clone(), value.clone()).end().ok()?,
            };
            return OF_DISTINCT.contains(&name).then(|| Self::Distinct { func: Arc::clone(&call.func), value });
        }
        let merge = match name {
            "count" => Merge::Count,
            "sum" | "min" | "max" | "bool_and" | "bool_or" => Merge::Same,
            "avg" if params.args.first()?.get_type(schema).ok()? == DataType::Float64 => Merge::Average,
            "sketch" | "sketch_merge" => Merge::Sketch,
            _ => return None,
        };
        Some(Self::Merged { call, merge })
    }

    pub fn is_distinct(&self) -> bool {
        matches!(self, Self::Distinct { .. })
    }

    /// Adds the parts to the first GROUP BY. Answers what finishes them.
    pub fn over(self, inner: &mut Inner) -> Outer {
        match self {
            Self::Distinct { func, value } => {
                let (column, set) = inner.distinct(value);
                Outer { merges: vec![(plain(func, column), set)], finish: first }
            }
            Self::Merged { call, merge } => {
                let mut call = call;
                call.params.args = call.params.args.iter().map(|argument| of_input(argument, inner)).collect();
                call.params.filter = call.params.filter.map(|filter| Box::new(inner.column(&filter)));
                merge.over(call, inner)
            }
        }
    }
}

impl Merge {
    fn over(self, call: AggregateFunction, inner: &mut Inner) -> Outer {
        let func = Arc::clone(&call.func);
        let with = |func: Arc<AggregateUDF>| {
            let mut call = call.clone();
            call.func = func;
            Expr::AggregateFunction(call)
        };
        let (parts, finish): (Vec<_>, Finish) = match self {
            Self::Count => (vec![(with(func), sum_udaf())], or_zero),
            Self::Same => (vec![(with(Arc::clone(&func)), func)], first),
            Self::Average => (vec![(with(sum_udaf()), sum_udaf()), (with(count_udaf()), sum_udaf())], quotient),
            Self::Sketch => (vec![(with(func), sketch_merge())], first),
        };
        let merges = parts.into_iter().map(|(part, merge)| (plain(merge, inner.call(part)), 0)).collect();
        Outer { merges, finish }
    }
}

/// The argument as a column of the input; a constant as it is.
fn of_input(argument: &Expr, inner: &mut Inner) -> Expr {
    match argument {
        Expr::Literal(..) => argument.clone(),
        other => inner.column(other),
    }
}

fn plain(func: Arc<AggregateUDF>, argument: Expr) -> Expr {
    Expr::AggregateFunction(AggregateFunction::new_udf(func, vec![argument], false, None, Vec::new(), None))
}

/// The aggregate of those rows only for which the filter holds.
pub(super) fn filtered(call: Expr, filter: Option<Expr>) -> Result<Expr> {
    let Expr::AggregateFunction(mut call) = call else { return internal_err!("{call} is no aggregate") };
    call.params.filter = filter.map(Box::new);
    Ok(Expr::AggregateFunction(call))
}

fn first(columns: Vec<Expr>) -> Expr {
    columns.into_iter().next().unwrap_or_else(|| lit(ScalarValue::Null))
}

fn or_zero(columns: Vec<Expr>) -> Expr {
    coalesce().call(vec![first(columns), lit(0_i64)])
}

fn quotient(columns: Vec<Expr>) -> Expr {
    let mut columns = columns.into_iter().map(|column| cast(column, DataType::Float64));
    match (columns.next(), columns.next()) {
        (Some(sum), Some(count)) => sum / count,
        _ => lit(ScalarValue::Float64(None)),
    }
}
