//! `sketch_quantile`.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use tollgate_sketch::{Sketch, value_of};

use super::groups::{no_sketch, numbers};

/// (sketch, quantile in `[0, 1]`) → the value there, within 1 %; null for null.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct SketchQuantile {
    signature: Signature,
}

impl SketchQuantile {
    pub fn new() -> Self {
        Self { signature: Signature::exact(vec![DataType::Binary, DataType::Float64], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for SketchQuantile {
    fn name(&self) -> &str {
        "sketch_quantile"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [sketches, quantiles] = arrays.as_slice() else {
            return exec_err!("sketch_quantile takes a sketch and a fraction");
        };
        Ok(ColumnarValue::Array(Arc::new(values_at(sketches, quantiles)?)))
    }
}

fn values_at(sketches: &ArrayRef, quantiles: &ArrayRef) -> Result<Float64Array> {
    let sketches = cast(sketches, &DataType::Binary)?;
    let (sketches, quantiles) = (sketches.as_binary::<i32>(), numbers(quantiles)?);
    let value = |row: usize| -> Result<Option<f64>> {
        if sketches.is_null(row) || quantiles.is_null(row) {
            return Ok(None);
        }
        let quantile = fraction(quantiles.value(row))?;
        let bin = Sketch::quantile_bin_of(sketches.value(row), quantile).map_err(no_sketch)?;
        Ok(bin.map(value_of))
    };
    (0..sketches.len()).map(value).collect()
}

/// A quantile that is one.
pub(super) fn fraction(quantile: f64) -> Result<f64> {
    if (0.0..=1.0).contains(&quantile) {
        return Ok(quantile);
    }
    exec_err!("a percentile is asked for by a fraction from 0 to 1, such as 0.95, and {quantile} is none")
}
