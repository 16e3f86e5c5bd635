//! `sketch` and `sketch_merge`.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility};

use super::groups::SketchGroups;

/// What a sketch is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Input {
    /// Numbers.
    Values,
    /// The bytes of sketches.
    Sketches,
}

/// Numbers, or sketches of numbers → one sketch.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct SketchAggregate {
    input: Input,
    signature: Signature,
}

impl SketchAggregate {
    pub fn of_values() -> Self {
        Self { input: Input::Values, signature: Signature::any(1, Volatility::Immutable) }
    }

    pub fn of_sketches() -> Self {
        Self { input: Input::Sketches, signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for SketchAggregate {
    fn name(&self) -> &str {
        match self.input {
            Input::Values => "sketch",
            Input::Sketches => "sketch_merge",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        use DataType::{Binary, BinaryView, LargeBinary, Null};
        match (self.input, arguments) {
            (Input::Values, [number]) if number.is_numeric() || number == &Null => Ok(Binary),
            (Input::Sketches, [Binary | BinaryView | LargeBinary | Null]) => Ok(Binary),
            (Input::Values, _) => plan_err!("sketch takes numbers"),
            (Input::Sketches, _) => plan_err!("sketch_merge takes sketches"),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "sketch"), DataType::Binary, true))])
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneSketch::new(self.input)))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(SketchGroups::new(self.input)))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// The sketch of all rows: a single group.
#[derive(Debug)]
pub(super) struct OneSketch {
    groups: SketchGroups,
    /// Zeros, as many as the longest batch had rows.
    indices: Vec<usize>,
}

impl OneSketch {
    pub fn new(input: Input) -> Self {
        Self { groups: SketchGroups::new(input), indices: Vec::new() }
    }

    /// The sketch's bytes so far; `None` without values.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        self.groups.first_bytes()
    }

    fn indices(&mut self, values: &[ArrayRef]) -> Vec<usize> {
        let mut indices = std::mem::take(&mut self.indices);
        indices.resize(values.first().map_or(0, |values| values.len()), 0);
        indices
    }
}

impl Accumulator for OneSketch {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let indices = self.indices(values);
        self.groups.update_batch(values, &indices, None::<&BooleanArray>, 1)?;
        self.indices = indices;
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let indices = self.indices(states);
        self.groups.merge_batch(states, &indices, 1)?;
        self.indices = indices;
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Binary(self.bytes()))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.groups.size() + self.indices.capacity() * size_of::<usize>()
    }
}
