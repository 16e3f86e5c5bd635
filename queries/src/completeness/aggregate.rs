//! `seq_account`.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};
use tollgate_account::{account_array, account_type};
use tollgate_record::vocabulary::Kind;

use super::ledger::Ledger;

/// (seq, kind, gap_count, gap_reason) → the account of these rows, which must be of one producer.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct SeqAccount {
    signature: Signature,
}

impl Default for SeqAccount {
    fn default() -> Self {
        let arguments = vec![DataType::Int64, DataType::Utf8, DataType::Int64, DataType::Utf8];
        Self { signature: Signature::exact(arguments, Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for SeqAccount {
    fn name(&self) -> &str {
        "seq_account"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(account_type())
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "ledger"), DataType::Binary, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return exec_err!("seq_account counts what is there twice: DISTINCT would hide it");
        }
        Ok(Box::new(SeqAccumulator(Ledger::default())))
    }
}

#[derive(Debug)]
struct SeqAccumulator(Ledger);

impl Accumulator for SeqAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [seq, kind, gap_count, gap_reason] = values else {
            return internal_err!("seq_account has four arguments");
        };
        let (seq, gap_count) = (seq.as_primitive::<Int64Type>(), gap_count.as_primitive::<Int64Type>());
        let (kind, gap_reason) = (kind.as_string::<i32>(), gap_reason.as_string::<i32>());
        for row in (0..seq.len()).filter(|row| seq.is_valid(*row)) {
            let kind = if kind.is_valid(row) { kind.value(row) } else { "" };
            if kind == Kind::Gap.as_str() {
                let count = if gap_count.is_valid(row) { gap_count.value(row) } else { 1 };
                self.0.shed(seq.value(row), count, gap_reason.is_valid(row).then(|| gap_reason.value(row)));
            } else {
                self.0.record(seq.value(row), kind == Kind::HandshakeFailed.as_str());
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [ledgers] = states else { return internal_err!("seq_account has one state") };
        for ledger in ledgers.as_binary::<i32>().iter().flatten() {
            self.0.merge(ledger)?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(Some(self.0.to_bytes()?))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Struct(Arc::new(account_array(&self.0.account()))))
    }

    fn size(&self) -> usize {
        self.0.bytes()
    }
}
