//! How sinks are served: the section `delivery`.

use serde::{Deserialize, Serialize};
use tollgate_config::{ByteSize, ConfigDuration, Diagnostic};

use super::at_least_one;

/// How sinks are served.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeliveryConfig {
    /// Sinks that lose their oldest frames, counted, when the journal is nearly full. All others make ingest answer 503
    /// instead.
    pub skip_when_full: Vec<String>,
    /// Decoded batches kept for the sinks, so that each is decoded once.
    pub recent_bytes_max: ByteSize,
    /// Frames handed to a sink at once.
    pub frames_max: usize,
    /// Records handed to a sink at once; at least one frame is.
    pub rows_max: usize,
    /// First wait after a failed delivery; it doubles, with jitter.
    pub retry_min: ConfigDuration,
    /// Longest wait.
    pub retry_max: ConfigDuration,
    /// A cursor is stored at most this often.
    pub cursor_interval: ConfigDuration,
    /// How often finished segments are looked for.
    pub trim_interval: ConfigDuration,
    /// How long a sink may take to store what it holds when the collector stops.
    pub close_timeout: ConfigDuration,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            skip_when_full: Vec::new(),
            recent_bytes_max: ByteSize::mib(16),
            frames_max: 64,
            rows_max: 16_384,
            retry_min: ConfigDuration::millis(100),
            retry_max: ConfigDuration::secs(30),
            cursor_interval: ConfigDuration::millis(200),
            trim_interval: ConfigDuration::secs(1),
            close_timeout: ConfigDuration::secs(30),
        }
    }
}

impl DeliveryConfig {
    /// Everything that the types do not rule out, by the key below `delivery`.
    pub fn check(&self) -> Vec<Diagnostic> {
        let mut problems = at_least_one([("frames_max", self.frames_max), ("rows_max", self.rows_max)]);
        let (min, max) = (self.retry_min.duration(), self.retry_max.duration());
        if min > max || min.is_zero() {
            let problem = format!("must be more than 0 and at most delivery.retry_max ({})", self.retry_max);
            problems.push(Diagnostic::of_key("retry_min", problem));
        }
        if self.trim_interval.duration().is_zero() {
            problems.push(Diagnostic::of_key("trim_interval", "must be more than 0"));
        }
        problems
    }
}
