//! `actor(error_class)`: who is to act on an error, as [`ErrorClass::actor_of`] has it.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use tollgate_record::vocabulary::ErrorClass;

/// Text to text; null for null.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Actor {
    signature: Signature,
}

impl Actor {
    pub fn new() -> Self {
        Self { signature: Signature::exact(vec![DataType::Utf8], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Actor {
    fn name(&self) -> &str {
        "actor"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(classes) = arrays.first().and_then(|classes| classes.as_string_opt::<i32>()) else {
            return exec_err!("actor takes an error class");
        };
        let actor = |class: Option<&str>| Some(ErrorClass::actor_of(class?).as_str());
        Ok(ColumnarValue::Array(Arc::new(classes.iter().map(actor).collect::<StringArray>())))
    }
}
