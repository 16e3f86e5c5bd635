//! The scalar functions over accounts and runs.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Int64Type, TimeUnit};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use tollgate_account::{Account, account_type, runs_array, runs_of, runs_type};
use tollgate_record::id::ProducerName;
use tollgate_record::runs::Runs;

/// Runs that `seq_text` writes out; it says how many more there are.
pub const TEXT_RUNS_MAX: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Function {
    Holes,
    Count,
    Text,
    ProducerStart,
}

/// One of the scalar functions.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct SeqFunction {
    function: Function,
    signature: Signature,
}

/// All scalar functions over accounts and runs.
pub(super) fn all() -> [SeqFunction; 4] {
    let of = |function, signature| SeqFunction { function, signature };
    let exact = |arguments| Signature::exact(arguments, Volatility::Immutable);
    [
        of(Function::Holes, exact(vec![account_type(), DataType::Int64, DataType::Int64])),
        of(Function::Count, Signature::any(1, Volatility::Immutable)),
        of(Function::Text, Signature::any(1, Volatility::Immutable)),
        of(Function::ProducerStart, exact(vec![DataType::Utf8])),
    ]
}

impl ScalarUDFImpl for SeqFunction {
    fn name(&self) -> &str {
        match self.function {
            Function::Holes => "seq_holes",
            Function::Count => "seq_count",
            Function::Text => "seq_text",
            Function::ProducerStart => "producer_start",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match (self.function, arguments) {
            (Function::Holes, _) => Ok(runs_type()),
            (Function::Count | Function::Text, [DataType::List(element)]) if is_run(element.data_type()) => {
                Ok(if self.function == Function::Count { DataType::Int64 } else { DataType::Utf8 })
            }
            (Function::Count | Function::Text, _) => {
                exec_err!("{} takes runs: what seq_holes answers, or a list of an account", self.name())
            }
            (Function::ProducerStart, _) => Ok(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let answered: ArrayRef = match (self.function, arrays.as_slice()) {
            (Function::Holes, [account, first, last]) => holes(account, first, last)?,
            (Function::Count, [runs]) => Arc::new(counts(runs)),
            (Function::Text, [runs]) => Arc::new(texts(runs)),
            (Function::ProducerStart, [producer]) => Arc::new(starts(producer)),
            _ => return exec_err!("{} has the wrong number of arguments", self.name()),
        };
        Ok(ColumnarValue::Array(answered))
    }
}

fn is_run(element: &DataType) -> bool {
    let DataType::Struct(fields) = element else { return false };
    ["first", "last"]
        .iter()
        .all(|name| fields.find(name).is_some_and(|(_, field)| field.data_type() == &DataType::Int64))
}

fn holes(account: &ArrayRef, first: &ArrayRef, last: &ArrayRef) -> Result<ArrayRef> {
    let (first, last) = (first.as_primitive::<Int64Type>(), last.as_primitive::<Int64Type>());
    let of_row = |row: usize| -> Result<Option<Runs>> {
        if account.is_null(row) || first.is_null(row) || last.is_null(row) {
            return Ok(None);
        }
        Ok(Some(Account::read(account, row)?.holes(first.value(row), last.value(row))))
    };
    let rows = (0..account.len()).map(of_row).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(runs_array(rows.iter().map(Option::as_ref))))
}

fn counts(runs: &ArrayRef) -> Int64Array {
    (0..runs.len()).map(|row| runs_of(runs, row).map(|runs| i64::try_from(runs.count()).unwrap_or(i64::MAX))).collect()
}

fn texts(runs: &ArrayRef) -> StringArray {
    let mut texts = StringBuilder::new();
    for row in 0..runs.len() {
        texts.append_option(runs_of(runs, row).map(|runs| text(&runs)));
    }
    texts.finish()
}

fn text(runs: &Runs) -> String {
    let shown = Runs::of(runs.runs().iter().take(TEXT_RUNS_MAX).copied());
    match runs.runs().len().saturating_sub(TEXT_RUNS_MAX) {
        0 => shown.to_string(),
        more => format!("{shown} and {more} more"),
    }
}

fn starts(producer: &ArrayRef) -> TimestampMicrosecondArray {
    let start = |name: Option<&str>| ProducerName::parse(name?).ok().map(|name| name.start_us);
    producer.as_string::<i32>().iter().map(start).collect::<TimestampMicrosecondArray>().with_timezone("UTC")
}
