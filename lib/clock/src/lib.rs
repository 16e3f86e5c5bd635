//! The wall clock as records have it: whole microseconds since 1970, UTC, as `i64`.
//!
//! A clock before 1970 reads 0, one past the year 294,000 reads [`i64::MAX`]: a record with a wrong time is worth more
//! than none. Spans of time are measured with [`std::time::Instant`], never by the difference of two readings.

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns the present, in microseconds since 1970.
#[inline]
pub fn now_us() -> i64 {
    us_of(SystemTime::now())
}

/// Returns a moment in microseconds since 1970.
#[inline]
pub fn us_of(moment: SystemTime) -> i64 {
    moment.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_moment_is_whole_microseconds_since_1970() {
        assert_eq!(us_of(UNIX_EPOCH + Duration::from_nanos(1_999)), 1);
        assert_eq!(us_of(UNIX_EPOCH - Duration::from_secs(1)), 0, "before 1970");
        let before = now_us();
        assert!(before > 1_700_000_000_000_000 && now_us() >= before);
    }
}
