//! The sketches of all groups of a query at once.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, Float64Array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, internal_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use tollgate_sketch::{Sketch, SketchError, bin_of};

use super::aggregate::Input;
use super::counts::Counts;

/// One sketch a group. Its state and its answer are the same bytes.
#[derive(Debug)]
pub(super) struct SketchGroups {
    input: Input,
    groups: Vec<Counts>,
    /// What the groups hold on the heap.
    heap_bytes: usize,
}

impl SketchGroups {
    pub fn new(input: Input) -> Self {
        Self { input, groups: Vec::new(), heap_bytes: 0 }
    }

    /// The bytes of the first group's sketch, which stays; `None` without values.
    pub fn first_bytes(&self) -> Option<Vec<u8>> {
        self.groups.first().and_then(Counts::to_bytes)
    }

    fn add_values(&mut self, values: &Float64Array, groups: &[usize], filter: Option<&BooleanArray>) {
        let mut grown = 0;
        let mut add = |group: usize, value: f64| {
            if let Some(bin) = bin_of(value) {
                grown += self.groups[group].add(bin);
            }
        };
        match valid(values, filter) {
            None => groups.iter().zip(values.values()).for_each(|(group, value)| add(*group, *value)),
            Some(valid) => valid.valid_indices().for_each(|row| add(groups[row], values.value(row))),
        }
        self.heap_bytes += grown;
    }

    fn add_sketches(&mut self, sketches: &ArrayRef, groups: &[usize], filter: Option<&BooleanArray>) -> Result<()> {
        let sketches = binary(sketches)?;
        let sketches = sketches.as_binary::<i32>();
        let valid = valid(sketches, filter);
        for row in (0..sketches.len()).filter(|row| valid.as_ref().is_none_or(|valid| valid.is_valid(*row))) {
            self.heap_bytes += self.groups[groups[row]].merge(sketches.value(row)).map_err(no_sketch)?;
        }
        Ok(())
    }

    fn bytes_of(&mut self, emit_to: EmitTo) -> ArrayRef {
        let groups = emit_to.take_needed(&mut self.groups);
        let mut bytes = BinaryBuilder::with_capacity(groups.len(), 0);
        for counts in groups {
            bytes.append_option(counts.to_bytes());
            self.heap_bytes = self.heap_bytes.saturating_sub(counts.heap_bytes());
        }
        Arc::new(bytes.finish())
    }
}

impl GroupsAccumulator for SketchGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        let [values] = values else { return internal_err!("a sketch has one argument") };
        self.groups.resize_with(total_num_groups.max(self.groups.len()), Counts::default);
        match self.input {
            Input::Values => self.add_values(&numbers(values)?, group_indices, opt_filter),
            Input::Sketches => self.add_sketches(values, group_indices, opt_filter)?,
        }
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        let [states] = values else { return internal_err!("a sketch has one state") };
        self.groups.resize_with(total_num_groups.max(self.groups.len()), Counts::default);
        self.add_sketches(states, group_indices, None)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(self.bytes_of(emit_to))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.bytes_of(emit_to)])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let [values] = values else { return internal_err!("a sketch has one argument") };
        let mut states = BinaryBuilder::new();
        match self.input {
            Input::Values => {
                let values = numbers(values)?;
                let valid = valid(&values, opt_filter);
                for (row, value) in values.values().iter().enumerate() {
                    let bin = bin_of(*value).filter(|_| valid.as_ref().is_none_or(|valid| valid.is_valid(row)));
                    states.append_option(bin.map(|bin| Sketch::from_iter([(bin, 1)]).to_bytes()));
                }
            }
            Input::Sketches => {
                let sketches = binary(values)?;
                let sketches = sketches.as_binary::<i32>();
                let valid = valid(sketches, opt_filter);
                for row in 0..sketches.len() {
                    let shown = valid.as_ref().is_none_or(|valid| valid.is_valid(row));
                    states.append_option(shown.then(|| sketches.value(row)));
                }
            }
        }
        Ok(vec![Arc::new(states.finish())])
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<Counts>() + self.heap_bytes
    }
}

/// The rows that count: neither null nor left out by the filter. `None`: all of them.
fn valid(values: &dyn Array, filter: Option<&BooleanArray>) -> Option<NullBuffer> {
    let chosen = filter.map(|filter| match filter.nulls() {
        None => NullBuffer::new(filter.values().clone()),
        Some(nulls) => NullBuffer::new(filter.values() & nulls.inner()),
    });
    NullBuffer::union(chosen.as_ref(), values.nulls())
}

/// Numbers of any type as doubles.
pub(super) fn numbers(values: &ArrayRef) -> Result<Float64Array> {
    Ok(cast(values, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
}

/// Bytes of any type of offsets, with offsets of 32 bits.
fn binary(values: &ArrayRef) -> Result<ArrayRef> {
    Ok(cast(values, &DataType::Binary)?)
}

pub(super) fn no_sketch(error: SketchError) -> DataFusionError {
    DataFusionError::Execution(error.to_string())
}
