//! Times as the audit reads and writes them.

use arrow::array::temporal_conversions::timestamp_us_to_datetime;
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;

/// A day, in microseconds.
pub(crate) const DAY_US: i64 = 86_400 * 1_000_000;

/// A time in microseconds since 1970, to the second: `2026-11-23T22:00:00Z`.
pub fn time_text(us: i64) -> String {
    timestamp_us_to_datetime(us).map_or_else(|| us.to_string(), |time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// When a day such as `2026-11-23` begins, in microseconds since 1970.
pub(crate) fn day_us(date: &str) -> Option<i64> {
    string_to_timestamp_nanos(date).ok().map(|nanos| nanos / 1_000)
}
