//! The sketch of the values of two sketches. It is built into plans and has no name in SQL.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, AsArray, BinaryBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_datafusion_err, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use tollgate_sketch::Sketch;

static SKETCH_UNION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::from(SketchUnion::new())));

/// (sketch, sketch) → the sketch of the values of both; null if both are.
pub(super) fn sketch_union() -> Arc<ScalarUDF> {
    SKETCH_UNION.clone()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SketchUnion {
    signature: Signature,
}

impl SketchUnion {
    fn new() -> Self {
        Self { signature: Signature::exact(vec![DataType::Binary, DataType::Binary], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for SketchUnion {
    fn name(&self) -> &str {
        "tollgate_sketch_union"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [left, right] = arrays.as_slice() else { return exec_err!("a union is of two sketches") };
        let (Some(left), Some(right)) = (left.as_binary_opt::<i32>(), right.as_binary_opt::<i32>()) else {
            return exec_err!("a union is of two sketches");
        };
        let mut united = BinaryBuilder::with_capacity(left.len(), left.value_data().len() + right.value_data().len());
        for (left, right) in left.iter().zip(right) {
            match (left, right) {
                (Some(left), Some(right)) => united.append_value(union(left, right)?),
                (one, other) => united.append_option(one.or(other)),
            }
        }
        Ok(ColumnarValue::Array(Arc::new(united.finish())))
    }
}

fn union(left: &[u8], right: &[u8]) -> Result<Vec<u8>> {
    let read =
        |bytes| Sketch::from_bytes(bytes).map_err(|error| exec_datafusion_err!("a sketch cannot be read: {error}"));
    let mut both = read(left)?;
    both.merge(&read(right)?);
    Ok(both.to_bytes())
}
