//! Columns whose values all have one width.

use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Int32Type};
use arrow_array::{BooleanArray, PrimitiveArray};
use arrow_buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow_schema::DataType;

use super::Finished;
use super::validity::{Bits, Validity};
use crate::schema::TIME_ZONE;

/// Numbers and instants.
pub(in crate::batch) struct Numbers<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    validity: Validity,
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    pub(in crate::batch) fn new(_cap: usize) -> Self {
        Self { values: Vec::new(), validity: Validity::default() }
    }

    #[inline]
    pub(in crate::batch) fn append(&mut self, value: impl Into<Option<T::Native>>) -> usize {
        match value.into() {
            None => self.validity.push_null(),
            Some(value) => {
                let missing = self.validity.push_valid();
                self.pad(missing);
                self.values.push(value);
            }
        }
        0
    }

    /// Appends the values of null rows.
    #[inline]
    fn pad(&mut self, rows: usize) {
        if rows > 0 {
            self.values.resize(self.values.len() + rows, T::Native::default());
        }
    }

    fn settle(&mut self) {
        let missing = self.validity.settle();
        self.pad(missing);
    }

    pub(in crate::batch) fn finish(&mut self) -> Finished {
        self.settle();
        let values = ScalarBuffer::from(Buffer::from_slice_ref(&self.values));
        self.values.clear();
        let array = PrimitiveArray::<T>::try_new(values, self.validity.finish())?;
        Ok(match T::DATA_TYPE {
            DataType::Timestamp(..) => {
                let utc = DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, Some(TIME_ZONE.into()));
                Arc::new(array.with_data_type(utc))
            }
            _ => Arc::new(array),
        })
    }
}

/// Truth values.
pub(in crate::batch) struct Booleans {
    values: Bits,
    validity: Validity,
}

impl Booleans {
    pub(in crate::batch) fn new(_cap: usize) -> Self {
        Self { values: Bits::default(), validity: Validity::default() }
    }

    #[inline]
    pub(in crate::batch) fn append(&mut self, value: Option<bool>) -> usize {
        match value {
            None => self.validity.push_null(),
            Some(value) => {
                let missing = self.validity.push_valid();
                self.values.push_unset(missing);
                self.values.push(value);
            }
        }
        0
    }

    pub(in crate::batch) fn finish(&mut self) -> Finished {
        self.values.push_unset(self.validity.settle());
        let validity = self.validity.finish();
        Ok(Arc::new(BooleanArray::new(self.values.finish(), validity)))
    }
}

impl Numbers<Int32Type> {
    /// The keys of a dictionary with their validity; none are left.
    pub(super) fn take_keys(&mut self) -> (ScalarBuffer<i32>, Option<NullBuffer>) {
        self.settle();
        let keys = ScalarBuffer::from(Buffer::from_slice_ref(&self.values));
        self.values.clear();
        (keys, self.validity.finish())
    }
}
