//! The columns of one batch that metrics are derived from.

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, DictionaryArray, PrimitiveArray, RecordBatch, StringArray};
use tollgate_record::columns;

/// A number that no dictionary value has been mapped to.
const UNMAPPED: u32 = u32::MAX;

/// A dictionary column and, per value of its dictionary, the number it was mapped to.
pub(crate) struct Dictionary<'a> {
    rows: &'a DictionaryArray<Int32Type>,
    values: &'a StringArray,
    mapped: Vec<u32>,
}

impl<'a> Dictionary<'a> {
    /// The value's place in the dictionary; `None` for null.
    pub(crate) fn key(&self, row: usize) -> Option<usize> {
        self.rows.key(row).filter(|key| self.values.is_valid(*key))
    }

    pub(crate) fn values(&self) -> &'a StringArray {
        self.values
    }

    /// The value in this row.
    pub(crate) fn text(&self, row: usize) -> Option<&'a str> {
        self.key(row).map(|key| self.values.value(key))
    }

    /// The number of the value in this row; `map` is asked once for each value that a row uses.
    pub(crate) fn at(&mut self, row: usize, map: impl FnOnce(&str) -> u32) -> Option<u32> {
        let key = self.key(row)?;
        let known = self.mapped[key];
        if known != UNMAPPED {
            return Some(known);
        }
        let number = map(self.values.value(key));
        self.mapped[key] = number;
        Some(number)
    }
}

/// The columns, typed. Fields are named as the columns are.
pub(crate) struct Columns<'a> {
    pub(crate) rows: usize,
    pub(crate) seq: &'a PrimitiveArray<Int64Type>,
    pub(crate) kind: Dictionary<'a>,
    pub(crate) service: Dictionary<'a>,
    pub(crate) tls_version: Dictionary<'a>,
    pub(crate) client_cert_subject: Dictionary<'a>,
    pub(crate) client_cert_not_after: &'a PrimitiveArray<TimestampMicrosecondType>,
    pub(crate) request_bytes: &'a PrimitiveArray<Int64Type>,
    pub(crate) response_bytes: &'a PrimitiveArray<Int64Type>,
    pub(crate) auth_pattern: Dictionary<'a>,
    pub(crate) auth_result: Dictionary<'a>,
    pub(crate) auth_fail_reason: Dictionary<'a>,
    pub(crate) waf_action: Dictionary<'a>,
    pub(crate) status: &'a PrimitiveArray<Int32Type>,
    pub(crate) error_class: Dictionary<'a>,
    pub(crate) total_us: &'a PrimitiveArray<Int64Type>,
    pub(crate) gateway_us: &'a PrimitiveArray<Int64Type>,
    pub(crate) gap_count: &'a PrimitiveArray<Int64Type>,
    pub(crate) gap_reason: Dictionary<'a>,
}

impl<'a> Columns<'a> {
    /// `None` where the batch does not have the canonical columns, which decoding guarantees.
    pub(crate) fn of(batch: &'a RecordBatch) -> Option<Self> {
        Some(Self {
            rows: batch.num_rows(),
            seq: numbers(batch, "seq")?,
            kind: dictionary(batch, "kind")?,
            service: dictionary(batch, "service")?,
            tls_version: dictionary(batch, "tls_version")?,
            client_cert_subject: dictionary(batch, "client_cert_subject")?,
            client_cert_not_after: numbers(batch, "client_cert_not_after")?,
            request_bytes: numbers(batch, "request_bytes")?,
            response_bytes: numbers(batch, "response_bytes")?,
            auth_pattern: dictionary(batch, "auth_pattern")?,
            auth_result: dictionary(batch, "auth_result")?,
            auth_fail_reason: dictionary(batch, "auth_fail_reason")?,
            waf_action: dictionary(batch, "waf_action")?,
            status: numbers(batch, "status")?,
            error_class: dictionary(batch, "error_class")?,
            total_us: numbers(batch, "total_us")?,
            gateway_us: numbers(batch, "gateway_us")?,
            gap_count: numbers(batch, "gap_count")?,
            gap_reason: dictionary(batch, "gap_reason")?,
        })
    }
}

/// The value of a row, `None` for null.
pub(crate) fn number<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    column.is_valid(row).then(|| column.value(row))
}

fn numbers<'a, T: ArrowPrimitiveType>(batch: &'a RecordBatch, name: &str) -> Option<&'a PrimitiveArray<T>> {
    batch.columns().get(columns::index_of(name)?)?.as_primitive_opt::<T>()
}

fn dictionary<'a>(batch: &'a RecordBatch, name: &str) -> Option<Dictionary<'a>> {
    let rows = batch.columns().get(columns::index_of(name)?)?.as_dictionary_opt::<Int32Type>()?;
    let values = rows.values().as_string_opt::<i32>()?;
    Some(Dictionary { rows, values, mapped: vec![UNMAPPED; values.len()] })
}
