//! Which transactions are exported.

use std::time::Duration;

use crate::config::{Errors, SpansConfig};

/// The rule, made of the configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sampling {
    /// Half of the last eight bytes of a trace id must be below this.
    bound: u64,
    errors: Errors,
    slow_after_us: Option<i64>,
}

/// The facts of a transaction that the rule reads.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Facts<'a> {
    pub(crate) trace_id: &'a [u8],
    /// The flag of the trace; `None` where the record does not hold it.
    pub(crate) sampled: Option<bool>,
    pub(crate) failed: bool,
    pub(crate) total_us: Option<i64>,
}

impl Sampling {
    pub(crate) fn new(config: &SpansConfig) -> Self {
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self {
            bound: (config.ratio * (1_u64 << 63) as f64) as u64,
            errors: config.errors,
            slow_after_us: config.slow_after.map(|span| micros(span.duration())),
        }
    }

    /// Returns whether the transaction is exported: it is part of a sampled trace that the ratio keeps, or one of the exceptions.
    pub(crate) fn wants(&self, facts: Facts<'_>) -> bool {
        let is_slow = self.slow_after_us.is_some_and(|limit| facts.total_us.is_some_and(|total| total > limit));
        if is_slow || facts.failed && self.errors == Errors::Always {
            return true;
        }
        facts.sampled != Some(false) && self.is_in_ratio(facts.trace_id)
    }

    /// The rule of the SDKs' `TraceIdRatioBased`: the last eight bytes of the trace id, big-endian, without their last bit.
    fn is_in_ratio(&self, trace_id: &[u8]) -> bool {
        trace_id.last_chunk().is_some_and(|low| u64::from_be_bytes(*low) >> 1 < self.bound)
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanKind, TraceId};
    use opentelemetry_sdk::trace::{Sampler, SamplingDecision, ShouldSample};
    use tollgate_config::ConfigDuration;

    use super::*;

    fn config(ratio: f64) -> SpansConfig {
        SpansConfig { ratio, ..SpansConfig::new("http://localhost:4318") }
    }

    /// Trace ids that are spread over all values, and the edges.
    fn ids() -> impl Iterator<Item = [u8; 16]> {
        let spread = (1_u64..2_000).map(|number| {
            let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            u128::from(mixed.rotate_left(29)) << 64 | u128::from(mixed ^ mixed >> 31)
        });
        let edges = [1, 1 << 63, u128::from(u64::MAX), u128::MAX, (1 << 63) - 1, 1 << 64];
        spread.chain(edges).map(u128::to_be_bytes)
    }

    #[test]
    fn the_ratio_keeps_what_the_sdk_keeps() {
        for ratio in [0.0, 1e-9, 0.01, 0.1, 0.25, 0.5, 0.75, 0.999, 1.0] {
            let (ours, theirs) = (Sampling::new(&config(ratio)), Sampler::TraceIdRatioBased(ratio));
            let mut kept = 0;
            for id in ids() {
                let answer = theirs.should_sample(None, TraceId::from_bytes(id), "", &SpanKind::Server, &[], &[]);
                let wanted = ours.wants(Facts { trace_id: &id, sampled: Some(true), ..Facts::default() });
                assert_eq!(wanted, answer.decision == SamplingDecision::RecordAndSample, "{ratio} {id:?}");
                kept += u32::from(wanted);
            }
            let share = f64::from(kept) / 2_005.0;
            assert!((share - ratio).abs() < 0.03, "{share} of the traces are kept by {ratio}");
        }
    }

    #[test]
    fn the_flag_decides_and_exceptions_are_exported_all_the_same() {
        let (low, high) = (1_u128.to_be_bytes(), u128::MAX.to_be_bytes());
        let half = config(0.5);
        let always = SpansConfig { errors: Errors::Always, slow_after: Some(ConfigDuration::secs(1)), ..config(0.5) };
        for (what, config, trace_id, sampled, failed, total_us, wanted) in [
            ("in the ratio", &half, low, Some(true), false, Some(5), true),
            ("in the ratio, no flag recorded", &half, low, None, false, Some(5), true),
            ("in the ratio, but not sampled by the caller", &half, low, Some(false), false, Some(5), false),
            ("not in the ratio", &half, high, Some(true), false, Some(5), false),
            ("failed, not in the ratio", &half, high, Some(true), true, Some(5), false),
            ("failed, and errors are always exported", &always, high, Some(false), true, Some(5), true),
            ("as slow as allowed", &always, high, Some(true), false, Some(1_000_000), false),
            ("slower", &always, high, Some(false), false, Some(1_000_001), true),
            ("without a time", &always, high, Some(true), false, None, false),
        ] {
            let facts = Facts { trace_id: &trace_id, sampled, failed, total_us };
            assert_eq!(Sampling::new(config).wants(facts), wanted, "{what}");
        }
    }
}
