//! Which time is audited.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use serde::{Serialize, Serializer};
use tollgate_queries::questions::parse_interval;

use crate::args::AuditArgs;
use crate::lines::time_text;

/// A range of the producers' time, and what is settled in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Range {
    /// From here on, in microseconds since 1970; `None` = all that is kept.
    #[serde(serialize_with = "as_text")]
    pub since_us: Option<i64>,
    /// Up to before here; `None` = now.
    #[serde(serialize_with = "as_text")]
    pub until_us: Option<i64>,
    /// What began before this must have arrived.
    #[serde(serialize_with = "one_as_text")]
    pub settled_before_us: i64,
    /// When the audit began.
    #[serde(serialize_with = "one_as_text")]
    pub now_us: i64,
}

impl Range {
    /// From the command line.
    pub fn parse(args: &AuditArgs) -> anyhow::Result<Self> {
        let now_us = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() as i64;
        let since_us = match args.since.trim() {
            "all" => None,
            since => Some(moment(since, now_us).context("--since")?),
        };
        let until_us = args.until.as_deref().map(|until| moment(until, now_us).context("--until")).transpose()?;
        let settle_us = match args.settle.trim() {
            "0" | "0s" => 0,
            settle => seconds(settle)
                .with_context(|| format!("--settle: `{settle}` is no length of time such as 30s, 11m or 0s"))?,
        };
        ensure!(
            since_us.zip(until_us).is_none_or(|(since, until)| since < until),
            "--until is not after --since: nothing lies between them"
        );
        Ok(Self {
            since_us,
            until_us: until_us.filter(|until| *until < now_us),
            settled_before_us: now_us - settle_us,
            now_us,
        })
    }
}

/// A length of time in microseconds.
fn seconds(text: &str) -> Option<i64> {
    Some(i64::try_from(parse_interval(text)?).ok()? * 1_000_000)
}

/// A length of time before now, or a time.
fn moment(text: &str, now_us: i64) -> anyhow::Result<i64> {
    if let Some(back) = seconds(text) {
        return Ok(now_us - back);
    }
    string_to_timestamp_nanos(text).map(|nanos| nanos.div_euclid(1_000)).map_err(|_| {
        anyhow::anyhow!(
            "`{text}` is neither a length of time such as 90m or 7d, nor a time such as 2026-11-25T10:00:00Z, nor `all`"
        )
    })
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
    fn moments_are_times_or_lengths_of_time() {
        let now = 1_795_471_200_000_000;
        assert_eq!(moment("1h30m", now).unwrap(), now - 5_400_000_000);
        assert_eq!(moment("1970-01-02", now).unwrap(), 86_400_000_000);
        assert_eq!(moment("2026-11-23T21:20:00Z", now).map(time_text).unwrap(), "2026-11-23T21:20:00Z");
        assert_eq!(moment("2026-11-23T22:20:00+01:00", now).map(time_text).unwrap(), "2026-11-23T21:20:00Z");
        let error = moment("yesterday", now).unwrap_err().to_string();
        assert!(error.contains("`yesterday` is neither") && error.contains("7d"), "{error}");
    }
}
