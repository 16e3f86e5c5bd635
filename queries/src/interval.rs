//! Lengths of time, as people who ask write them.

use tollgate_config::{DurationForm, parse_duration};

/// Longest interval: ten years.
const INTERVAL_SECONDS_MAX: u64 = 10 * 366 * 86_400;

/// Records are asked for by seconds and more: `15ms` would be a slip for `15m`.
const INTERVAL: DurationForm = DurationForm { takes: |unit| !matches!(unit, "ms" | "us"), adds_up: true };

/// Whole seconds in a length of time such as `15m` or `1h30m`, up to ten years.
pub fn parse_interval(text: &str) -> Option<u64> {
    let seconds = parse_duration(text, INTERVAL).ok()?.as_secs();
    (1..=INTERVAL_SECONDS_MAX).contains(&seconds).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        assert_eq!(parse_interval("15m"), Some(900));
        assert_eq!(parse_interval("1h30m"), Some(5_400));
        assert_eq!(parse_interval(" 90 minutes "), Some(5_400));
        assert_eq!(parse_interval("2w"), Some(1_209_600));
        for wrong in ["", "15", "m", "-5m", "0s", "1y", "5 m m", "99999999999999999999s", "1.5h", "800w"] {
            assert_eq!(parse_interval(wrong), None, "{wrong}");
        }
        for too_fine in ["1000ms", "2000000us", "1h1000ms"] {
            assert_eq!(parse_interval(too_fine), None, "{too_fine}");
        }
        for (unit, seconds) in [("sec", 1), ("min", 60), ("hours", 3_600), ("day", 86_400), ("weeks", 604_800)] {
            assert_eq!(parse_interval(&format!("1 {unit}")), Some(seconds), "{unit}");
        }
        for wrong in ["+5s", "5 fortnights"] {
            assert_eq!(parse_interval(wrong), None, "{wrong}");
        }
    }
}
