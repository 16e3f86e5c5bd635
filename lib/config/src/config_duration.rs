//! Durations with their unit.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration: `250us`, `200ms`, `10s`, `5m`, `1h`, `7d`. A bare number is refused, as nobody can see its unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConfigDuration(pub Duration);

/// Units, largest first, with their length in microseconds.
const UNITS: [(&str, u64); 6] =
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

/// Longest duration, in microseconds: about 100 years. Adding one to the present can then never overflow.
const SPAN_US_MAX: u64 = 36_500 * 86_400_000_000;

impl ConfigDuration {
    /// The duration.
    pub const fn duration(self) -> Duration {
        self.0
    }

    /// This many milliseconds.
    pub const fn millis(count: u64) -> Self {
        Self(Duration::from_millis(count))
    }

    /// This many seconds.
    pub const fn secs(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }

    /// This many minutes.
    pub const fn mins(count: u64) -> Self {
        Self(Duration::from_secs(count * 60))
    }

    /// This many hours.
    pub const fn hours(count: u64) -> Self {
        Self(Duration::from_secs(count * 3_600))
    }
}

impl From<ConfigDuration> for Duration {
    fn from(span: ConfigDuration) -> Self {
        span.0
    }
}

impl fmt::Display for ConfigDuration {
    /// The largest unit that divides it. Nanoseconds are not written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.0.as_micros();
        if us == 0 {
            return f.write_str("0s");
        }
        // "us" divides everything: there is always a unit.
        for (unit, length) in UNITS {
            if us.is_multiple_of(u128::from(length)) {
                return write!(f, "{}{unit}", us / u128::from(length));
            }
        }
        Ok(())
    }
}

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigDurationError(String);

impl FromStr for ConfigDuration {
    type Err = ConfigDurationError;

    fn from_str(text: &str) -> Result<Self, ConfigDurationError> {
        let refuse = |why: &str| ConfigDurationError(format!("`{text}` {why}"));
        let text = text.trim();
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = (&text[..digits], text[digits..].trim());
        if number.is_empty() {
            return Err(refuse("is not a duration; write for example `10s`"));
        }
        if unit.is_empty() {
            return Err(ConfigDurationError(no_unit(text)));
        }
        let length = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, length)| *length)
            .ok_or_else(|| refuse("has no known unit; write us, ms, s, m, h or d, for example `10s`"))?;
        let count: u64 = number.parse().map_err(|_| refuse("is too long; the most is 36500d"))?;
        match count.checked_mul(length) {
            Some(us) if us <= SPAN_US_MAX => Ok(Self(Duration::from_micros(us))),
            _ => Err(refuse("is too long; the most is 36500d")),
        }
    }
}

fn no_unit(number: impl fmt::Display) -> String {
    format!("`{number}` has no unit; write for example `{number}s` or `{number}ms`")
}

impl<'de> Deserialize<'de> for ConfigDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DurationVisitor;

        impl Visitor<'_> for DurationVisitor {
            type Value = ConfigDuration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as `10s`")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<ConfigDuration, E> {
                Err(E::custom(no_unit(value)))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<ConfigDuration, E> {
                Err(E::custom(format!("`{value}` is negative; write a duration such as `10s`")))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<ConfigDuration, E> {
                Err(E::custom(format!("`{value}` has no unit; write a whole number with one, such as `1500ms`")))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<ConfigDuration, E> {
                value.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(DurationVisitor)
    }
}

impl Serialize for ConfigDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
