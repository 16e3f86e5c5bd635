//! Makes every running query stoppable.
//!
//! A query is stopped by dropping it, which takes effect when it next yields. DataFusion's scans yield now and then, but a
//! join or a recursion makes many batches out of one, and what consumes those never comes back to a scan. So every
//! operator's output is wrapped to yield after some batches (see `datafusion::physical_plan::coop`).

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;

/// The plan with every inner operator yielding.
pub(crate) fn yielding(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let wrapped = plan.transform_up(|node| {
        let leaf = node.children().is_empty();
        let wrapped = node.name() == "CooperativeExec";
        Ok(match leaf || wrapped {
            true => Transformed::no(node),
            false => Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>),
        })
    })?;
    Ok(wrapped.data)
}
