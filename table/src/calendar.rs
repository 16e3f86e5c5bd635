//! Days and times in UTC, as the log writes them.

use chrono::{DateTime, Datelike, NaiveDate, SecondsFormat};

/// The UTC day of a time; `None` for one outside of the calendar, some 262,000 years from here.
pub(crate) fn day_of(time_us: i64) -> Option<NaiveDate> {
    DateTime::from_timestamp_micros(time_us).map(|time| time.date_naive())
}

/// A day as `2026-11-23`.
pub(crate) fn format_day(day: NaiveDate) -> String {
    format!("{:04}-{:02}-{:02}", day.year(), day.month(), day.day())
}

/// A time as `2026-11-23T22:00:00.123456Z`; `None` for one outside of the calendar.
pub(crate) fn format_time(time_us: i64) -> Option<String> {
    let time = DateTime::from_timestamp_micros(time_us)?;
    Some(time.to_rfc3339_opts(SecondsFormat::Micros, true))
}

/// Reads a time of any precision. `upper` rounds a bound that was cut to milliseconds up to the last microsecond that it
/// may stand for.
pub(crate) fn parse_time(text: &str, upper: bool) -> Option<i64> {
    let time_us = DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros();
    let fraction = text.split_once('.').map_or("", |(_, rest)| rest);
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    let unseen_us = if upper && digits < 6 { 10_i64.pow(6 - digits.clamp(3, 6) as u32) - 1 } else { 0 };
    time_us.checked_add(unseen_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_795_471_200_123_456; // 2026-11-23T22:00:00 and a fraction

    #[test]
    fn times_survive_the_log() {
        for time in [T, 0, -1, 951_782_400_000_000, 4_107_542_399_999_999] {
            let text = format_time(time).unwrap();
            assert_eq!(parse_time(&text, false), Some(time), "{text}");
            assert_eq!(parse_time(&text, true), Some(time));
        }
        assert_eq!(format_time(951_782_400_000_000).unwrap(), "2000-02-29T00:00:00.000000Z");
        assert_eq!(parse_time("2000-02-29T00:00:00.123Z", true), Some(951_782_400_123_999));
        assert_eq!(parse_time("2000-02-29 00:00:00+00:00", false), Some(951_782_400_000_000));
        for bad in ["", "Z", "2000-02-29", "2000-02-29T00:00Z", "x-y-zTa:b:cZ", "2000-99-29T00:00:00Z"] {
            assert_eq!(parse_time(bad, false), None, "{bad}");
        }
    }

    #[test]
    fn times_outside_of_the_calendar_have_no_day() {
        for time in [i64::MIN, i64::MAX] {
            assert_eq!((day_of(time), format_time(time)), (None, None));
        }
        assert_eq!(day_of(T).map(format_day).as_deref(), Some("2026-11-23"));
        assert_eq!(day_of(-1).map(format_day).as_deref(), Some("1969-12-31"));
    }
}
