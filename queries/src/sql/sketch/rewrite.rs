//! Computes all percentiles of one column from one sketch.

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::functions::math::trunc;
use datafusion::logical_expr::expr::{AggregateFunction, Alias, ScalarFunction};
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan, Projection, lit};
use datafusion::optimizer::AnalyzerRule;

use super::aggregate::SketchAggregate;
use super::percentile::Percentile;
use super::{SKETCH_QUANTILE, sketch};

/// Replaces each [`Percentile`] of a GROUP BY by a projection over `sketch`. Equal sketches are made once.
#[derive(Debug)]
pub(super) struct PercentilesToSketches;

impl AnalyzerRule for PercentilesToSketches {
    fn name(&self) -> &str {
        "percentiles_to_sketches"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let replaced = plan.transform_up_with_subqueries(|node| match node {
            LogicalPlan::Aggregate(aggregate) => {
                aggregate.aggr_expr.iter().try_for_each(refuse_distinct)?;
                if !aggregate.aggr_expr.iter().any(|call| percentile(call).is_some()) {
                    return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
                }
                Ok(Transformed::yes(over_sketches(aggregate)?))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(replaced.data)
    }
}

/// The call, if it is one of a percentile, whatever it is called in the answer.
fn percentile(expression: &Expr) -> Option<(&AggregateFunction, &Percentile)> {
    match expression {
        Expr::AggregateFunction(call) => Some((call, call.func.inner().downcast_ref::<Percentile>()?)),
        Expr::Alias(alias) => percentile(&alias.expr),
        _ => None,
    }
}

/// An optimizer would make a GROUP BY of DISTINCT, and the sketch would never hear of it.
fn refuse_distinct(expression: &Expr) -> Result<()> {
    match expression {
        Expr::AggregateFunction(call) if call.params.distinct && call.func.inner().is::<SketchAggregate>() => {
            plan_err!("{} counts every value: DISTINCT is not for it", call.func.name())
        }
        Expr::Alias(alias) => refuse_distinct(&alias.expr),
        _ => Ok(()),
    }
}

fn over_sketches(aggregate: Aggregate) -> Result<LogicalPlan> {
    let columns = aggregate.schema.columns();
    let of_groups = columns.len() - aggregate.aggr_expr.len();
    let mut calls: Vec<Expr> = Vec::new();
    let mut shown: Vec<Expr> = columns[..of_groups].iter().cloned().map(Expr::Column).collect();
    for (expression, column) in aggregate.aggr_expr.into_iter().zip(&columns[of_groups..]) {
        let Some((call, function)) = percentile(&expression) else {
            shown.push(Expr::Column(column.clone()));
            calls.push(expression);
            continue;
        };
        let quantile = function.quantile_of(call)?;
        let values = call.params.args[0].clone();
        let whole = values.get_type(aggregate.input.schema())?.is_integer();
        let filter = call.params.filter.clone();
        let sketch =
            Expr::AggregateFunction(AggregateFunction::new_udf(sketch(), vec![values], false, filter, vec![], None));
        let made = Expr::Column(Column::from_name(sketch.schema_name().to_string()));
        if !calls.contains(&sketch) {
            calls.push(sketch);
        }
        let value = Expr::ScalarFunction(ScalarFunction::new_udf(SKETCH_QUANTILE.clone(), vec![made, lit(quantile)]));
        let value = if whole { trunc().call(vec![value]) } else { value };
        shown.push(Expr::Alias(Alias::new(value, column.relation.clone(), column.name.clone())));
    }
    let sketches = Aggregate::try_new(aggregate.input, aggregate.group_expr, calls)?;
    Ok(LogicalPlan::Projection(Projection::try_new(shown, LogicalPlan::Aggregate(sketches).into())?))
}
