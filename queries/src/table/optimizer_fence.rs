//! A fence between stored columns and columns of SQL, through which the optimizer does not look.
//!
//! Below it are casts of dictionaries and computed columns; above it are plain columns. DataFusion concludes from a
//! filter on such an expression that it is constant, but within each partition only: a sort by the column is then
//! dropped below a merge that still asks for it, and the plan is refused. So no equivalence passes upwards; and only
//! filters on columns that SQL has as they are stored pass downwards, which is all that Parquet can use.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{CardinalityEffect, ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::filter_pushdown::{
    ChildFilterDescription, ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

/// Passes its input's rows on unchanged.
#[derive(Debug)]
pub(super) struct OptimizerFenceExec {
    input: Arc<dyn ExecutionPlan>,
    /// Columns, by their index in the input, on which filters may pass.
    passing: HashSet<usize>,
    /// What `EXPLAIN` calls it.
    label: String,
    /// What is known of the rows, if more than the input says.
    statistics: Option<Arc<Statistics>>,
    properties: Arc<PlanProperties>,
}

impl OptimizerFenceExec {
    pub fn new(input: Arc<dyn ExecutionPlan>, passing: HashSet<usize>) -> Self {
        let below = input.properties();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            below.output_partitioning().clone(),
            below.emission_type,
            below.boundedness,
        )
        .with_scheduling_type(below.scheduling_type);
        Self {
            input,
            passing,
            label: "OptimizerFenceExec".to_owned(),
            statistics: None,
            properties: Arc::new(properties),
        }
    }

    /// A fence that `EXPLAIN` calls by another name.
    pub fn with_label(self, label: String) -> Self {
        Self { label, ..self }
    }

    /// A fence that knows more of its rows than the input says.
    pub fn with_statistics(self, statistics: Statistics) -> Self {
        Self { statistics: Some(Arc::new(statistics)), ..self }
    }
}

impl DisplayAs for OptimizerFenceExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

impl ExecutionPlan for OptimizerFenceExec {
    fn name(&self) -> &str {
        "OptimizerFenceExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.as_slice() {
            [child] => {
                let (label, statistics) = (self.label.clone(), self.statistics.clone());
                Ok(Arc::new(Self { label, statistics, ..Self::new(child.clone(), self.passing.clone()) }))
            }
            _ => internal_err!("an optimizer fence has one child, not {}", children.len()),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let known = self.statistics.as_ref().filter(|_| args.partition().is_none());
        match known.or_else(|| inputs.first()) {
            Some(statistics) => Ok(statistics.clone()),
            None => Ok(Arc::new(Statistics::new_unknown(&self.schema()))),
        }
    }

    /// It does no work of its own that threads could share; and rows that are dealt out are read ahead of what needs them.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn gather_filters_for_pushdown(
        &self,
        _phase: FilterPushdownPhase,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let passing =
            ChildFilterDescription::from_child_with_allowed_indices(&filters, self.passing.clone(), &self.input)?;
        Ok(FilterDescription::new().with_child(passing))
    }

    fn handle_child_pushdown_result(
        &self,
        _phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::if_all(result))
    }
}
