//! Reads percentiles off sketches only for the rows that are shown.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, Sort, SortExpr};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::quantile::SketchQuantile;

/// Turns "the first rows, in order, of what a projection with percentiles makes" into the projection of the first rows in
/// order, where the order asks for no percentile. Of 11,000 services twenty are then read off, and not all.
#[derive(Debug)]
pub(super) struct PercentilesLate;

impl OptimizerRule for PercentilesLate {
    fn name(&self) -> &str {
        "percentiles_late"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Sort(sort) = &plan else { return Ok(Transformed::no(plan)) };
        let (Some(fetch), LogicalPlan::Projection(projection)) = (sort.fetch, sort.input.as_ref()) else {
            return Ok(Transformed::no(plan));
        };
        if !projection.expr.iter().any(reads_a_sketch) {
            return Ok(Transformed::no(plan));
        }
        let made = made_by(projection);
        let below = sort.expr.iter().map(|order| below(order, &made)).collect::<Result<Vec<_>>>()?;
        if below.iter().any(|order| reads_a_sketch(&order.expr)) {
            return Ok(Transformed::no(plan));
        }
        let first = LogicalPlan::Sort(Sort { expr: below, input: Arc::clone(&projection.input), fetch: Some(fetch) });
        let shown =
            Projection::try_new_with_schema(projection.expr.clone(), Arc::new(first), Arc::clone(&projection.schema))?;
        Ok(Transformed::yes(LogicalPlan::Projection(shown)))
    }
}

fn reads_a_sketch(expression: &Expr) -> bool {
    let is_read =
        |part: &Expr| Ok(matches!(part, Expr::ScalarFunction(call) if call.func.inner().is::<SketchQuantile>()));
    expression.exists(is_read).unwrap_or(true)
}

/// What each column of a projection is made of.
fn made_by(projection: &Projection) -> HashMap<Column, Expr> {
    let columns = projection.schema.columns().into_iter();
    columns.zip(projection.expr.iter().map(|expression| expression.clone().unalias())).collect()
}

/// The order in terms of what is below the projection.
fn below(order: &SortExpr, made: &HashMap<Column, Expr>) -> Result<SortExpr> {
    let expression = order.expr.clone().transform_up(|part| {
        Ok(match &part {
            Expr::Column(column) => match made.get(column) {
                Some(expression) => Transformed::yes(expression.clone()),
                None => Transformed::no(part),
            },
            _ => Transformed::no(part),
        })
    })?;
    Ok(order.with_expr(expression.data))
}
