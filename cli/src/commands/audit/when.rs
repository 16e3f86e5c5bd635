//! Moments and lengths of time, as they are written on the command line.

use anyhow::{Context, anyhow};
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use tollgate_queries::questions::parse_interval;

/// A length of time, `0s` among them, in microseconds.
pub fn length(text: &str) -> anyhow::Result<i64> {
    match text.trim() {
        "0" | "0s" => Ok(0),
        text => interval_us(text).with_context(|| format!("`{text}` is no length of time such as 30s, 11m or 0s")),
    }
}

/// A length of time before now, or a time, in microseconds since 1970.
pub fn moment(text: &str, now_us: i64) -> anyhow::Result<i64> {
    if let Some(back) = interval_us(text) {
        return Ok(now_us - back);
    }
    string_to_timestamp_nanos(text).map(|nanos| nanos.div_euclid(1_000)).map_err(|_| {
        anyhow!(
            "`{text}` is neither a length of time such as 90m or 7d, nor a time such as 2026-11-25T10:00:00Z, nor `all`"
        )
    })
}

fn interval_us(text: &str) -> Option<i64> {
    Some(i64::try_from(parse_interval(text)?).ok()? * 1_000_000)
}

#[cfg(test)]
mod tests {
    use tollgate_audit::time_text;

    use super::*;

    #[test]
    fn moments_are_times_or_lengths_of_time() {
        let now = 1_795_471_200_000_000;
        assert_eq!(moment("1h30m", now).unwrap(), now - 5_400_000_000);
        assert_eq!(moment("1970-01-02", now).unwrap(), 86_400_000_000);
        assert_eq!(moment("2026-11-23T21:20:00Z", now).map(time_text).unwrap(), "2026-11-23T21:20:00Z");
        assert_eq!(moment("2026-11-23T22:20:00+01:00", now).map(time_text).unwrap(), "2026-11-23T21:20:00Z");
        let error = moment("yesterday", now).unwrap_err().to_string();
        assert!(error.contains("`yesterday` is neither") && error.contains("7d"), "{error}");
    }

    #[test]
    fn nothing_is_a_length_too() {
        assert_eq!((length("0").unwrap(), length(" 0s ").unwrap(), length("11m").unwrap()), (0, 0, 660_000_000));
        assert!(length("soon").unwrap_err().to_string().contains("`soon` is no length of time"));
    }
}
