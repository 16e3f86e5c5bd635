//! Ranges of `time` in a filter, in whole microseconds.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{Between, Cast};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use super::buckets::is_time;

/// Times from `from_us` to `to_us`, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeRange {
    pub from_us: i64,
    pub to_us: i64,
}

impl TimeRange {
    pub const ALL: Self = Self { from_us: i64::MIN, to_us: i64::MAX };

    pub fn and(self, other: Self) -> Self {
        Self { from_us: self.from_us.max(other.from_us), to_us: self.to_us.min(other.to_us) }
    }

    /// Whether no time is within.
    pub fn is_empty(self) -> bool {
        self.from_us > self.to_us
    }

    /// The range that a filter names, if it compares `time` with constants and does nothing else.
    pub fn of(filter: &Expr) -> Option<Self> {
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                if let Some(at) = time_and_literal(left, right) {
                    return Self::compared(*op, at);
                }
                Self::compared(op.swap()?, time_and_literal(right, left)?)
            }
            Expr::Between(Between { expr, negated: false, low, high }) => {
                let low = Self::compared(Operator::GtEq, time_and_literal(expr, low)?)?;
                Some(low.and(Self::compared(Operator::LtEq, time_and_literal(expr, high)?)?))
            }
            _ => None,
        }
    }

    fn compared(op: Operator, at: Instant) -> Option<Self> {
        let (floor, ceiling) = (at.floor_us, at.floor_us.checked_add(i64::from(at.fraction))?);
        Some(match op {
            Operator::GtEq => Self { from_us: ceiling, ..Self::ALL },
            Operator::Gt => Self { from_us: floor.checked_add(1)?, ..Self::ALL },
            Operator::LtEq => Self { to_us: floor, ..Self::ALL },
            Operator::Lt => Self { to_us: ceiling.checked_sub(1)?, ..Self::ALL },
            Operator::Eq => Self { from_us: ceiling, to_us: floor },
            _ => return None,
        })
    }
}

/// A moment: whole microseconds, and whether there is a fraction after them.
#[derive(Debug, Clone, Copy)]
struct Instant {
    floor_us: i64,
    fraction: bool,
}

fn time_and_literal(time: &Expr, literal: &Expr) -> Option<Instant> {
    let time = match time {
        // A comparison with nanoseconds widens the column.
        Expr::Cast(Cast { expr, field })
            if matches!(field.data_type(), DataType::Timestamp(TimeUnit::Nanosecond, _)) =>
        {
            expr
        }
        other => other,
    };
    let Expr::Literal(value, _) = literal else { return None };
    if !is_time(time) {
        return None;
    }
    let per_us =
        |value: i64, per: i64| Instant { floor_us: value.div_euclid(per), fraction: value.rem_euclid(per) != 0 };
    match value {
        ScalarValue::TimestampNanosecond(Some(ns), _) => Some(per_us(*ns, 1_000)),
        ScalarValue::TimestampMicrosecond(Some(us), _) => Some(per_us(*us, 1)),
        ScalarValue::TimestampMillisecond(Some(ms), _) => Some(per_us(ms.checked_mul(1_000)?, 1)),
        ScalarValue::TimestampSecond(Some(s), _) => Some(per_us(s.checked_mul(1_000_000)?, 1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    fn ns(value: i64) -> Expr {
        lit(ScalarValue::TimestampNanosecond(Some(value), Some("UTC".into())))
    }

    fn us(value: i64) -> Expr {
        lit(ScalarValue::TimestampMicrosecond(Some(value), Some("UTC".into())))
    }

    #[test]
    fn comparisons_become_whole_microseconds() {
        let range = |filter: Expr| TimeRange::of(&filter).map(|range| (range.from_us, range.to_us));
        let (min, max) = (i64::MIN, i64::MAX);
        assert_eq!(range(col("time").gt_eq(us(5))), Some((5, max)));
        assert_eq!(range(col("time").gt(us(5))), Some((6, max)));
        assert_eq!(range(us(5).gt(col("time"))), Some((min, 4)));
        assert_eq!(range(col("time").gt_eq(ns(5_001))), Some((6, max)));
        assert_eq!(range(col("time").gt(ns(5_001))), Some((6, max)));
        assert_eq!(range(col("time").lt(ns(5_001))), Some((min, 5)));
        assert_eq!(range(col("time").lt_eq(ns(-1))), Some((min, -1)));
        assert_eq!(range(col("time").between(us(1), us(9))), Some((1, 9)));
        assert_eq!(range(col("time").eq(ns(1_500))), Some((2, 1)), "no whole microsecond");
        for other in [col("seq").gt(us(1)), col("time").not_eq(us(1)), col("time").not_between(us(1), us(2))] {
            assert_eq!(range(other.clone()), None, "{other}");
        }
    }
}
