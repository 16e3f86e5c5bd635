//! Recognises a GROUP BY that cells can answer, and writes it over cells.
//!
//! Projections, aliases and filters below it are folded into it, so that it stands in terms of the table's own columns. Whatever
//! does not fit is a reason not to use roll-ups, in words for `EXPLAIN`.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, TableReference};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::execution::SessionState;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, TableScan, Volatility};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use object_store::ObjectStore;
use tollgate_table::rollup::{ROLLUPS, Rollup};

use super::aggregates::{Merge, Needs, merge};
use super::buckets::steps;
use super::cells::CellsTable;
use super::coverage::Coverage;
use super::range::TimeRange;
use crate::table::{QueryScope, TransactionsTable};

/// Why a query is not answered from roll-ups.
pub(super) type Reason = &'static str;

/// A GROUP BY in terms of the table's columns.
pub(super) struct Recognised {
    table: TableReference,
    /// What the plain plan answers: names and types of the columns.
    plain: Aggregate,
    groups: Vec<Expr>,
    merges: Vec<Merge>,
    /// Filters over keys.
    pub filters: Vec<Expr>,
    /// The times that the query asks for.
    pub range: TimeRange,
    /// The columns of cells that the query needs.
    pub needs: Needs,
    /// The roll-ups that have them, those with fewer cells first.
    pub rollups: Vec<&'static Rollup>,
}

/// The GROUP BY over cells, or why it cannot be.
pub(super) fn recognised(aggregate: &Aggregate, state: &SessionState) -> Result<Recognised, Reason> {
    let below = below(&aggregate.input)?;
    let schema = &below.scan.projected_schema;
    let props = state.execution_props();
    let context = SimplifyContext::builder()
        .with_schema(Arc::clone(schema))
        .with_config_options(Arc::clone(state.config_options()))
        .with_query_execution_start_time(props.query_execution_start_time)
        .build();
    let simplifier = ExprSimplifier::new(context);
    let folded = |expression: &Expr| -> Result<Expr, Reason> {
        let expression = substituted(expression.clone(), &aggregate.input, &below.columns)?;
        constant_in_query(&expression)?;
        simplifier.simplify(expression).map_err(|_| "an expression cannot be simplified")
    };
    let groups = aggregate.group_expr.iter().map(folded).collect::<Result<Vec<_>, _>>()?;
    if groups.iter().any(|group| matches!(group, Expr::GroupingSet(_))) {
        return Err("GROUPING SETS are scanned");
    }
    let mut needs = Needs::default();
    let mut step = 0;
    for group in &groups {
        step = gcd(step, needs.keys_of(group, true)?);
    }
    let (mut range, mut filters) = (TimeRange::ALL, Vec::new());
    for filter in &below.filters {
        constant_in_query(filter)?;
        let filter = simplifier.simplify(filter.clone()).map_err(|_| "a filter cannot be simplified")?;
        for part in split_conjunction_owned(filter) {
            match TimeRange::of(&part) {
                Some(times) => range = range.and(times),
                None => {
                    needs.keys_of(&part, false)?;
                    filters.push(part);
                }
            }
        }
    }
    if range.is_empty() {
        return Err("the range of time is empty");
    }
    let table = below.scan.table_name.clone();
    let calls = aggregate.aggr_expr.iter().map(folded).collect::<Result<Vec<_>, _>>()?;
    let merges =
        calls.into_iter().map(|call| merge(call, &table, schema, state, &mut needs)).collect::<Result<Vec<_>, _>>()?;
    let rollups: Vec<_> =
        ROLLUPS.iter().filter(|rollup| needs.kept_by(rollup) && step % rollup.grain.us() == 0).collect();
    if rollups.is_empty() {
        return Err("no roll-up has these keys, measures and steps of time together");
    }
    Ok(Recognised { table, plain: aggregate.clone(), groups, merges, filters, range, needs, rollups })
}

impl Recognised {
    /// The same answer from cells; `None` if a type would differ.
    pub fn over_cells(
        self,
        coverage: Coverage,
        scope: &Arc<QueryScope>,
        store: &Arc<dyn ObjectStore>,
    ) -> Result<Option<LogicalPlan>> {
        let cells = CellsTable::new(self.needs, coverage, Arc::clone(scope), Arc::clone(store));
        let mut plan = LogicalPlanBuilder::scan(self.table, provider_as_source(Arc::new(cells)), None)?;
        if let Some(filter) = conjunction(self.filters) {
            plan = plan.filter(filter)?;
        }
        let named = |prefix: &str, at: usize| format!("{prefix}{at}");
        let groups: Vec<_> =
            self.groups.into_iter().enumerate().map(|(at, group)| group.alias(named("group_", at))).collect();
        let (mut calls, mut finished) = (Vec::new(), Vec::new());
        for merge in self.merges {
            let columns = merge.calls.into_iter().map(|call| {
                let name = named("merge_", calls.len());
                calls.push(call.alias(&name));
                Expr::Column(Column::new_unqualified(name))
            });
            let columns: Vec<_> = columns.collect();
            finished.push((merge.finish)(columns));
        }
        let shown = (0..groups.len()).map(|at| Expr::Column(Column::new_unqualified(named("group_", at))));
        let shown: Vec<_> = shown
            .chain(finished)
            .zip(self.plain.schema.iter())
            .map(|(value, (relation, field))| value.alias_qualified(relation.cloned(), field.name()))
            .collect();
        let input = Arc::new(plan.build()?);
        let merged = LogicalPlan::Aggregate(Aggregate::try_new(input, groups, calls)?);
        let plan = LogicalPlanBuilder::from(merged).project(shown)?.build()?;
        let plain = self.plain.schema.fields().iter().map(|field| field.data_type());
        if !plain.eq(plan.schema().fields().iter().map(|field| field.data_type())) {
            scope.scans_because("a type would differ");
            return Ok(None);
        }
        Ok(Some(plan))
    }
}

/// What is below a GROUP BY, folded together.
struct Below<'p> {
    scan: &'p TableScan,
    /// The columns of the GROUP BY's input, in terms of the table's.
    columns: Vec<Expr>,
    /// All filters, in terms of the table's columns.
    filters: Vec<Expr>,
}

fn below(plan: &LogicalPlan) -> Result<Below<'_>, Reason> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => below(&alias.input),
        LogicalPlan::Filter(filter) => {
            let mut found = below(&filter.input)?;
            found.filters.push(substituted(filter.predicate.clone(), &filter.input, &found.columns)?);
            Ok(found)
        }
        LogicalPlan::Projection(projection) => {
            let found = below(&projection.input)?;
            let columns = projection
                .expr
                .iter()
                .map(|expression| substituted(expression.clone(), &projection.input, &found.columns))
                .collect::<Result<_, _>>()?;
            Ok(Below { columns, ..found })
        }
        LogicalPlan::TableScan(scan) => {
            let provider = source_as_provider(&scan.source).map_err(|_| "the table is another one")?;
            if provider.downcast_ref::<TransactionsTable>().is_none() || scan.fetch.is_some() {
                return Err("the table is another one");
            }
            let columns = scan.projected_schema.columns().into_iter().map(Expr::Column).collect();
            Ok(Below { scan, columns, filters: scan.filters.clone() })
        }
        _ => Err("it groups more than the rows of transactions"),
    }
}

/// The expression with the columns of `input` replaced by what they stand for.
fn substituted(expression: Expr, input: &LogicalPlan, columns: &[Expr]) -> Result<Expr, Reason> {
    let schema = input.schema();
    let replaced = expression.transform_up(|node| match &node {
        Expr::Column(column) => {
            let stands_for = columns[schema.index_of_column(column)?].clone();
            Ok(Transformed::yes(stands_for.unalias_nested().data))
        }
        _ => Ok(Transformed::no(node)),
    });
    replaced.map(|replaced| replaced.data.unalias()).map_err(|_| "a column is not one of the table")
}

/// Refuses what says something else on each row, or asks another query.
fn constant_in_query(expression: &Expr) -> Result<(), Reason> {
    let mut fits = true;
    let walked = expression.apply(|node| {
        fits &= match node {
            Expr::ScalarFunction(call) => call.func.signature().volatility != Volatility::Volatile,
            Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_) => false,
            Expr::Placeholder(_) | Expr::OuterReferenceColumn(..) | Expr::WindowFunction(_) | Expr::Unnest(_) => false,
            _ => true,
        };
        Ok(if fits { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    if walked.is_ok() && fits { Ok(()) } else { Err("it has a subquery, or a function that differs from row to row") }
}

impl Needs {
    /// Takes note of the keys in an expression. Answers the steps of `time` in it (see `buckets`), which only groups may have.
    pub fn keys_of(&mut self, expression: &Expr, stepped: bool) -> Result<i64, Reason> {
        let step = steps(expression).ok_or("time is used other than in ranges and by whole buckets")?;
        if step != 0 && !stepped {
            return Err("time is used other than in ranges and by whole buckets");
        }
        let mut columns = BTreeSet::new();
        for column in expression.column_refs() {
            columns.insert(column.name.clone());
        }
        if columns.remove("time") {
            self.time = true;
        }
        self.keys.extend(columns);
        Ok(step)
    }

    /// Whether cells of the roll-up have all that is needed.
    fn kept_by(&self, rollup: &Rollup) -> bool {
        let has_part = |(column, part): &(String, tollgate_table::rollup::Part)| {
            rollup.measures.iter().any(|measure| measure.column == column && measure.parts.contains(part))
        };
        self.keys.iter().all(|key| rollup.keys.contains(&key.as_str())) && self.parts.iter().all(has_part)
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
