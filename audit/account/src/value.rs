//! An account as an Arrow value, and back: what the SQL function `seq_account` answers and the audit reads.
//!
//! ```text
//!   { rows, handshakes_failed, runs: [{first, last}], doubled: [{first, last}], gaps: [{first, last, reason}] }
//! ```

use std::sync::{Arc, LazyLock};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int64Array, ListArray, StringArray, StructArray, new_empty_array};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields};
use tollgate_record::runs::{Run, Runs};

use crate::{Account, Shed};

impl Account {
    /// Reads an account that `seq_account` answered.
    ///
    /// # Errors
    /// If the column is no account.
    pub fn read(column: &dyn Array, row: usize) -> Result<Self, ArrowError> {
        let wrong = || ArrowError::SchemaError("this column is no account of numbers".to_owned());
        let account = column.as_struct_opt().filter(|account| account.is_valid(row)).ok_or_else(wrong)?;
        let field = |name: &str| account.column_by_name(name).ok_or_else(wrong);
        let count = |name: &str| {
            Ok::<_, ArrowError>(field(name)?.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?.value(row).max(0) as u64)
        };
        let list = |name: &str| Ok::<_, ArrowError>(field(name)?.as_list_opt::<i32>().ok_or_else(wrong)?.value(row));
        let shed = list("gaps")?;
        let reasons = shed
            .as_struct_opt()
            .and_then(|shed| shed.column_by_name("reason")?.as_string_opt::<i32>())
            .ok_or_else(wrong)?;
        let shed_runs = raw_runs(shed.as_ref()).ok_or_else(wrong)?;
        let shed = shed_runs.zip(reasons.iter().map(|reason| reason.unwrap_or_default().to_owned()));
        Ok(Self {
            rows: count("rows")?,
            handshakes_failed: count("handshakes_failed")?,
            runs: raw_runs(list("runs")?.as_ref()).ok_or_else(wrong)?.collect(),
            doubled: raw_runs(list("doubled")?.as_ref()).ok_or_else(wrong)?.collect(),
            shed: shed.map(|(run, reason)| Shed { run, reason }).collect(),
        })
    }
}

/// `first` and `last` of each element.
fn raw_runs(elements: &dyn Array) -> Option<impl Iterator<Item = Run> + use<>> {
    let elements = elements.as_struct_opt()?;
    let bound = |name| Some(elements.column_by_name(name)?.as_primitive_opt::<Int64Type>()?.values().clone());
    let (first, last) = (bound("first")?, bound("last")?);
    Some((0..first.len()).map(move |at| Run { first: first[at], last: last[at] }))
}

static RUN: LazyLock<Fields> =
    LazyLock::new(|| ["first", "last"].map(|name| Field::new(name, DataType::Int64, false)).into_iter().collect());
static SHED: LazyLock<Fields> =
    LazyLock::new(|| RUN.iter().cloned().chain([Arc::new(Field::new("reason", DataType::Utf8, true))]).collect());
static ACCOUNT: LazyLock<Fields> = LazyLock::new(|| {
    let number = |name| Field::new(name, DataType::Int64, false);
    let list = |name, of: &LazyLock<Fields>| Field::new(name, DataType::List(element(of)), false);
    [number("rows"), number("handshakes_failed"), list("runs", &RUN), list("doubled", &RUN), list("gaps", &SHED)]
        .into_iter()
        .collect()
});

fn element(fields: &Fields) -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(fields.clone()), true))
}

/// The type of an account.
pub fn account_type() -> DataType {
    DataType::Struct(ACCOUNT.clone())
}

/// The type of a list of runs.
pub fn runs_type() -> DataType {
    DataType::List(element(&RUN))
}

/// The account as an array of one row.
pub fn account_array(account: &Account) -> StructArray {
    let number = |number: u64| Arc::new(Int64Array::from(vec![i64::try_from(number).unwrap_or(i64::MAX)])) as ArrayRef;
    let columns = vec![
        number(account.rows),
        number(account.handshakes_failed),
        Arc::new(runs_array([Some(&account.runs)])) as ArrayRef,
        Arc::new(runs_array([Some(&account.doubled)])) as ArrayRef,
        Arc::new(shed_array(&account.shed)) as ArrayRef,
    ];
    StructArray::new(ACCOUNT.clone(), columns, None)
}

/// A list of runs a row.
pub fn runs_array<'r>(rows: impl IntoIterator<Item = Option<&'r Runs>>) -> ListArray {
    let (mut first, mut last, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        let runs = row.map_or(&[][..], Runs::runs);
        first.extend(runs.iter().map(|run| run.first));
        last.extend(runs.iter().map(|run| run.last));
        lengths.push(runs.len());
        valid.push(row.is_some());
    }
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(first)), Arc::new(Int64Array::from(last))];
    let elements = struct_of(&RUN, columns);
    ListArray::new(element(&RUN), OffsetBuffer::from_lengths(lengths), elements, Some(valid.into()))
}

fn shed_array(shed: &[Shed]) -> ListArray {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(shed.iter().map(|shed| shed.run.first).collect::<Int64Array>()),
        Arc::new(shed.iter().map(|shed| shed.run.last).collect::<Int64Array>()),
        Arc::new(shed.iter().map(|shed| Some(shed.reason.as_str())).collect::<StringArray>()),
    ];
    ListArray::new(element(&SHED), OffsetBuffer::from_lengths([shed.len()]), struct_of(&SHED, columns), None)
}

fn struct_of(fields: &Fields, columns: Vec<ArrayRef>) -> ArrayRef {
    if columns.iter().all(|column| column.is_empty()) {
        return new_empty_array(&DataType::Struct(fields.clone()));
    }
    Arc::new(StructArray::new(fields.clone(), columns, None))
}

/// The runs of one row of a list of runs, or of gaps; `None` where it is null or no such list.
pub fn runs_of(list: &dyn Array, row: usize) -> Option<Runs> {
    let list = list.as_list_opt::<i32>().filter(|list| list.is_valid(row))?;
    Some(raw_runs(list.value(row).as_ref())?.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_survives_being_a_value() {
        let full = Account {
            rows: 9,
            handshakes_failed: 2,
            runs: Runs::of([Run { first: 1, last: 4 }, Run { first: 6, last: 7 }]),
            doubled: Runs::between(6, 7),
            shed: vec![Shed { run: Run { first: 8, last: 9 }, reason: "spool_full".into() }],
        };
        for account in [full, Account::default()] {
            let array = account_array(&account);
            assert_eq!(array.data_type(), &account_type());
            assert_eq!(Account::read(&array, 0).expect("read"), account);
        }
        assert!(Account::read(&Int64Array::from(vec![1]), 0).is_err());
    }
}
