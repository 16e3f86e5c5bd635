//! `ORDER BY time LIMIT n`: which files and hot batches can hold the n newest (or oldest) rows, before any is opened.
//!
//! The log has each file's range of time and number of rows. Taken from the newest on, the files of the first n rows set a bound:
//! whatever ends before the oldest of these rows cannot be in the answer.
//!
//! ```text
//!   LIMIT 3:      ├── 2 rows ──┤
//!            ├── 4 rows ──┤                   6 ≥ 3 rows from here on ────▶ nothing before ▼ is needed
//!   ├─ 9 ─┤  ▼
//! ```
//! Only a query whose filters leave every row in (or which has none) can count so. With other filters the files are read one
//! after the other, newest first, until the n-th best time so far is past the next file's end (DataFusion's dynamic filter).

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::{Expr, FetchType, LogicalPlan, SkipType};
use tollgate_table::{DataFile, HotBatch};

use super::provider::TransactionsTable;

/// Which rows are wanted, by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TopTime {
    /// How many rows.
    pub rows: usize,
    /// The oldest, instead of the newest.
    pub oldest: bool,
    /// Whether a filter may leave rows out after the scan, so that the rows of the files do not count.
    pub filtered: bool,
}

impl TopTime {
    /// The files and hot batches that can hold the wanted rows.
    pub(super) fn choose(self, files: Vec<&DataFile>, hot: Vec<Arc<HotBatch>>) -> (Vec<&DataFile>, Vec<Arc<HotBatch>>) {
        if self.filtered {
            return (files, hot);
        }
        // With the sign of time turned, the oldest are the newest.
        let range =
            |low: i64, high: i64| if self.oldest { (high.saturating_neg(), low.saturating_neg()) } else { (low, high) };
        let of_files = files.iter().map(|file| (range(file.min_time_us, file.max_time_us), file.rows));
        let of_hot =
            hot.iter().map(|batch| (range(batch.min_time_us, batch.max_time_us), batch.records.num_rows() as u64));
        let mut sources: Vec<_> = of_files.chain(of_hot).collect();
        sources.sort_by_key(|((low, high), _)| (std::cmp::Reverse(*high), *low));
        let (mut rows, mut bound) = (0, i64::MAX);
        for ((low, _), count) in sources {
            if rows >= self.rows as u64 {
                break;
            }
            rows += count;
            bound = bound.min(low);
        }
        let needed = |low: i64, high: i64| range(low, high).1 >= bound;
        let files = files.into_iter().filter(|file| needed(file.min_time_us, file.max_time_us)).collect();
        let hot = hot.into_iter().filter(|batch| needed(batch.min_time_us, batch.max_time_us)).collect();
        (files, hot)
    }
}

/// The plan with the scans below an `ORDER BY time LIMIT n` told of it.
pub(crate) fn told(plan: LogicalPlan) -> Result<LogicalPlan> {
    let told = plan.transform_down(|node| {
        let LogicalPlan::Limit(limit) = &node else { return Ok(Transformed::no(node)) };
        let (Ok(FetchType::Literal(Some(fetch))), Ok(SkipType::Literal(skip))) =
            (limit.get_fetch_type(), limit.get_skip_type())
        else {
            return Ok(Transformed::no(node));
        };
        match below_limit(&limit.input, fetch.saturating_add(skip)) {
            Some(input) => {
                let mut limit = limit.clone();
                limit.input = Arc::new(input);
                Ok(Transformed::yes(LogicalPlan::Limit(limit)))
            }
            None => Ok(Transformed::no(node)),
        }
    })?;
    Ok(told.data)
}

fn below_limit(plan: &LogicalPlan, rows: usize) -> Option<LogicalPlan> {
    match plan {
        LogicalPlan::Projection(_) => replaced(plan, below_limit(plan.inputs().first()?, rows)?),
        LogicalPlan::Sort(sort) => {
            let first = sort.expr.first()?;
            let Expr::Column(column) = &first.expr else { return None };
            let name = column.name.as_str();
            let top = TopTime { rows, oldest: first.asc, filtered: false };
            replaced(plan, below_sort(&sort.input, name, top)?)
        }
        _ => None,
    }
}

/// Passes nodes that leave every row, and its time, as it is.
fn below_sort(plan: &LogicalPlan, time: &str, top: TopTime) -> Option<LogicalPlan> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let origin = projection.expr.iter().find_map(|expression| match expression {
                Expr::Column(column) if column.name == time => Some(column.name.as_str()),
                Expr::Alias(alias) if alias.name == time => match alias.expr.as_ref() {
                    Expr::Column(column) => Some(column.name.as_str()),
                    _ => None,
                },
                _ => None,
            })?;
            replaced(plan, below_sort(&projection.input, origin, top)?)
        }
        LogicalPlan::SubqueryAlias(alias) => replaced(plan, below_sort(&alias.input, time, top)?),
        LogicalPlan::Filter(filter) => {
            replaced(plan, below_sort(&filter.input, time, TopTime { filtered: true, ..top })?)
        }
        LogicalPlan::TableScan(scan) if time == "time" => {
            let provider = source_as_provider(&scan.source).ok()?;
            let table = provider.downcast_ref::<TransactionsTable>()?;
            let mut scan = scan.clone();
            scan.source = provider_as_source(Arc::new(table.with_top(top)));
            Some(LogicalPlan::TableScan(scan))
        }
        _ => None,
    }
}

fn replaced(plan: &LogicalPlan, input: LogicalPlan) -> Option<LogicalPlan> {
    plan.with_new_exprs(plan.expressions(), vec![input]).ok()
}
