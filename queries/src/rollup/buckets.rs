//! Functions of `time` that are constant within buckets: what Grafana's macros and our questions group by.
//!
//! | form | steps |
//! |---|---|
//! | `date_bin(INTERVAL '…', time [, origin])` | the interval, if the origin is a multiple of it |
//! | `date_trunc('hour', time)`, day, week, month, quarter, year | an hour or more: all begin at whole hours of UTC |
//! | `floor(extract(epoch FROM time) / N)`, also after a cast | N seconds |
//!
//! A step of such a function lies at multiples of its length since 1970 (or, for weeks and more, at a whole hour). Where the
//! bucket of a cell divides the step, the function has the same value for each row of the cell as for the bucket's begin.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::{Cast, ScalarFunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

const SECOND_US: i64 = 1_000_000;
const HOUR_US: i64 = 3_600 * SECOND_US;

/// Whether this is the column `time`.
pub(super) fn is_time(expression: &Expr) -> bool {
    matches!(expression, Expr::Column(column) if column.name == "time")
}

/// The steps of an expression over `time`: a common divisor of them, in microseconds, 0 if `time` does not occur. `None` if
/// `time` occurs outside of a function with steps.
pub(super) fn steps(expression: &Expr) -> Option<i64> {
    let mut common = 0;
    let mut outside = false;
    let walked = expression.apply(|node| {
        if let Some(step) = step(node) {
            common = greatest_common_divisor(common, step);
            return Ok(TreeNodeRecursion::Jump);
        }
        outside |= is_time(node);
        Ok(if outside { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    (walked.is_ok() && !outside).then_some(common)
}

/// The length of the function's steps in microseconds, if it is one of the forms above.
fn step(expression: &Expr) -> Option<i64> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expression else { return None };
    match (func.name(), args.as_slice()) {
        ("date_bin", [stride, time]) if is_time(uncast_time(time)) => interval_us(stride),
        ("date_bin", [stride, time, origin]) if is_time(uncast_time(time)) => {
            let stride = interval_us(stride)?;
            (timestamp_us(origin)? % stride == 0).then_some(stride)
        }
        ("date_trunc", [unit, time]) if is_time(uncast_time(time)) => {
            let unit = text(unit)?.to_ascii_lowercase();
            ["hour", "day", "week", "month", "quarter", "year"].contains(&unit.as_str()).then_some(HOUR_US)
        }
        ("floor", [quotient]) => seconds_of_quotient(uncast(quotient)),
        _ => None,
    }
}

/// `extract(epoch FROM time) / N`: N seconds, in microseconds.
fn seconds_of_quotient(expression: &Expr) -> Option<i64> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Divide, right }) = expression else { return None };
    let Expr::ScalarFunction(ScalarFunction { func, args }) = uncast(left) else { return None };
    let [unit, time] = args.as_slice() else { return None };
    if func.name() != "date_part" || !text(unit)?.eq_ignore_ascii_case("epoch") || !is_time(uncast_time(time)) {
        return None;
    }
    let Expr::Literal(number, _) = uncast(right) else { return None };
    let seconds = match number {
        ScalarValue::Int64(Some(seconds)) => *seconds,
        ScalarValue::Int32(Some(seconds)) => i64::from(*seconds),
        // A double holds every epoch exactly, and so the quotient rounds to no other step: only for whole seconds.
        ScalarValue::Float64(Some(seconds)) if seconds.fract() == 0.0 && seconds.abs() < 1e9 => *seconds as i64,
        _ => return None,
    };
    (seconds > 0).then(|| seconds.checked_mul(SECOND_US)).flatten()
}

/// Without casts to other precisions of a time in UTC. In other zones hours begin elsewhere.
fn uncast_time(expression: &Expr) -> &Expr {
    match expression {
        Expr::Cast(Cast { expr, field }) => match field.data_type() {
            DataType::Timestamp(_, None) => uncast_time(expr),
            DataType::Timestamp(_, Some(zone)) if ["UTC", "+00:00", "Z"].contains(&zone.as_ref()) => uncast_time(expr),
            _ => expression,
        },
        other => other,
    }
}

/// Without casts of a number to types that hold every epoch. A `real` has 24 bits: it would round to minutes.
fn uncast(expression: &Expr) -> &Expr {
    match expression {
        Expr::Cast(Cast { expr, field }) if matches!(field.data_type(), DataType::Int64 | DataType::Float64) => {
            uncast(expr)
        }
        other => other,
    }
}

fn text(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}

/// The length of an interval without months, in microseconds.
fn interval_us(expression: &Expr) -> Option<i64> {
    let Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _) = expression else { return None };
    if interval.months != 0 || interval.nanoseconds % 1_000 != 0 {
        return None;
    }
    let days = i64::from(interval.days).checked_mul(24 * HOUR_US)?;
    let length = days.checked_add(interval.nanoseconds / 1_000)?;
    (length > 0).then_some(length)
}

fn timestamp_us(expression: &Expr) -> Option<i64> {
    let Expr::Literal(value, _) = uncast_time(expression) else { return None };
    match value {
        ScalarValue::TimestampNanosecond(Some(ns), _) => (ns % 1_000 == 0).then_some(ns / 1_000),
        ScalarValue::TimestampMicrosecond(Some(us), _) => Some(*us),
        ScalarValue::TimestampMillisecond(Some(ms), _) => ms.checked_mul(1_000),
        ScalarValue::TimestampSecond(Some(s), _) => s.checked_mul(SECOND_US),
        _ => None,
    }
}

fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::IntervalMonthDayNano;
    use datafusion::functions::expr_fn::{date_bin, date_part, date_trunc, floor};
    use datafusion::prelude::{cast, col, lit};

    use super::*;

    fn interval(days: i32, seconds: i64) -> Expr {
        lit(ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(0, days, seconds * 1_000_000_000))))
    }

    fn origin(us: i64) -> Expr {
        lit(ScalarValue::TimestampMicrosecond(Some(us), None))
    }

    #[test]
    fn steps_of_functions_of_time() {
        let epoch = |divisor: Expr| floor(date_part(lit("EPOCH"), col("time")) / divisor);
        let cases = [
            (date_bin(interval(0, 300), col("time"), origin(0)), Some(300)),
            (date_bin(interval(1, 0), col("time"), origin(86_400_000_000)), Some(86_400)),
            (date_bin(interval(0, 300), col("time"), origin(60_000_000)), None),
            (date_trunc(lit("hour"), col("time")), Some(3_600)),
            (date_trunc(lit("week"), col("time")), Some(3_600)),
            (date_trunc(lit("minute"), col("time")), None),
            (epoch(lit(600_i64)) * lit(600_i64), Some(600)),
            (cast(epoch(lit(300.0)), DataType::Int64), Some(300)),
            (epoch(lit(0.5)), None),
            (floor(cast(date_part(lit("EPOCH"), col("time")), DataType::Int64) / lit(300_i64)), Some(300)),
            (floor(cast(date_part(lit("EPOCH"), col("time")), DataType::Float32) / lit(300_i64)), None),
            (floor(cast(date_part(lit("EPOCH"), col("time")) / lit(300_i64), DataType::Float32)), None),
            (col("time"), None),
            (col("status") + lit(1), Some(0)),
        ];
        for (expression, seconds) in cases {
            assert_eq!(steps(&expression), seconds.map(|seconds| seconds * SECOND_US), "{expression}");
        }
        let both = date_trunc(lit("hour"), col("time")).eq(date_bin(interval(0, 600), col("time"), origin(0)));
        assert_eq!(steps(&both), Some(600 * SECOND_US));
    }
}
