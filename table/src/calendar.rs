//! Days and times in UTC, as the log writes them.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate};

/// The UTC day of a time; `None` for one outside of the calendar, some 262,000 years from here.
pub(crate) fn day_of(time_us: i64) -> Option<NaiveDate> {
    DateTime::from_timestamp_micros(time_us).map(|time| time.date_naive())
}

/// The first microsecond of a UTC day.
pub(crate) fn day_begin_us(day: NaiveDate) -> Option<i64> {
    Some(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
}

/// A day as `2026-11-23`.
pub(crate) fn format_day(day: NaiveDate) -> String {
    format!("{:04}-{:02}-{:02}", day.year(), day.month(), day.day())
}

/// A time as `2026-11-23T22:00:00.123456Z`; `None` for one outside of the calendar.
pub(crate) fn format_time(time_us: i64) -> Option<String> {
    let time = DateTime::from_timestamp_micros(time_us)?;
    // Logs have years past 9999 without a sign. chrono would write `+10000`.
    Some(format!("{}T{}Z", format_day(time.date_naive()), time.format("%H:%M:%S%.6f")))
}

/// Reads a time of any precision. `upper` rounds a bound that was cut to milliseconds up to the last microsecond that it
/// may stand for.
pub(crate) fn parse_time(text: &str, upper: bool) -> Option<i64> {
    let time_us = parse_any_year(text)?.timestamp_micros();
    let fraction = text.split_once('.').map_or("", |(_, rest)| rest);
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    let unseen_us = if upper && digits < 6 { 10_i64.pow(6 - digits.clamp(3, 6) as u32) - 1 } else { 0 };
    time_us.checked_add(unseen_us)
}

/// RFC 3339 has years of four digits; ISO 8601 has any other year with a sign, and the log has it without.
fn parse_any_year(text: &str) -> Option<DateTime<FixedOffset>> {
    let rfc3339 = DateTime::parse_from_rfc3339(text).ok();
    rfc3339.or_else(|| if text.starts_with(['+', '-']) { text.parse() } else { format!("+{text}").parse() }.ok())
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
    fn years_of_any_length_survive_the_log() {
        for (time, wanted) in [
            (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
            (253_402_300_800_000_000, "10000-01-01T00:00:00.000000Z"),
            (281_474_976_710_655_000, "10889-08-02T05:31:50.655000Z"),
            (-62_167_219_200_000_001, "-001-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(format_time(time).as_deref(), Some(wanted));
            assert_eq!((parse_time(wanted, false), parse_time(wanted, true)), (Some(time), Some(time)), "{wanted}");
        }
        for signed in ["+10000-01-01T00:00:00.000000Z", "+10000-01-01T00:00:00Z", "10000-01-01T02:00:00+02:00"] {
            assert_eq!(parse_time(signed, false), Some(253_402_300_800_000_000), "{signed}");
        }
        assert_eq!(parse_time("-0001-12-31T23:59:59.999Z", true), Some(-62_167_219_200_000_001));
        for bad in
            ["+", "-", "++10000-01-01T00:00:00Z", "10000-01-01", "10000-13-01T00:00:00Z", "999999-01-01T00:00:00Z"]
        {
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
