//! Which time is audited.

use serde::{Serialize, Serializer};

use crate::time::time_text;

/// A range of the producers' time, and what is settled in it. Times are in microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Range {
    /// Where the range begins; `None` = at the first record that is kept.
    #[serde(serialize_with = "as_text")]
    pub since_us: Option<i64>,
    /// Where it ends, itself excluded; `None` = now.
    #[serde(serialize_with = "as_text")]
    pub until_us: Option<i64>,
    /// What began before this must have arrived.
    #[serde(serialize_with = "one_as_text")]
    pub settled_before_us: i64,
    /// When the audit began.
    #[serde(serialize_with = "one_as_text")]
    pub now_us: i64,
}

/// A range that ends where it begins, or before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("--until is not after --since: nothing lies between them")]
pub struct RangeError;

impl Range {
    /// A range of which everything is settled that began more than `settle_us` before `now_us`. An end in the future is now.
    ///
    /// # Errors
    /// Nothing lies between the two ends.
    pub fn new(since_us: Option<i64>, until_us: Option<i64>, settle_us: i64, now_us: i64) -> Result<Self, RangeError> {
        if since_us.zip(until_us).is_some_and(|(since, until)| since >= until) {
            return Err(RangeError);
        }
        let until_us = until_us.filter(|until| *until < now_us);
        Ok(Self { since_us, until_us, settled_before_us: now_us - settle_us, now_us })
    }
}

fn as_text<S: Serializer>(us: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    us.map(time_text).serialize(serializer)
}

fn one_as_text<S: Serializer>(us: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    time_text(*us).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_in_the_future_is_now_and_an_empty_range_is_refused() {
        let range = Range::new(Some(10), Some(2_000), 100, 1_000).expect("range");
        assert_eq!((range.until_us, range.settled_before_us), (None, 900));
        assert_eq!(Range::new(Some(10), Some(20), 0, 1_000).expect("range").until_us, Some(20));
        assert_eq!(Range::new(Some(20), Some(20), 0, 1_000), Err(RangeError));
    }
}
