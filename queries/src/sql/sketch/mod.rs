//! Percentiles from one state: the aggregates over `tollgate_sketch`, and what makes of `percentile` one of them.
//!
//! ```text
//!   percentile(total_us, 0.5), percentile(total_us, 0.99)
//!      ──▶  sketch_quantile(s, 0.5), sketch_quantile(s, 0.99)   over   s = sketch(total_us)
//! ```
//! | function | from | to |
//! |---|---|---|
//! | `sketch(number)` | the values of a group | their distribution, as the bytes of a sketch; null without values |
//! | `sketch_merge(binary)` | sketches | the distribution of all their values together |
//! | `sketch_quantile(binary, q)` | a sketch | the value at a quantile |
//!
//! Whatever order and grouping the values come in, the bytes are the same: rows, partial states of several threads, and
//! roll-ups give equal answers. `sketch` and `sketch_merge` have equal states and answers, so one can stand for the other.

mod aggregate;
mod counts;
mod groups;
mod late;
mod percentile;
mod quantile;
mod rewrite;

use std::sync::{Arc, LazyLock};

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::prelude::SessionContext;

use aggregate::SketchAggregate;
use late::PercentilesLate;
use percentile::Percentile;
use quantile::SketchQuantile;
use rewrite::PercentilesToSketches;

static SKETCH: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Arc::new(SketchAggregate::of_values().into()));
static SKETCH_MERGE: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Arc::new(SketchAggregate::of_sketches().into()));
static SKETCH_QUANTILE: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(SketchQuantile::new().into()));

/// The aggregate `sketch`.
pub(crate) fn sketch() -> Arc<AggregateUDF> {
    Arc::clone(&SKETCH)
}

/// The aggregate `sketch_merge`.
pub(crate) fn sketch_merge() -> Arc<AggregateUDF> {
    Arc::clone(&SKETCH_MERGE)
}

/// Adds the functions, in the place of DataFusion's of the same names, and the rules.
pub(super) fn register(context: &SessionContext) {
    context.register_udaf(AggregateUDF::clone(&sketch()));
    context.register_udaf(AggregateUDF::clone(&sketch_merge()));
    context.register_udf(ScalarUDF::clone(&SKETCH_QUANTILE));
    for percentile in Percentile::all() {
        context.register_udaf(percentile.into());
    }
    context.add_analyzer_rule(Arc::new(PercentilesToSketches));
    context.add_optimizer_rule(Arc::new(PercentilesLate));
}
