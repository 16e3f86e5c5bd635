//! How people write a length of time.
//!
//! There is one grammar: numbers, each with its unit ([`parse_duration`]). Who reads a duration says how much of the grammar
//! is meant there ([`DurationForm`]): a question's interval has no milliseconds, and PostgreSQL has no `m`. A
//! configuration takes one number with one short unit ([`ConfigDuration`](crate::ConfigDuration)), so that a value has one
//! form in every file.

use std::time::Duration;

/// A unit: its length in microseconds, and its names; the first is the short one.
pub(crate) struct Unit {
    pub(crate) us: u64,
    pub(crate) names: &'static [&'static str],
}

/// The units of a configuration, largest first.
pub(crate) const UNITS: [Unit; 6] = [
    Unit { us: 86_400_000_000, names: &["d", "day", "days"] },
    Unit { us: 3_600_000_000, names: &["h", "hour", "hours"] },
    Unit { us: 60_000_000, names: &["m", "min", "minute", "minutes"] },
    Unit { us: 1_000_000, names: &["s", "sec", "second", "seconds"] },
    Unit { us: 1_000, names: &["ms"] },
    Unit { us: 1, names: &["us"] },
];

/// The one unit that a configuration does not take: its limits are about seconds and days.
const WEEK: Unit = Unit { us: 604_800_000_000, names: &["w", "week", "weeks"] };

/// How much of the grammar is taken in one place.
#[derive(Debug, Clone, Copy)]
pub struct DurationForm {
    /// Whether a unit of this name is taken.
    pub takes: fn(&str) -> bool,
    /// Whether several numbers with units are added up: `1h30m`.
    pub adds_up: bool,
}

/// Why a text is not a length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// There is something else where a number should be.
    #[error("a length of time is a number with a unit; write for example `15m`")]
    NoNumber,
    /// A number without a unit, or with one that is not known.
    #[error("the unit is missing or unknown; write us, ms, s, m, h, d or w, for example `15m`")]
    NoUnit,
    /// A second number where one is taken.
    #[error("only one number with a unit is taken; write for example `90s`")]
    Several,
    /// More microseconds than 64 bits hold.
    #[error("the length of time is too long; write fewer digits")]
    TooLong,
}

/// Parses a length of time of this form: one or more numbers, each with a unit, such as `15m`, `1h30m` or `90 minutes`.
///
/// # Errors
/// The text is something else, or too long.
pub fn parse_duration(text: &str, form: DurationForm) -> Result<Duration, DurationError> {
    let mut rest = text.trim();
    let mut total_us = 0_u64;
    loop {
        let (number, after) = split_number(rest);
        if number.is_empty() {
            return Err(DurationError::NoNumber);
        }
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (name, after) = after.split_at(end);
        let is_it = |unit: &&Unit| unit.names.contains(&name) && (form.takes)(name);
        let unit = UNITS.iter().chain([&WEEK]).find(is_it).ok_or(DurationError::NoUnit)?;
        let count: u64 = number.parse().map_err(|_| DurationError::TooLong)?;
        let us = count.checked_mul(unit.us).and_then(|us| us.checked_add(total_us));
        total_us = us.ok_or(DurationError::TooLong)?;
        rest = after.trim_start();
        if rest.is_empty() {
            return Ok(Duration::from_micros(total_us));
        }
        if !form.adds_up {
            return Err(DurationError::Several);
        }
    }
}

/// Splits the digits at the beginning off; spaces after them are dropped.
pub(crate) fn split_number(text: &str) -> (&str, &str) {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    (&text[..digits], text[digits..].trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: DurationForm = DurationForm { takes: |_| true, adds_up: true };

    #[test]
    fn numbers_with_units_are_added_up() {
        for (text, us) in [
            ("15m", 900_000_000),
            ("1h30m", 5_400_000_000),
            (" 90 minutes ", 5_400_000_000),
            ("2w", 1_209_600_000_000),
            ("1 day 1 second", 86_401_000_000),
            ("250us", 250),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text, ALL), Ok(Duration::from_micros(us)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for (text, why) in [
            ("", DurationError::NoNumber),
            ("m", DurationError::NoNumber),
            ("-5m", DurationError::NoNumber),
            ("5 m m", DurationError::NoNumber),
            ("15", DurationError::NoUnit),
            ("1y", DurationError::NoUnit),
            ("1.5h", DurationError::NoUnit),
            ("99999999999999999999s", DurationError::TooLong),
            ("18446744073709551615s", DurationError::TooLong),
        ] {
            assert_eq!(parse_duration(text, ALL), Err(why), "{text}");
        }
    }

    #[test]
    fn a_form_takes_some_of_the_grammar() {
        let form = DurationForm { takes: |unit| unit == "min", adds_up: false };
        assert_eq!(parse_duration("2 min", form), Ok(Duration::from_secs(120)));
        assert_eq!(parse_duration("2m", form), Err(DurationError::NoUnit), "another name of the same unit");
        assert_eq!(parse_duration("1min 1min", form), Err(DurationError::Several));
    }
}
