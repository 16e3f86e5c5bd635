//! Aggregates of rows as aggregates of cells.
//!
//! | of rows | of cells | finished |
//! |---|---|---|
//! | `count(*)` | `sum(rows)` | 0 where there is none |
//! | `count(k)` of keys | `sum(rows)` where `k` is not null | 0 where there is none |
//! | `count(m)` of a measure | `sum(m_count)` | 0 where there is none |
//! | `sum(k)` of whole numbers over keys | `sum(k * rows)` | |
//! | `sum(m)`, `min(m)`, `max(m)` | `sum(m_sum)`, `min(m_min)`, `max(m_max)` | |
//! | `avg(k)`, `avg(m)` | both sums | their quotient |
//! | `sketch(m)` | `sketch(m)` of the rows, `sketch_merge(m_sketch)` of the cells | both together |
//! | `min`, `max`, `DISTINCT` and others over keys that do not care how often a value occurs | the same | |
//!
//! A `FILTER (WHERE …)` over keys stays as it is.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, TableReference};
use datafusion::execution::SessionState;
use datafusion::functions::core::coalesce;
use datafusion::functions_aggregate::expr_fn::sum;
use datafusion::logical_expr::expr::{AggregateFunction, Cast};
use datafusion::logical_expr::{Expr, ExprSchemable, cast, lit};
use tollgate_table::rollup::{Part, Rollup};

use super::recognise::Reason;
use super::sketch_union::sketch_union;

/// Name of the column of cells with their number of rows.
pub(super) const ROWS: &str = tollgate_table::rollup::ROWS;

/// The columns of cells that a query needs.
#[derive(Debug, Clone, Default)]
pub(super) struct Needs {
    /// Whether it needs the begin of the buckets.
    pub time: bool,
    /// Keys.
    pub keys: BTreeSet<String>,
    /// Parts of measures.
    pub parts: BTreeSet<(String, Part)>,
    /// Measures of which it needs the values of single rows.
    pub values: BTreeSet<String>,
}

/// One aggregate of rows, as aggregates of cells and what finishes them.
pub(super) struct Merge {
    pub calls: Vec<Expr>,
    pub finish: Box<dyn FnOnce(Vec<Expr>) -> Expr + Send + Sync>,
}

impl Merge {
    fn one(call: Expr) -> Self {
        Self { calls: vec![call], finish: Box::new(first) }
    }

    /// A sum that is 0 where there is nothing to add.
    fn count(call: Expr) -> Self {
        Self { calls: vec![call], finish: Box::new(|columns| coalesce().call(vec![first(columns), lit(0_i64)])) }
    }

    fn quotient(sum: Expr, count: Expr) -> Self {
        let finish = |columns: Vec<Expr>| {
            let mut columns = columns.into_iter().map(|column| cast(column, DataType::Float64));
            match (columns.next(), columns.next()) {
                (Some(sum), Some(count)) => sum / count,
                _ => lit(datafusion::common::ScalarValue::Float64(None)),
            }
        };
        Self { calls: vec![sum, count], finish: Box::new(finish) }
    }
}

fn first(columns: Vec<Expr>) -> Expr {
    columns.into_iter().next().unwrap_or_else(|| lit(datafusion::common::ScalarValue::Null))
}

/// The call over cells; takes note of what it needs.
pub(super) fn merge(
    call: Expr,
    table: &TableReference,
    schema: &DFSchema,
    state: &SessionState,
    needs: &mut Needs,
) -> Result<Merge, Reason> {
    let Expr::AggregateFunction(call) = call.unalias() else { return Err("an aggregate is no plain call") };
    let AggregateFunction { func, params } = &call;
    if !params.order_by.is_empty() || params.null_treatment.is_some() {
        return Err("an aggregate depends on the order of rows");
    }
    let filter = params.filter.as_deref().cloned();
    if let Some(filter) = &filter {
        needs.keys_of(filter, false)?;
    }
    let mut cells = Cells { table, filter, needs };
    let name = func.name();
    let of_keys = |needs: &Needs, argument: &Expr| {
        let mut tried = needs.clone();
        let measured = argument.column_refs().iter().any(|column| measured(&column.name).is_some());
        (!measured && tried.keys_of(argument, false).is_ok()).then_some(tried)
    };
    // The same whether a value occurs once or a million times.
    let indifferent = params.distinct || ["min", "max", "approx_distinct", "bool_and", "bool_or"].contains(&name);
    if indifferent && ["count", "sum", "avg", "min", "max", "approx_distinct", "bool_and", "bool_or"].contains(&name) {
        let tried = params.args.iter().try_fold(cells.needs.clone(), |needs, argument| of_keys(&needs, argument));
        if let Some(tried) = tried {
            *cells.needs = tried;
            return Ok(Merge::one(Expr::AggregateFunction(call)));
        }
    }
    over_cells(&call, &mut cells, schema, state)
}

/// The call over the sums, ends and sketches of cells.
fn over_cells(
    call: &AggregateFunction,
    cells: &mut Cells<'_>,
    schema: &DFSchema,
    state: &SessionState,
) -> Result<Merge, Reason> {
    let (name, params) = (call.func.name(), &call.params);
    let [argument] = params.args.as_slice() else { return Err("an aggregate is none that cells keep") };
    if params.distinct {
        return Err("DISTINCT is over more than keys");
    }
    let plain = uncast(argument);
    let measure = match plain {
        Expr::Column(column) => measured(&column.name).map(|_| column.name.clone()),
        _ => None,
    };
    match (name, measure) {
        ("count", _) if matches!(plain, Expr::Literal(value, _) if !value.is_null()) => {
            Ok(Merge::count(cells.rows(None)))
        }
        ("count", Some(measure)) if measure == "time" => Ok(Merge::count(cells.rows(None))),
        ("count", Some(measure)) => Ok(Merge::count(sum(cells.part(&measure, Part::Count)?).into_filtered(cells))),
        ("sum", Some(measure)) if is_whole(argument, schema) => {
            Ok(Merge::one(sum(cells.part(&measure, Part::Sum)?).into_filtered(cells)))
        }
        ("avg", Some(measure)) if is_whole(plain, schema) => {
            let total = sum(cells.part(&measure, Part::Sum)?).into_filtered(cells);
            let count = sum(cells.part(&measure, Part::Count)?).into_filtered(cells);
            Ok(Merge::quotient(total, count))
        }
        ("min" | "max", Some(measure)) if plain == argument => {
            let part = if name == "min" { Part::Min } else { Part::Max };
            let mut merged = call.clone();
            merged.params.args = vec![cells.part(&measure, part)?];
            Ok(Merge::one(Expr::AggregateFunction(merged)))
        }
        ("sketch", Some(measure)) if is_whole(plain, schema) => cells.sketch(call, &measure, state),
        ("count" | "sum" | "avg", None) => cells.over_keys(name, argument, schema),
        _ => Err("an aggregate is none that cells keep"),
    }
}

/// The cells that an aggregate reads.
struct Cells<'c> {
    table: &'c TableReference,
    filter: Option<Expr>,
    needs: &'c mut Needs,
}

impl Cells<'_> {
    fn column(&self, name: impl Into<String>) -> Expr {
        Expr::Column(Column::new(Some(self.table.clone()), name))
    }

    /// The number of rows, where `condition` holds too.
    fn rows(&self, condition: Option<Expr>) -> Expr {
        let filter = [self.filter.clone(), condition].into_iter().flatten().reduce(Expr::and);
        filtered(sum(self.column(ROWS)), filter)
    }

    fn part(&mut self, measure: &str, part: Part) -> Result<Expr, Reason> {
        if measure == "time" && !matches!(part, Part::Min | Part::Max) {
            return Err("times are not summed");
        }
        self.needs.parts.insert((measure.to_owned(), part));
        Ok(self.column(Rollup::column(measure, part)))
    }

    fn over_keys(&mut self, name: &str, argument: &Expr, schema: &DFSchema) -> Result<Merge, Reason> {
        if argument.column_refs().iter().any(|column| measured(&column.name).is_some()) {
            return Err("an aggregate is over an expression of measures");
        }
        self.needs.keys_of(argument, false)?;
        if name == "count" {
            return Ok(Merge::count(self.rows(Some(argument.clone().is_not_null()))));
        }
        let whole = if name == "avg" { uncast(argument) } else { argument };
        if !is_whole(whole, schema) {
            return Err("a sum over keys is not of whole numbers");
        }
        let weighted = cast(whole.clone(), DataType::Int64) * self.column(ROWS);
        let total = filtered(sum(weighted), self.filter.clone());
        Ok(match name {
            "sum" => Merge::one(total),
            _ => Merge::quotient(total, self.rows(Some(whole.clone().is_not_null()))),
        })
    }

    fn sketch(&mut self, call: &AggregateFunction, measure: &str, state: &SessionState) -> Result<Merge, Reason> {
        let merging = state.aggregate_functions().get("sketch_merge").ok_or("sketches cannot be merged")?;
        self.needs.values.insert(measure.to_owned());
        let sketches = self.part(measure, Part::Sketch)?;
        let of_cells = Expr::AggregateFunction(AggregateFunction::new_udf(
            merging.clone(),
            vec![sketches],
            false,
            self.filter.clone().map(Box::new),
            Vec::new(),
            None,
        ));
        let finish = |columns: Vec<Expr>| sketch_union().call(columns);
        Ok(Merge { calls: vec![Expr::AggregateFunction(call.clone()), of_cells], finish: Box::new(finish) })
    }
}

trait Filtered {
    fn into_filtered(self, cells: &Cells<'_>) -> Expr;
}

impl Filtered for Expr {
    fn into_filtered(self, cells: &Cells<'_>) -> Expr {
        filtered(self, cells.filter.clone())
    }
}

fn filtered(call: Expr, filter: Option<Expr>) -> Expr {
    match call {
        Expr::AggregateFunction(mut call) => {
            call.params.filter = filter.map(Box::new);
            Expr::AggregateFunction(call)
        }
        other => other,
    }
}

/// The parts that some roll-up keeps of the column, if it is a measure of one.
fn measured(column: &str) -> Option<&'static [Part]> {
    let measures = tollgate_table::rollup::ROLLUPS.iter().flat_map(|rollup| rollup.measures);
    measures.filter(|measure| measure.column == column).map(|measure| measure.parts).next()
}

fn uncast(expression: &Expr) -> &Expr {
    match expression {
        Expr::Cast(Cast { expr, .. }) => expr,
        other => other,
    }
}

/// Whether the values are whole numbers that 64 bits hold: their sum is the same in any order.
fn is_whole(expression: &Expr, schema: &DFSchema) -> bool {
    let whole = [DataType::Int8, DataType::Int16, DataType::Int32, DataType::Int64];
    expression.get_type(schema).is_ok_and(|data_type| whole.contains(&data_type))
}
