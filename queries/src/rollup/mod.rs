//! Answers from roll-ups: a GROUP BY over many files, from the sums that were made with each file.
//!
//! A roll-up is a small table of *cells* beside a data file: all its rows of one bucket of time that agree on some keys, as one
//! row with their number, sums, ends and sketches (`tollgate_table::rollup`). A record is a cell of one row. So one table of cells
//! stands in for `transactions`, and the aggregates above it merge cells, whether of one row or of a million:
//!
//! ```text
//!   SELECT service, count(*), avg(total_us)                     Projection: coalesce(rows, 0), sum / count
//!   FROM transactions                                   ──▶       Aggregate: sum(rows), sum(total_us_sum), sum(total_us_count)
//!   WHERE time >= now() - INTERVAL '1 hour'                         Filter: status >= 500
//!     AND status >= 500                                               cells ┬─ RollupExec: cells of files that have them
//!   GROUP BY service                                                        ├─ the other files, and the cut ends of those
//!                                                                           └─ hot rows
//! ```
//! # When
//! The keys of one roll-up must have all that the query groups and filters by, beside ranges of `time` against constants and
//! functions of `time` that are constant within a bucket (`recognise`). Its aggregates must be sums of what cells keep
//! (`aggregates`). Types, nulls and empty groups are those of the plain plan: if a type would differ, the plan stays.
//!
//! # Which cells
//! The files that answer by cells are chosen once for a GROUP BY, from the query's one snapshot (`coverage`):
//! ```text
//!            10:00        10:05        10:10        10:15
//!   file       ├── cells ───┼── cells ───┼── cells ──┤
//!   range            ├──────────────────────────┤
//!   answer           rows   │   cells    │ rows │            whole buckets from cells, what is cut from rows
//! ```
//! A file that the range holds altogether needs no buckets of its own, and uses the coarsest roll-up that the groups allow. A
//! roll-up that is missing or damaged is not used: its file is scanned. So with roll-ups switched off every answer is the same.

mod aggregates;
mod buckets;
mod cells;
mod coverage;
mod range;
mod recognise;
mod sketch_union;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Aggregate, Distinct, Explain, Expr, LogicalPlan};
use object_store::ObjectStore;

use crate::table::QueryScope;
use coverage::Coverage;
use recognise::{Recognised, recognised};

/// The plan with each GROUP BY over `transactions` that roll-ups can answer reading their cells.
pub(crate) async fn answered(
    plan: LogicalPlan,
    scope: &Arc<QueryScope>,
    store: &Arc<dyn ObjectStore>,
    state: &SessionState,
) -> Result<LogicalPlan> {
    if !scope.rollups || !groups_transactions(&plan)? {
        return Ok(plan);
    }
    if let LogicalPlan::Explain(explain) = plan {
        let inner = within(explain.plan.as_ref().clone(), scope, store, state).await?;
        return Ok(LogicalPlan::Explain(Explain { plan: Arc::new(inner), ..explain }));
    }
    within(plan, scope, store, state).await
}

async fn within(
    plan: LogicalPlan,
    scope: &Arc<QueryScope>,
    store: &Arc<dyn ObjectStore>,
    state: &SessionState,
) -> Result<LogicalPlan> {
    let options = state.config_options();
    let plan = state.analyzer().execute_and_check(plan, options, |_, _| {})?;
    let mut found: Vec<Option<Recognised>> = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let Some(aggregate) = grouping(node)? {
            found.push(match recognised(&aggregate, state) {
                Ok(recognised) => Some(recognised),
                Err(reason) => {
                    scope.scans_because(reason);
                    None
                }
            });
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let mut replacements = Vec::with_capacity(found.len());
    for recognised in found {
        replacements.push(match recognised {
            Some(recognised) => replacement(recognised, scope, store, state).await?,
            None => None,
        });
    }
    if replacements.iter().all(Option::is_none) {
        return Ok(plan);
    }
    let mut replacements = replacements.into_iter();
    let replaced = plan.transform_down_with_subqueries(|node| {
        if grouping(&node)?.is_none() {
            return Ok(Transformed::no(node));
        }
        Ok(match replacements.next().flatten() {
            // What is below is answered with it.
            Some(replacement) => Transformed::new(replacement, true, TreeNodeRecursion::Jump),
            None => Transformed::no(node),
        })
    })?;
    Ok(replaced.data.transform_up(|node| node.recompute_schema().map(Transformed::yes))?.data)
}

async fn replacement(
    recognised: Recognised,
    scope: &Arc<QueryScope>,
    store: &Arc<dyn ObjectStore>,
    state: &SessionState,
) -> Result<Option<LogicalPlan>> {
    let coverage = Coverage::choose(&recognised, scope, store, state).await?;
    if coverage.is_empty() {
        scope.scans_because("no file in reach has a roll-up for it");
        return Ok(None);
    }
    recognised.over_cells(coverage, scope, store)
}

/// The node as a GROUP BY, if it is one; `SELECT DISTINCT` is one without aggregates.
fn grouping(node: &LogicalPlan) -> Result<Option<Aggregate>> {
    Ok(match node {
        LogicalPlan::Aggregate(aggregate) => Some(aggregate.clone()),
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let columns = input.schema().columns().into_iter().map(Expr::Column).collect();
            Some(Aggregate::try_new(Arc::clone(input), columns, Vec::new())?)
        }
        _ => None,
    })
}

/// Whether there is anything to do: planning is done twice then.
fn groups_transactions(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= matches!(node, LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_));
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}
