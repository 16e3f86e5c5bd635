//! `ago('15m')`: a moment in the past, as [`parse_interval`] reads lengths of time.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use tollgate_record::schema::TIME_ZONE;

use crate::interval::parse_interval;

/// Text to a moment. The plan has the moment as a constant, so that it prunes files.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Ago {
    signature: Signature,
}

impl Ago {
    pub fn new() -> Self {
        Self { signature: Signature::exact(vec![DataType::Utf8], Volatility::Stable) }
    }
}

impl ScalarUDFImpl for Ago {
    fn name(&self) -> &str {
        "ago"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Timestamp(TimeUnit::Microsecond, Some(TIME_ZONE.into())))
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let (Some(now), Some(Expr::Literal(length, _))) = (info.query_execution_start_time(), args.first()) else {
            return Ok(ExprSimplifyResult::Original(args));
        };
        let moment = match length.try_as_str().flatten() {
            Some(length) => Some(before(now.timestamp_micros(), length)?),
            None => None,
        };
        let moment = ScalarValue::TimestampMicrosecond(moment, Some(TIME_ZONE.into()));
        Ok(ExprSimplifyResult::Simplified(Expr::Literal(moment, None)))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        plan_err!("ago takes a constant, such as ago('15m')")
    }
}

fn before(now_us: i64, length: &str) -> Result<i64> {
    match parse_interval(length) {
        Some(seconds) => {
            Ok(now_us.saturating_sub(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000)))
        }
        None => plan_err!(
            "`{length}` is no length of time from 1s to ten years; write ago('15m'), ago('1h30m') or ago('7d')"
        ),
    }
}
