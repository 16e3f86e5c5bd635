//! A duration of a configuration, with its unit.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::duration::{UNITS, split_number};

/// A duration: `250us`, `200ms`, `10s`, `5m`, `1h`, `7d`. A bare number is refused: its unit would be a guess.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConfigDuration(pub Duration);

/// Longest duration, in microseconds: about 100 years. Adding one to the present can then never overflow.
const DURATION_US_MAX: u64 = 36_500 * 86_400_000_000;

impl ConfigDuration {
    /// Returns the length of time.
    pub const fn duration(self) -> Duration {
        self.0
    }

    /// Makes a duration of this many milliseconds.
    pub const fn millis(count: u64) -> Self {
        Self(Duration::from_millis(count))
    }

    /// Makes a duration of this many seconds.
    pub const fn secs(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }

    /// Makes a duration of this many minutes.
    pub const fn mins(count: u64) -> Self {
        Self(Duration::from_secs(count * 60))
    }

    /// Makes a duration of this many hours.
    pub const fn hours(count: u64) -> Self {
        Self(Duration::from_secs(count * 3_600))
    }
}

impl From<ConfigDuration> for Duration {
    fn from(duration: ConfigDuration) -> Self {
        duration.0
    }
}

impl fmt::Display for ConfigDuration {
    /// Writes the number of the largest unit that divides the duration. Nanoseconds are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.0.as_micros();
        if us == 0 {
            return f.write_str("0s");
        }
        // The last unit, "us", divides everything, so the loop always returns.
        for unit in &UNITS {
            if us.is_multiple_of(u128::from(unit.us)) {
                return write!(f, "{}{}", us / u128::from(unit.us), unit.names[0]);
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
        let (number, unit) = split_number(text);
        if number.is_empty() {
            return Err(refuse("is not a duration; write for example `10s`"));
        }
        if unit.is_empty() {
            return Err(ConfigDurationError(no_unit(text)));
        }
        let length = UNITS
            .iter()
            .find(|known| known.names[0] == unit)
            .map(|known| known.us)
            .ok_or_else(|| refuse("has no known unit; write us, ms, s, m, h or d, for example `10s`"))?;
        let count: u64 = number.parse().map_err(|_| refuse("is too long; the most is 36500d"))?;
        match count.checked_mul(length) {
            Some(us) if us <= DURATION_US_MAX => Ok(Self(Duration::from_micros(us))),
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
