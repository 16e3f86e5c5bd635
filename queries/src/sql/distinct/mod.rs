//! DISTINCT aggregates as groups, so that they spill.
//!
//! DataFusion keeps the different values of each group in a set of its own, which it can neither bound nor merge from disk in
//! parts. It makes a GROUP BY of them only where there is one such column, and beside it nothing but `sum`, `min` and `max`. Here a
//! GROUP BY makes the values different, and a second one counts them. Both spill as every GROUP BY does:
//!
//! ```text
//!   SELECT k, count(*), count(DISTINCT a), count(DISTINCT b)              GROUP BY k
//!
//!   ──▶  SELECT k, sum(n) FILTER (set = 0), count(a) FILTER (set = 0), count(b) FILTER (set = 1)  GROUP BY k
//!        FROM (SELECT k, a, b, count(*) AS n                GROUP BY GROUPING SETS ((k, a), (k, b)))
//! ```
//! The input is read once. Of the sets, only the first adds up the aggregates without DISTINCT. With a single column there is one
//! set, and no number of it.

mod call;

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::logical_expr::expr::GroupingSet;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast, lit};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::prelude::SessionContext;

use call::{Call, Outer};

/// Columns of grouping sets that one number tells apart.
const COLUMNS_MAX: usize = 64;

/// Adds the rule.
pub(super) fn register(context: &SessionContext) {
    context.add_optimizer_rule(Arc::new(DistinctsToGroups));
}

/// Writes DISTINCT aggregates as two GROUP BYs, one over the other.
#[derive(Debug)]
struct DistinctsToGroups;

impl OptimizerRule for DistinctsToGroups {
    fn name(&self) -> &str {
        "distincts_to_groups"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
        Ok(match over_groups(aggregate)? {
            Some(rewritten) => Transformed::yes(rewritten),
            None => Transformed::no(plan),
        })
    }
}

/// The two GROUP BYs; `None` if there is no DISTINCT, or one of the aggregates cannot be put together from parts.
fn over_groups(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let schema = aggregate.input.schema();
    let calls: Option<Vec<Call>> = aggregate.aggr_expr.iter().map(|call| Call::of(call, schema)).collect();
    let Some(calls) = calls.filter(|calls| calls.iter().any(Call::is_distinct)) else { return Ok(None) };
    if aggregate.group_expr.iter().any(|key| matches!(key, Expr::GroupingSet(_))) {
        return Ok(None);
    }
    let mut inner = Inner::default();
    let keys: Vec<Expr> = aggregate.group_expr.iter().map(|key| inner.column(key)).collect();
    let outer: Vec<Outer> = calls.into_iter().map(|call| call.over(&mut inner)).collect();
    if keys.len() + inner.distinct.len() > COLUMNS_MAX {
        return Ok(None);
    }
    let sets = Sets { keys: keys.clone(), distinct: inner.distinct.clone() };
    let input = LogicalPlanBuilder::from(aggregate.input.as_ref().clone()).project(inner.columns)?.build()?;
    let grouped = Aggregate::try_new(input.into(), sets.group_by(), inner.calls)?;
    let mut finished: Vec<Expr> = keys.clone();
    let mut merged = Vec::new();
    for outer in outer {
        let columns = outer.merges.into_iter().map(|(merge, set)| {
            let name = format!("merged_{}", merged.len());
            merged.push(call::filtered(merge, sets.is(set)?)?.alias(&name));
            Ok(named(name))
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        finished.push((outer.finish)(columns));
    }
    let merged = Aggregate::try_new(LogicalPlan::Aggregate(grouped).into(), keys, merged)?;
    let merged = LogicalPlan::Aggregate(merged);
    let shown = finished.into_iter().zip(aggregate.schema.iter()).map(|(value, (relation, field))| {
        let value = match value.get_type(merged.schema())? {
            as_before if &as_before == field.data_type() => value,
            _ => cast(value, field.data_type().clone()),
        };
        Ok(value.alias_qualified(relation.cloned(), field.name()))
    });
    let shown = shown.collect::<Result<Vec<_>>>()?;
    Ok(Some(LogicalPlanBuilder::from(merged).project(shown)?.build()?))
}

/// What the first GROUP BY reads and makes.
#[derive(Default)]
struct Inner {
    /// The columns of its input, each with a name of its own.
    columns: Vec<Expr>,
    /// The columns of DISTINCT aggregates with the expressions that they stand for.
    values: Vec<Expr>,
    distinct: Vec<Expr>,
    /// Aggregates without DISTINCT, with names.
    calls: Vec<Expr>,
}

impl Inner {
    /// A column of the input with this value.
    fn column(&mut self, value: &Expr) -> Expr {
        let name = format!("column_{}", self.columns.len());
        self.columns.push(value.clone().unalias().alias(&name));
        named(name)
    }

    /// The column of values that are to be different, and the number of its set.
    fn distinct(&mut self, value: Expr) -> (Expr, usize) {
        let at = self.values.iter().position(|known| *known == value).unwrap_or_else(|| {
            let column = self.column(&value);
            self.values.push(value);
            self.distinct.push(column);
            self.values.len() - 1
        });
        (self.distinct[at].clone(), at)
    }

    /// The column that an aggregate makes.
    fn call(&mut self, call: Expr) -> Expr {
        let name = format!("part_{}", self.calls.len());
        self.calls.push(call.alias(&name));
        named(name)
    }
}

/// The sets that the first GROUP BY groups by: the keys, and one column of values.
struct Sets {
    keys: Vec<Expr>,
    distinct: Vec<Expr>,
}

impl Sets {
    fn group_by(&self) -> Vec<Expr> {
        let set = |value: &Expr| self.keys.iter().chain([value]).cloned().collect::<Vec<_>>();
        match self.distinct.as_slice() {
            [value] => set(value),
            values => vec![Expr::GroupingSet(GroupingSet::GroupingSets(values.iter().map(set).collect()))],
        }
    }

    /// Whether a row is of this set; `None` where there is one set.
    fn is(&self, set: usize) -> Result<Option<Expr>> {
        let values = self.distinct.len();
        if values == 1 {
            return Ok(None);
        }
        // A bit for each column that the set leaves out, the last column's lowest (Aggregate::INTERNAL_GROUPING_ID).
        let all = u64::MAX >> (COLUMNS_MAX - values);
        let id = all & !(1 << (values - 1 - set));
        let id_type = Aggregate::grouping_id_type(self.keys.len() + values, 0);
        let id = ScalarValue::UInt64(Some(id)).cast_to(&id_type)?;
        Ok(Some(named(Aggregate::INTERNAL_GROUPING_ID).eq(lit(id))))
    }
}

fn named(name: impl Into<String>) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}
