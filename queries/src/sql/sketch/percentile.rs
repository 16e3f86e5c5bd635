//! `percentile`, and the other names under which clients ask for it.

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::{Result, ScalarValue, internal_err, not_impl_err, plan_err};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, ColumnarValue, Expr, Signature, Volatility};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use tollgate_sketch::{Sketch, value_of};

use super::aggregate::{Input, OneSketch};
use super::groups::no_sketch;
use super::quantile::fraction;

/// The names. `percentile_cont` is exact in PostgreSQL, and within 1 % here.
const NAMES: [&str; 4] = ["percentile", "approx_percentile_cont", "percentile_cont", "quantile_cont"];
/// Half of the values are smaller.
const MEDIAN: &str = "approx_median";

/// (number, quantile) → the value at the quantile, within 1 %. Of whole numbers it is a whole number. In a GROUP BY the rule
/// of `rewrite` replaces it; what it computes itself are windows (`OVER`).
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Percentile {
    name: &'static str,
    signature: Signature,
}

impl Percentile {
    /// One for each name.
    pub fn all() -> impl Iterator<Item = Self> {
        let of = |name, arguments| Self { name, signature: Signature::any(arguments, Volatility::Immutable) };
        NAMES.into_iter().map(move |name| of(name, 2)).chain([of(MEDIAN, 1)])
    }

    /// The quantile that a call asks for.
    ///
    /// # Errors
    /// If it is no constant, or out of range; or if the call has what no percentile takes.
    pub fn quantile_of(&self, call: &AggregateFunction) -> Result<f64> {
        let params = &call.params;
        if params.distinct {
            return plan_err!("{} counts every value: DISTINCT is not for it", self.name);
        }
        if params.null_treatment.is_some() {
            return plan_err!("{} leaves nulls out: IGNORE NULLS and RESPECT NULLS are not for it", self.name);
        }
        let descending = params.order_by.first().is_some_and(|order| !order.asc);
        let quantile = match params.args.get(1) {
            None => 0.5,
            Some(quantile) => {
                let simplifier = ExprSimplifier::new(SimplifyContext::default());
                let Expr::Literal(quantile, _) = simplifier.simplify(quantile.clone())? else {
                    return self.not_constant();
                };
                self.number(&quantile)?
            }
        };
        Ok(if descending { 1.0 - quantile } else { quantile })
    }

    fn number(&self, quantile: &ScalarValue) -> Result<f64> {
        match quantile.cast_to(&DataType::Float64) {
            Ok(ScalarValue::Float64(Some(quantile))) => fraction(quantile),
            _ => self.not_constant(),
        }
    }

    fn not_constant<T>(&self) -> Result<T> {
        plan_err!("the second argument of {} is a constant fraction from 0 to 1, such as 0.95", self.name)
    }
}

impl AggregateUDFImpl for Percentile {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [number, ..] if number.is_numeric() || number == &DataType::Null => Ok(DataType::Float64),
            [other, ..] => plan_err!("{} is of numbers, and this is {other}", self.name),
            [] => plan_err!("{} takes a number and a fraction", self.name),
        }
    }

    fn state_fields(&self, _args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        internal_err!("{} is replaced by sketches before it is divided", self.name)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return not_impl_err!("{} counts every value: DISTINCT is not for it", self.name);
        }
        let quantile = match args.exprs.get(1) {
            None => 0.5,
            Some(quantile) => match quantile.evaluate(&RecordBatch::new_empty(Schema::empty().into())) {
                Ok(ColumnarValue::Scalar(quantile)) => self.number(&quantile)?,
                _ => return self.not_constant(),
            },
        };
        let whole = args.expr_fields.first().is_some_and(|field| field.data_type().is_integer());
        Ok(Box::new(OnePercentile { sketch: OneSketch::new(Input::Values), quantile, whole }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct OnePercentile {
    sketch: OneSketch,
    quantile: f64,
    /// Whether the values are integers.
    whole: bool,
}

impl Accumulator for OnePercentile {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.sketch.update_batch(&values[..1])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.sketch.merge_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.sketch.state()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let bin = match self.sketch.bytes() {
            Some(bytes) => Sketch::quantile_bin_of(&bytes, self.quantile).map_err(no_sketch)?,
            None => None,
        };
        let value = bin.map(value_of);
        Ok(ScalarValue::Float64(if self.whole { value.map(f64::trunc) } else { value }))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.sketch.size()
    }
}
