//! Numbers in place of the values of one key column.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, DictionaryArray, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow_schema::DataType;
use tollgate_record::schema;

use crate::TableError;

/// The number of null.
pub(super) const NULL: u32 = 0;
const UNSEEN: u32 = u32::MAX;

/// Gives the distinct values of a column numbers from 1 on, in the order in which they come. It keeps each distinct value once;
/// values are at most some hundred bytes, and at most as many as rows.
#[derive(Default)]
pub(super) struct Values {
    texts: Texts,
    integers: Integers,
}

#[derive(Default)]
struct Texts {
    numbers: HashMap<Arc<[u8]>, u32, RandomState>,
    values: Vec<Arc<[u8]>>,
    /// The dictionary of the last chunk, and the numbers of its values.
    dictionary: Option<(ArrayRef, Vec<u32>)>,
}

#[derive(Default)]
struct Integers {
    numbers: HashMap<i64, u32, RandomState>,
    values: Vec<i64>,
    last: Option<(i64, u32)>,
}

impl Texts {
    fn number(&mut self, value: &[u8]) -> u32 {
        if let Some(number) = self.numbers.get(value) {
            return *number;
        }
        let value: Arc<[u8]> = Arc::from(value);
        self.values.push(Arc::clone(&value));
        let number = self.values.len() as u32;
        self.numbers.insert(value, number);
        number
    }

    fn add<'a>(&mut self, values: impl Iterator<Item = Option<&'a [u8]>>, out: &mut Vec<u32>) {
        let mut before: Option<(&[u8], u32)> = None;
        out.extend(values.map(|value| match (value, before) {
            (None, _) => NULL,
            (Some(value), Some((same, number))) if same == value => number,
            (Some(value), _) => {
                let number = self.number(value);
                before = Some((value, number));
                number
            }
        }));
    }

    /// Looks at each value of a dictionary once, and only at those that rows name.
    fn add_dictionary(&mut self, array: &DictionaryArray<Int32Type>, out: &mut Vec<u32>) -> Result<(), TableError> {
        let dictionary = array.values();
        let texts = dictionary.as_string_opt::<i32>();
        let texts = texts.ok_or_else(|| TableError::Schema("a dictionary does not hold text".to_owned()))?;
        let known = self.dictionary.take().filter(|(before, _)| Arc::ptr_eq(before, dictionary));
        let mut numbers = known.map_or_else(|| vec![UNSEEN; texts.len()], |(_, numbers)| numbers);
        for key in array.keys() {
            let key = key.and_then(|key| usize::try_from(key).ok()).filter(|key| texts.is_valid(*key));
            let Some(key) = key else {
                out.push(NULL);
                continue;
            };
            if numbers[key] == UNSEEN {
                numbers[key] = self.number(texts.value(key).as_bytes());
            }
            out.push(numbers[key]);
        }
        self.dictionary = Some((Arc::clone(dictionary), numbers));
        Ok(())
    }
}

impl Integers {
    fn number(&mut self, value: i64) -> u32 {
        match self.last {
            Some((last, number)) if last == value => number,
            _ => {
                let next = self.values.len() as u32 + 1;
                let number = *self.numbers.entry(value).or_insert(next);
                if number == next {
                    self.values.push(value);
                }
                self.last = Some((value, number));
                number
            }
        }
    }

    fn add(&mut self, values: impl Iterator<Item = Option<i64>>, out: &mut Vec<u32>) {
        out.extend(values.map(|value| value.map_or(NULL, |value| self.number(value))));
    }
}

impl Values {
    /// Appends the numbers of these values.
    ///
    /// # Errors
    /// If the column has a type that no key has.
    pub(super) fn add(&mut self, array: &ArrayRef, out: &mut Vec<u32>) -> Result<(), TableError> {
        match array.data_type() {
            DataType::Dictionary(key, _) if **key == DataType::Int32 => {
                return self.texts.add_dictionary(array.as_dictionary::<Int32Type>(), out);
            }
            DataType::Utf8 => self.texts.add(array.as_string::<i32>().iter().map(|text| text.map(str::as_bytes)), out),
            DataType::Binary => self.texts.add(array.as_binary::<i32>().iter(), out),
            DataType::Boolean => self.integers.add(array.as_boolean().iter().map(|flag| flag.map(i64::from)), out),
            DataType::Int32 => {
                self.integers.add(array.as_primitive::<Int32Type>().iter().map(|n| n.map(i64::from)), out)
            }
            DataType::Int64 => self.integers.add(array.as_primitive::<Int64Type>().iter(), out),
            DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, _) => {
                self.integers.add(array.as_primitive::<TimestampMicrosecondType>().iter(), out);
            }
            other => return Err(TableError::Schema(format!("a key of a roll-up cannot be {other}"))),
        }
        Ok(())
    }

    /// Appends the numbers of integers.
    pub(super) fn add_integers(&mut self, values: impl Iterator<Item = i64>, out: &mut Vec<u32>) {
        self.integers.add(values.map(Some), out);
    }

    /// The values of these numbers, as the table has them.
    ///
    /// # Errors
    /// If no key has this type.
    pub(super) fn array(&self, numbers: &[u32], data_type: &DataType) -> Result<ArrayRef, TableError> {
        let texts = || numbers.iter().map(|number| Some(&**self.texts.values.get((*number as usize).checked_sub(1)?)?));
        let integers =
            || numbers.iter().map(|number| self.integers.values.get((*number as usize).checked_sub(1)?).copied());
        Ok(match data_type {
            DataType::Utf8 => {
                let texts = texts().map(|text| text.map(std::str::from_utf8).transpose());
                Arc::new(texts.collect::<Result<StringArray, _>>().map_err(TableError::rows("roll rows up"))?)
            }
            DataType::Binary => Arc::new(texts().collect::<BinaryArray>()),
            DataType::Boolean => Arc::new(integers().map(|flag| flag.map(|flag| flag != 0)).collect::<BooleanArray>()),
            DataType::Int32 => Arc::new(integers().map(|n| n.map(|n| n as i32)).collect::<Int32Array>()),
            DataType::Int64 => Arc::new(integers().collect::<Int64Array>()),
            DataType::Timestamp(..) => {
                Arc::new(integers().collect::<TimestampMicrosecondArray>().with_timezone(schema::TIME_ZONE))
            }
            other => return Err(TableError::Schema(format!("a key of a roll-up cannot be {other}"))),
        })
    }
}
